"""A stored run -> its report and its table of results. What they look like is in `engine.export`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.errors import EngineError, UnknownNameError
from engine.export.report import ReportRow, report_html
from engine.export.tables import results_csv, results_json, results_xlsx
from engine.records import Outcome
from engine.runs.prepare import row_values, stored_dataset, with_result
from engine.runs.spec import ModelChoice, RunSpec
from engine.store.rows import RunRow
from engine.store.store import Store
from engine.text import dollars, duration


def run_report(store: Store, run_id: str) -> str:
    """Return a run's report as HTML text. Raises NotFoundError, or RunError when it has no result yet."""
    run = with_result(store, run_id)
    try:
        project = store.projects.get(run.project_id).name
    except EngineError:
        project = "A deleted project"
    return report_html(
        run,
        project,
        store.trials.candidates(run_id),
        store.trials.all(run_id),
        rows_of(store, run),
        settings_of(store, RunSpec.model_validate(run.spec), run),
    )


RESULTS = {"csv": results_csv, "xlsx": results_xlsx, "json": results_json}
"""The forms a run's test rows can be taken away in."""


def run_results(store: Store, run_id: str, form: str) -> bytes:
    """Return a run's test rows with both answers as a file of a form in `RESULTS`.

    Raises NotFoundError, UnknownNameError, or RunError when there is no result yet.
    """
    if form not in RESULTS:
        raise UnknownNameError("results format", form, RESULTS)
    return RESULTS[form](rows_of(store, with_result(store, run_id)))


def rows_of(store: Store, run: RunRow) -> tuple[ReportRow, ...]:
    """Return the test rows with both answers, in file order; inputs are empty where the file is gone."""
    result = run.result or {}
    before = _tested(store, run.id, result.get("seed_candidate"))
    after = _tested(store, run.id, result.get("best_candidate"))
    spec, shared = RunSpec.model_validate(run.spec), sorted(before.keys() & after.keys())
    inputs, outputs = [f.name for f in spec.pipeline.inputs], [f.name for f in spec.pipeline.outputs]
    numbers, values = row_values(spec, lambda: stored_dataset(store, spec), shared)
    rows: list[ReportRow] = []
    for row in shared:
        first, second = before[row], after[row]
        known: Mapping[str, Any] = values.get(row, {})
        rows.append(
            ReportRow(
                numbers[row] if first.number is None else first.number,
                {name: known.get(name) for name in inputs},
                {name: known.get(name) for name in outputs},
                _said(first, outputs),
                _said(second, outputs),
                first.score,
                second.score,
                second.error or "",
            )
        )
    return tuple(rows)


def settings_of(store: Store, spec: RunSpec, run: RunRow) -> tuple[tuple[str, str], ...]:
    """Return what a run was set to, as (name, value) in plain words."""
    result, split = run.result or {}, spec.split
    names = {d.id: f"{d.name}, {d.rows:,} rows" for d in store.datasets.all()}
    budget = spec.budget
    limits = [
        f"{budget.calls:,} calls" if budget.calls else "",
        f"{budget.tokens:,} tokens" if budget.tokens else "",
        dollars(budget.usd) if budget.usd else "",
        duration(budget.seconds) if budget.seconds else "",
    ]
    shares = f"{100 * split.train:.0f} % to learn from, {100 * split.validation:.0f} % to choose by, {100 * split.test:.0f} % for the final test"
    pairs = (
        ("Data", names.get(spec.dataset, "not in this store any more")),
        ("Data hash (SHA-256)", spec.dataset_hash or "not recorded"),
        ("Rows divided", f"{shares}, seed {split.seed}"),
        ("Metric", _named(spec.metric.name, spec.metric.options)),
        ("Optimizer", _named(spec.optimizer.name, spec.optimizer.options)),
        ("Model", _model(spec.model)),
        *_models_of_steps(spec),
        ("Model that writes prompts", _model(spec.prompt_model) if spec.prompt_model else "the same"),
        ("Layout of messages", spec.adapter),
        ("Budget", ", ".join(limit for limit in limits if limit) or "no limit"),
        ("Seed", str(spec.seed)),
        ("The search ended", result.get("reason") or result.get("stopped") or run.state),
        ("Run", run.id),
    )
    return tuple((name, str(value)) for name, value in pairs)


def _tested(store: Store, run_id: str, candidate: str | None) -> dict[int, Outcome]:
    tested = [
        t
        for t in store.trials.all(run_id)
        if t.split == "test" and t.state == "finished" and t.candidate_id == candidate
    ]
    return {o.row: o for o in store.trials.outcomes(run_id, tested[-1].number)} if tested else {}


def _said(outcome: Outcome, outputs: Sequence[str]) -> dict[str, Any]:
    if outcome.error is not None:
        return dict.fromkeys(outputs, "failed")
    return {name: outcome.prediction.get(name) for name in outputs}


def _named(name: str, options: Mapping[str, object]) -> str:
    chosen = ", ".join(f"{key} {value}" for key, value in options.items())
    return f"{name} ({chosen})" if chosen else name


def _models_of_steps(spec: RunSpec) -> Iterator[tuple[str, str]]:
    for step in spec.pipeline.steps:
        if step.model:
            yield f"Model of the step {step.name}", _model(step.model)
        if step.extraction_model:
            yield f"Reads the free text of the step {step.name}", _model(step.extraction_model)


def _model(choice: ModelChoice) -> str:
    extra = f", temperature {choice.temperature}" if choice.temperature is not None else ""
    longest = f", at most {choice.max_tokens:,} tokens" if choice.max_tokens is not None else ""
    return f"{choice.name}{' at ' + _host(choice.base_url) if choice.base_url else ''}{extra}{longest}"


def _host(address: str) -> str:
    # An address may carry a user name and a password before its host: those stay at home.
    return address.rpartition("@")[2] if "@" in address else address
