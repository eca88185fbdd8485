"""One trial: which prompt, why it exists, what it scored and what it cost."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.meters import duration, short
from engine.store.rows import RunRow, TrialRow


def trial_card(run: RunRow, trial: TrialRow) -> None:
    """Show a trial that was clicked on the chart."""
    found = next((c for c in data.candidates(run.id) if c.id == trial.candidate_id), None)
    with st.container(border=True, key="trial_card"):
        score = "in progress" if trial.score is None else f"{100 * trial.score:.1f} %"
        st.markdown(
            f"**Trial {trial.number}** · {score} on {trial.rows_done} of {trial.rows_total} {trial.split} rows"
        )
        usage = trial.usage
        st.caption(
            f"{usage.calls} calls, {usage.cached} from the cache, {short(usage.tokens)} tokens, {duration(trial.seconds)}"
        )
        if found is None:
            return
        st.text(found.candidate.reason or "The starting prompt.")
        for path, state in found.candidate.steps.items():
            if len(found.candidate.steps) > 1:
                st.caption(path)
            st.code(state.instructions or "(no instruction)", language=None, wrap_lines=True, height=140)
            st.caption(
                f"{len(state.demos)} solved examples shown" if state.demos else "No solved examples shown"
            )
