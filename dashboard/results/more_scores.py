"""The offer to score the rows that prompts lack, with its price, and what is to be seen while it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from dashboard.components import ui
from dashboard.services import EngineError, RunRow, counted, listed, price
from dashboard.state import launching, models, more_scores, reading
from dashboard.state.candidates import ComparedCandidate
from dashboard.state.more_scores import UnscoredRows
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown

LOOK_SECONDS = 1.0
PROBLEM = "more_scores_problem"
AFTER = (
    "Looked at after the choice: it says how good the prompt is on these rows. One that is picked by such scores looks better "
    "than it is, so the verdict stays the start against the best."
)


def missing_rows_offer(found: Sequence[ComparedCandidate], key: str) -> None:
    """Offer to score what the prompts lack, a button for each split; nothing where nothing is missing."""
    if read_only() or any(c.run.goes_on for c in found):
        return
    if offers := more_scores.offers(found):
        with ui.row(f"{key}_missing"):
            for split, missing in offers.items():
                names = listed(list(dict.fromkeys(unscored.name for unscored in missing)))
                rows = counted(sum(unscored.rows for unscored in missing), f"missing {split} row")
                takes = "It takes" if len(missing) == 1 else "They take"
                about = f"Scores {names}. {takes} at most twice the calls that its rows have taken so far."
                about += f" {AFTER}" if split == "test" else ""
                score_button(f"Score the {rows} ({{}})", missing, f"{key}_{split}", about)
    ui.problem_line(PROBLEM)


def score_button(
    label: str,
    missing: Sequence[UnscoredRows],
    key: str,
    about: str,
    why_not: str = "",
    *,
    then: Callable[[], None] = lambda: None,
) -> None:
    """Draw the button that asks for scores; its label has a place for their cost, `then` is called afterwards."""
    refusals = (models.run_refusal(reading.run_spec(unscored.run)) for unscored in missing)
    ui.button(
        label.format(price(more_scores.cost_of(missing))).replace("$", "\\$"),
        key,
        why_not or next(filter(None, refusals), ""),
        icon="playlist_add_check",
        help=escape_markdown(about, 1000),
        on_click=ui.callback(_ask, tuple(missing), then),
    )


def _ask(missing: Sequence[UnscoredRows], then: Callable[[], None]) -> None:
    with ui.problem_kept(PROBLEM):
        more_scores.ask(missing, models.for_process())
        then()


def scoring_under_way(runs: Sequence[RunRow]) -> None:
    """Show the scores that are being made for these runs, and why the last ones were not; nothing without one."""
    for run in {r.id: r for r in runs if r.result}.values():
        now = more_scores.progress(run)
        if run.goes_on and now.waiting:
            st.fragment(_progress, run_every=LOOK_SECONDS)(run.id)
        elif now.waiting and not run.is_over:
            with ui.row(f"scoring_{run.id}"):
                st.caption(ui.mark("link_off", run.message or "Scoring was interrupted."))
                if not read_only():
                    ui.button(
                        "Go on",
                        f"scoring_on_{run.id}",
                        on_click=ui.callback(_go_on, run.id),
                        icon="play_arrow",
                    )
        elif now.refused and run.is_over:
            st.caption(ui.mark("block", now.refused))


def _progress(run_id: str) -> None:
    try:
        run = reading.run(run_id)
        now = more_scores.progress(run)
    except EngineError as error:
        ui.show_error(error)
        return
    if not run.goes_on:
        st.rerun()
    with ui.card(f"scoring_{run_id}", gap="xsmall"):
        more = f", {now.waiting - 1} more to come" if now.waiting > 1 else ""
        doing = run.message or f"{now.done:,} of {now.rows:,} rows" if now.rows else "the process starts"
        st.progress(
            now.done / now.rows if now.rows else 0.0,
            f"Scoring more rows of {escape_markdown(run.title, 60)}: {escape_markdown(doing)}{more}",
        )
        if not read_only():
            ui.button(
                "Stop",
                f"stop_scoring_{run_id}",
                "It stops as soon as the calls under way have ended." if run.stop_requested else "",
                icon="stop",
                on_click=ui.callback(launching.stop, run_id),
            )


def _go_on(run_id: str) -> None:
    launching.resume(run_id, models.for_process())
