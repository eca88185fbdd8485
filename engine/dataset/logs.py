"""Logs of model calls -> rows: JSON Lines of chat completions, OpenTelemetry spans, exports of Langfuse and Phoenix.

Of each call its input, its output, the model and what its user thought of it; nothing else of a log is copied, and
texts that look like keys are blanked. It knows tables and no tasks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from engine import parts
from engine.basics.data import Values
from engine.basics.text import counted
from engine.dataset.logged import (
    LoggedCall,
    attributes_of,
    chat_call,
    langfuse_call,
    messages_of,
    records_in,
    reply_of,
    request_of,
    span_call,
)
from engine.dataset.table import RawTable
from engine.errors import DatasetError

INPUT, OUTPUT = "input", "logged_answer"
MODEL, THUMBS, COMMENT, SYSTEM = "log_model", "log_thumbs", "log_comment", "log_system"
COLUMNS = (INPUT, OUTPUT, MODEL, THUMBS, COMMENT, SYSTEM)
"""Columns of the table of a log; `log_thumbs` is up, down or blank. Columns that no call fills are left out."""

LOOKED_AT = 20
"""Records that decide on a log's form."""


def _is_otel(record: Values) -> bool:
    if "resourceSpans" in record or "resource_spans" in record:
        return True
    attributes = attributes_of(record)
    return any(key.startswith("gen_ai.") for key in attributes)


def _is_phoenix(record: Values) -> bool:
    keys = set(record) | set(attributes_of(record))
    return any(
        key.startswith(
            ("attributes.llm.", "attributes.input.", "llm.input_messages", "openinference.", "input.value")
        )
        for key in keys
    ) or ("span_kind" in record and "attributes" in record)


_TRACED = frozenset("traceId trace_id observations scores sessionId session_id userId user_id".split())


def _is_langfuse(record: Values) -> bool:
    return not _TRACED.isdisjoint(record) and "input" in record and "output" in record


def _is_chat(record: Values) -> bool:
    request, reply = request_of(record), reply_of(record)
    return bool(messages_of(request.get("messages") or request.get("input"))) and (
        bool(reply) or messages_of(request.get("messages"))[-1].get("role") == "assistant"
    )


class LogForm(NamedTuple):
    """A form of logs, as an optional part: see `engine.parts.Part`."""

    name: str
    title: str
    """The form in words, as in "This is an export of Langfuse"."""
    about: str
    fits: Callable[[Values], bool]
    """Recognises a record."""
    read: Callable[[Values], LoggedCall | None]
    """Reads a record; None for one that is no model call."""


OTEL = LogForm(
    "otel",
    "OpenTelemetry spans of model calls",
    "Reads spans by the conventions for generative models, older ones included.",
    _is_otel,
    span_call,
)
PHOENIX = LogForm(
    "phoenix", "an export of Phoenix", "Reads spans by the OpenInference conventions.", _is_phoenix, span_call
)
LANGFUSE = LogForm(
    "langfuse",
    "an export of Langfuse",
    "Reads traces and their generations, with users' scores.",
    _is_langfuse,
    langfuse_call,
)
CHAT = LogForm(
    "chat", "a log of chat completions", "Reads requests with their replies, one a line.", _is_chat, chat_call
)


def log_form(records: Sequence[object]) -> LogForm | None:
    """Return the form of a log by its first records; None for records of another kind.

    >>> log_form([{"messages": [{"role": "user", "content": "Hi"}], "response": {"choices": []}}]).name
    'chat'
    >>> log_form([{"text": "a", "label": "b"}]) is None
    True
    """
    first = [record for record in records[:LOOKED_AT] if isinstance(record, Mapping)]
    return next(
        (form for form in parts.loaded(parts.LOG_FORMS) if 2 * sum(map(form.fits, first)) > len(first)), None
    )


def log_calls(records: Iterable[object], form: LogForm) -> Iterator[LoggedCall]:
    """Iterate over the calls in a log's records; spans and observations that are no model calls are left aside.

    >>> line = {"messages": [{"role": "user", "content": "Hi"}], "response": {"choices": [{"message": {"content": "Ho"}}]}}
    >>> [(c.input, c.output) for c in log_calls([line], log_form([line]))]
    [('Hi', 'Ho')]
    """
    for record in records_in(records, traces=form.name == "langfuse"):
        call = form.read(record)
        call = _without_marks(call) if call is not None else None
        if call is not None and (call.input.strip() or call.variables) and call.output.strip():
            yield call


def read_log(records: Sequence[object], name: str) -> RawTable | None:
    """Return the calls of a log as a table of texts, named inputs in separate columns; None where it is no log.

    Raises DatasetError for a log without a call that can be used.
    """
    form = log_form(records)
    if form is None:
        return None
    calls = list(log_calls(records, form))
    if not calls:
        raise DatasetError(
            f"{name!r} is {form.title}, but it holds no call with an input and an answer. Export the texts too."
        )
    table = _log_table(calls)
    about = f"This is {form.title}: {counted(len(calls), 'call')} became rows. Answers are the log's own."
    table.notes.insert(0, about)
    return table


def _log_table(found: Sequence[LoggedCall]) -> RawTable:
    names = list(dict.fromkeys(name for call in found for name, _ in call.variables))
    reserved = set(COLUMNS)
    named = {name: (f"input_{name}" if name in reserved else name) for name in names}
    columns: dict[str, list[str]] = {named[n]: [dict(c.variables).get(n, "") for c in found] for n in names}
    texts = [(c.input, c.output, c.model, c.thumbs, c.comment, c.system) for c in found]
    plain = dict(zip(COLUMNS, map(list, zip(*texts, strict=True)), strict=True))
    columns |= {name: cells for name, cells in plain.items() if any(cells) or name in (INPUT, OUTPUT)}
    blanked = {name: [without_secrets(cell) for cell in cells] for name, cells in columns.items()}
    gone = sum(a != b for name in columns for a, b in zip(columns[name], blanked[name], strict=True))
    notes = [f"{gone:,} texts held what looks like a key; it was blanked."] if gone else []
    return RawTable(list(blanked), list(blanked.values()), [], notes, first_number=1)


_MARK = re.compile(r"^\[\[ ## (\w+) ## \]\]\s*$", re.M)
_NO_ANSWERS = ("reasoning", "completed")


def _without_marks(call: LoggedCall) -> LoggedCall:
    """Return a call whose texts are in the layout of fields between marks with named inputs and the answer alone."""
    asked, answered = _marked_fields(call.input), _marked_fields(call.output)
    answers = {name: text for name, text in answered.items() if name not in _NO_ANSWERS}
    if asked and not call.variables:
        call = replace(call, input="", variables=tuple(asked.items()))
    if len(answers) == 1:
        call = replace(call, output=next(iter(answers.values())))
    elif answers:
        call = replace(call, output=json.dumps(answers, ensure_ascii=False))
    return call


def _marked_fields(text: str) -> dict[str, str]:
    """Return the fields of a message by name; none where it has no marks. The last one ends at an empty line."""
    pieces = _MARK.split(text)
    fields = {name: part.strip() for name, part in zip(pieces[1::2], pieces[2::2], strict=True)}
    if fields and "Respond with the corresponding output fields" in pieces[-1]:
        name = pieces[-2]
        fields[name] = fields[name].partition("Respond with the corresponding output fields")[0].strip()
    return fields


_SECRETS = re.compile(
    r"\b(?:sk|pk|rk)-(?:[A-Za-z0-9]+-)*[A-Za-z0-9_]{16,}|\bBearer\s+[A-Za-z0-9._~+/-]{16,}=*|\bAKIA[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[0-9A-Za-z_-]{30,}"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
)


def without_secrets(text: str) -> str:
    """Return a text with what looks like an API key, a token or a private key blanked.

    >>> without_secrets("use sk-proj-abcdefghijklmnop1234 please")
    'use [key removed] please'
    """
    return _SECRETS.sub("[key removed]", text)
