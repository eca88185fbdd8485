"""Credit of each step's change for the score, in a pipeline with several."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard.state import candidates, reading
from dashboard.views.glossary import explain
from dashboard.views.text import count, escape_markdown
from engine.search.verdict import Credit, step_credit
from engine.store.rows import RunRow


def credit_of(run: RunRow, best: str) -> Credit:
    """Return each step's credit in a run; computed again only when the run has changed."""
    return _credit(run.id, run.revision, best, reading.home_folder())


@st.cache_resource(max_entries=16, show_spinner="Comparing each prompt with what it came from")
def _credit(run_id: str, revision: int, best: str, folder: str) -> Credit:  # noqa: ARG001 - the cache's key
    run = reading.run(run_id)
    scores, trials = candidates.row_scores(run), candidates.whole(run)
    by_candidate = {
        candidate: scores[found["validation"].number]
        for candidate, found in trials.items()
        if "validation" in found and found["validation"].number in scores
    }
    return step_credit([c.candidate for c in candidates.everything(run)], by_candidate, best)


def step_credit_card(run: RunRow, best: str) -> None:
    """Show the steps with what their changes gained, and every change behind it."""
    found = credit_of(run, best)
    with st.container(key="credit"):
        st.markdown(
            f":material/alt_route: **{escape_markdown(found.sentence)}**",
            help=explain("step's share", "They are compared on the same rows to choose by."),
        )
    _steps(found)
    _changes(found, {c.id: c.number for c in candidates.index(run)})


def _steps(found: Credit) -> None:
    st.dataframe(
        [
            {
                "Step": s.step,
                "Changes tried": len(s.changes),
                "Helped": s.helped,
                "Mean gain": 100 * s.mean if s.changes else None,
                "On the way to the best": None if s.kept is None else 100 * s.kept,
            }
            for s in found.steps
        ],
        hide_index=True,
        key="credit_table",
        height="content",
        placeholder="none",
        column_config={
            "Mean gain": st.column_config.NumberColumn(
                "Mean gain",
                format="%+.1f",
                help=explain("gain", "Here: of a change of this step alone, on average."),
            ),
            "On the way to the best": st.column_config.NumberColumn(
                "On the way to the best",
                format="%+.1f",
                help="What this step's own changes add up to on the line from the start to the best prompt, in points.",
            ),
        },
    )
    if found.together:
        st.caption(
            f"{count(found.together, 'change')} touched several steps at once; no single step is credited with those."
        )


def _changes(found: Credit, numbers: Mapping[str, int]) -> None:
    changes = sorted((c for s in found.steps for c in s.changes), key=lambda c: -abs(c.gain))
    if changes:
        with st.expander(f"All {count(len(changes), 'change')} of a single step", key="credit_changes"):
            st.dataframe(
                [
                    {
                        "Step": c.step,
                        "What changed": c.what,
                        "From": numbers.get(c.parent),
                        "To": numbers.get(c.child),
                        "Gain": 100 * c.gain,
                        "95 % interval": f"{100 * c.low:+.0f} to {100 * c.high:+.0f}",
                        "Rows": c.rows,
                    }
                    for c in changes
                ],
                hide_index=True,
                key="credit_change_table",
                column_config={
                    "From": st.column_config.NumberColumn(
                        "From", width="small", help=explain("candidate", "Here: its number.")
                    ),
                    "To": st.column_config.NumberColumn("To", width="small"),
                    "Gain": st.column_config.NumberColumn(
                        "Gain",
                        format="%+.1f",
                        width="small",
                        help=explain("gain", "Here: of the second prompt over the first."),
                    ),
                },
            )
