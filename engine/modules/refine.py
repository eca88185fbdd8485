"""`Refine`: as `BestOfN`, and between tries a model says what each step should do better.

It knows programs, their steps' calls and rewards.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from engine.errors import AdapterParseError
from engine.modules.best_of_n import BestOfN, Try
from engine.modules.call_range import CallRange
from engine.modules.predict import Predict
from engine.prediction import Prediction
from engine.records import json_value
from engine.signature import InputField, OutputField, Signature
from engine.tools.function import shown

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

    Arguments and result are those of `BestOfN`; up to `N - 1` calls for advice come on top. The advice reaches a step as
    one more input, `hint_`.

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

    async def _advice(self, kwargs: dict[str, Any], done: Try) -> Mapping[int, str]:
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
            found = await self._asked(adviser, kwargs, done, "\n".join(calls))
        except AdapterParseError:
            return {}  # advice that cannot be read is none; the next try is made without
        return {
            step: str(found.advice[path])
            for step, path in paths.items()
            if str(found.advice.get(path, "N/A")).strip().upper() not in ("", "N/A")
        }

    async def _asked(self, adviser: Predict, kwargs: dict[str, Any], done: Try, calls: str) -> Prediction:
        return await adviser.acall(
            steps="\n".join(f"{path}: {step.signature!r}" for path, step in self.module.named_predictors()),
            program_inputs=_json(kwargs),
            calls=calls,
            program_outputs=_json(done.prediction),
            rating_rule=_source(self.reward_fn),
            rating=done.reward,
            target=self.threshold,
        )


def _json(value: Any) -> str:
    return shown(json_value(value), _LONGEST)


def _source(reward: Any) -> str:
    """Return how answers are rated: the function's code, or what a module or a built-in says of itself."""
    try:
        return shown(inspect.getsource(reward), _LONGEST)
    except (OSError, TypeError):
        return inspect.getdoc(reward) or repr(reward)
