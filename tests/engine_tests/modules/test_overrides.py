"""Public methods that a user's class overrides are what runs: steps, programs, adapters, plain functions."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import engine
from engine.errors import ConfigurationError
from engine.testing import ScriptedLM

ROWS = [engine.Example(question=q, answer="Paris").with_inputs("question") for q in ("one", "two")]


def paris(calls: int = 10) -> ScriptedLM:
    return ScriptedLM([{"answer": "Paris"}] * calls)


def right(example: Any, prediction: Any, trace: object = None) -> bool:
    return bool(example.answer == prediction.answer)


class Loud(engine.Predict):
    """A step with a plain forward of its own."""

    def forward(self, **kwargs):
        prediction = super().forward(**kwargs)
        prediction["answer"] = prediction.answer.upper()
        return prediction


class LoudLater(engine.Predict):
    """The same in async code."""

    async def aforward(self, **kwargs):
        prediction = await super().aforward(**kwargs)
        prediction["answer"] = prediction.answer.upper()
        return prediction


class Both(engine.Predict):
    """Both, which count themselves: super().forward must not come back to the own aforward."""

    seen: tuple[str, ...] = ()

    def forward(self, **kwargs):
        self.seen += ("forward",)
        return super().forward(**kwargs)

    async def aforward(self, **kwargs):
        self.seen += ("aforward",)
        return await super().aforward(**kwargs)


class Hailed(engine.Module):
    """A program that defines __call__ in place of forward."""

    def __init__(self) -> None:
        super().__init__()
        self.step = engine.Predict("question -> answer")

    def __call__(self, question):
        return self.step(question=question)


class Logged(engine.ChainOfThought):
    """A built-in module whose __call__ is wrapped."""

    calls = 0

    def __call__(self, **kwargs):
        type(self).calls += 1
        return super().__call__(**kwargs)


class Awaited(engine.Module):
    """A program that defines acall alone."""

    def __init__(self) -> None:
        super().__init__()
        self.step = engine.Predict("question -> answer")

    async def acall(self, question):
        return await self.step.acall(question=question)


@pytest.mark.parametrize("kind", [Loud, LoudLater])
def test_a_steps_own_forward_is_what_runs(kind: type[engine.Predict]) -> None:
    step = kind("question -> answer")
    with engine.context(lm=paris()):
        assert step(question="q").answer == "PARIS"
        assert asyncio.run(step.acall(question="q")).answer == "PARIS"
        assert [p.answer for p in step.batch(ROWS)] == ["PARIS", "PARIS"]
        found = engine.Evaluate(devset=ROWS, metric=lambda e, p: p.answer == "PARIS")(step)
    assert found.score == 100.0


def test_each_of_two_forwards_runs_once() -> None:
    step = Both("question -> answer")
    with engine.context(lm=paris()):
        step(question="q")
        asyncio.run(step.acall(question="q"))
    assert step.seen == ("forward", "aforward")


def test_a_program_that_defines_call_is_evaluated_run_in_batches_and_streamed() -> None:
    program = Hailed()
    with engine.context(lm=paris()):
        assert program("q").answer == "Paris"
        assert engine.Evaluate(devset=ROWS, metric=right)(program).score == 100.0
        assert [p.answer for p in program.batch(ROWS)] == ["Paris", "Paris"]
        assert list(engine.streamify(program, async_streaming=False)(question="q"))[-1].answer == "Paris"


def test_a_call_around_a_built_in_module_runs_once_a_row() -> None:
    with engine.context(lm=ScriptedLM([{"reasoning": "So.", "answer": "Paris"}] * 3)):
        program = Logged("question -> answer")
        assert engine.Evaluate(devset=ROWS, metric=right)(program).score == 100.0
        program(question="q")
    assert Logged.calls == 3


class Noting(engine.Module):
    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    async def aforward(self, depth=0):
        self.noted.append("aforward")
        return await self.acall(depth=depth - 1) if depth else "done"


class CalledToo(Noting):
    def __call__(self, **kwargs):
        self.noted.append("__call__")
        return super().__call__(**kwargs)


class AwaitedToo(CalledToo):
    async def acall(self, **kwargs):
        self.noted.append("acall")
        return await super().acall(**kwargs)


@pytest.mark.parametrize(
    ("kind", "called", "awaited"),
    [
        (CalledToo, ["__call__"], ["__call__"]),
        (AwaitedToo, ["__call__"], ["acall"]),
    ],
)
def test_calls_of_several_classes_each_run_once(kind: Any, called: list[str], awaited: list[str]) -> None:
    program = kind()
    assert program() == "done"
    assert program.noted == [*called, "aforward"]
    program.noted.clear()
    assert asyncio.run(program.acall()) == "done"
    assert program.noted == [*awaited, "aforward"]
    program.noted.clear()
    assert program(depth=1) == "done"
    assert program.noted == [*called, "aforward", *awaited, "aforward"]


def test_a_program_of_acall_alone_is_evaluated() -> None:
    with engine.context(lm=paris()):
        assert engine.Evaluate(devset=ROWS, metric=right)(Awaited()).score == 100.0


def test_a_function_is_a_program() -> None:
    step = engine.Predict("question -> answer")

    def ask(question):
        return step(question=question)

    async def ask_later(question):
        return await step.acall(question=question)

    with engine.context(lm=paris()):
        for program in (ask, ask_later):
            assert engine.Evaluate(devset=ROWS, metric=right)(program).score == 100.0
        assert list(engine.streamify(ask, async_streaming=False)("q"))[-1].answer == "Paris"


@pytest.mark.parametrize("program", [engine.Module(), "a text", None])
def test_what_cannot_be_called_is_an_error_of_set_up(program: object) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be called: define forward|is no program"):
        engine.Evaluate(devset=ROWS, metric=right)(program)


def test_an_optimizer_refuses_a_program_that_cannot_be_called() -> None:
    class Empty(engine.Module):
        def __init__(self):
            super().__init__()
            self.step = engine.Predict("question -> answer")

    with pytest.raises(ConfigurationError, match="Empty cannot be called"):
        engine.LabeledFewShot(k=1).compile(Empty(), trainset=ROWS)


class Counting(engine.ChatAdapter):
    """An adapter around the usual one, as programs for DSPy write it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    def __call__(self, lm, lm_kwargs, signature, demos, inputs):
        self.asked.append((dict(lm_kwargs), inputs["question"], threading.current_thread().name))
        return super().__call__(lm, lm_kwargs, signature, demos, inputs)


class CountingLater(engine.ChatAdapter):
    """The same in async code."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    async def acall(self, lm, lm_kwargs, signature, demos, inputs):
        self.asked.append((dict(lm_kwargs), inputs["question"], ""))
        return await super().acall(lm, lm_kwargs, signature, demos, inputs)


class Own(engine.Adapter):
    """An adapter that asks by itself."""

    def __call__(self, lm, lm_kwargs, signature, demos, inputs):
        (text,) = lm(messages=[{"role": "user", "content": inputs["question"]}], **lm_kwargs)
        return [{"answer": text}]


@pytest.mark.parametrize("kind", [Counting, CountingLater])
def test_an_adapters_own_call_is_what_asks(kind: Any) -> None:
    adapter, lm = kind(), paris()
    step = engine.Predict("question -> answer")
    with engine.context(lm=lm, adapter=adapter):
        assert step(question="q", config={"temperature": 0.5, "rollout_id": 3}).answer == "Paris"
        assert engine.Evaluate(devset=ROWS, metric=right)(step).score == 100.0
        assert engine.ChatAdapter.__call__(adapter, lm, {}, step.signature, [], {"question": "q"})
    assert adapter.asked[0][:2] == ({"temperature": 0.5, "rollout_id": 3}, "q")
    assert len(adapter.asked) == 3
    assert (lm.requests[0].rollout_id, lm.requests[0].params["temperature"]) == (3, 0.5)


def test_what_an_adapter_asks_by_itself_counts_against_the_budget() -> None:
    lm = ScriptedLM(["Paris"] * 10)
    step = engine.Predict("question -> answer")
    with engine.context(lm=lm, adapter=Own()), engine.track_usage() as tracker:
        assert step(question="q").answer == "Paris"
        assert next(iter(tracker.get_total_tokens().values()))["calls"] == 1
        tuned = engine.BootstrapFewShot(right, max_bootstrapped_demos=2).compile(
            step, trainset=ROWS, budget=engine.Budget(calls=1)
        )
    assert tuned.tuning.usage.calls <= 1
