"""A document next to its record: pages with the values marked, fields with what is wrong; corrections in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboard.components import ui
from dashboard.components.plot import own_element

_element = own_element("document", "<div class='tb-document'></div>")

Correction = Callable[[str, str, str], object]
"""Saves a correction: what to do ("corrected", "added" or "removed"), the path, and the new text."""

ACTS = ("corrected", "added", "removed")


def document_view(data: dict[str, Any], key: str, correct: Correction | None = None) -> None:
    """Draw a document and its record, see `views.documents.viewer_data`; `correct` saves what the user changes."""

    def changed(act: str) -> Callable[[], None]:
        def save() -> None:
            given = st.session_state[key].get(act) or {}
            if correct is not None and given:
                correct(act, str(given.get("path", "")), str(given.get("value", "")))

        return ui.callback(save)

    acts = {f"on_{act}_change": changed(act) for act in ACTS}
    _element(key=key, data=data, **acts)
