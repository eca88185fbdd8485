"""Prompts compared word by word, the messages made of them, and the head of an answer. Everything is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import streamlit as st

from dashboard.components import ui
from dashboard.services import Difference, ModelCall, Segment, counted, difference, percent, price, short
from dashboard.state.messages import text_of
from dashboard.text import escape_markdown

TALL = 520
"""Pixels of a box of messages, which scrolls."""


def messages_view(
    messages: Iterable[Mapping[str, object]],
    *,
    system: str = "Instructions to the model",
    user: str = "What it was asked",
    answer: str = "A solved example's answer",
) -> None:
    """Show messages one after the other, each under what its role means here."""
    titles = {"system": (system, "smart_toy"), "user": (user, "person"), "assistant": (answer, "reply")}
    for message in messages:
        role = str(message.get("role"))
        title, icon = titles.get(role, (role, "chat"))
        st.caption(f":material/{icon}: {escape_markdown(title)}")
        ui.plain_code(text_of(message))


def answer_head(name: str, key: str, score: float | None, error: str | None) -> None:
    """Show whose answer it is, whether it is right, and why it failed."""
    with ui.row(key, side="distribute"):
        st.markdown(f"**{escape_markdown(name, 80)}**", width="content")
        if error:
            st.badge("Failed", color="red", icon=":material/error:")
        elif score is not None and score >= 1:
            st.badge("Right", color="green", icon=":material/check:")
        elif score is not None and score <= 0:
            st.badge("Wrong", color="red", icon=":material/close:")
        elif score is not None:
            st.badge(percent(score, 0), color="orange", icon=":material/percent:")
    if error:
        st.text(error)


def took(seconds: float, cost: float | None, tokens: int, calls: str, *, cached: bool = False) -> None:
    """Show what an answer took: time and price, or that the cache gave it all, then tokens and calls."""
    time = f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
    paid = "answered from the cache, free" if cached else f"{time} · {escape_markdown(price(cost))}"
    st.caption(
        f":material/schedule: {paid} · {short(tokens)} tokens · {calls}",
        help="Time on the clock, tokens read and written, and the price by the list.",
    )


def calls_view(calls: Sequence[ModelCall]) -> None:
    """Show calls one after the other: what was sent, what came back, whether the cache answered."""
    for number, call in enumerate(calls, 1):
        tokens = f"{short(call.input_tokens)} tokens in, {short(call.output_tokens)} out"
        source = " · from the cache" if call.cached else ""
        st.markdown(f"**Call {number} of {len(calls)}** · {tokens}{source}")
        messages_view(call.messages)
        st.caption(":material/reply: What came back" if not call.error else ":material/error: It failed")
        ui.plain_code(call.answer or call.error or "(nothing)")


def prompt_diff(before: str, after: str, *, split: bool = True) -> None:
    """Show what changed between two texts."""
    changes = difference(before, after)
    if not changes.added and not changes.removed:
        st.caption("The same text, word for word.")
    else:
        st.caption(f"{counted(changes.added, 'word')} added, {counted(changes.removed, 'word')} removed")
    _diff_box(_split(changes) if split else _unified(changes), "diff split" if split else "diff")


def prompt_text(text: str, *, alone: bool) -> None:
    """Show the text that the others next to it are compared with, or a text alone."""
    if not alone:
        st.caption("The others are compared with this one.")
    _diff_box(
        f"<tr><td class='n'></td><td>{escape(line) or '&nbsp;'}</td></tr>"
        for line in text.splitlines() or [""]
    )


def _diff_box(rows: Iterable[str], kind: str = "diff") -> None:
    # A long prompt scrolls in its own box, so what follows it is never screens away.
    table = f"<table class='{kind}'>{''.join(rows)}</table>"
    st.html(
        f"<div class='tb-diff' tabindex='0' role='region' aria-label='The text of the prompts'>{table}</div>"
    )


def _split(found: Difference) -> Iterable[str]:
    left = right = 0
    for line in found.lines:
        left += line.before is not None
        right += line.after is not None
        before = _side(line.before, left, "del", line.changed)
        same = "" if line.changed else " class='same'"
        yield f"<tr{same}>{before}{_side(line.after, right, 'ins', line.changed)}</tr>"


def _side(segments: Sequence[Segment] | None, number: int, kind: str, changed: bool) -> str:
    if segments is None:
        return "<td class='n'></td><td class='none'></td>"
    return f"<td class='n'>{number}</td><td class='{kind if changed else ''}'>{_marked(segments)}</td>"


def _unified(found: Difference) -> Iterable[str]:
    for line in found.lines:
        if not line.changed:
            yield f"<tr><td class='n'></td><td>{_marked(line.after or ())}</td></tr>"
            continue
        for segments, sign, kind in ((line.before, "-", "del"), (line.after, "+", "ins")):
            if segments is not None:
                yield f"<tr><td class='n'>{sign}</td><td class='{kind}'>{_marked(segments)}</td></tr>"


def _marked(segments: Sequence[Segment]) -> str:
    tags = {"same": "{}", "added": "<ins>{}</ins>", "removed": "<del>{}</del>"}
    return "".join(tags[s.kind].format(escape(s.text)) for s in segments) or "&nbsp;"
