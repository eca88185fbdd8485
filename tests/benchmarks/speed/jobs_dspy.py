"""The same jobs, done by DSPy in its own environment. Run as a child process; nothing of this project is imported."""

from __future__ import annotations

import time
from typing import Literal

import dspy
import jobs_work as work


class Triage(dspy.Signature):
    """Placeholder, replaced below by the shared instructions."""

    message: str = dspy.InputField(desc="what the customer wrote")
    label: Literal["billing", "shipping", "technical", "other"] = dspy.OutputField(
        desc="the team that should answer"
    )
    urgent: bool = dspy.OutputField(desc="whether it cannot wait")
    confidence: float = dspy.OutputField(desc="from 0 to 1")


class Five(dspy.Signature):
    """Placeholder, replaced below by the shared instructions."""

    message: str = dspy.InputField(desc="what the customer wrote")
    label: Literal["billing", "shipping", "technical", "other"] = dspy.OutputField(
        desc="the team that should answer"
    )
    urgent: bool = dspy.OutputField(desc="whether it cannot wait")
    stars: int = dspy.OutputField(desc="how content they are", ge=1, le=5)
    summary: str = dspy.OutputField(desc="one sentence")
    tags: list[str] = dspy.OutputField(desc="a few topics")


def rows(start, count):
    """Return labelled rows."""
    return [
        dspy.Example(message=work.message(i), label=work.LABELS[i % 4]).with_inputs("message")
        for i in range(start, start + count)
    ]


def agrees(example, prediction, trace=None):
    """Compare the labels."""
    return example.label == prediction.label


def evaluate(url, count, concurrency, cache):
    """Evaluate rows of one typed Predict. With a cache folder, from it."""
    if cache:
        dspy.configure_cache(enable_disk_cache=True, enable_memory_cache=True, disk_cache_dir=cache)
    dspy.configure(lm=dspy.LM("openai/test-model", api_base=url, api_key="sk-test", cache=bool(cache)))
    program = dspy.Predict(Triage.with_instructions(work.INSTRUCTIONS))

    def run(examples):
        return dspy.Evaluate(devset=examples, metric=agrees, num_threads=concurrency, display_progress=False)(
            program
        )

    run(rows(10**6 + int(time.time()), concurrency))
    devset = rows(0, count)
    found = {}
    found.update(work.measured(lambda: found.update(score=run(devset).score), count))
    return found


def mipro(url, count, concurrency, auto, validating):
    """Tune with MIPROv2. `count` rows train, so many validate."""
    lm = dspy.LM("openai/test-model", api_base=url, api_key="sk-test", cache=False)
    dspy.configure(lm=lm)
    program = dspy.Predict(dspy.Signature("message -> label", work.INSTRUCTIONS))
    optimizer = dspy.MIPROv2(metric=agrees, auto=auto, num_threads=concurrency, seed=9)
    train, validation = rows(0, count), rows(count, validating)
    return work.measured(lambda: optimizer.compile(program, trainset=train, valset=validation), 1)


def adapter():
    """Format a prompt and parse a reply of five typed fields."""
    chat, signature = dspy.ChatAdapter(), Five.with_instructions(work.INSTRUCTIONS)
    inputs = {"message": work.message(1)}
    both = work.per_call(lambda: (chat.format(signature, [], inputs), chat.parse(signature, work.FIVE)), 300)
    demo = {"message": work.message(2), **chat.parse(signature, work.FIVE)}
    demos = [dspy.Example(**{**demo, "message": work.message(i)}) for i in range(8)]
    with_demos = work.per_call(lambda: chat.format(signature, demos, inputs), 100)
    return {"us": both["us"], "demos_us": with_demos["us"]}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def react(count):
    """Run an agent of five steps, over and over."""
    from dspy.utils import DummyLM

    agent = dspy.ReAct("question -> answer", tools=[add])

    def run(times):
        with dspy.context(lm=DummyLM(work.STEPS * times)):
            for i in range(times):
                agent(question=work.message(i))

    run(5)
    return work.measured(lambda: run(count), count)


def parallel(url, count, concurrency):
    """Run one typed Predict on many inputs with Parallel."""
    dspy.configure(lm=dspy.LM("openai/test-model", api_base=url, api_key="sk-test", cache=False))
    program = dspy.Predict(Triage.with_instructions(work.INSTRUCTIONS))

    def run(examples):
        runner = dspy.Parallel(num_threads=concurrency, disable_progress_bar=True)
        return runner([(program, example) for example in examples])

    run(rows(10**6, concurrency))
    return work.measured(lambda: run(rows(0, count)), count)


def main():
    """Do the job named on the command line."""
    import contextlib
    import logging
    import sys

    logging.disable(logging.WARNING)
    given = work.options()
    with contextlib.redirect_stdout(sys.stderr):
        if given.command == "evaluate":
            found = evaluate(given.url, given.rows, given.concurrency, given.cache)
        elif given.command == "mipro":
            found = mipro(given.url, given.rows, given.concurrency, given.auto, given.validation)
        elif given.command == "react":
            found = react(given.rows)
        elif given.command == "parallel":
            found = parallel(given.url, given.rows, given.concurrency)
        else:
            found = adapter()
    work.report(found)


if __name__ == "__main__":
    main()
