"""A stored run -> its report, its table of results, and a file to train a model's weights with.

The file holds what the prompt taken asked, and what it answered rightly: one line a call, as OpenAI's fine-tuning
takes it: {"messages": [system, user, ..., assistant]}. The row's solved examples are left out: a trained model needs
none. Test rows are never in it, so that what is trained can be tested on them. The idea is that of DSPy's
BootstrapFinetune (arXiv 2407.10930): learn from the program's own runs that went right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.basics.data import Values
from engine.errors import EngineError, RunError, entry_named
from engine.export.hero import StruckScore, hero_html
from engine.export.report import ReportRow, report_html
from engine.export.tables import results_csv, results_json, results_xlsx
from engine.pipeline.build import build_program
from engine.pipeline.spec import PipelineSpec
from engine.records import Candidate, Outcome, TraceStep, json_value, whole_trials
from engine.runs.prepare import row_values, stored_dataset
from engine.runs.spec import ModelChoice, RunSpec, make_adapter
from engine.search.judging.objective import Objective
from engine.search.trainers import training_lines
from engine.search.training import chat_rows
from engine.store.rows import RunRow
from engine.store.store import Store


def run_report(store: Store, run_id: str, shared: str = "") -> str:
    """Return a run's report as HTML text, with a line on who shared it.

    Raises NotFoundError, or RunError when it has no result yet.
    """
    run = store.runs.get(run_id)
    run.require_result()
    try:
        project = store.projects.get(run.project_id).name
    except EngineError:
        project = "A deleted project"
    trials = store.trials.all(run_id)
    return report_html(
        run,
        project,
        store.trials.candidates(run_id),
        trials,
        rows_of(store, run),
        settings_of(store, RunSpec.model_validate(run.spec), run),
        store.trials.leader_path(run_id, trials).leads,
        shared,
    )


RESULTS = {"csv": results_csv, "xlsx": results_xlsx, "json": results_json}
"""The forms a run's test rows can be taken away in."""


def run_results(store: Store, run_id: str, form: str) -> bytes:
    """Return a run's test rows with both answers as a file of a form in `RESULTS`.

    Raises NotFoundError, UnknownNameError, or RunError when there is no result yet.
    """
    write = entry_named("results format", form, RESULTS)
    run = store.runs.get(run_id)
    run.require_result()
    return write(rows_of(store, run))


def rows_of(store: Store, run: RunRow) -> tuple[ReportRow, ...]:
    """Return the test rows with both answers, in file order; inputs are empty where the file is gone."""
    before, after = ({o.row: o for o in outcomes} for outcomes in tested(store, run))
    spec, shared = RunSpec.model_validate(run.spec), sorted(before.keys() & after.keys())
    inputs, outputs = [f.name for f in spec.pipeline.inputs], [f.name for f in spec.pipeline.outputs]
    numbers, values = row_values(spec, lambda: stored_dataset(store, spec), shared)
    rows: list[ReportRow] = []
    for row in shared:
        first, second = before[row], after[row]
        known: Mapping[str, object] = values.get(row, {})
        rows.append(
            ReportRow(
                numbers[row] if first.number is None else first.number,
                {name: known.get(name) for name in inputs},
                {name: known.get(name) for name in outputs},
                _answer_values(first, outputs),
                _answer_values(second, outputs),
                first.score,
                second.score,
                second.error or "",
            )
        )
    return tuple(rows)


def hero_of(store: Store, run: RunRow, estimate: StruckScore | None = None) -> str:
    """Return the picture of what a run came to as HTML: see `engine.export.hero`."""
    return hero_html(run.require_result(), [row.turn for row in rows_of(store, run)], estimate)


def settings_of(store: Store, spec: RunSpec, run: RunRow) -> tuple[tuple[str, str], ...]:
    """Return what a run was set to, as (name, value) in plain words."""
    result = run.require_result()
    names = {d.id: f"{d.name}, {d.rows:,} rows" for d in store.datasets.all()}
    pairs = (
        ("Data", names.get(spec.dataset, "not in this store any more")),
        ("Data hash (SHA-256)", spec.dataset_hash or "not recorded"),
        ("Rows divided", spec.split.words),
        ("Metric", spec.metric.words),
        ("Optimizer", spec.optimizer.words),
        ("Model", _model(spec.model)),
        *_models_of_steps(spec),
        ("Model that writes prompts", _model(spec.prompt_model) if spec.prompt_model else "the same"),
        *([("Models compared", ", ".join(map(_model, spec.models)))] if spec.models else []),
        *([("Objective", spec.objective.words)] if spec.objective != Objective() else []),
        ("Layout of messages", spec.adapter),
        ("Budget", spec.budget.words),
        ("Seed", str(spec.seed)),
        ("The search ended", result.reason or result.stopped),
        ("Run", run.id),
    )
    return tuple((name, str(value)) for name, value in pairs)


def tested(store: Store, run: RunRow) -> list[list[Outcome]]:
    """Return the test rows' outcomes of the starting prompt and of the one shown (empty where not tested)."""
    if run.result is None:
        return [[], []]
    trials = whole_trials(store.trials.all(run.id), "test")
    prompts = (run.result.seed_candidate, run.result.shown.best_candidate)
    return [
        store.trials.outcomes(run.id, trials[prompt].number) if prompt in trials else [] for prompt in prompts
    ]


def _answer_values(outcome: Outcome, outputs: Sequence[str]) -> dict[str, object]:
    if outcome.error is not None:
        return dict.fromkeys(outputs, "failed")
    return {name: outcome.prediction.get(name) for name in outputs}


def _models_of_steps(spec: RunSpec) -> Iterator[tuple[str, str]]:
    for step in spec.pipeline.steps:
        if step.model:
            yield f"Model of the step {step.name}", _model(step.model)
        if step.extraction_model:
            yield f"Reads the free text of the step {step.name}", _model(step.extraction_model)


def _model(choice: ModelChoice) -> str:
    extra = f", temperature {choice.temperature}" if choice.temperature is not None else ""
    longest = f", at most {choice.max_tokens:,} tokens" if choice.max_tokens is not None else ""
    host = (choice.base_url or "").rpartition("@")[2]  # a user name and a password stay at home
    return f"{choice.name}{f' at {host}' if host else ''}{extra}{longest}"


def step_calls(
    pipeline: PipelineSpec,
    candidate: Candidate,
    values: Mapping[str, object],
    outcome: Outcome,
    *,
    adapter: str = "chat",
) -> list[tuple[TraceStep, Sequence[Mapping[str, object]]]]:
    """Return every call that a row made, in order, with the messages as the adapter writes them (none: it asks no model).

    From the stored trace where there is one. Else from the row's `values` and the answer, which holds what every step
    wrote: then steps that call several times (tools, tries) show the calls whose inputs are known. Raises EngineError.
    """
    writer = make_adapter(adapter)
    steps = dict(build_program(pipeline).with_candidate(candidate).named_predictors())
    step_calls = []
    for call in trace_of(steps, values, outcome):
        messages: Sequence[Values] = ()
        if step := steps.get(call.path):  # else a search or a tool: no message was sent
            own, inputs = step.adapter or writer, dict(call.inputs)
            messages = own.format(step.prompted(), step.demos_for(inputs), inputs)
        step_calls.append((call, messages))
    return step_calls


def trace_of(steps: Values, values: Values, outcome: Outcome) -> tuple[TraceStep, ...]:
    """Return a row's stored trace; without one, the calls of `steps` whose inputs are among the row's `values` and its answer."""
    if outcome.trace:
        return tuple(outcome.trace)
    known = {**values, **outcome.prediction}
    trace = []
    for path, step in steps.items():
        names = list(step.signature.input_fields)
        if all(name in known for name in names):
            outputs = {n: known[n] for n in step.signature.output_fields if n in outcome.prediction}
            trace.append(TraceStep(path, {n: known[n] for n in names}, json_value(outputs)))
    return tuple(trace)


RIGHT = 0.999
"""The score from which an answer counts as right."""


def right_rows(store: Store, run: RunRow) -> dict[int, int]:
    """Return the rows that the prompt taken got right outside the final test -> the trial in which it did."""
    trials = store.trials.all(run.id)
    test_rows = {row for rows in store.trials.row_scores(run.id, "test").values() for row in rows}
    mine = {t.number for t in trials if t.candidate_id == run.taken}
    found: dict[int, int] = {}
    for split in dict.fromkeys(t.split for t in trials if t.split not in ("test", "teacher")):
        for trial, scores in store.trials.row_scores(run.id, split).items():
            if trial in mine:
                right = (row for row, score in scores.items() if score >= RIGHT and row not in test_rows)
                found |= dict.fromkeys(right, trial)
    return found


def training_file(store: Store, run_id: str) -> bytes:
    """Return the calls that the prompt taken from a run answered rightly as JSON Lines.

    Raises NotFoundError, or RunError when there is no result yet or nothing was answered rightly.
    """
    run = store.runs.get(run_id)
    run.require_result()
    spec = RunSpec.model_validate(run.spec)
    candidate = store.trials.candidate(run_id, run.taken)
    rows = right_rows(store, run)
    _, values = row_values(spec, lambda: stored_dataset(store, spec), rows)
    outcomes = [
        outcome
        for trial in dict.fromkeys(rows.values())
        for outcome in store.trials.outcomes(run_id, trial)
        if rows.get(outcome.row) == trial and outcome.error is None
    ]
    program = build_program(spec.pipeline).with_candidate(_without_demos(candidate))
    steps = dict(program.named_predictors())
    calls = (
        (outcome.row, call)
        for outcome in sorted(outcomes, key=lambda one: one.row)
        for call in trace_of(steps, values.get(outcome.row, {}), outcome)
    )
    rows_of_chat = chat_rows(program, make_adapter(spec.adapter), calls)
    if not rows_of_chat:
        raise RunError(
            f"The best prompt of {run.title!r} got no row right outside the final test, so there is nothing to train with."
        )
    return training_lines(rows_of_chat)


def _without_demos(candidate: Candidate) -> Candidate:
    for path in candidate.steps:
        candidate = candidate.with_step(path, demos=())
    return candidate
