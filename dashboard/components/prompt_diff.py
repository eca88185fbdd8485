"""Two texts side by side, or as one, with the words that came and went marked. Everything is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from engine.export.diff import Difference, Segment, difference
from engine.text import counted


def prompt_diff(before: str, after: str, *, split: bool = True) -> None:
    """Show what changed between two texts."""
    found = difference(before, after)
    if not found.added and not found.removed:
        st.caption("The same text, word for word.")
    else:
        st.caption(f"{counted(found.added, 'word')} added, {counted(found.removed, 'word')} removed")
    _diff_box(_split(found) if split else _unified(found))


def prompt_text(text: str) -> None:
    """Show the text that the others next to it are compared with."""
    st.caption("The others are compared with this one.")
    lines = (
        f"<tr><td class='n'></td><td>{escape(line) or '&nbsp;'}</td></tr>"
        for line in text.splitlines() or [""]
    )
    _diff_box(f"<table class='diff'>{''.join(lines)}</table>")


def _diff_box(table: str) -> None:
    # A long prompt scrolls in its own box, so what follows it is never screens away.
    st.html(
        f"<div class='tb-diff' tabindex='0' role='region' aria-label='The text of the prompts'>{table}</div>"
    )


def _split(found: Difference) -> str:
    rows: list[str] = []
    left = right = 0
    for line in found.lines:
        left += line.before is not None
        right += line.after is not None
        rows.append(
            f"<tr>{_side(line.before, left, 'del', line.changed)}{_side(line.after, right, 'ins', line.changed)}</tr>"
        )
    return f"<table class='diff'>{''.join(rows)}</table>"


def _side(segments: Sequence[Segment] | None, number: int, kind: str, changed: bool) -> str:
    if segments is None:
        return "<td class='n'></td><td class='none'></td>"
    return f"<td class='n'>{number}</td><td class='{kind if changed else ''}'>{_marked(segments)}</td>"


def _unified(found: Difference) -> str:
    rows: list[str] = []
    for line in found.lines:
        if not line.changed:
            rows.append(f"<tr><td class='n'></td><td>{_marked(line.after or ())}</td></tr>")
            continue
        for segments, sign, kind in ((line.before, "-", "del"), (line.after, "+", "ins")):
            if segments is not None:
                rows.append(f"<tr><td class='n'>{sign}</td><td class='{kind}'>{_marked(segments)}</td></tr>")
    return f"<table class='diff'>{''.join(rows)}</table>"


def _marked(segments: Sequence[Segment]) -> str:
    tags = {"same": "{}", "added": "<ins>{}</ins>", "removed": "<del>{}</del>"}
    return "".join(tags[s.kind].format(escape(s.text)) for s in segments) or "&nbsp;"
