"""Whether the exported files answer as the tuned prompt did: they were read again and scored when the run ended."""

from __future__ import annotations

import streamlit as st

from dashboard.glossary import explain
from dashboard.plain import plain
from engine.store.rows import RunRow


def proof_card(run: RunRow) -> None:
    """Show the proof that a run kept; nothing for a run made before there were proofs."""
    proofs = (run.result or {}).get("proof")
    if not proofs:
        return
    with st.container(border=True, key="proof", gap="xsmall"):
        st.markdown(
            "**Proven to score the same**"
            if all(p["holds"] for p in proofs)
            else "**Checked after writing**",
            help=explain(
                "proof",
                "Every answer came from those kept, so a single changed character would show, and nothing was paid for.",
            ),
        )
        for proof in proofs:
            icon = ":green[:material/verified:]" if proof["holds"] else ":orange[:material/help:]"
            st.caption(f"{icon} {plain(proof['sentence'])}")
