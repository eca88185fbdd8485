"""Answers shown while they are being written: one column for each prompt, field by field."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.components.layout import card, in_row, show_error
from dashboard.state.playground import Playground, Talk, answer_input, extras, missing, same_answer, turns_of
from dashboard.views.comparison import as_text
from dashboard.views.prompts import text_of
from dashboard.views.text import count, escape_markdown
from engine.errors import EngineError
from engine.pipeline.spec import FieldSpec
from engine.runs.playground import ModelCall, Piece, PlaygroundAnswer, PlaygroundRequest
from engine.text import price, short

BREATH = 0.06
"""Seconds between two drawings of a column: a fast model sends hundreds of pieces a second."""


def stream_attempts(
    request: PlaygroundRequest, chosen: Sequence[str], names: Mapping[str, str]
) -> tuple[PlaygroundAnswer, ...]:
    """Ask, and draw what is written meanwhile; return the attempts. Raises RunError. What was drawn is cleared again."""
    place = st.empty()
    with place.container():
        columns = st.columns(len(chosen), gap="medium")
        drawn = {
            prompt: _Column(column, names.get(prompt, prompt), at)
            for at, (prompt, column) in enumerate(zip(chosen, columns, strict=True))
        }
    try:
        return answer_input(request, lambda piece: drawn[piece.name].take(piece))
    finally:
        place.empty()


class _Column:
    """Text one prompt has written so far, by step and field; always drawn as plain text."""

    def __init__(self, column: Any, name: str, at: int) -> None:
        self._told: dict[tuple[str, str], str] = {}
        self._drawn_at = 0.0
        with column, card(f"writing_{at}", f"{escape_markdown(name)}", height="stretch"):
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


LONGEST_TRACE = 20_000
MOST_EXTRAS = 4
TALL = 520
"""Pixels of a box of messages, which scrolls."""

ROLES = {
    "system": ("Instructions to the model", ":material/smart_toy:"),
    "user": ("What it was asked", ":material/person:"),
    "assistant": ("A solved example's answer", ":material/reply:"),
}


def attempts_view(
    attempts: Sequence[PlaygroundAnswer],
    names: Mapping[str, str],
    outputs: Sequence[FieldSpec],
    expected: Mapping[str, object],
    *,
    key: str = "",
) -> None:
    """Show the attempts side by side. `names` is the attempt's name -> what to call it; `key` tells turns apart."""
    if len(attempts) > 1:
        _headline(attempts, outputs)
    if expected:
        with in_row(f"try_expected{key}"):
            st.badge("The right answer", icon=":material/flag:")
            st.text(" · ".join(as_text(expected.get(f.name, "")) for f in outputs))
    for at, (column, attempt) in enumerate(
        zip(st.columns(len(attempts), gap="medium"), attempts, strict=True)
    ):
        with column, card(f"attempt_{key}{at}", height="stretch"):
            _attempt(attempt, names.get(attempt.name, attempt.name), outputs, f"{key}{at}")


def _headline(attempts: Sequence[PlaygroundAnswer], outputs: Sequence[FieldSpec]) -> None:
    if any(a.error for a in attempts):
        return
    scores = [a.score for a in attempts]
    if None not in scores and scores[0] != scores[-1]:
        better = (scores[-1] or 0) > (scores[0] or 0)
        words = (
            "Fixed: the second prompt gets this one right" if better else "Broken: the first did better here"
        )
        if better and (scores[-1] or 0) < 1:
            words = "Improved: the second prompt scores higher here"
        colour = "green" if better else "red"
        st.markdown(f":{colour}[:material/{'trending_up' if better else 'trending_down'}: **{words}**]")
    elif same_answer(attempts, outputs):
        st.markdown(":gray[:material/drag_handle: Both prompts give the same answer]")
    else:
        st.markdown(":orange[:material/compare_arrows: **The answers differ**]")


def _attempt(attempt: PlaygroundAnswer, name: str, outputs: Sequence[FieldSpec], at: str) -> None:
    with in_row(f"attempt_head_{at}", side="distribute"):
        st.markdown(f"**{escape_markdown(name)}**", width="content")
        if attempt.error:
            st.badge("Failed", color="red", icon=":material/error:")
        elif attempt.score is not None:
            right, wrong = attempt.score >= 1, attempt.score <= 0
            st.badge(
                "Right" if right else "Wrong" if wrong else f"{100 * attempt.score:.0f} %",
                color="green" if right else "red" if wrong else "orange",
                icon=":material/check:" if right else ":material/close:" if wrong else ":material/percent:",
            )
    if attempt.error:
        st.text(attempt.error)
    for field in outputs:
        if field.name in attempt.answer:
            _value(
                field.name, as_text(attempt.answer[field.name]) or "(empty)", key=f"answer_{at}_{field.name}"
            )
    if attempt.feedback and attempt.score is not None and attempt.score < 1:
        _value("The metric says", attempt.feedback, key=f"feedback_{at}")
    more = extras(attempt, outputs)
    # An agent writes dozens of them: those are read step by step.
    for number, (title, text) in enumerate(more if len(more) <= MOST_EXTRAS else ()):
        _value(f"On the way: {title}", text, key=f"extra_{at}_{number}")
    st.caption(_took(attempt), help="Time on the clock, tokens read and written, and the price by the list.")
    if len(attempt.steps) > 1:
        _trace(attempt, at)
    if attempt.calls:
        _messages(attempt.calls, at)


def _trace(attempt: PlaygroundAnswer, at: str) -> None:
    with st.expander(
        f"Step by step ({len(attempt.steps)})", icon=":material/account_tree:", key=f"trace_{at}"
    ):
        for number, step in enumerate(attempt.steps, 1):
            st.markdown(f"**{number}. {escape_markdown(step.path)}**")
            for title, values in (("Went in", step.inputs), ("Came out", step.outputs)):
                if values:
                    st.caption(title)
                    outcome_text = "\n".join(f"{name}: {as_text(value)}" for name, value in values.items())
                    st.code(outcome_text[:LONGEST_TRACE], language=None, wrap_lines=True)


def _value(title: str, text: str, *, key: str) -> None:
    with st.container(gap="xxsmall", key=key):
        st.caption(escape_markdown(title))
        st.text(text)


def _took(attempt: PlaygroundAnswer) -> str:
    seconds = f"{1000 * attempt.seconds:.0f} ms" if attempt.seconds < 1 else f"{attempt.seconds:.1f} s"
    source = (
        "answered from the cache, free"
        if attempt.cached
        else f"{seconds} · {escape_markdown(price(attempt.cost))}"
    )
    tokens = f"{short(attempt.tokens)} tokens"
    return f":material/schedule: {source} · {tokens} · {count(len(attempt.calls), 'call')}"


def _messages(calls: Sequence[ModelCall], at: str) -> None:
    with (
        st.expander("The exact messages", icon=":material/forum:", key=f"messages_{at}"),
        st.container(height=TALL, border=False, key=f"messages_box_{at}"),
    ):
        calls_view(calls)


def calls_view(calls: Sequence[ModelCall]) -> None:
    """Show calls one after the other: what was sent, what came back, whether the cache answered."""
    for number, call in enumerate(calls, 1):
        tokens = f"{short(call.input_tokens)} tokens in, {short(call.output_tokens)} out"
        source = " · from the cache" if call.cached else ""
        st.markdown(f"**Call {number} of {len(calls)}** · {tokens}{source}")
        for message in call.messages:
            title, icon = ROLES.get(str(message.get("role")), (str(message.get("role")), ":material/chat:"))
            st.caption(f"{icon} {escape_markdown(title)}")
            st.code(text_of(message), language=None, wrap_lines=True)
        st.caption(":material/reply: What came back" if not call.error else ":material/error: It failed")
        st.code(call.answer or call.error or "(nothing)", language=None, wrap_lines=True)


Turn = tuple[dict[str, Any], tuple[PlaygroundAnswer, ...]]


def chat_view(
    trial: Playground, talk: Talk, chosen: list[str], others: Callable[[], Mapping[str, object]], reason: str
) -> None:
    """Show the conversation and the box for the next message. `others` draws the inputs that are no message."""
    key = f"try_chat_{trial.run}_{'_'.join(chosen)}"
    turns: list[Turn] = st.session_state.setdefault(key, [])
    names = {p.id: p.name for p in trial.prompts}
    with in_row("chat_bar"):
        st.caption(
            "Each prompt remembers its own answers."
            if talk.history
            else "This task has no input for earlier turns, so every message is answered by itself."
        )
        if turns and st.button(
            "Start again", key="chat_anew", icon=":material/restart_alt:", type="tertiary"
        ):
            st.session_state[key] = []
            st.rerun()
    given = dict(others())
    for number, (inputs, attempts) in enumerate(turns):
        with st.chat_message("user"):
            st.text(as_text(inputs.get(talk.message, "")))
        attempts_view(attempts, names, trial.pipeline.outputs, {}, key=f"turn{number}_")
    fields = [f for f in trial.pipeline.inputs if f.name != talk.message]
    reason = reason or missing(fields, given)
    with st.container(key="chat_box"):  # in the page, not pinned below it
        said = st.chat_input(
            escape_markdown(reason) or "Write a message", key=f"{key}_box", disabled=bool(reason)
        )
    if not said:
        return
    inputs = {**given, talk.message: said}
    own = {p: {talk.history: turns_of(turns, p, talk.history)} for p in chosen} if talk.history else {}
    with st.chat_message("user"):
        st.text(said)
    try:
        found = stream_attempts(trial.request(chosen, inputs, {}, own), chosen, names)
    except EngineError as error:
        show_error(error)
        return
    st.session_state[key] = [*turns, (inputs, found)]
    st.rerun()
