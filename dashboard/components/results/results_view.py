"""A run's results as tabs: what it came to, which prompts, which rows; also of one under way or one that failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from dashboard import contenders, data
from dashboard.charts import score_chart, score_figure
from dashboard.comparison import verdict_notes
from dashboard.components.page import complain, tune_link
from dashboard.components.plot import plot
from dashboard.components.results.candidate_compare import candidate_compare, heads
from dashboard.components.results.candidate_maps import candidate_family, candidate_matrix
from dashboard.components.results.candidate_table import candidate_table
from dashboard.components.results.contender_picker import contender_picker
from dashboard.components.results.kpi_cards import kpi_cards
from dashboard.components.results.row_matrix import row_matrix, split_choice
from dashboard.components.results.step_credit import step_credit_card
from dashboard.components.verdict_card import verdict_card
from dashboard.contenders import Contender
from dashboard.plain import distinct, plain
from dashboard.side_by_side import spread, spread_figure
from engine.errors import EngineError
from engine.store.rows import RunRow

ADVICE = {
    "unchanged": (
        "To get further: another way of tuning, a larger budget or more examples. The rows below show what still goes wrong.",
    ),
    "not_enough": (
        "More test rows would tell: add examples, or give the final test a larger share of them.",
    ),
    "too_close": (
        "More test rows would tell them apart; until then the cheaper of the two is as good a choice.",
    ),
    "worse": ("Stay with the starting prompt, or try another way of tuning.",),
}
"""What helps on, after a verdict that is no clear gain."""


def results_view(run: RunRow) -> None:
    """Show a run that has at least begun to score prompts."""
    result = run.result or {}
    best = str(result.get("best_candidate", ""))
    if result:
        verdict_card(result["verdict"])
        whole = result.get("whole_set")
        notes = [plain(whole["sentence"])] if whole else []
        notes += verdict_notes(result["verdict"], len(contenders.index(run)))
        if result["verdict"].get("kind") == "unchanged" and result.get("reason"):
            notes.append(plain(str(result["reason"])))
        notes += ADVICE.get(str(result["verdict"].get("kind")), ())
        if notes:
            st.caption("  \n".join(notes))
        kpi_cards(result)
    else:
        _without_result(run)
    try:
        runs = contenders.comparable(run, data.runs(run.project_id))
        steps = len(data.pipeline(run).steps)
    except ValueError:
        st.caption("This run was saved by another version of Tuneboard; its prompts cannot be compared here.")
        return
    picked = contender_picker(run, best, runs)
    if not picked:
        st.caption("The first prompt appears here as soon as it is found.")
        return
    views: dict[str, Callable[[], None]] = {
        "Prompts side by side": lambda: candidate_compare(picked),
        "Rows": lambda: row_matrix(run, picked),
        "Scores": lambda: _scores(picked),
        "All prompts": lambda: _all(run, best),
        "Rows by prompt": lambda: candidate_matrix(run),
        "Family and cost": lambda: candidate_family(run, best, picked),
    }
    if steps > 1:
        views["Which step"] = lambda: step_credit_card(run, best)
    for tab, view in zip(
        st.tabs(list(views), key="results_tab", on_change="rerun", bind="query-params"),
        views.values(),
        strict=True,
    ):
        if tab.open:
            with tab:
                _guarded(view)


def nothing_yet(run: RunRow | None) -> None:
    """Say why there are no results, and where to go."""
    with st.container(border=True, key="no_results"):
        st.markdown("**No results yet**")
        if run is None:
            st.caption("Start a run on the Tune page; its verdict, prompts and rows will be shown here.")
            tune_link()
            return
        if run.is_over or run.state == "lost":
            st.caption(plain(run.message) or "This run ended before there was anything to compare.")
        else:
            st.caption("The run has only begun; its first prompt appears here when it has answered its rows.")
        _watch(run)


def _without_result(run: RunRow) -> None:
    with st.container(border=True, key="no_verdict"):
        if run.is_over or run.state == "lost":
            st.markdown("**This run has no verdict**")
            st.caption(plain(run.message) or "It ended before the final test.")
        else:
            st.markdown("**The run is still going on**")
            st.caption(
                "These are the prompts so far, on the rows that choose among them. The verdict comes with the final test, "
                "at the end."
            )
        with st.container(horizontal=True, vertical_alignment="center", key="no_verdict_bar"):
            _watch(run)
            if not run.is_over and run.state != "lost":
                st.button("Look again", key="look_again", icon=":material/refresh:")


def _watch(run: RunRow) -> None:
    st.page_link(
        "app_pages/run.py",
        label="Look at the run" if run.is_over or run.state == "lost" else "Watch it",
        icon=":material/monitoring:",
        query_params={"run": run.id},
        width="content",
    )


def _guarded(view: Callable[[], None]) -> None:
    try:
        view()
    except EngineError as error:
        complain(error)  # in its tab; the others stay usable


def _scores(picked: Sequence[Contender]) -> None:
    heads(picked)
    split = split_choice(picked, key="spread_split")
    if split is None:
        return
    names = distinct({c.key: c.name for c in picked})
    found = [spread(names[c.key], contenders.outcomes(c, split)) for c in picked]
    plot(
        spread_figure(found),
        key="spreads",
        label="; ".join(f"{s.name}: {s.right} of {s.rows} rows right" for s in found),
        height=110 + 56 * len(found),
        stamp=",".join(c.key for c in picked),
    )
    st.dataframe(
        [
            {
                "Prompt": s.name,
                "Rows": s.rows,
                "Right": s.right,
                "A half or more": s.high,
                "Under a half": s.low,
                "Wrong": s.wrong,
                "Failed": s.failed,
            }
            for s in found
        ],
        hide_index=True,
        key="spread_table",
        height="content",
    )


def _all(run: RunRow, best: str) -> None:
    trials = data.moment(run).trials
    plot(
        score_figure(score_chart(trials), over=run.is_over),
        key="final_scores",
        label=f"Scores of {len(trials)} trials",
        stamp=str(len(trials)),
    )
    candidate_table(contenders.everything(run), best)
