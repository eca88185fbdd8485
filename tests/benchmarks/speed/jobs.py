"""The jobs, done by either library: `python jobs.py engine evaluate --url ...`, and with "dspy" in an environment that has it."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import sys
import time
from pathlib import Path
from typing import Any, Literal

import jobs_work as work

library: Any = importlib.import_module(sys.argv[1])
OURS = library.__name__ == "engine"


class Triage(library.Signature):
    """Placeholder, replaced below by the shared instructions."""

    message: str = library.InputField(desc="what the customer wrote")
    label: Literal["billing", "shipping", "technical", "other"] = library.OutputField(
        desc="the team that should answer"
    )
    urgent: bool = library.OutputField(desc="whether it cannot wait")
    confidence: float = library.OutputField(desc="from 0 to 1")


class Five(library.Signature):
    """Placeholder, replaced below by the shared instructions."""

    message: str = library.InputField(desc="what the customer wrote")
    label: Literal["billing", "shipping", "technical", "other"] = library.OutputField(
        desc="the team that should answer"
    )
    urgent: bool = library.OutputField(desc="whether it cannot wait")
    stars: int = library.OutputField(desc="how content they are", ge=1, le=5)
    summary: str = library.OutputField(desc="one sentence")
    tags: list[str] = library.OutputField(desc="a few topics")


def rows(start: int, count: int) -> list[Any]:
    """Return labelled rows."""
    return [
        library.Example(message=work.message(i), label=work.LABELS[i % 4]).with_inputs("message")
        for i in range(start, start + count)
    ]


def agrees(example: Any, prediction: Any, trace: Any = None) -> bool:
    """Compare the labels."""
    return bool(example.label == prediction.label)


def configure(url: str, cache: Any = False) -> None:
    """Set the model, which is at an address."""
    model = library.LM("openai/test-model", api_base=url, api_key="sk-test", cache=cache)
    library.configure(lm=model)


def evaluate(given: argparse.Namespace) -> dict[str, Any]:
    """Evaluate rows of one typed Predict. With a place for a cache, from it."""
    cache: Any = bool(given.cache)
    if given.cache and OURS:
        from engine.lm.calls.cache import Cache

        cache = Cache(Path(given.cache))
    elif given.cache:
        library.configure_cache(enable_disk_cache=True, enable_memory_cache=True, disk_cache_dir=given.cache)
    configure(given.url, cache)
    program = library.Predict(Triage.with_instructions(work.INSTRUCTIONS))

    def run(examples: list[Any]) -> Any:
        return library.Evaluate(
            devset=examples, metric=agrees, num_threads=given.concurrency, display_progress=False
        )(program)

    run(rows(10**6 + int(time.time()), given.concurrency))
    devset = rows(0, given.rows)
    results: dict[str, Any] = {}
    results.update(work.measured(lambda: results.update(score=run(devset).score), given.rows))
    return results


def mipro(given: argparse.Namespace) -> dict[str, Any]:
    """Tune with MIPROv2."""
    configure(given.url)
    program = library.Predict(library.Signature("message -> label", work.INSTRUCTIONS))
    optimizer = library.MIPROv2(metric=agrees, auto=given.auto, num_threads=given.concurrency, seed=9)
    train, validation = rows(0, given.rows), rows(given.rows, given.validation)
    return work.measured(lambda: optimizer.compile(program, trainset=train, valset=validation), 1)


def adapter(given: argparse.Namespace) -> dict[str, Any]:
    """Format a prompt and parse a reply of five typed fields."""
    chat, signature = library.ChatAdapter(), Five.with_instructions(work.INSTRUCTIONS)
    inputs = {"message": work.message(1)}
    both = work.per_call(
        lambda: (chat.format(signature, [], inputs), chat.parse(signature, work.FIVE)), 2000 if OURS else 300
    )
    demo = {"message": work.message(2), **chat.parse(signature, work.FIVE)}
    demos = [library.Example(**{**demo, "message": work.message(i)}) for i in range(8)]
    with_demos = work.per_call(lambda: chat.format(signature, demos, inputs), 2000 if OURS else 100)
    return {"us": both["us"], "demos_us": with_demos["us"]}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def react(given: argparse.Namespace) -> dict[str, Any]:
    """Run an agent of five steps, over and over."""
    agent = library.ReAct("question -> answer", tools=[add])

    def scripted(times: int) -> Any:
        if not OURS:
            return library.context(lm=importlib.import_module("dspy.utils").DummyLM(work.STEPS * times))
        testing = importlib.import_module("engine.testing")
        texts = [testing.chat_answer(step) for step in work.STEPS]
        return library.context(lm=testing.ScriptedLM(texts * times), history=False)

    def run(times: int) -> None:
        with scripted(times):
            for i in range(times):
                agent(question=work.message(i))

    run(20 if OURS else 5)
    return work.measured(lambda: run(given.rows), given.rows)


def parallel(given: argparse.Namespace) -> dict[str, Any]:
    """Run one typed Predict on many inputs with Parallel."""
    configure(given.url)
    program = library.Predict(Triage.with_instructions(work.INSTRUCTIONS))

    def run(examples: list[Any]) -> Any:
        runner = library.Parallel(num_threads=given.concurrency, disable_progress_bar=True)
        return runner([(program, example) for example in examples])

    run(rows(10**6, given.concurrency))
    return work.measured(lambda: run(rows(0, given.rows)), given.rows)


JOBS = {job.__name__: job for job in (evaluate, mipro, adapter, react, parallel)}


def main() -> None:
    """Do the job named on the command line."""
    if not OURS:
        logging.disable(logging.WARNING)
    given = work.options()
    with contextlib.redirect_stdout(sys.stderr):
        measured = JOBS[given.command](given)
    work.report(measured)


if __name__ == "__main__":
    main()
