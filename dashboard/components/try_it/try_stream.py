"""Answers shown while they are being written: one column for each prompt, field by field."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import asking, keys
from dashboard.plain import plain
from engine.runs.trying import Attempt, Piece, TryRequest

BREATH = 0.06
"""Seconds between two drawings of a column: a fast model sends hundreds of pieces a second."""


def stream_attempts(
    request: TryRequest, chosen: Sequence[str], names: Mapping[str, str]
) -> tuple[Attempt, ...]:
    """Ask, and draw what is written meanwhile; return the attempts. Raises RunError. What was drawn is cleared again."""
    place = st.empty()
    with place.container():
        columns = st.columns(len(chosen), gap="medium")
        drawn = {
            prompt: _Column(column, names.get(prompt, prompt), at)
            for at, (prompt, column) in enumerate(zip(chosen, columns, strict=True))
        }
    try:
        return asking.try_out(request, keys.for_process(), lambda piece: drawn[piece.name].take(piece))
    finally:
        place.empty()


class _Column:
    """What one prompt has written so far, by step and field; always drawn as plain text."""

    def __init__(self, column: Any, name: str, at: int) -> None:
        self._told: dict[tuple[str, str], str] = {}
        self._drawn_at = 0.0
        with column, st.container(border=True, height="stretch", key=f"writing_{at}"):
            st.markdown(f"**{plain(name)}**")
            self._text = st.empty()
            self._text.caption(":material/hourglass_top: Waiting for the first word")

    def take(self, piece: Piece) -> None:
        """Add a piece, and draw when it is time."""
        key = (piece.step, piece.field)
        self._told[key] = self._told.get(key, "") + piece.text
        now = time.monotonic()
        if now - self._drawn_at < BREATH:
            return
        self._drawn_at = now
        several = len({step for step, _ in self._told}) > 1
        self._text.text(
            "\n\n".join(
                f"{f'{step}: ' if several else ''}{field}\n{text}"
                for (step, field), text in self._told.items()
            )
        )
