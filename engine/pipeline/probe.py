"""Runs a program with marked values in the place of answers, to see which step is given what. It calls no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import EngineError, PipelineError
from engine.modules.module import Module
from engine.pipeline.signatures import field_type
from engine.pipeline.spec import FieldSpec, StepSpec
from engine.prediction import Prediction

MOST_RUNS = 64
_ITEMS = 2


@dataclass
class Seen:
    """One run: each step called, with (list, item) where it ran for each item of one, and the values of closed sets.

    `queries` and `found` are what a search is given and what its passages are called.
    """

    calls: dict[str, tuple[str, str] | None] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    queries: dict[str, str] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)


class _Mark(str):
    """A text of its own identity, however often the same text occurs."""

    __slots__ = ()


class _Stand(Module):
    """Takes a step's place: notes what it is given, and gives marked values."""

    def __init__(self, probe: Probe, step: StepSpec) -> None:
        super().__init__()
        self.probe = [probe]  # in a list, so that a copy of the program does not follow it
        self.step = step

    async def aforward(self, *args: Any, **kwargs: Any) -> Prediction:
        """Note the call, and answer with marks."""
        if args and self.step.strategy == "retrieve" and "query" not in kwargs:
            kwargs = {"query": args[0], **kwargs}
        return self.probe[0].called(self.step, kwargs)


class Probe:
    """Runs a program, again for every value of what may decide a branch."""

    def __init__(self, program: Module, steps: dict[str, StepSpec]) -> None:
        self._program = program
        self._steps = steps
        self._known: dict[str, Any] = {}
        self._made: dict[str, list[Any]] = {}
        self._passages: dict[str, list[Any]] = {}
        self._choices: dict[str, Any] = {}
        self._seen = Seen()

    def runs(self, inputs: list[str]) -> Iterator[Seen]:
        """Yield what was seen for every combination of the closed fields' values that the program reaches."""
        waiting: list[dict[str, Any]] = [{}]
        tried: list[dict[str, Any]] = []
        while waiting:
            self._choices = waiting.pop(0)
            seen = self._run(inputs)
            tried.append(seen.chosen)
            if len(tried) > MOST_RUNS:
                raise PipelineError(
                    f"The program has more than {MOST_RUNS} ways to go, which a spec cannot say."
                )
            yield seen
            for name in seen.chosen:
                for value in _values(self._field(name)):
                    other = {**seen.chosen, name: value}
                    if other not in tried and other not in waiting:
                        waiting.append(other)

    def called(self, step: StepSpec, given: Mapping[str, Any]) -> Prediction:
        """Note one call of a step and return its marked answer."""
        if step.strategy == "retrieve":
            return self._searched(step, given.get("query"))
        each = None
        for name, value in given.items():
            found = self._place(step, name, value)
            each = found or each
        if step.name in self._seen.calls and (each is None or self._seen.calls[step.name] != each):
            raise PipelineError(
                f"The step {step.name!r} is called several times, not for the items of one list."
            )
        self._seen.calls[step.name] = each
        answer = {}
        for f in step.answers:
            answer[f.name] = self._marked(f, closed=each is None)
            if each is not None:
                self._made.setdefault(f.name, []).append(answer[f.name])
            else:
                self._known[f.name] = answer[f.name]
            if each is None and _values(f):
                self._seen.chosen[f.name] = answer[f.name]
        return Prediction(answer)

    def _searched(self, step: StepSpec, query: Any) -> Prediction:
        """Note a search, whose one input and one output have no name of their own."""
        name = next((n for n, held in self._known.items() if held is query), None)
        if name is None or step.name in self._seen.calls:
            raise PipelineError(
                f"The step {step.name!r} must search once, for an input or an answer handed on as it is."
            )
        self._seen.calls[step.name], self._seen.queries[step.name] = None, name
        passages = [_Mark(f"{step.name} {i}") for i in range(_ITEMS)]
        self._passages[step.name] = passages
        return Prediction(passages=passages)

    def _run(self, inputs: list[str]) -> Seen:
        self._seen, self._made, self._passages = Seen(), {}, {}
        self._known = {name: self._input(name) for name in inputs}
        program = self._program.deepcopy()
        for name, step in self._steps.items():
            setattr(program, name, _Stand(self, step))
        try:
            program(**self._known)
        except PipelineError:
            raise
        except EngineError as error:
            raise PipelineError(f"The program did not run with marked values: {error}") from error
        except Exception as error:
            raise PipelineError(
                f"The program works on values itself ({type(error).__name__}: {error}), which a spec cannot say."
            ) from error
        return self._seen

    def _place(self, step: StepSpec, name: str, value: Any) -> tuple[str, str] | None:
        """Check where a value comes from; (list, item) where it is an item of a list."""
        if name in self._known and (value is self._known[name] or value == self._known[name]):
            return None
        if name in self._made and isinstance(value, list) and value == self._made[name]:
            return None
        for search, passages in self._passages.items():
            item = any(value is one for one in passages)
            if value is passages or item:
                called = self._seen.found.setdefault(search, "passages" if item else name)
                if item or called == name:
                    return (called, name) if item else None
        for other, held in self._known.items():
            if isinstance(held, list) and any(value is item for item in held):
                return (other, name)
        for other, held in self._known.items():
            if value is held:
                raise PipelineError(
                    f"The step {step.name!r} is given {other!r} as {name!r}. Fields are wired by name: "
                    f"call it {other!r} in both."
                )
        raise PipelineError(
            f"The step {step.name!r} is given {name!r}, which forward makes itself. A spec can only hand fields on."
        )

    def _input(self, name: str) -> Any:
        for step in self._steps.values():
            for f in step.inputs:
                if f.name == name:
                    return self._marked(f, closed=False)
        # Nobody reads it by this name: a list, whose items somebody may read.
        return [_Mark(f"{name} {i}") for i in range(_ITEMS)]

    def _marked(self, f: FieldSpec, *, closed: bool) -> Any:
        values = _values(f)
        if values:
            picked = self._choices.get(f.name, values[0]) if closed else values[0]
            return _Mark(picked) if isinstance(picked, str) else picked
        if f.type.startswith(("list", "tuple", "set")):
            return [_Mark(f"{f.name} {i}") for i in range(_ITEMS)]
        if f.type in ("int", "float"):
            return 1000 + len(self._known)
        return _Mark(f.name)

    def _field(self, name: str) -> FieldSpec:
        return next(f for s in self._steps.values() for f in s.answers if f.name == name)


def _values(f: FieldSpec) -> tuple[Any, ...]:
    """The values of a closed set."""
    return f.choices or ((True, False) if field_type(f) is bool else ())
