"""`Module`: a program, which is a step or is made of steps.

Built-in modules are written once, as `aforward`. A user's module may define a plain `forward`: called plainly it
runs where it is called, awaited it runs in a worker thread; the steps inside hop to the engine's loop.
It knows nothing of prompts, metrics or optimizers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TextIO

from engine import loop
from engine.basics.data import JsonObject
from engine.callbacks import observed
from engine.errors import ConfigurationError
from engine.lm.calls.history import CallsOf, calling, show
from engine.lm.calls.usage import tracked
from engine.modules import state, tree
from engine.modules.assertions import attempts
from engine.modules.batch import answered
from engine.modules.call_range import CallRange
from engine.modules.step import Step
from engine.records import Candidate, Example

if TYPE_CHECKING:
    from engine.lm.base import BaseLM


class Module:
    """Base of every program. Put steps in attributes (also in lists, tuples and dicts) and define `forward`.

    Every step has a path, by which it is tuned, saved and shown: "draft", "steps[0]", "solve.predict".

    >>> from engine import Predict
    >>> class Answer(Module):
    ...     def __init__(self):
    ...         self.search = Predict("question -> query")
    ...         self.steps = [Predict("query -> answer")]
    ...     def forward(self, question):
    ...         return self.steps[0](query=self.search(question=question).query)
    >>> [path for path, step in Answer().named_predictors()]
    ['search', 'steps[0]']
    """

    callbacks: Sequence[object] = ()
    history: Any = CallsOf()
    saved_as: ClassVar[Mapping[str, str]] = {}
    """A step's path in files of DSPy, by its path here, where they differ."""

    aforward: Any = None
    """Runs the program's steps in async code, where it is defined."""

    _plain: ClassVar[bool] = True
    _awaits: ClassVar[bool] = False
    _has_conditions: ClassVar[bool] = False
    _compiled: bool = False

    def __init__(self, callbacks: Sequence[object] | None = None) -> None:
        if callbacks:
            self.callbacks = list(callbacks)

    # Calls

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Run the program and wait for its prediction."""
        if not self._plain:
            return loop.run(self.acall(*args, **kwargs))
        loop.refuse_on_loop()
        with calling(self), observed("module", self, _inputs(args, kwargs)) as seen, tracked() as note:
            if not self._has_conditions:
                return seen(note(self.forward(*args, **kwargs)))
            for attempt in attempts():
                with attempt:
                    attempt.result = note(self.forward(*args, **kwargs))
            return seen(attempt.result)

    async def acall(self, *args: object, **kwargs: object) -> Any:
        """Run the program in async code."""
        with calling(self), observed("module", self, _inputs(args, kwargs)) as seen, tracked() as note:
            if not self._has_conditions:
                return seen(note(await self._run_once(*args, **kwargs)))
            for attempt in attempts():
                with attempt:
                    attempt.result = note(await self._run_once(*args, **kwargs))
            return seen(attempt.result)

    async def _run_once(self, *args: object, **kwargs: object) -> object:
        work = self.aforward if self._awaits else partial(loop.in_thread, self.forward)
        return await work(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program's steps. Define this method, or `aforward` in async code."""
        if self.aforward is None:
            raise ConfigurationError(
                f"{type(self).__name__} cannot be called: define forward(self, ...) or aforward."
            )
        # Reached by super().forward(...): a class that defines both has called from the forward next to its aforward.
        every = (vars(cls) for cls in type(self).__mro__)
        defined = (names["aforward"] for names in every if "aforward" in names and "forward" not in names)
        work: Any = next(defined, type(self).aforward)
        return loop.run(work(self, *args, **kwargs))

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        # The nearest definition counts: a subclass of a built-in module may override it with a plain forward.
        if "forward" in vars(cls) or "aforward" in vars(cls):
            cls._plain, cls._awaits = "forward" in vars(cls), "aforward" in vars(cls)
            # Only user-defined programs hold Assert and Suggest.
            cls._has_conditions = not cls.__module__.startswith("engine.")

    def batch(
        self,
        examples: Sequence[Example],
        num_threads: int | None = None,
        max_errors: int | None = None,
        return_failed_examples: bool = False,
    ) -> Any:
        """Run the program on every example's inputs, concurrently; the answer to a failed one is None, and is logged.

        `max_errors` stops at that many failures; `return_failed_examples=True` returns (answers, failed rows, errors).
        """
        calls = [(example, partial(self.acall, **example.input_values())) for example in examples]
        return loop.run(answered(calls, num_threads, max_errors, return_failed_examples))

    # Parts and copies

    def named_predictors(self) -> list[tuple[str, Step]]:
        """Return every step with its path, in the order of the attributes; a step used twice comes once."""
        return [(path, part) for path, part in tree.parts_of(self) if isinstance(part, Step)]

    def predictors(self) -> list[Step]:
        """Return every step."""
        return [step for _, step in self.named_predictors()]

    named_parameters, parameters = named_predictors, predictors

    @property
    def call_range(self) -> CallRange:
        """The number of model calls one run may take: the sum over its parts. A loop in user code is not seen.

        Override it in a module that calls its parts more or less often than once.
        """
        parts = {id(part): part for _, part in tree.held(vars(self))}
        return sum((part.call_range for part in parts.values()), CallRange(0, 0))

    @property
    def calls_a_row(self) -> int:
        """Model calls to plan with for one run of the program."""
        return self.call_range.usual

    def named_sub_modules(
        self, type_: type[object] | None = None, skip_compiled: bool = False
    ) -> Iterator[tuple[str, object]]:
        """Iterate over this program and every module inside it, with paths ("self", "self.step"); those of `type_` alone."""
        for path, part in tree.parts_of(self, inside_compiled=not skip_compiled):
            if not (skip_compiled and part._compiled) and isinstance(part, type_ or Module):
                yield "self" if part is self else f"self.{path}", part

    def map_named_predictors(self, function: Callable[[Step], object]) -> Self:
        """Put `function(step)` in each step's place."""
        for path, step in self.named_predictors():
            tree.replace_part(self, path, function(step))
        return self

    def set_lm(self, lm: BaseLM | None) -> None:
        """Give every step this model (None: the one in force when it is called); tuned ones no longer answer."""
        for step in self.predictors():
            step.lm, step.weights = lm, None

    def get_lm(self) -> BaseLM | None:
        """Return the model all steps share. Raises ConfigurationError when they differ."""
        models = {id(step.lm): step.lm for step in self.predictors()}
        if len(models) > 1:
            raise ConfigurationError("The steps have different models. Read each step's `lm` instead.")
        return next(iter(models.values()), None)

    def deepcopy(self) -> Self:
        """Return a copy that can be changed freely; models and signatures are shared, not copied."""
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        for name, value in vars(self).items():
            other.__dict__[name] = tree.copied(value, memo)
        return other

    def reset_copy(self) -> Self:
        """Return a copy without demonstrations; wording and models stay."""
        program = self.deepcopy()
        for step in program.predictors():
            step.reset()
        return program

    # What can be tuned

    def candidate(self, reason: str = "") -> Candidate:
        """Return everything an optimizer may change, as it is now: path -> instructions, demos, descriptions."""
        steps = {path: step.tunable() for path, step in self.named_predictors()}
        return Candidate(steps, reason=reason)

    def with_candidate(self, candidate: Candidate) -> Self:
        """Return a copy of the program with a candidate's wording and demonstrations.

        Raises ConfigurationError when the candidate names a step the program does not have.
        """
        program = self.deepcopy()
        steps = dict(program.named_predictors())
        for path, changes in candidate.steps.items():
            if path not in steps:
                raise ConfigurationError(
                    f"The candidate has a step {path!r} that the program lacks. Its steps: {', '.join(steps)}."
                )
            steps[path].apply(changes)
        return program

    # Files

    def dump_state(self) -> JsonObject:
        """Return the steps' wording, demonstrations, settings and models as JSON values, by path."""
        return {path: step.dump_state() for path, step in self.named_predictors()}

    def load_state(self, saved: JsonObject) -> Self:
        """Take over what `dump_state` returned, here or in DSPy. Raises ProgramFileError when steps are missing."""
        state.load(self.named_predictors(), self.named_sub_modules(), saved)
        return self

    def save(self, path: str | Path, save_program: bool = False) -> None:
        """Write the program's state to a JSON file. No API key is ever in it."""
        state.save(Path(path), self.dump_state(), self.named_sub_modules(), save_program)

    def load(self, path: str | Path) -> None:
        """Read a state file into this program, which must have the same steps. Reads DSPy's JSON files too."""
        Module.load_state(self, state.read(Path(path)))

    def inspect_history(self, n: int = 1, file: TextIO | None = None) -> None:
        """Write the last `n` model calls of this program to `file` (standard output by default)."""
        show(CallsOf().__get__(self, type(self)), n, file)

    def __repr__(self) -> str:
        lines = [f"{path} = {step.signature!r}" for path, step in self.named_predictors()]
        return "\n".join(lines) or f"{type(self).__name__}()"


def _inputs(args: tuple[object, ...], kwargs: dict[str, object]) -> JsonObject:
    return {"args": args, **kwargs} if args else kwargs
