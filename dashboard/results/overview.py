"""The result of a run on top; below it its prompts and rows, each kind of view in a tab."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from dashboard.components import ui
from dashboard.components.plot import plot
from dashboard.components.project_page import tune_link
from dashboard.components.tables import data_table
from dashboard.results.charts import (
    candidate_family,
    candidate_matrix,
    candidate_table,
    step_credit_card,
)
from dashboard.results.compare import candidate_compare, candidate_picker, heads, prompt_names
from dashboard.results.comparison import spread, spread_figure
from dashboard.results.fields import field_view
from dashboard.results.hero import figures, hero, take_card
from dashboard.results.labels import label_view
from dashboard.results.models import against_teacher, compared_models, models_view
from dashboard.results.more_scores import scoring_under_way
from dashboard.results.parts import parts_view
from dashboard.results.rows import row_matrix, split_choice
from dashboard.services import RunRow, chosen_from
from dashboard.state import candidates, reading
from dashboard.state.candidates import ComparedCandidate
from dashboard.state.live.snapshot import parts
from dashboard.text import escape_markdown

ADVICE = {
    "unchanged": "To get further: another way of tuning, a larger budget or more examples. The rows below show what still goes wrong.",
    "not_enough": "More test rows would tell: add examples, or give the final test a larger share of them.",
    "too_close": "More test rows would tell them apart; until then the cheaper of the two is as good a choice.",
    "worse": "Stay with the starting prompt, or try another way of tuning.",
}
"""Advice after a verdict without a clear gain."""


def results_view(run: RunRow) -> None:
    """Show a run that has at least begun to score prompts."""
    result, best = run.result, run.best
    if result:
        kind = result.shown.verdict.kind
        hero(run, result)
        tried = len(candidates.index(run))
        new = tried > 1 and kind not in ("unchanged", "not_tested") and not result.taken
        notes = [chosen_from(tried)] if new else []
        if kind == "unchanged" and result.reason:
            notes.append(escape_markdown(result.reason))
        notes += [ADVICE[kind]] if kind in ADVICE else []
        if notes:
            st.caption("  \n".join(notes))
        take_card(run, result)
        if kind != "not_tested":
            figures(result)
        against_teacher(run, result)
    else:
        _without_result(run)
    try:
        runs = candidates.comparable(run, reading.runs(run.project_id))
        whole = reading.run_spec(run)
        spec = whole.pipeline
    except ValueError:
        st.caption("This run was saved by another version of Tuneboard; its prompts cannot be compared here.")
        return
    picked = candidate_picker(run, best, runs)
    if not picked:
        st.caption("The first prompt appears here as soon as it is found.")
        return
    scoring_under_way([run, *(c.run for c in picked)])
    models = compared_models(run, whole)
    views: dict[str, Callable[[], None]] = {
        "Prompts side by side": lambda: candidate_compare(picked),
        **({"Models": lambda: models_view(run, whole, models)} if models else {}),
        **({"By field": lambda: field_view(run, picked)} if spec.has_record else {}),
        "Rows": lambda: row_matrix(run, picked),
        **({} if spec.has_record else {"By label": lambda: label_view(run, picked)}),
        "Scores": lambda: _scores(picked),
        "All prompts": lambda: _all(run, best),
        "Rows by prompt": lambda: candidate_matrix(run),
        "Family and cost": lambda: candidate_family(run, best, picked),
        "Rules and examples": lambda: parts_view(picked),
    }
    if len(spec.steps) > 1:
        views["Which step"] = lambda: step_credit_card(run, best)
    for tab, view in zip(
        st.tabs(list(views), key="results_tab", on_change="rerun", bind="query-params"),
        views.values(),
        strict=True,
    ):
        if tab.open:
            with tab, ui.errors_shown():  # in its tab; the others stay usable
                view()


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


def _scores(picked: Sequence[ComparedCandidate]) -> None:
    heads(picked)
    split = split_choice(picked, key="spread_split")
    if split is None:
        return
    names = prompt_names(picked)
    spreads = [spread(candidates.outcomes(c, split)) for c in picked]
    rows = [
        {"Prompt": name, "Rows": sum(sizes.values()), **sizes}
        for name, sizes in zip(names, spreads, strict=True)
    ]
    plot(
        spread_figure(names, spreads),
        key="spreads",
        label="; ".join(f"{row['Prompt']}: {row['Right']} of {row['Rows']} rows right" for row in rows),
        height=110 + 56 * len(rows),
        stamp=",".join(c.key for c in picked),
    )
    data_table(rows, "spread_table")


def _all(run: RunRow, best: str) -> None:
    drawn = parts(reading.snapshot(run))["chart"]
    plot(drawn["figure"], key="final_scores", label=drawn["label"], stamp=drawn["stamp"])
    candidate_table(candidates.everything(run), best)
