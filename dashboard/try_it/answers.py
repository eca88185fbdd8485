"""One input to try, and its answers: one column for each prompt, shown while they are being written."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.prompts import TALL, answer_head, calls_view, took
from dashboard.services import (
    FieldSpec,
    JsonObject,
    Piece,
    PlaygroundAnswer,
    PlaygroundRequest,
    counted,
    value_text,
)
from dashboard.state.feedback import answer_text
from dashboard.state.playground import (
    MEDIA,
    ChatInputs,
    Kind,
    Playground,
    answer_input,
    extras,
    kind_of,
    missing,
    same_answer,
    turns_of,
    uploaded,
    widget_value,
)
from dashboard.text import escape_markdown

OWN = -1
LARGEST = 20
"""Megabytes of one uploaded file."""


def input_form(
    fields: Sequence[FieldSpec],
    rows: Mapping[int, Mapping[str, object]],
    numbers: Mapping[int, int],
    *,
    key: str,
) -> tuple[dict[str, object], int | None]:
    """Draw the inputs; return field -> value, and the row they were taken from when they still are that row's.

    `rows` can be started from, by row id; `numbers` are those that people know them by.
    """
    row_key = f"try_row_{key}"
    if rows:
        if row_key not in st.session_state:
            # The first look needs no typing: a row whose right answer is known is there already.
            st.session_state[row_key] = next(iter(rows))
            _fill(key, fields, rows)
        st.selectbox(
            "Start from",
            [OWN, *rows],
            format_func=lambda row: (
                "My own input" if row == OWN else _row_name(numbers[row], rows[row], fields)
            ),
            key=row_key,
            on_change=ui.callback(_fill, key, tuple(fields), rows),
            help=explain(
                "final test", "Neither prompt has learned from these rows, and their right answer is known."
            ),
        )
    values = {f.name: _widget(f, f"try_{key}_{f.name}") for f in fields if kind_of(f) != "talk"}
    row = st.session_state.get(row_key, OWN)
    if row not in rows:
        return values, None
    unchanged = all(
        values[f.name] == widget_value(f, rows[row].get(f.name)) for f in fields if f.name in values
    )
    return values, row if unchanged else None


def _fill(key: str, fields: Sequence[FieldSpec], rows: Mapping[int, Mapping[str, object]]) -> None:
    row = rows.get(st.session_state[f"try_row_{key}"], {})
    for field in fields:
        media = "_row" if kind_of(field) in MEDIA else ""
        st.session_state[f"try_{key}_{field.name}{media}"] = widget_value(field, row.get(field.name))


def _row_name(number: int, values: Mapping[str, object], fields: Sequence[FieldSpec]) -> str:
    flat = " ".join(value_text(values.get(fields[0].name, "")).split()) if fields else ""
    return f"Row {number}: {flat[:80]}{'…' if len(flat) > 80 else ''}"


def _widget(field: FieldSpec, key: str) -> Any:
    label, note = escape_markdown(field.name), escape_markdown(field.description) or None
    kind = kind_of(field)
    if kind == "choice":
        return st.selectbox(
            label, list(field.choices), index=None, key=key, help=note, placeholder="Choose one"
        )
    if kind == "flag":
        return st.toggle(label, key=key, help=note)
    if kind in ("whole", "number"):
        step = 1 if kind == "whole" else 0.1
        return st.number_input(label, value=None, step=step, key=key, help=note, placeholder="A number")
    if kind == "list":
        # What is in the list must be among the options, or the widget would drop it.
        return st.multiselect(
            label,
            list(dict.fromkeys(st.session_state.get(key, []))),
            key=key,
            help=note,
            accept_new_options=True,
            placeholder="Type a value and press Enter",
        )
    if kind in MEDIA:
        return _media(kind, key, label, note)
    height, example = (80, '["a", "b"]') if kind == "json" else (96, field.description or "Some text")
    return st.text_area(label, key=key, help=note, height=height, placeholder=example)


def _media(kind: Kind, key: str, label: str, note: str | None) -> object:
    """Return an uploaded file, else the picked row's; a picture is shown, and nothing is fetched for it."""
    file = st.file_uploader(label, list(MEDIA[kind]) or None, key=key, help=note, max_upload_size=LARGEST)
    value = st.session_state.get(f"{key}_row")
    if file is not None:
        value = uploaded(kind, file.name, file.type, file.getvalue())
    if value is None:
        return None
    data = str(value.get("url", "") if isinstance(value, dict) else value)
    if kind == "image" and data.startswith("data:image/"):
        st.image(data, width=180)
    elif file is None:
        st.caption(f"From the row: {escape_markdown(data[:80])}")
    return value


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

    def __init__(self, column: DeltaGenerator, name: str, at: int) -> None:
        self._written: dict[tuple[str, str], str] = {}
        self._drawn_at = 0.0
        with column, ui.card(f"writing_{at}", escape_markdown(name), height="stretch"):
            self._text = st.empty()
            self._text.caption(":material/hourglass_top: Waiting for the first word")

    def take(self, piece: Piece) -> None:
        """Add a piece, and draw when it is time."""
        key = (piece.step, piece.field)
        self._written[key] = self._written.get(key, "") + piece.text
        now = time.monotonic()
        if now - self._drawn_at < BREATH:
            return
        self._drawn_at = now
        several = len({step for step, _ in self._written}) > 1
        self._text.text(
            "\n\n".join(
                f"{f'{step}: ' if several else ''}{field}\n{text}"
                for (step, field), text in self._written.items()
            )
        )


LONGEST_TRACE = 20_000
MOST_EXTRAS = 4


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
        with ui.row(f"try_expected{key}"):
            st.badge("The right answer", icon=":material/flag:")
            st.text(answer_text(expected, [f.name for f in outputs]), width="content")
    columns = st.columns(len(attempts), gap="medium")
    for at, (column, attempt) in enumerate(zip(columns, attempts, strict=True)):
        with column, ui.card(f"attempt_{key}{at}", height="stretch"):
            _attempt(attempt, names.get(attempt.name, attempt.name), outputs, f"{key}{at}")


def _headline(attempts: Sequence[PlaygroundAnswer], outputs: Sequence[FieldSpec]) -> None:
    if any(a.error for a in attempts):
        return
    first, last = attempts[0].score, attempts[-1].score
    if first is not None and last is not None and first != last:
        if last < first:
            colour, icon, words = "red", "trending_down", "Broken: the first did better here"
        elif last < 1:
            colour, icon, words = "green", "trending_up", "Improved: the second prompt scores higher here"
        else:
            colour, icon, words = "green", "trending_up", "Fixed: the second prompt gets this one right"
        st.markdown(f":{colour}[:material/{icon}: **{words}**]")
    elif same_answer(attempts, outputs):
        st.markdown(":gray[:material/drag_handle: Both prompts give the same answer]")
    else:
        st.markdown(":orange[:material/compare_arrows: **The answers differ**]")


def _attempt(attempt: PlaygroundAnswer, name: str, outputs: Sequence[FieldSpec], at: str) -> None:
    answer_head(name, f"attempt_head_{at}", attempt.score, attempt.error)
    for field in outputs:
        if field.name in attempt.answer:
            answer = value_text(attempt.answer[field.name]) or "(empty)"
            _value(field.name, answer, key=f"answer_{at}_{field.name}")
    if attempt.feedback and attempt.score is not None and attempt.score < 1:
        _value("The metric says", attempt.feedback, key=f"feedback_{at}")
    more = extras(attempt, outputs)
    # An agent writes dozens of them: those are read step by step.
    for number, (title, text) in enumerate(more if len(more) <= MOST_EXTRAS else ()):
        _value(f"On the way: {title}", text, key=f"extra_{at}_{number}")
    calls = counted(len(attempt.calls), "call")
    took(attempt.seconds, attempt.cost, attempt.tokens, calls, cached=attempt.cached)
    if len(attempt.steps) > 1:
        _trace(attempt, at)
    if attempt.calls:
        with (
            st.expander("The exact messages", icon=":material/forum:", key=f"messages_{at}"),
            st.container(height=TALL, border=False, key=f"messages_box_{at}"),
        ):
            calls_view(attempt.calls)


def _trace(attempt: PlaygroundAnswer, at: str) -> None:
    with st.expander(
        f"Step by step ({len(attempt.steps)})", icon=":material/account_tree:", key=f"trace_{at}"
    ):
        for number, step in enumerate(attempt.steps, 1):
            st.markdown(f"**{number}. {escape_markdown(step.path)}**")
            for title, values in (("Went in", step.inputs), ("Came out", step.outputs)):
                if values:
                    st.caption(title)
                    lines = "\n".join(f"{name}: {value_text(value)}" for name, value in values.items())
                    ui.plain_code(lines[:LONGEST_TRACE])


def _value(title: str, text: str, *, key: str) -> None:
    with st.container(gap="xxsmall", key=key):
        ui.named_text(title, text)


Turn = tuple[JsonObject, tuple[PlaygroundAnswer, ...]]


def chat_view(
    trial: Playground,
    talk: ChatInputs,
    chosen: list[str],
    others: Callable[[], Mapping[str, object]],
    reason: str,
) -> None:
    """Show the conversation and the box for the next message. `others` draws the inputs that are no message."""
    key = f"try_chat_{trial.run}_{'_'.join(chosen)}"
    turns: list[Turn] = st.session_state.setdefault(key, [])
    names = {p.id: p.name for p in trial.prompts}
    with ui.row("chat_bar"):
        st.caption(
            "Each prompt remembers its own answers."
            if talk.history
            else "This task has no input for earlier turns, so every message is answered by itself."
        )
        if turns and ui.button("Start again", "chat_restart", icon="restart_alt", type="tertiary"):
            st.session_state[key] = []
            st.rerun()
    given = dict(others())
    for number, (inputs, attempts) in enumerate(turns):
        with st.chat_message("user"):
            st.text(value_text(inputs.get(talk.message, "")))
        attempts_view(attempts, names, trial.pipeline.outputs, {}, key=f"turn{number}_")
    reason = reason or missing([f for f in trial.pipeline.inputs if f.name != talk.message], given)
    with st.container(key="chat_box"):  # in the page, not pinned below it
        words = escape_markdown(reason) or "Write a message"
        message = st.chat_input(words, key=f"{key}_box", disabled=bool(reason))
    if not message:
        return
    inputs = {**given, talk.message: message}
    histories = {p: {talk.history: turns_of(turns, p, talk.history)} for p in chosen} if talk.history else {}
    with st.chat_message("user"):
        st.text(message)
    with ui.errors_shown():
        new_attempts = stream_attempts(trial.request(chosen, inputs, {}, histories), chosen, names)
        st.session_state[key] = [*turns, (inputs, new_attempts)]
        st.rerun()
