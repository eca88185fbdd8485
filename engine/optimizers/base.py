"""Base of every optimizer: options, a search, and `compile`, which exists once, here.

An optimizer never sees a store, a model or a clock: `search` yields asks (see `engine.search.contract`).
Models, metric and threads given to a constructor are only kept for `compile`, the library's way to run it.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine import loop, runtime
from engine.basics.data import JsonObject, Values
from engine.basics.progress import ProgressLine
from engine.basics.text import percent
from engine.callbacks import observed
from engine.errors import ConfigurationError, first_problem
from engine.metrics.base import any_answer, usable_metric
from engine.modules.function_program import as_program
from engine.records import Example, whole_trials
from engine.search.budget import Budget
from engine.search.contract import Problem, Search
from engine.search.events import (
    BudgetSpent,
    CandidateFound,
    Event,
    TrainingProgress,
    TrialFinished,
    TrialStarted,
)
from engine.search.freeze import Changes, Freeze, check_frozen
from engine.search.judging.leader import LeaderPath
from engine.search.judging.objective import Objective
from engine.search.result import SearchResult
from engine.search.settings import Control, Recorder, Settings, seed_of
from engine.search.tuning import Tuning

if TYPE_CHECKING:
    from engine.lm.base import BaseLM
    from engine.modules.module import Module
    from engine.search.trainers import Trainer

Program = TypeVar("Program", bound="Module")
"""The class of a program: a tuned copy has the same."""


class Options(BaseModel):
    """Base of every optimizer's options: typed, described, immutable; forms and the CLI read them."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def option(default: Any, title: str, description: str, **limits: Any) -> Any:
    """Return an option's default with its title and description in a form, and limits such as `ge=1`."""
    return Field(default, title=title, description=description, **limits)


TUNE_FIELDS = option(False, "Descriptions of fields too", "Rewrite the descriptions of the fields as well.")


class _Parameters:
    """`__signature__` of an optimizer's class: what its constructors take, and every option with its type and default."""

    def __get__(self, _: object, cls: type[Optimizer]) -> inspect.Signature:
        known: dict[str, inspect.Parameter] = {}
        for init in (vars(base)["__init__"] for base in cls.__mro__[:-1] if "__init__" in vars(base)):
            for name, parameter in list(inspect.signature(init).parameters.items())[1:]:
                # What a class passes on to the next one's constructor is given by name.
                kind = parameter.kind if init is cls.__init__ else max(parameter.kind, parameter.KEYWORD_ONLY)
                known.setdefault(name, parameter.replace(kind=kind))
            rest = [name for name, parameter in known.items() if parameter.kind is parameter.VAR_KEYWORD]
            if not rest:
                return inspect.Signature(list(known.values()))
            del known[rest[0]]
        options = cls.options_model.model_fields
        for name, field in options.items():
            kind = known[name].kind if name in known else inspect.Parameter.KEYWORD_ONLY
            default = field.get_default(call_default_factory=True)
            known[name] = inspect.Parameter(name, kind, default=default, annotation=field.annotation)
        return inspect.Signature(sorted(known.values(), key=lambda p: (p.kind, p.name not in options)))


class Optimizer:
    """An algorithm and its options. A subclass defines `search`; or, as in DSPy, `compile` alone, which then does it all.

    `name` is its registry name, `title` what it does in plain words, `options_model` its options' class, `changes` what
    it may change. The constructor takes the metric and models for `compile`, and every option by name; an option that
    does not exist or does not fit raises ConfigurationError. `metric(example, prediction, trace=None)` returns a number
    from 0 to 1, a bool or a Grade. `prompt_model` writes instructions, `task_model` runs the program (both default to
    the runtime's model), `teacher_settings={"lm": ..., "adapter": ...}` writes demonstrations. `models` may answer in place
    of the task model, and `objective` decides between the programs found: "score", "cheapest within 2 points", "fastest
    within 2 points" or "front" (see `engine.search.judging.objective`).
    """

    reported_as: ClassVar[str] = "compile"
    name: ClassVar[str]
    title: ClassVar[str] = ""
    about: ClassVar[str] = ""
    """One sentence on what it does, for a form."""
    pace: ClassVar[str] = ""
    """How long it takes, in a word or two."""
    options_model: ClassVar[type[Options]] = Options
    changes: ClassVar[Changes] = "both"
    takes_unlabelled: ClassVar[bool] = False
    """True if the optimizer can use training rows without any answer."""
    kept: ClassVar[tuple[str, ...]] = tuple(
        "prompt_model task_model teacher_settings num_threads trainers models objective".split()
    )
    """Attributes, besides options and metric, that an optimizer with other options keeps."""

    options: Options
    __signature__ = _Parameters()

    @property
    def answers_unlabelled(self) -> bool:
        """True if this one, with its options, wants training rows without any answer."""
        return self.takes_unlabelled

    @property
    def retrieves(self) -> bool:
        """True if its prompts may show each input other examples, and others of them the same to each."""
        return False

    def __init__(
        self,
        metric: Any = None,
        *,
        prompt_model: Any = None,
        task_model: Any = None,
        teacher_settings: Values | None = None,
        num_threads: int | None = None,
        models: Sequence[Any] = (),
        objective: Objective | str = "score",
        **options: Any,
    ) -> None:
        self.metric = None if metric is None else usable_metric(metric)
        self.prompt_model, self.task_model = prompt_model, task_model
        self.teacher_settings, self.num_threads = dict(teacher_settings or {}), num_threads
        if other := sorted(self.teacher_settings.keys() - {"lm", "adapter"}):
            _log.warning(
                "%s: teacher_settings takes lm and adapter; %s changes nothing.", self.name, other[0]
            )
        self.trainers: tuple[Trainer, ...] = ()
        self.models = tuple(models)
        self.objective = Objective.of(objective)
        self.options = self._validated_options(options)

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, "name"):
            cls.name = cls.__name__

    def search(self, problem: Problem) -> Search:  # noqa: ARG002 - for subclasses
        """Return the search as a generator; see `engine.search.contract`."""
        raise ConfigurationError(
            f"{self.name} cannot tune: define search(problem), or compile(student, trainset=...)."
        )

    @classmethod
    def from_options(cls, options: Values | None = None, metric: Any = None) -> Self:
        """Return the optimizer with these options. Raises ConfigurationError for one that does not exist or does not fit."""
        return cls(metric=metric, **dict(options or {}))

    def get_params(self) -> dict[str, object]:
        """Return the options as a dict; of an optimizer that defines `compile` alone its attributes."""
        compiles_alone = type(self).search is Optimizer.search
        return dict(vars(self)) if compiles_alone else self.options.model_dump()

    async def acompile(  # noqa: PLR0913 - all that a tuning takes, each by its name
        self,
        student: Program,
        *,
        trainset: Sequence[Example],
        valset: Sequence[Example] | None = None,
        testset: Sequence[Example] | None = None,
        teacher: Module | Sequence[Module] | None = None,
        budget: Budget | int | None = None,
        frozen: Sequence[Freeze] = (),
        recorder: Recorder | None = None,
        control: Control | None = None,
        **changes: Any,
    ) -> Program:
        """Run the search and return a tuned copy of `student`, which is left as it is. `compile` does the same and waits.

        The valset is used as it is; without one, `split` divides the trainset. The search never sees the testset; the start
        and the best are compared on it, and the copy's `verdict` says which is better. `teacher` may be a list of one
        program. `budget` limits what the run may spend and `frozen` what it may change; `recorder` receives its events and
        `control` can pause and stop it. `changes` override options for this call. Progress is shown on one line of stderr,
        unless `engine.configure(progress=False)`.

        The copy carries `score` (percent on the validation rows, None where nothing was scored), `candidate_programs`
        (dicts with score, subscores by row, candidate and program, best first), `trial_logs`, `total_calls`,
        `prompt_model_total_calls` and `tuning` (the whole `SearchResult`). Raises ConfigurationError for a set-up that
        cannot work, and RunError when no row can be run at all, or the program's own error where it is that on every row.
        """
        optimizer = self.with_options(changes)
        given: JsonObject = {
            "trainset": trainset,
            "valset": valset,
            "testset": testset,
            "teacher": teacher,
        }
        tuning = optimizer.tuning(student, budget=budget, frozen=frozen, **given)
        with observed("compile", optimizer, {"student": student, **given}) as note:
            shown = SearchProgress(tuning.settings.budget, recorder, shown=runtime.current().progress)
            with closing(shown):
                tuned = await tuning.run(shown, control)
            program: Any = _compiled(student, tuned.search, optimizer.details(student, tuned.search))
            program.verdict = tuned.verdict
            compiled: Program = note(_answered_by(program, tuning.settings.models))
            return compiled

    compile = loop.plainly(acompile)

    def tuning(
        self,
        student: Module,
        *,
        trainset: Sequence[Example],
        valset: Sequence[Example] | None = None,
        testset: Sequence[Example] | None = None,
        teacher: Module | Sequence[Module] | None = None,
        budget: Budget | int | None = None,
        frozen: Sequence[Freeze] = (),
    ) -> Tuning:
        """Return the tuning that `compile` runs. Raises ConfigurationError for a set-up that cannot work."""
        settings = self.settings(student, trainset, valset, self.one_teacher(teacher), budget)
        ids = {id(example): row for row, example in settings.rows.items()}
        rows = dict(settings.rows)
        tested = as_examples(testset or (), student)
        for example in tested:
            rows[ids.setdefault(id(example), len(rows))] = example
        settings = replace(settings, rows=rows, frozen=tuple(frozen))
        tuning, notes = self.checked(settings, tuple(ids[id(example)] for example in tested))
        for note in notes:
            _log.info("%s: %s", self.name, note)
        return tuning

    def checked(
        self, settings: Settings, test: tuple[int, ...], *, whole_validation: bool = False
    ) -> tuple[Tuning, list[str]]:
        """Return the tuning with these settings, and notes for the user. Raises ConfigurationError for what cannot work."""
        settings.check_prices()
        check_frozen(settings.frozen, seed_of(settings.program), changes=self.changes, who=self.name)
        notes = self.check(settings)
        return Tuning(self.search, settings, test, whole_validation=whole_validation), notes

    def check(self, settings: Settings) -> list[str]:  # noqa: ARG002 - for subclasses
        """Return notes for the user before anything is asked. Raises ConfigurationError for a set-up that cannot work."""
        return []

    def details(self, student: Module, result: SearchResult) -> JsonObject:  # noqa: ARG002 - for subclasses
        """Return what else a compiled program says of its search, by attribute: DSPy's statistics."""
        runs = sum(o.usage.calls for t in result.trials for o in t.evaluation.outcomes)
        scored, logs = 0, {}
        for trial in result.trials:
            scored += len(trial.evaluation.outcomes)
            kind = "full_eval" if trial.complete and trial.split == "validation" else "mb"
            score = round(100 * trial.evaluation.score, 2)
            logs[trial.number] = {f"{kind}_score": score, "score": score, "total_eval_calls_so_far": scored}
        calls = {
            "total_calls": result.usage.calls,
            "prompt_model_total_calls": max(0, result.usage.calls - runs),
        }
        return {"trial_logs": logs, **calls}

    def settings(
        self,
        student: Module,
        trainset: Sequence[Example],
        valset: Sequence[Example] | None = None,
        teacher: Module | None = None,
        budget: Budget | int | None = None,
    ) -> Settings:
        """Return the run's settings for a program and rows, with the models this optimizer was given."""
        check_programs(student, trainset, teacher)
        trainset = as_examples(trainset, student)
        valset = None if valset is None else as_examples(valset, student)
        if valset is not None and not valset:
            raise ConfigurationError("The valset is empty: give at least one example, or leave it out.")
        train, validation = self.split(trainset) if valset is None else (trainset, valset)
        examples = {id(example): example for example in (*train, *validation)}
        ids = {name: row for row, name in enumerate(examples)}
        now = runtime.current()
        return Settings(
            program=student,
            metric=self.metric if self.metric is not None else any_answer,
            rows=dict(enumerate(examples.values())),
            train=tuple(ids[id(e)] for e in train),
            validation=tuple(ids[id(e)] for e in validation),
            lm=self.task_model or now.lm,
            prompt_lm=self.prompt_model,
            teacher_lm=self.teacher_settings.get("lm"),
            teacher_adapter=self.teacher_settings.get("adapter"),
            teacher=teacher,
            adapter=now.adapter,
            budget=Budget.of(budget),
            concurrency=self.num_threads or now.num_threads,
            seed=int(getattr(self.options, "seed", 0)),
            trainers=self.trainers,
            models={lm.model: lm for lm in self.models},
            objective=self.objective,
        )

    def one_teacher(self, given: Any) -> Any:
        """Return a teacher that may have come in a list, as DSPy's do. Raises ConfigurationError for several."""
        if not isinstance(given, list | tuple):
            return given
        if len(given) > 1:
            raise ConfigurationError(
                f"{self.name} takes one teacher. Compile with each, or give an Ensemble of them."
            )
        return given[0] if given else None

    def split(self, trainset: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
        """Return (train, validation) examples where no valset is given: the trainset serves as both."""
        return trainset, trainset

    def with_options(self, changes: Mapping[str, object]) -> Self:
        """Return the optimizer with some options overridden."""
        if not changes:
            return self
        given = {name: getattr(self.options, name) for name in self.options.model_fields_set}
        other = type(self)(**{"metric": self.metric, **given, **changes})
        for name in self.kept:
            if name not in changes and not (name == "trainers" and "trainer" in changes):
                setattr(other, name, getattr(self, name))
        return other

    @classmethod
    def _validated_options(cls, options: Mapping[str, object]) -> Options:
        unknown = sorted(options.keys() - cls.options_model.model_fields.keys())
        if unknown:
            valid = ", ".join(cls.options_model.model_fields) or "none"
            raise ConfigurationError(f"{cls.name} has no option {unknown[0]!r}. Its options: {valid}.")
        try:
            return cls.options_model(**options)
        except ValidationError as error:
            at, message = first_problem(error)
            what = f"The option {at!r} of {cls.name} does not fit" if at else f"{cls.name}"
            raise ConfigurationError(f"{what}: {message}.") from None


class CandidatePrograms(Sequence[JsonObject]):
    """A compiled program's candidates, best first: dicts with score (percent), subscores, candidate and program.

    It is not a list, so that a walk over the program's own steps does not find the candidates' steps too.
    """

    def __init__(self, student: Module, result: SearchResult) -> None:
        self._student, self._ranked = student, tuple(result.validated())
        self._scores = {t.candidate_id: t.evaluation.scores for t in whole_trials(result.trials).values()}

    def __len__(self) -> int:
        return len(self._ranked)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        score, candidate = self._ranked[index]
        program = self._student.with_candidate(candidate)
        subscores = list(self._scores[candidate.id].values())
        return {
            "score": round(100 * score, 2),
            "subscores": subscores,
            "candidate": candidate,
            "program": program,
        }

    def __deepcopy__(self, memo: dict[int, object]) -> CandidatePrograms:
        return self


class SearchProgress:
    """Shows the prompt being scored, the leader's score, the calls of the budget and the time; passes every event on."""

    def __init__(self, budget: Budget, recorder: Recorder | None, *, shown: bool) -> None:
        self._budget, self._recorder = budget, recorder
        self._line = ProgressLine(shown=shown)
        self._phase, self._calls = "Getting ready", 0
        self._leaders = LeaderPath()
        self._numbers: dict[str, int] = {}
        self._validating: set[int] = set()

    def record(self, event: Event) -> None:
        """Receive one event."""
        if self._recorder is not None:
            self._recorder.record(event)
        if isinstance(event, CandidateFound):
            self._numbers[event.candidate.id] = event.number
        elif isinstance(event, TrialStarted):
            number = self._numbers.get(event.candidate.id, 0)
            self._phase = f"Prompt {number}" if number else "The starting prompt"
            self._phase += f" ({event.label})" if event.label else ""
            if event.split == "validation":
                self._validating.add(event.trial)
        elif isinstance(event, TrialFinished) and event.trial in self._validating:
            done = event.evaluation
            scores = {o.row: None if o.error else o.score for o in done.outcomes}
            if scores:
                number = self._numbers.get(done.candidate_id, 0)
                self._leaders.add(event.trial, done.candidate_id, number, scores)
        elif isinstance(event, TrainingProgress):
            self._phase = event.text
        elif isinstance(event, BudgetSpent):
            self._calls = event.usage.calls
        most = self._budget.calls
        leads = self._leaders.leads
        best = f"best so far {percent(leads[-1].score.mean, 0)}" if leads else ""
        calls = f"{self._calls:,} calls" if most is None else f"{self._calls:,} of {most:,} calls"
        self._line.show(self._phase, self._calls, most, best, calls)

    def close(self) -> None:
        """End the line."""
        self._line.close()


def _compiled(student: Program, result: SearchResult, details: Mapping[str, object]) -> Program:
    program: Any = student.with_candidate(result.best)
    program.score = None if result.score is None else round(100 * result.score, 2)
    program.candidate_programs = CandidatePrograms(student, result)
    program.tuning = result
    vars(program).update(details)
    program._compiled = True
    return program  # type: ignore[no-any-return]  # a Module with attributes that no class declares


def _answered_by(program: Program, models: Mapping[str, BaseLM]) -> Program:
    """Return the program, with each model of the run as the own model of the steps that it answers."""
    for step in program.predictors():
        if (lm := models.get(step.weights or "")) is not None:
            step.lm, step.weights = lm, None
    return program


def check_programs(student: Module, trainset: Sequence[Example], teacher: Module | None) -> None:
    """Raise ConfigurationError for a program without steps, no rows, or a teacher with other steps."""
    ours = dict(as_program(student).named_predictors())
    if not ours:
        raise ConfigurationError("The program has no step that calls a model, so there is nothing to tune.")
    if not trainset:
        raise ConfigurationError("The trainset is empty: give at least one example.")
    theirs = ours if teacher is None else dict(teacher.named_predictors())
    if ours.keys() != theirs.keys():
        raise ConfigurationError(
            f"The teacher's steps ({', '.join(theirs)}) are not the student's ({', '.join(ours)})."
        )
    for path, step in ours.items():
        own, other = list(step.signature.fields), list(theirs[path].signature.fields)
        if own != other:
            raise ConfigurationError(
                f"The teacher's step {path!r} has other fields than the student's: {', '.join(other)} instead of {', '.join(own)}."
            )


def as_examples(rows: Sequence[Any], student: Module) -> list[Example]:
    """Return rows as examples that know their inputs; of one that does not, these are the fields that the steps read.

    Raises ConfigurationError for a row without any.
    """
    written = {name for step in student.predictors() for name in step.signature.output_fields}
    read = [n for step in student.predictors() for n in step.signature.input_fields if n not in written]
    examples: list[Example] = []
    guessed: list[int] = []
    for i, row in enumerate(rows):
        example = row if isinstance(row, Example) else Example(row)
        if not example.knows_inputs:
            guessed.append(i)
            names = [name for name in dict.fromkeys(read) if name in example]
            if not names:
                raise ConfigurationError(
                    f"Example {i} does not know its inputs: call with_inputs('name', ...) on it."
                )
            example = example.with_inputs(*names)
        examples.append(example)
    if guessed:
        _log.warning(
            "%d of %d examples do not know their inputs: the fields that the program's steps read are taken. "
            "Call with_inputs('name', ...) on them to say it yourself.",
            len(guessed), len(rows),
        )  # fmt: skip
    return examples


_log = logging.getLogger(__name__)
