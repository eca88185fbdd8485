"""The jobs, done by this engine. Run as a child process: `python jobs_engine.py evaluate --url ...`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import jobs_work as work

import engine
from engine import InputField, OutputField, Signature


class Triage(Signature):
    """Placeholder, replaced below by the shared instructions."""

    message: str = InputField(desc="what the customer wrote")
    label: Literal["billing", "shipping", "technical", "other"] = OutputField(
        desc="the team that should answer"
    )
    urgent: bool = OutputField(desc="whether it cannot wait")
    confidence: float = OutputField(desc="from 0 to 1")


class Five(Signature):
    """Placeholder, replaced below by the shared instructions."""

    message: str = InputField(desc="what the customer wrote")
    label: Literal["billing", "shipping", "technical", "other"] = OutputField(
        desc="the team that should answer"
    )
    urgent: bool = OutputField(desc="whether it cannot wait")
    stars: int = OutputField(desc="how content they are", ge=1, le=5)
    summary: str = OutputField(desc="one sentence")
    tags: list[str] = OutputField(desc="a few topics")


def rows(start: int, count: int) -> list[Any]:
    """Return labelled rows."""
    return [
        engine.Example(message=work.message(i), label=work.LABELS[i % 4]).with_inputs("message")
        for i in range(start, start + count)
    ]


def agrees(example: Any, prediction: Any, trace: Any = None) -> bool:
    """Compare the labels."""
    return bool(example.label == prediction.label)


def evaluate(url: str, count: int, concurrency: int, cache: str) -> dict[str, Any]:
    """Evaluate rows of one typed Predict. With a cache file, from it."""
    from engine.lm.cache import Cache

    lm = engine.LM(
        "openai/test-model", api_base=url, api_key="sk-test", cache=Cache(Path(cache)) if cache else False
    )
    engine.configure(lm=lm)
    program = engine.Predict(Triage.with_instructions(work.INSTRUCTIONS))

    def run(examples: list[Any]) -> Any:
        return engine.Evaluate(devset=examples, metric=agrees, num_threads=concurrency)(program)

    run(rows(10**6 + int(time.time()), concurrency))
    devset = rows(0, count)
    found: dict[str, Any] = {}
    found.update(work.measured(lambda: found.update(score=run(devset).score), count))
    return found


def mipro(url: str, count: int, concurrency: int, auto: Any, validating: int) -> dict[str, Any]:
    """Tune with MIPROv2. `count` rows train, so many validate."""
    from engine import MIPROv2

    engine.configure(lm=engine.LM("openai/test-model", api_base=url, api_key="sk-test", cache=False))
    program = engine.Predict(Signature("message -> label", work.INSTRUCTIONS))
    optimizer = MIPROv2(metric=agrees, auto=auto, num_threads=concurrency, seed=9)
    train, validation = rows(0, count), rows(count, validating)
    return work.measured(lambda: optimizer.compile(program, trainset=train, valset=validation), 1)


def adapter() -> dict[str, Any]:
    """Format a prompt and parse a reply of five typed fields."""
    chat, signature = engine.ChatAdapter(), Five.with_instructions(work.INSTRUCTIONS)
    inputs = {"message": work.message(1)}
    both = work.per_call(lambda: (chat.format(signature, [], inputs), chat.parse(signature, work.FIVE)))
    demo = {"message": work.message(2), **chat.parse(signature, work.FIVE)}
    demos = [engine.Example(**{**demo, "message": work.message(i)}) for i in range(8)]
    with_demos = work.per_call(lambda: chat.format(signature, demos, inputs))
    return {"us": both["us"], "demos_us": with_demos["us"]}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def react(count: int) -> dict[str, Any]:
    """Run an agent of five steps, over and over."""
    from engine.testing import ScriptedLM, chat_answer

    texts = [chat_answer(step) for step in work.STEPS]
    agent = engine.ReAct("question -> answer", tools=[add])

    def run(times: int) -> None:
        with engine.context(lm=ScriptedLM(texts * times), history=False):
            for i in range(times):
                agent(question=work.message(i))

    run(20)
    return work.measured(lambda: run(count), count)


def parallel(url: str, count: int, concurrency: int) -> dict[str, Any]:
    """Run one typed Predict on many inputs with Parallel."""
    engine.configure(lm=engine.LM("openai/test-model", api_base=url, api_key="sk-test", cache=False))
    program = engine.Predict(Triage.with_instructions(work.INSTRUCTIONS))

    def run(examples: list[Any]) -> Any:
        return engine.Parallel(num_threads=concurrency)([(program, example) for example in examples])

    run(rows(10**6, concurrency))
    return work.measured(lambda: run(rows(0, count)), count)


def main() -> None:
    """Do the job named on the command line."""
    given = work.options()
    if given.command == "evaluate":
        work.report(evaluate(given.url, given.rows, given.concurrency, given.cache))
    elif given.command == "mipro":
        work.report(mipro(given.url, given.rows, given.concurrency, given.auto, given.validation))
    elif given.command == "adapter":
        work.report(adapter())
    elif given.command == "react":
        work.report(react(given.rows))
    elif given.command == "parallel":
        work.report(parallel(given.url, given.rows, given.concurrency))


if __name__ == "__main__":
    main()
