"""Ensemble: several programs answer, one answer comes out.

Unlike in DSPy's, deterministic choice of members works, and the result can be saved.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from engine.basics.data import JsonObject, Values
from engine.errors import ConfigurationError, ProgramFileError
from engine.modules import state
from engine.modules.module import Module
from engine.records import content_hash, json_value
from engine.signature.prediction import Prediction

Reduce = Callable[[list[Any]], Any]


class Ensemble:
    """Joins programs into one that asks all of them, or `size` drawn for each input, and reduces their answers.

    `reduce_fn` is "majority" (the most frequent answer, field by field of the last output), "mean" (of numbers),
    `best_of(judge)` (what a judge scores highest), any function of the list of predictions, or None: the list itself.
    With `deterministic` the same input always asks the same members.

    Calls when compiled: 0. When used: the sum of the calls of the members asked. Source: DSPy's Ensemble.

    >>> Ensemble(reduce_fn="majority", size=3).size
    3
    """

    def __init__(
        self, *, reduce_fn: Reduce | str | None = None, size: int | None = None, deterministic: bool = False
    ) -> None:
        if isinstance(reduce_fn, str) and reduce_fn not in REDUCERS:
            raise ConfigurationError(
                f"There is no way {reduce_fn!r} to reduce answers. Use {', '.join(REDUCERS)}, or a function."
            )
        if size is not None and size < 1:
            raise ConfigurationError("Ensemble: size is how many programs answer, at least 1.")
        self.reduce_fn: Reduce | None = REDUCERS[reduce_fn] if isinstance(reduce_fn, str) else reduce_fn
        self.size, self.deterministic = size, deterministic

    def compile(self, programs: Sequence[Any]) -> EnsembledProgram:
        """Return programs (or `candidate_programs`) as one. Raises ConfigurationError without any, or with fewer than `size`."""
        members = [p["program"] if isinstance(p, Mapping) else p for p in programs]
        if not members:
            raise ConfigurationError("Ensemble needs at least one program.")
        if self.size is not None and self.size > len(members):
            raise ConfigurationError(
                f"Ensemble is to ask {self.size} programs at a time, but there are only {len(members)}."
            )
        return EnsembledProgram(members, self.reduce_fn, self.size, self.deterministic)


class EnsembledProgram(Module):
    """The program that `Ensemble.compile` returns. `programs` are its members."""

    def __init__(
        self, programs: Sequence[Module], reduce_fn: Reduce | None, size: int | None, deterministic: bool
    ) -> None:
        super().__init__()
        self.programs, self.reduce_fn = list(programs), reduce_fn
        self.size, self.deterministic = size, deterministic
        self._rng = random.Random(0)

    async def aforward(self, **inputs: object) -> Any:
        """Ask the members at once and reduce their answers; a member that fails is left out."""
        asked = self._members(inputs)
        answers = await asyncio.gather(*(p.acall(**inputs) for p in asked), return_exceptions=True)
        good = [a for a in answers if not isinstance(a, BaseException)]
        if not good:
            raise next(a for a in answers if isinstance(a, BaseException))
        return good if self.reduce_fn is None else self.reduce_fn(good)

    def _members(self, inputs: Mapping[str, object]) -> list[Module]:
        if self.size is None or self.size == len(self.programs):
            return self.programs
        rng = random.Random(content_hash(json_value(dict(inputs)))) if self.deterministic else self._rng
        return rng.sample(self.programs, self.size)

    def dump_state(self) -> JsonObject:
        """Return every member's state, by its number."""
        return {"programs": [program.dump_state() for program in self.programs]}

    def load_state(self, saved: JsonObject) -> Self:
        """Take over what `dump_state` returned. Raises ProgramFileError when the members do not fit."""
        members = saved.get("programs")
        if not isinstance(members, list) or len(members) != len(self.programs):
            raise ProgramFileError(
                f"The file does not hold the {len(self.programs)} programs of this ensemble. Save it again."
            )
        for program, own in zip(self.programs, members, strict=True):
            program.load_state(own)
        return self

    def load(self, path: str | Path, **_options: object) -> None:
        """Read a state file into the members, which must be the same programs."""
        self.load_state(state.read(Path(path)))


def majority(answers: Sequence[Mapping[str, object]]) -> Prediction:
    """Return the first answer whose last output is the most frequent one.

    >>> majority([Prediction(a="x"), Prediction(a="y"), Prediction(a="y")]).a
    'y'
    """
    votes = [content_hash(json_value(next(reversed(list(answer.values())), None))) for answer in answers]
    return Prediction(answers[votes.index(Counter(votes).most_common(1)[0][0])])


def mean(answers: Sequence[Values]) -> Prediction:
    """Return the answers' mean, field by field; a field that is no number is the majority's.

    >>> mean([Prediction(n=1), Prediction(n=4)]).n
    2.5
    """
    chosen = majority(answers)
    for name in chosen:
        values = [answer[name] for answer in answers if name in answer]
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            chosen[name] = sum(values) / len(values)
    return chosen


def best_of(judge: Callable[[Any], Any]) -> Reduce:
    """Return a reduction that picks the answer a judge scores highest (the first of equals).

    >>> best_of(lambda answer: answer.n)([Prediction(n=1), Prediction(n=4)]).n
    4
    """
    return lambda answers: max(answers, key=lambda answer: float(judge(answer)))


REDUCERS: dict[str, Reduce] = {"majority": majority, "mean": mean}
"""Ways to reduce answers that have a name."""
