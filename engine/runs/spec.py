"""A run as data: everything needed to repeat it.

A project's draft is the same thing with parts still missing; `ProjectDraft.problems` lists
what is missing, and `to_run` makes a `RunSpec` of a complete one. No key is ever in here:
`ModelChoice.key_env` only names the environment variable that holds one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.basics.data import JsonObject
from engine.basics.text import percent
from engine.errors import (
    ConfigurationError,
    DatasetError,
    EngineError,
    MissingKeyError,
    PipelineError,
    RunError,
)
from engine.lm.calls.waiting import LONGEST_GAP
from engine.lm.choice import ModelChoice, find_route
from engine.pipeline.spec import AdapterName, PipelineSpec
from engine.records import Candidate
from engine.search.backend import BackendChoice
from engine.search.budget import Budget
from engine.search.freeze import Freeze, check_frozen
from engine.search.judging.objective import Objective

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.metrics.base import Metric
    from engine.optimizers.base import Optimizer
    from engine.pipeline.templates import Sample

__all__ = ["DraftIssue", "Feedback", "ModelChoice", "Named", "ProjectDraft", "RunSpec", "SplitSpec", "Step"]


class Frozen(BaseModel):
    """Immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Named(Frozen):
    """A registry name and its options: a metric or an optimizer."""

    name: str
    options: JsonObject = Field(default_factory=dict)

    @property
    def words(self) -> str:
        """The name with the options."""
        options = ", ".join(f"{name} {value}" for name, value in sorted(self.options.items()))
        return f"{self.name} ({options})" if options else self.name


class SplitSpec(Frozen):
    """Shares of the rows for searching, choosing and the final test; they add up to 1.

    With `sample` only this number of rows is divided, drawn with the seed; the others stay in the table, unused.
    """

    train: float = Field(default=0.4, gt=0, lt=1)
    validation: float = Field(default=0.3, gt=0, lt=1)
    test: float = Field(default=0.3, gt=0, lt=1)
    seed: int = 0
    sample: int | None = Field(default=None, ge=10)

    @property
    def words(self) -> str:
        """The shares and the seed, as users read them."""
        shares = (percent(share, 0) for share in (self.train, self.validation, self.test))
        return "{} to learn from, {} to choose by, {} for the final test, seed {}".format(*shares, self.seed)


class Feedback(Frozen):
    """A user's feedback on one answer: thumbs up (1), down (-1) or neither (0), and why; `row` as in the dataset."""

    row: int
    thumbs: Literal[-1, 0, 1] = 0
    reason: str = ""
    answer: str = ""


class TeacherPrompt(Frozen):
    """A tuned prompt that a training's teacher answers with, and its name for users."""

    title: str
    prompt: Candidate


class Setup(Frozen):
    """The settings of a project, and of the runs started from it."""

    pipeline: PipelineSpec | None = None
    dataset: str | None = None
    mapping: dict[str, str] = Field(default_factory=dict)
    """Field name -> column of the dataset."""
    split: SplitSpec = SplitSpec()
    metric: Named | None = None
    optimizer: Named | None = None
    budget: Budget = Budget()
    model: ModelChoice | None = None
    prompt_model: ModelChoice | None = None
    teacher_model: ModelChoice | None = None
    teacher_prompt: TeacherPrompt | None = None
    """Prompt of the teacher of a training; None for the task's own prompt."""
    models: tuple[ModelChoice, ...] = ()
    """Models that may answer steps in place of `model`."""
    objective: Objective = Objective()
    """Decides between the programs found."""
    adapter: AdapterName = "chat"
    concurrency: int = Field(default=16, ge=1, le=1024)
    seed: int = 0
    excluded: dict[int, str] = Field(default_factory=dict)
    """Row -> why it is left out."""
    synthetic: tuple[int, ...] = ()
    """Rows written by a model, which are never test rows."""
    frozen: tuple[Freeze, ...] = ()
    """Parts that the search must not change."""
    feedback: tuple[Feedback, ...] = ()
    """Users' feedback on earlier answers, for the search to learn from."""
    backend: BackendChoice = BackendChoice()
    """Where rows are answered; the scores do not depend on it."""
    longest_gap: float = Field(default=LONGEST_GAP, gt=0)
    """Most seconds between two calls of an endpoint that is away."""


class RunSpec(Setup):
    """A complete run: nothing of its setup is missing."""

    pipeline: PipelineSpec
    dataset: str
    dataset_hash: str = ""
    mapping: dict[str, str]
    metric: Named
    optimizer: Named
    model: ModelChoice = ModelChoice()


Step = Literal["task", "examples", "metric", "tune"]


@dataclass(frozen=True, slots=True)
class DraftIssue:
    """Something that is missing or wrong before a run can start: the wizard's step, and a message."""

    step: Step
    sentence: str


class ProjectDraft(Setup):
    """A project's unfinished task, data and settings; the wizard edits it and every edit is saved.

    >>> [problem.step for problem in ProjectDraft().problems()]
    ['task', 'examples', 'metric', 'tune']
    """

    def problems(self, columns: Sequence[str] | None = None) -> list[DraftIssue]:
        """Return what is missing between this draft and a run, in the wizard's order; none: it can start.

        `columns` are the dataset's, where they are known. What only the rows can tell (too few of them,
        one answer only) is found by `engine.runs.prepare`.
        """
        from engine.pipeline.check import spec_problems

        task = ["Describe the task first: what goes in, and what should come out."]
        sentences: dict[Step, Iterable[str | None]] = {
            "task": task if self.pipeline is None else spec_problems(self.pipeline),
            "examples": _example_problems(self, columns),
            "metric": [_metric_problem(self)],
            "tune": [_tune_problem(self)],
        }
        return [DraftIssue(step, one) for step, found in sentences.items() for one in found if one]

    def to_run(self, dataset_hash: str = "") -> RunSpec:
        """Return the complete run, which is tied to its corpora as they are now. Raises RunError with the first problem."""
        from engine.pipeline.corpora import with_passages

        for problem in self.problems():
            raise RunError(problem.sentence)
        values = self.model_dump(exclude_none=True)
        run = RunSpec.model_validate({**values, "dataset_hash": dataset_hash})
        try:
            return run.model_copy(update={"pipeline": with_passages(run.pipeline, refresh=True)})
        except PipelineError as error:
            raise RunError(str(error)) from error


def _example_problems(draft: ProjectDraft, columns: Sequence[str] | None) -> Iterator[str]:
    if draft.dataset is None:
        yield "Add examples first: drop a file, paste a table, or pick a sample."
    elif draft.pipeline is not None:
        inputs, outputs = draft.pipeline.inputs, draft.pipeline.outputs
        for f in (*inputs, *outputs):
            column = draft.mapping.get(f.name)
            kind = "input" if f in inputs else "output"
            if not column:
                yield f"Choose the column that holds the {kind} {f.name!r}."
            elif columns is not None and column not in columns:
                yield f"The {kind} {f.name!r} should come from the column {column!r}, which is not in the data."
        answers = {draft.mapping.get(f.name): f.name for f in outputs}
        for f in inputs:
            column = draft.mapping.get(f.name)
            if column and column in answers:
                yield (
                    f"The column {column!r} is used as the input {f.name!r} and as the answer {answers[column]!r}. "
                    "Choose another one for one of them."
                )
    total = draft.split.train + draft.split.validation + draft.split.test
    if abs(total - 1) > 0.005:
        yield f"The shares of training, validation and test rows add up to {percent(total, 0)}. Make it 100 %."


def _metric_problem(draft: ProjectDraft) -> str | None:
    if draft.metric is None:
        return "Choose how an answer is scored."
    named = draft.metric
    refused = _refused(lambda: make_metric(named, draft.model or ModelChoice()))
    return refused or (None if draft.pipeline is None else unknown_field(named, draft.pipeline))


def unknown_field(metric: Named, pipeline: PipelineSpec) -> str | None:
    """Return a message where a metric looks at a field that is no output of the task."""
    field, outputs = metric.options.get("field"), [f.name for f in pipeline.outputs]
    if not field or field in outputs:
        return None
    return (
        f"The metric looks at the field {field!r}, which the task does not have as an output. "
        f"Choose one of: {', '.join(outputs)}."
    )


def _tune_problem(draft: ProjectDraft) -> str | None:
    """Return what is wrong with the optimizer, or with the frozen parts where the task is clear enough to know."""
    from engine.pipeline.build import build_program
    from engine.pipeline.check import spec_problems
    from engine.search.settings import seed_of

    pipeline, named = draft.pipeline, draft.optimizer
    if named is None:
        return "Choose how to tune: pick an optimizer."
    refused = _refused(lambda: make_optimizer(named))
    if refused or not draft.frozen or pipeline is None or spec_problems(pipeline):
        return refused

    def check() -> None:
        seed = seed_of(build_program(pipeline))
        check_frozen(draft.frozen, seed, changes=make_optimizer(named).changes, who=named.name)

    return _refused(check)


def _refused(make: Callable[[], object]) -> str | None:
    try:
        make()
    except EngineError as error:
        return str(error)
    return None


def make_metric(named: Named, model: ModelChoice) -> Metric:
    """Return a metric, to score what `model` answers.

    Raises UnknownNameError, and ConfigurationError for options that do not fit or a judge that cannot judge.
    """
    from engine.metrics.judge import check_judge
    from engine.registry import get_metric

    metric = get_metric(named.name)(**named.options)
    if judge := judge_of(metric, model):
        check_judge(judge.name)
    return metric


def judge_of(metric: Metric, model: ModelChoice) -> ModelChoice | None:
    """Return the model that a metric asks: its own judge, else the model that answers; None where it asks none."""
    if not metric.calls:
        return None
    judge = getattr(metric.options, "judge", None) or getattr(metric, "judge", None)
    return ModelChoice(name=judge) if judge else model


def make_optimizer(named: Named, metric: object = None) -> Optimizer:
    """Return an optimizer. Raises UnknownNameError, or ConfigurationError for options that do not fit."""
    from engine.registry import get_optimizer

    return get_optimizer(named.name).from_options(named.options, metric)


def make_adapter(name: str) -> Adapter:
    """Return an adapter by its short name. Raises UnknownNameError."""
    from engine.registry import get_adapter

    return get_adapter(name)()


def check_key(choice: ModelChoice) -> None:
    """Raise MissingKeyError, before anything is called, where a model needs a key and none can be found.

    Raises ConfigurationError where weights of this machine, or what loads them, are missing.
    """
    from engine.lm.keys import key_for
    from engine.lm.local.sources import answering, check_local

    check_local(choice)
    choice = answering(choice)
    route = find_route(choice.name, choice.base_url)
    needed = bool(choice.key_env) or (
        route.provider is not None
        and route.provider.needs_key
        and not route.custom
        and route.protocol != "offline"
    )
    if not needed:
        return
    key = key_for(route, choice.key_env)
    if not key and (choice.key_env or (route.provider and route.provider.key_env)):
        raise MissingKeyError(
            f"The model {choice.name!r} needs an API key and there is none in the {key.where or 'environment'}. "
            "Set it, or enter it on the Settings page."
        )


def check_model_keys(pipeline: PipelineSpec, *choices: ModelChoice | None) -> None:
    """Raise MissingKeyError where one of these models, or one that is a step's own, needs a key and has none.

    Raises ConfigurationError for a model's name or address that is none.
    """
    for choice in choices:
        if choice is not None:
            check_key(choice)
    for step in pipeline.steps:
        for choice in step.models:
            try:
                check_key(choice)
            except MissingKeyError as error:
                raise MissingKeyError(f"The step {step.name!r} asks its own model. {error}") from error
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"The step {step.name!r} cannot ask the model {choice.name!r}: {error}"
                ) from error


def no_gain_by_ray(spec: Setup) -> str:
    """Return a message where a run on Ray is no faster than one on this machine alone; "" where it may be, or is not on Ray."""
    if spec.backend.name == "local" or spec.pipeline is None:
        return ""
    asked = (spec.model, *spec.pipeline.models)
    weights = any(choice and find_route(choice.name, choice.base_url).protocol == "local" for choice in asked)
    heavy = any(
        step.strategy == "program_of_thought" or step.options.retriever == "embeddings"
        for step in spec.pipeline.steps
    )
    if weights or heavy or (spec.metric is not None and spec.metric.name == "PythonMetric"):
        return ""
    return (
        "This run gains nothing from a Ray cluster: its time is spent waiting for answers, and one machine waits for "
        "many at once. Models that run on your own machines, searches by embeddings and code in the sandbox do gain."
    )


def sample_bytes(file: str) -> bytes:
    """Return a sample file's content. Raises DatasetError when it is not installed."""
    try:
        return resources.files("sample_data").joinpath(file).read_bytes()
    except (FileNotFoundError, ModuleNotFoundError):
        raise DatasetError(f"The sample file {file!r} is missing. Install Tuneboard again.") from None


def sample_draft(sample: Sample, dataset_id: str) -> ProjectDraft:
    """Return the draft of a sample project whose file is stored as `dataset_id`."""
    (metric, metric_options), (optimizer, optimizer_options) = sample.metric, sample.optimizer
    return ProjectDraft(
        pipeline=sample.pipeline,
        dataset=dataset_id,
        mapping=dict(sample.mapping),
        metric=Named(name=metric, options=dict(metric_options)),
        optimizer=Named(name=optimizer, options=dict(optimizer_options)),
        budget=Budget.model_validate(dict(sample.budget)),
        model=ModelChoice(),
    )
