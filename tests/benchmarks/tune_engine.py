"""Tunes a teachable task with one of this engine's optimizers: `python tune_engine.py Autotune --url ... --task classify`."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Generator
from typing import Any

import tune_work as work
from teachable.local import TeachableLM
from teachable.model import prose, sentence
from teachable.worlds import World, graded, tools, truth, world

import engine
from engine.records import Demo
from engine.registry import get_optimizer
from engine.search.contract import Keep, Problem, Score, Search, relay
from engine.signature import InputField, OutputField, make_signature


class Steps(engine.Module):
    """The steps of a world, one after another."""

    def __init__(self, made: World) -> None:
        super().__init__()
        self.reads = {step.name: step.reads for step in made.steps}
        for i, step in enumerate(made.steps):
            setattr(self, step.name, predictor(made, i))

    async def aforward(self, text: str) -> Any:
        """Run all."""
        have: dict[str, Any] = {"text": text}
        found = None
        for name, reads in self.reads.items():
            found = await getattr(self, name).acall(**{n: have[n] for n in reads})
            have.update(found.items())
        return found


def predictor(made: World, step: int) -> Any:
    """Return one step's module; it reasons first where that hurts, for the search to find out."""
    kind = engine.ChainOfThought if made.nature.thinking < 0 else engine.Predict
    return kind(signature(made, step))


def signature(made: World, step: int) -> Any:
    """Return one step's signature."""
    s = made.steps[step]
    fields: dict[str, Any] = {n: (str, InputField()) for n in s.reads}
    fields |= {n: (str, OutputField()) for n in s.writes}
    return make_signature(fields, s.instructions)


def program(made: World) -> engine.Module:
    """Return the task's program."""
    if made.nature.agent:
        given = [engine.Tool(*tool) for tool in tools(made)]
        fields: dict[str, Any] = {"text": (str, InputField()), made.labels[0]: (str, OutputField())}
        return engine.ReAct(make_signature(fields, made.steps[0].instructions), given, 1)
    return Steps(made) if len(made.steps) > 1 else predictor(made, 0)


def rows(made: World, split: str) -> list[Any]:
    """Return a split's examples."""
    return [engine.Example(**row).with_inputs("text") for row in made.rows[split]]


def taught(made: World, student: engine.Module) -> engine.Module:
    """Return the program with everything taught: every rule stated, and a row of each shown."""
    rng = random.Random(0)
    candidate = student.candidate()
    for path, step in zip(candidate.steps, made.steps, strict=True):
        own = [r for r in made.rules if r.field in step.decides]
        text = prose([sentence(r, r.value, rng) for r in own], rng)
        if made.nature.agent:
            plain = {name: f"Asks the {name} desk." for name in candidate.steps[path].tool_descriptions}
            candidate = candidate.with_step(path, instructions=text, tool_descriptions=plain)
            continue
        seen: dict[Any, Demo] = {}
        for row in made.rows["train"]:
            words = frozenset(row["text"].split())
            have = {**row, **truth(made, row["text"])} if made.rules else dict(row)
            for s in made.steps:
                if s.points and all(n in have for n in s.points):
                    have[s.writes[0]] = f"We offer what you need: {', '.join(have[n] for n in s.points)}."
            if not any(r.words and words.issuperset(r.words) for r in made.rules):
                continue
            for r in own:
                if r not in seen and frozenset(
                    " ".join(str(have.get(n, "")) for n in step.reads).split()
                ).issuperset(r.words):
                    seen[r] = Demo({n: have[n] for n in (*step.reads, *step.writes) if n in have})
        demos = tuple({json.dumps(dict(d.values)): d for d in seen.values()}.values())
        first = None if not made.nature.thinking else made.nature.thinking > 0
        candidate = candidate.with_step(path, instructions=text, demos=demos, reason_first=first)
    return student.with_candidate(candidate)


def counting_rounds(search: Callable[[Problem], Search], threads: int, rounds: list[int]) -> Any:
    """Return the search, which notes for each batch how many calls one after the other it takes at least."""

    def counted(problem: Problem) -> Generator[Any, Any, Any]:
        before = 0.0

        def begin(_: Any) -> None:
            nonlocal before
            before = problem.meter.made

        def note(asks: Any, _: Any) -> None:
            chain = max((problem.calls_per_row if isinstance(a, Score) else 1 for a in asks), default=0)
            # As long as its longest row, or as all of its calls, so many at a time; nothing if the cache spared them.
            made = problem.meter.made - before
            if made > 0 and any(not isinstance(a, Keep) for a in asks):
                rounds.append(max(chain, math.ceil(made / threads)))

        return relay(search(problem), begin, note)

    return counted


def main() -> None:
    """Compile and score on the test rows, seed by seed, a line for each."""
    given = work.options()
    seeds, calls = ([int(part) for part in str(text).split(",")] for text in (given.seed, given.calls))
    for at, seed in enumerate(seeds):
        print(json.dumps(tuned(given, seed, calls[at % len(calls)])), flush=True)
    work.leave()


def tuned(given: Any, seed: int, calls: int) -> dict[str, Any]:
    """Tune the task of a seed with so many calls (0: the optimizer's own); return what was measured."""
    made = world(given.task, seed)
    # The cache as a user has it; the home folder is empty, so nothing is free that DSPy would pay for.
    lm: engine.BaseLM = TeachableLM(made.name)
    if given.url:
        lm = engine.LM(f"openai/{made.name}", api_base=given.url, api_key="sk-test", cache=True)
    engine.configure(lm=lm)
    if given.url:
        lm("Hello.")  # the cache's file and the connection are there before anything is measured

    def metric(example: Any, prediction: Any, trace: Any = None) -> Any:
        score, words = graded(made, example, lambda n: prediction[n])
        # As DSPy's metrics do, and the one next to this: what becomes an example must be right as a whole.
        return engine.Grade(score if trace is None else float(score >= 1), words)

    def exact(example: Any, prediction: Any, trace: Any = None) -> float:
        return graded(made, example, lambda n: prediction[n], exact=True)[0]

    student = program(made)
    evaluate = engine.Evaluate(devset=rows(made, "test"), metric=exact, num_threads=given.threads)
    if given.optimizer in ("start", "ceiling"):
        done = student if given.optimizer == "start" else taught(made, student)
        return {"score": evaluate(done).score, "calls": 0, "wall": 0.0, "cpu": 0.0}
    kind = get_optimizer(given.optimizer)
    options = json.loads(given.set)
    if "seed" in kind.options_model.model_fields:
        options.setdefault("seed", seed)
    if given.optimizer == "BetterTogether":
        options.setdefault("optimizer_compile_args", {"BootstrapFewShotWithRandomSearch": work.SMALLER})
    rounds: list[int] = []

    class Counted(kind):  # type: ignore[valid-type,misc]  # the registry's class is known when it runs
        """The optimizer, whose rounds are counted."""

        def search(self, problem: Problem) -> Search:
            """Search."""
            return counting_rounds(super().search, given.threads, rounds)(problem)

    optimizer = Counted.from_options(options, metric)
    optimizer.num_threads = given.threads
    budget = engine.Budget(calls=calls) if calls else None
    meter = work.Meter(given.url)
    done = optimizer.compile(
        student, trainset=rows(made, "train"), valset=rows(made, "validation"), budget=budget
    )
    used = meter.stop()
    result = done.tuning  # type: ignore[attr-defined]  # compile adds it
    return {
        **used,
        **({} if given.url else {"calls": result.usage.calls}),
        "score": evaluate(done).score,
        "rounds": sum(rounds),
        "kept": result.best.id == result.seed.id,
        "stopped": result.reason,
        "why": result.best.reason,
    }


if __name__ == "__main__":
    main()
