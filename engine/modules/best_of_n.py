"""One answer from several: `BestOfN` and `Refine` run a program again, `majority` and `MultiChainComparison` choose.

Source of `majority`: Wang et al. 2022, "Self-Consistency Improves Chain of Thought Reasoning".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine import loop
from engine.basics.data import JsonObject
from engine.basics.text import normalize_text
from engine.errors import (
    AdapterParseError,
    AuthenticationFailedError,
    BudgetExhaustedError,
    ConfigurationError,
    ModelNotFoundError,
)
from engine.modules.assertions import Attempt
from engine.modules.call_range import CallRange
from engine.modules.module import Module
from engine.modules.predict import Answerer, Predict
from engine.records import json_value
from engine.runtime import context, current
from engine.signature import AnySignature, InputField, OutputField, Signature, ensure_signature
from engine.signature.prediction import Completions, Prediction
from engine.tools.function import shown

if TYPE_CHECKING:
    from engine.lm.base import BaseLM, Reply, Request
    from engine.lm.exchange import Middleware, Send
    from engine.runtime import StepStream


TEMPERATURE = 1.0
_INNER = 1000


def sampled(number: int, temperature: float = TEMPERATURE) -> Middleware:
    """Return middleware that makes calls the `number`-th sample (0, 1 ...).

    Nested samples give each combination its own number.
    """

    async def layer(lm: BaseLM, request: Request, send: Send) -> Reply:
        inner = request.rollout_id
        request = replace(
            request,
            rollout_id=number if inner is None else inner * _INNER + number,
            params={**request.params, "temperature": temperature},
        )
        return await send(lm, request)

    return layer


_FINAL = (BudgetExhaustedError, ConfigurationError, AuthenticationFailedError, ModelNotFoundError)
"""Errors that another try would only meet again."""


@dataclass(frozen=True)
class Try:
    """One run of the program: its answer, how good it is, its steps' calls, the pieces waiting to be streamed, and the suggestions it did not follow."""

    prediction: Any
    reward: float
    trace: list[Any]
    stream: StepStream | None = None
    unmet: Sequence[str] = ()


class BestOfN(Module):
    """Run `module` up to `N` times at temperature 1; return the first answer whose reward reaches `threshold`, else the best.

    `reward_fn(args, prediction)` returns a number (or a bool, or a Grade), and may be async or a Module; `args`
    holds the call's inputs. `fail_count` is how many tries of one call may fail with an error before the error is
    raised (None: all but one may fail). The first try is sample 0, so a cached one costs nothing again. Streamed,
    the chosen try's pieces come once it is chosen; those of the others never do.

    >>> from engine import Predict, context
    >>> from engine.testing import ScriptedLM
    >>> def short(args, prediction):
    ...     return len(prediction.answer) < 6
    >>> with context(lm=ScriptedLM([{"answer": "a long one"}, {"answer": "brief"}, {"answer": "never asked"}])):
    ...     BestOfN(Predict("question -> answer"), N=3, reward_fn=short, threshold=1.0)(question="?").answer
    'brief'
    """

    def __init__(
        self,
        module: Module,
        N: int,  # noqa: N803 - DSPy's name
        reward_fn: Callable[[JsonObject, Any], Any] | Module,
        threshold: float,
        fail_count: int | None = None,
    ) -> None:
        super().__init__()
        if N < 1:
            raise ConfigurationError(f"{type(self).__name__} needs at least one try: N is {N}.")
        self.module = module
        self.N = N
        self.reward_fn = reward_fn
        self.threshold = threshold
        self.fail_count = fail_count

    @property
    def call_range(self) -> CallRange:
        """One try at least, `N` at most, each with its rating where that is a program's."""
        rating = self.reward_fn.call_range if isinstance(self.reward_fn, Module) else CallRange(0, 0)
        return (self.module.call_range + rating).up_to(self.N)

    async def aforward(self, **kwargs: object) -> Any:
        """Run the program until an answer is good enough."""
        allowed = self.N - 1 if self.fail_count is None else self.fail_count
        best: Try | None = None
        advice: Mapping[int, str] = {}
        failures = 0
        for i in range(self.N):
            trace: list[object] = []
            try:
                done = await self._try(i, kwargs, trace, advice)
            except _FINAL:
                raise
            except Exception:  # a try that fails is a try like any other
                failures += 1
                if failures > allowed or (i == self.N - 1 and best is None):
                    raise
                continue
            if best is None or done.reward > best.reward:
                best = done
            if done.reward >= self.threshold:
                break
            if i < self.N - 1:
                advice = await self._advice(kwargs, done)
        outer = current()
        if best is None:  # only when N - 1 tries failed and the last one raised
            raise ConfigurationError("No try was made.")
        if outer.trace is not None:
            outer.trace.extend(best.trace)
        if outer.attempt is not None:
            outer.attempt.unmet.extend(best.unmet)
        if best.stream is not None:
            best.stream.release()
        return best.prediction

    async def _try(
        self, number: int, kwargs: dict[str, object], trace: list[object], advice: Mapping[int, str]
    ) -> Try:
        runtime = current()
        attempt = Attempt(advice)
        # Shown text cannot be taken back, so a try's pieces wait until the try is chosen.
        stream = None if runtime.stream is None else runtime.stream.held()
        layers = (sampled(number), *runtime.middleware)
        with context(middleware=layers, trace=trace, stream=stream, attempt=attempt):
            prediction = await self.module.acall(**kwargs)
        with context(trace=trace, stream=None):
            reward = await self._reward(kwargs, prediction)
        return Try(prediction, reward, trace, stream, attempt.unmet)

    async def _reward(self, kwargs: dict[str, object], prediction: object) -> float:
        rate = self.reward_fn
        asked = (
            rate.acall(kwargs, prediction)
            if isinstance(rate, Module)
            else loop.called(rate, kwargs, prediction)
        )
        return float(await asked)

    async def _advice(self, kwargs: dict[str, object], done: Try) -> Mapping[int, str]:  # noqa: ARG002 - for subclasses
        """Return hints for the next try, by step id."""
        return {}


_LONGEST = 6000


class OfferFeedback(Signature):
    """A program was run and its result was rated below the target. Say for each of its steps what that step should do differently next time, so that the rating rises. Blame only steps that did something wrong; write "N/A" for the others. Advice is concrete, and holds for this input without giving the answer away."""

    steps: str = InputField(desc="The program's steps: name, instruction, fields")
    program_inputs: str = InputField()
    calls: str = InputField(desc="Each step's inputs and outputs in this run")
    program_outputs: str = InputField()
    rating_rule: str = InputField(desc="How results are rated")
    rating: float = InputField()
    target: float = InputField()
    discussion: str = OutputField(desc="What went wrong, and which step is to blame")
    advice: dict[str, str] = OutputField(desc="Step name -> advice")


class Refine(BestOfN):
    """Run `module` up to `N` times; after each answer below `threshold` a model gives each step advice for the next try.

    Arguments and result are those of `BestOfN`; up to `N - 1` calls for advice come on top. The advice reaches a
    step as one more input, `hint_`.

    >>> from engine import context
    >>> from engine.testing import ScriptedLM
    >>> answers = [
    ...     {"answer": "about four"},
    ...     {"discussion": "Too vague.", "advice": {"self": "Give a number."}},
    ...     {"answer": "4"},
    ... ]
    >>> lm = ScriptedLM(answers)
    >>> with context(lm=lm):
    ...     refined = Refine(Predict("question -> answer"), 3, lambda args, p: p.answer.isdigit(), 1.0)
    ...     refined(question="2 + 2?").answer, "Give a number." in lm.requests[2].messages[-1]["content"]
    ('4', True)
    """

    @property
    def call_range(self) -> CallRange:
        """As `BestOfN`, with a call for advice between two tries."""
        return super().call_range + CallRange(0, self.N - 1)

    async def _advice(self, kwargs: dict[str, object], done: Try) -> Mapping[int, str]:
        paths = {id(step): path for path, step in self.module.named_predictors()}
        calls = (
            f"{paths[id(step)]}: {_json(inputs)} -> {_json(outputs)}"
            for step, inputs, outputs in done.trace
            if id(step) in paths
        )
        adviser = Predict(OfferFeedback)
        first = self.module.predictors()[0] if paths else adviser
        adviser.lm, adviser.adapter = first.lm, first.adapter
        try:
            advised = await self._ask_adviser(adviser, kwargs, done, "\n".join(calls))
        except AdapterParseError:
            return {}  # advice that cannot be read is none; the next try is made without
        return {
            step: str(advised.advice[path])
            for step, path in paths.items()
            if str(advised.advice.get(path, "N/A")).strip().upper() not in ("", "N/A")
        }

    async def _ask_adviser(
        self, adviser: Predict, kwargs: dict[str, object], done: Try, calls: str
    ) -> Prediction:
        return await adviser.acall(
            steps="\n".join(f"{path}: {step.signature!r}" for path, step in self.module.named_predictors()),
            program_inputs=_json(kwargs),
            calls=calls,
            program_outputs=_json(done.prediction),
            rating_rule=_source(self.reward_fn),
            rating=done.reward,
            target=self.threshold,
        )


def _json(value: object) -> str:
    return shown(json_value(value), _LONGEST)


def _source(reward: Any) -> str:
    """Return how answers are rated: the function's code, or what a module or a built-in says of itself."""
    try:
        return shown(inspect.getsource(reward), _LONGEST)
    except (OSError, TypeError):
        return inspect.getdoc(reward) or repr(reward)


def majority(
    completions: Prediction | Completions | Sequence[Mapping[str, object]],
    normalize: Callable[[object], object] | None = None,
    field: str | None = None,
) -> Prediction:
    """Return the completion whose `field` (the last one by default) most others share; the earliest of equals.

    Values are compared as `normalize` makes them (by default: texts without letter case, articles and punctuation); a
    value it makes None does not vote. Raises ValueError when there is nothing to choose from.

    >>> majority([{"answer": "The cat."}, {"answer": "dog"}, {"answer": "cat"}]).answer
    'The cat.'
    """
    rows: list[Mapping[str, object]] = list(
        completions.completions if isinstance(completions, Prediction) else completions
    )
    if not rows:
        raise ValueError("There are no completions to choose from.")
    name = field if field is not None else list(rows[0])[-1]
    votes = [(normalize or _comparable)(row.get(name)) for row in rows]
    voting = [vote for vote in votes if vote is not None]
    if not voting:
        return Prediction(rows[0])
    winner = max(voting, key=voting.count)
    return Prediction(rows[votes.index(winner)])


def _comparable(value: object) -> object:
    """Return a value as it is compared; a blank text as None."""
    return (normalize_text(value) or value.strip() or None) if isinstance(value, str) else value


class MultiChainComparison(Answerer):
    """Compare exactly `M` attempts (predictions or dicts with the outputs and, best, a reasoning) in one call.

    The answer holds `rationale` and the outputs. The step inside is `predict`.

    >>> from engine import context
    >>> from engine.testing import ScriptedLM
    >>> tries = [{"reasoning": "2 + 2 is 4.", "answer": "4"}, {"reasoning": "It looks like 5.", "answer": "5"}]
    >>> with context(lm=ScriptedLM([{"rationale": "The first adds up.", "answer": "4"}])):
    ...     MultiChainComparison("question -> answer", M=2)(tries, question="2 + 2?").answer
    '4'
    """

    def __init__(self, signature: AnySignature, M: int = 3, temperature: float = 0.7, **config: Any) -> None:  # noqa: N803 - DSPy's name
        super().__init__()
        self.M = M
        extended = ensure_signature(signature)
        self.last = list(extended.output_fields)[-1]
        for i in range(1, M + 1):
            extended = extended.append(
                f"reasoning_attempt_{i}", InputField(desc=f"Attempt {i}: {ATTEMPT}"), str
            )
        extended = extended.prepend("rationale", OutputField(desc=RATIONALE), str)
        self.predict = Predict(extended, temperature=temperature, **config)

    async def aforward(self, completions: Sequence[Mapping[str, object]], **kwargs: object) -> Prediction:
        """Compare attempts; `kwargs` are the signature's inputs."""
        if len(completions) != self.M:
            raise ConfigurationError(
                f"MultiChainComparison was made for {self.M} attempts and got {len(completions)}. Set M to their number."
            )
        attempts = {f"reasoning_attempt_{i}": self._attempt_text(one) for i, one in enumerate(completions, 1)}
        answer: Prediction = await self.predict.acall(**kwargs, **attempts)
        return answer

    def _attempt_text(self, attempt: Mapping[str, object]) -> str:
        thought = str(attempt.get("reasoning") or attempt.get("rationale") or "").strip()
        return f"{thought} {self.last}: {attempt.get(self.last)}".strip()


ATTEMPT = "the reasoning and answer of one attempt, which may be wrong"
RATIONALE = "What the attempts get right and wrong, put together step by step"
