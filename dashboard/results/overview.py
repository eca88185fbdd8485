"""The result of a run on top, the prompt to take and its text; below them its prompts, its rows, its models and cost in tabs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import streamlit as st

from dashboard.components import ui
from dashboard.components.plot import plot
from dashboard.components.project_page import tune_link
from dashboard.results.charts import (
    candidate_family,
    candidate_matrix,
    candidate_table,
    step_credit_card,
)
from dashboard.results.compare import candidate_compare, candidate_picker, prompt_names
from dashboard.results.comparison import spread, spread_figure
from dashboard.results.fields import field_view
from dashboard.results.hero import hero, prompt_card, take_card
from dashboard.results.labels import label_view
from dashboard.results.models import comparison_sentence, models_and_cost
from dashboard.results.more_scores import scoring_under_way
from dashboard.results.rows import row_matrix, split_choice
from dashboard.services import ADVICE, RunResult, RunRow, chosen_from
from dashboard.state import candidates, reading
from dashboard.state.candidates import ComparedCandidate
from dashboard.state.live.snapshot import parts
from dashboard.text import escape_markdown


def results_view(run: RunRow) -> None:
    """Show a run that has at least begun to score prompts."""
    best, spec, runs = run.best, None, [run]
    with suppress(ValueError):  # saved by another version
        spec = reading.run_spec(run)
        runs = candidates.comparable(run, reading.runs(run.project_id))
    picked = candidates.chosen(run, best, st.query_params.get(candidates.PARAM, ""), runs) if spec else []
    if run.result:
        hero(run, run.result, _notes(run, run.result), picked)
        take_card(run, run.result)
    else:
        _without_result(run)
    if run.result or picked:
        prompt_card(run, picked)
    if spec is None:
        st.caption("This run was saved by another version of Tuneboard; its prompts cannot be compared here.")
        return
    picked = candidate_picker(run, best, runs)
    if not picked:
        st.caption("The first prompt appears here as soon as it is found.")
        return
    scoring_under_way([run, *(c.run for c in picked)])
    tabs: dict[str, Callable[[], None]] = {
        "Prompts": partial(_prompts, run, best, picked, several=len(spec.pipeline.steps) > 1),
        "Rows": partial(_rows, run, picked, record=spec.pipeline.has_record),
        "Models and cost": partial(models_and_cost, run, spec, picked),
    }
    for tab, draw in zip(
        st.tabs(list(tabs), key="results_tab", on_change="rerun", bind="query-params"),
        tabs.values(),
        strict=True,
    ):
        if tab.open:
            with tab, ui.errors_shown():  # in its tab; the others stay usable
                draw()


def _notes(run: RunRow, result: RunResult) -> list[str]:
    """Return what else is to be known of a verdict: what choosing did to it, how the search ended, what to do next."""
    kind, tried = result.shown.verdict.kind, len(candidates.index(run))
    new = tried > 1 and kind not in ("unchanged", "not_tested") and not result.taken
    notes = [chosen_from(tried)] if new else []
    if kind == "unchanged" and result.reason:
        notes.append(result.reason)
    return [*notes, ADVICE.get(kind, ""), comparison_sentence(result.best, result.teacher)]


def _prompts(run: RunRow, best: str, picked: Sequence[ComparedCandidate], *, several: bool) -> None:
    views: dict[str, Callable[[], None]] = {
        "Word by word": lambda: candidate_compare(picked),
        "All prompts": lambda: _all(run, best),
        "What came from what": lambda: candidate_family(run, best, picked),
    }
    if several:
        views["Which step"] = lambda: step_credit_card(run, best)
    views[_view("prompts_view", list(views))]()


def _rows(run: RunRow, picked: Sequence[ComparedCandidate], *, record: bool) -> None:
    views: dict[str, Callable[[str], None]] = {
        "Answers": partial(row_matrix, run, picked),
        "By field" if record else "By label": partial(field_view if record else label_view, run, picked),
        "By prompt": lambda _: candidate_matrix(run),
        "Scores": partial(_scores, picked),
    }
    with ui.row("rows_bar", "top", side="distribute"):
        view = _view("rows_view", list(views))
        with st.container(key="rows_split", width="content"):
            split = "" if view == "By prompt" else split_choice(picked)
    if split is not None:
        views[view](split)


def _view(key: str, names: Sequence[str]) -> str:
    """Let the user choose what a tab shows."""
    if st.session_state.get(key, names[0]) not in names:  # another run has other views
        del st.session_state[key]
    return ui.segments("View", names, default=names[0], key=key, bind="query-params")


def nothing_yet(run: RunRow | None) -> None:
    """Say why there are no results, and where to go."""
    if run is None:
        what = "Start a run on the Tune page; its verdict, prompts and rows will be shown here."
    elif not run.goes_on:
        what = escape_markdown(run.message) or "This run ended before there was anything to compare."
    else:
        what = "The run has only begun; its first prompt appears here when it has answered its rows."
    with ui.nothing_here("no_results", "No results yet", what):
        if run is None:
            tune_link()
        else:
            _watch(run)


def _without_result(run: RunRow) -> None:
    if not run.goes_on:
        title, what = (
            "This run has no verdict",
            escape_markdown(run.message) or "It ended before the final test.",
        )
    else:
        title = "The run is still going on"
        what = (
            "These are the prompts so far, on the rows that choose among them. The verdict comes with the final test, "
            "at the end."
        )
    with ui.nothing_here("no_verdict", title, what), ui.row("no_verdict_bar"):
        _watch(run)
        if run.goes_on:
            ui.button("Look again", "look_again", icon="refresh")


def _watch(run: RunRow) -> None:
    ui.link("run", "Watch it" if run.goes_on else "Look at the run", "monitoring", run=run.id)


def _scores(picked: Sequence[ComparedCandidate], split: str) -> None:
    names = prompt_names(picked)
    spreads = [spread(candidates.outcomes(c, split)) for c in picked]
    lines = [
        f"{name}: " + ", ".join(f"{size} {band.lower()}" for band, size in sizes.items() if size)
        for name, sizes in zip(names, spreads, strict=True)
    ]
    plot(
        spread_figure(names, spreads),
        key="spreads",
        label="; ".join(lines),
        height=110 + 56 * len(lines),
        stamp=",".join(c.key for c in picked),
    )


def _all(run: RunRow, best: str) -> None:
    drawn = parts(reading.snapshot(run))["chart"]
    plot(drawn["figure"], key="final_scores", label=drawn["label"], stamp=drawn["stamp"])
    candidate_table(candidates.everything(run), best)
