"""The verdict first: one sentence computed by code, then the figures it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

_LOOKS = {
    "better": (st.success, ":material/trending_up:"),
    "worse": (st.error, ":material/trending_down:"),
    "too_close": (st.info, ":material/drag_handle:"),
    "not_enough": (st.warning, ":material/help:"),
}


def verdict_card(verdict: Mapping[str, Any]) -> None:
    """Show the verdict's sentence in its colour."""
    box, icon = _LOOKS.get(str(verdict.get("kind")), _LOOKS["too_close"])
    with st.container(key="verdict"):
        box(str(verdict.get("sentence", "")), icon=icon)
