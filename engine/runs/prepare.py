"""A run spec and the store -> everything a run needs: program, rows, split, metric, optimizer, models.

Here a run that cannot work is refused with a message, before anything is paid for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from engine.basics.text import counted, listed
from engine.dataset import Dataset, Split, UsableRows, read_dataset, sample_rows, split_rows, usable_rows
from engine.dataset.splitting import label_of
from engine.dataset.table import FIRST_ROW
from engine.errors import ConfigurationError, DatasetError, EngineError, RunError
from engine.lm.choice import is_offline
from engine.lm.client import make_lm
from engine.lm.connection import check_connection
from engine.pipeline.build import build_program
from engine.pipeline.corpora import with_passages
from engine.pipeline.importers.attachments import parse_cell
from engine.pipeline.spec import PipelineSpec
from engine.records import Example
from engine.runs.spec import (
    Feedback,
    RunSpec,
    Setup,
    check_model_keys,
    judge_of,
    make_adapter,
    make_metric,
    make_optimizer,
    unknown_field,
)
from engine.search.settings import Settings
from engine.search.tuning import Tuning
from engine.store.rows import FROM_ELSEWHERE

if TYPE_CHECKING:
    from engine.lm.base import BaseLM
    from engine.modules.module import Module
    from engine.optimizers.base import Optimizer
    from engine.search.estimate import Estimate
    from engine.store.store import Store


@dataclass(frozen=True)
class Prepared:
    """A run, ready to be driven."""

    spec: RunSpec
    split: Split
    optimizer: Optimizer
    tuning: Tuning
    notes: tuple[str, ...] = ()

    @property
    def settings(self) -> Settings:
        """The settings of the tuning. They hold every usable row, the split's test rows included."""
        return self.tuning.settings


def prepare(store: Store, spec: RunSpec, *, payer: str | None = None) -> Prepared:
    """Return everything a run needs.

    Raises an EngineError for data that is gone or changed, too few rows, wiring that
    does not fit, an unknown name, a missing key, or a budget too small for the evaluations around the search.
    """
    program = build_program(spec.pipeline)
    if not program.predictors():
        raise RunError("No step of the task asks a model, so there is nothing to tune. Add a step that does.")
    with_passages(spec.pipeline)  # reports a corpus that is gone or has changed before anything is paid for
    metric = make_metric(spec.metric, spec.model)
    if problem := unknown_field(spec.metric, spec.pipeline):
        raise ConfigurationError(problem)
    optimizer = make_optimizer(spec.optimizer, metric)
    dataset = stored_dataset(store, spec)
    usable = without_rows(usable_examples(spec.pipeline, dataset, spec.mapping), spec.excluded)
    if not usable.examples:
        raise DatasetError(_no_rows(dataset, usable, spec.excluded))
    split = split_of(spec, usable)
    bare = unlabelled_rows(spec, dataset, usable) if optimizer.answers_unlabelled else {}
    lm = make_lm(spec.model)
    settings = Settings(
        program=program,
        metric=metric,
        rows={**usable.examples, **bare},
        train=(*split.train, *bare),
        validation=split.validation,
        lm=lm,
        prompt_lm=make_lm(spec.prompt_model) if spec.prompt_model else None,
        teacher_lm=make_lm(spec.teacher_model) if spec.teacher_model else None,
        teacher=teacher_program(spec, program) if optimizer.changes == "weights" else None,
        adapter=make_adapter(spec.adapter),
        budget=spec.budget,
        concurrency=spec.concurrency,
        seed=spec.seed,
        payer=payer,
        frozen=spec.frozen,
        feedback=feedback_by_row(spec.feedback),
        row_numbers=row_numbers(dataset, (*usable.examples, *bare)),
        models=other_models(spec),
        objective=spec.objective,
        tested_prompts=3 if optimizer.retrieves else 2,
        longest_gap=spec.longest_gap,
    )
    tuning, checked = optimizer.checked(settings, split.test, whole_validation=True)
    needed = reserved_calls(program, split, settings.judge_calls)
    if spec.budget.calls is not None and spec.budget.calls <= needed:
        raise RunError(
            f"The budget of {spec.budget.calls:,} calls is too small: scoring the starting prompt and the final test "
            f"take {needed:,} calls before any search. Allow more calls, or use fewer validation and test rows."
        )
    notes = _row_notes(len({problem.row for problem in usable.problems}) - len(bare), len(bare))
    return Prepared(spec, split, optimizer, tuning, (*notes, *split.notes, *checked))


def _row_notes(left_out: int, unlabelled: int) -> list[str]:
    """Return notes on rows that are left out, and on those without an answer."""
    rows = counted(left_out, "row is", "rows are")
    notes = [f"{rows} left out because they cannot be used."] if left_out else []
    if unlabelled:
        rows = counted(unlabelled, "row")
        notes.append(f"{rows} without an answer: the teacher answers what is trained on.")
    return notes


def other_models(spec: RunSpec) -> dict[str, BaseLM]:
    """Return the models that may answer in place of the run's, by name. Raises RunError where two have the same name."""
    others = [choice for choice in dict.fromkeys(spec.models) if choice != spec.model]
    names = [spec.model.name, *(choice.name for choice in others)]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise RunError(
            f"Two of the models to compare are called {twice!r}. Models are distinguished by name: leave one out."
        )
    return {choice.name: make_lm(choice) for choice in others}


def teacher_program(spec: RunSpec, program: Module) -> Module | None:
    """Return the program with its teacher's prompt; None where the teacher has none. Raises RunError where it does not fit."""
    if spec.teacher_prompt is None:
        return None
    title, prompt = spec.teacher_prompt.title, spec.teacher_prompt.prompt
    steps = program.candidate().steps.keys()
    if prompt.steps.keys() != steps:
        raise RunError(
            f"The teacher's prompt ({title}) has the steps {listed([*prompt.steps])}, and the task now has {listed([*steps])}. "
            "Choose another teacher on the Tune page."
        )
    return program.with_candidate(prompt)


def feedback_by_row(feedback: Sequence[Feedback]) -> dict[int, str]:
    """Return users' feedback on earlier answers as a text for each row."""
    texts: dict[int, list[str]] = {}
    for one in feedback:
        answer = f"the answer {one.answer!r}" if one.answer else "an earlier answer"
        reason = " ".join(one.reason.split())
        if not one.thumbs and not reason:
            continue
        verdict = {1: f"called {answer} right", -1: f"called {answer} wrong", 0: f"said of {answer}"}
        words = f"A person {verdict[one.thumbs]}"
        sentence = f"{words}: {reason}" if reason else f"{words}."
        if sentence not in texts.setdefault(one.row, []):
            texts[one.row].append(sentence)
    return {row: " ".join(some) for row, some in texts.items()}


def check_keys(spec: RunSpec) -> None:
    """Raise MissingKeyError if a model of the run needs a key that is not set."""
    judge = judge_of(make_metric(spec.metric, spec.model), spec.model)
    check_model_keys(spec.pipeline, spec.model, spec.prompt_model, spec.teacher_model, judge, *spec.models)


CERTAIN = ("key", "model", "unreachable", "reply", "settings")
"""Problems that asking again will not fix. A slow or busy model is left to the run, which waits and asks again."""


async def check_other_models(spec: RunSpec) -> None:
    """Raise RunError, naming it, where a step's own model or one to compare cannot answer. One small call for each model."""
    step_models = spec.pipeline.models
    choices = [choice for choice in dict.fromkeys((*step_models, *spec.models)) if not is_offline(choice)]
    reports = await asyncio.gather(*(check_connection(choice) for choice in choices))
    for choice, (problem, message) in zip(choices, reports, strict=True):
        if problem in CERTAIN:
            step = next((s.name for s in spec.pipeline.steps if choice in s.models), None)
            asks = "Compared is" if step is None else f"The step {step!r} asks"
            raise RunError(f"{asks} the model {choice.name!r}, which does not answer. {message}")


def reserved_calls(program: Module, split: Split, judge_calls: int = 0) -> int:
    """Return the fewest calls that the run makes outside the search: the starting prompt scored, and the final test."""
    a_row = max(1, program.call_range.least) + judge_calls
    return a_row * (len(split.validation) + 2 * len(split.test))


def usable_examples(
    pipeline: PipelineSpec,
    dataset: Dataset,
    mapping: Mapping[str, str],
    rows: Sequence[int] | None = None,
    *,
    labelled: bool = True,
) -> UsableRows:
    """Return the rows a task can use, typed by its fields, and a problem for each row that it cannot use.

    `rows` limits the work to some row ids; without `labelled` only the inputs are read. Raises DatasetError when a field has no column or its column is not in the data.
    """
    inputs, outputs = field_types(pipeline)
    parse = parse_cell if dataset.local_files else partial(parse_cell, local_files=False)
    return usable_rows(
        dataset, mapping, inputs=inputs, outputs=outputs if labelled else {}, parse=parse, rows=rows
    )


def unlabelled_rows(spec: RunSpec, dataset: Dataset, usable: UsableRows) -> dict[int, Example]:
    """Return the rows without any answer whose inputs can be used, by row id: a teacher can answer them."""
    answers = [dataset.values(spec.mapping[f.name]) for f in spec.pipeline.outputs]
    bare = [
        row
        for row in range(len(dataset))
        if row not in usable.examples
        and row not in spec.excluded
        and not any(a[row].strip() for a in answers)
    ]
    return usable_examples(spec.pipeline, dataset, spec.mapping, bare, labelled=False).examples


def row_numbers(table: Dataset | None, rows: Iterable[int]) -> dict[int, int]:
    """Return rows as people count them in their file, by row id; as in a sheet with a header where the file is gone."""
    known = 0 if table is None else len(table)
    return {row: table.row_number(row) if table and row < known else row + FIRST_ROW for row in rows}


def split_of(setup: Setup, usable: UsableRows) -> Split:
    """Return which rows a run would learn from, choose by and test on. Raises DatasetError when there are too few."""
    included = without_rows(usable, setup.excluded).examples
    outputs = [f.name for f in setup.pipeline.outputs] if setup.pipeline else []
    label = None
    if setup.split.sample is not None:
        written = frozenset(setup.synthetic)
        real = {row: example for row, example in included.items() if row not in written}
        label = label_of(real, outputs)  # of all rows: the sample may have too few of each for it to be found
        drawn = {*sample_rows(real, setup.split.sample, setup.split.seed, outputs=outputs), *written}
        included = {row: example for row, example in included.items() if row in drawn}
    return split_rows(included, setup.split, outputs=outputs, stratify_by=label, synthetic=setup.synthetic)


def without_rows(usable: UsableRows, excluded: Collection[int]) -> UsableRows:
    """Return the rows without those that the user left out; problems stay as they are."""
    if not excluded:
        return usable
    remaining = {row: example for row, example in usable.examples.items() if row not in excluded}
    return UsableRows(remaining, usable.problems)


def field_types(pipeline: PipelineSpec) -> tuple[dict[str, object], dict[str, object]]:
    """Return the types of a pipeline's inputs and of its outputs, by field name."""
    inputs = {f.name: f.parsed_type.annotation for f in pipeline.inputs}
    return inputs, {f.name: f.parsed_type.annotation for f in pipeline.outputs}


def stored_dataset(store: Store, spec: RunSpec) -> Dataset:
    """Return the run's table, read again from the stored bytes. Raises NotFoundError, RunError, DatasetError."""
    row = store.datasets.get(spec.dataset)
    if spec.dataset_hash and row.hash != spec.dataset_hash:
        raise RunError(
            f"The data {row.name!r} has changed since this run was set up. Start a new run with the data as it is now."
        )
    return replace(read_dataset(row.content, row.name), local_files=row.source != FROM_ELSEWHERE)


def row_values(
    spec: RunSpec, table: Callable[[], Dataset], rows: Iterable[int]
) -> tuple[dict[int, int], Mapping[int, Example]]:
    """Return the numbers of some rows as people count them, and their fields; no fields where the file is gone."""
    wanted = list(rows)
    try:
        dataset = table()
        inside = [row for row in wanted if 0 <= row < len(dataset)]
        examples = usable_examples(spec.pipeline, dataset, spec.mapping, inside).examples
    except EngineError:
        return row_numbers(None, wanted), {}
    return row_numbers(dataset, wanted), examples


def estimate_run(store: Store, spec: RunSpec) -> Estimate:
    """Return what a run will take, by driving its search against a stand-in; no model is called.

    Raises what `prepare` raises.
    """
    prepared = prepare(store, spec)
    compares_models = bool(prepared.settings.models)
    return prepared.tuning.estimate().with_room(spec.budget, compares_models=compares_models)


def _no_rows(dataset: Dataset, usable: UsableRows, excluded: Collection[int]) -> str:
    if excluded:
        return f"Every usable row of {dataset.name!r} is left out. Take some back, or add rows."
    if usable.problems:
        first = usable.problems[0]
        return f"No row of {dataset.name!r} can be used. Row {first.row}: {first.message}"
    return f"{dataset.name!r} has no rows. Add some, or choose another file."
