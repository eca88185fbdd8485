"""An options model (pydantic) as widgets: the form of a metric or an optimizer comes from its own fields.

Adding an option to an algorithm adds it to the form. What cannot be a widget (nested models, functions) is
left out and keeps its default.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args, get_origin

import streamlit as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from engine.signature.grammar import without_none

Kind = Literal["flag", "whole", "number", "choice", "text"]
UNSET = "Automatic"


class Entry(NamedTuple):
    """One option as a form shows it. `low` and `high` are its limits, `optional` says that it may stay unset."""

    name: str
    label: str
    help: str
    kind: Kind
    default: Any
    optional: bool = False
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    multiline: bool = False


def entries(
    model: type[BaseModel], choices: Mapping[str, Sequence[object]] | None = None
) -> tuple[Entry, ...]:
    """Return the options of a model as form entries; `choices` gives a field's values where the model cannot.

    >>> from pydantic import Field
    >>> class Options(BaseModel):
    ...     max_demos: int = Field(4, ge=0, le=16, description="Solved examples in the prompt.")
    >>> entry, = entries(Options)
    >>> entry.label, entry.kind, entry.low, entry.high
    ('Max demos', 'whole', 0, 16)
    """
    found = (_entry(name, field, (choices or {}).get(name)) for name, field in model.model_fields.items())
    return tuple(entry for entry in found if entry is not None)


def options_form(
    model: type[BaseModel],
    values: Mapping[str, object],
    *,
    key: str,
    choices: Mapping[str, Sequence[object]] | None = None,
    columns: int = 2,
    hidden: Collection[str] = (),
) -> tuple[dict[str, Any], list[str]]:
    """Draw a model's options; return those that differ from the defaults, and what is wrong in plain words.

    `hidden` options are not drawn and not returned: they are edited elsewhere.
    """
    shown = tuple(entry for entry in entries(model, choices) if entry.name not in hidden)
    if not shown:
        return {}, []
    places = st.columns(min(columns, len(shown)), gap="medium")
    answers: dict[str, object] = {}
    for at, entry in enumerate(shown):
        with places[at % len(places)]:
            answers[entry.name] = _widget(entry, values.get(entry.name, entry.default), f"{key}_{entry.name}")
    changed = {e.name: answers[e.name] for e in shown if answers[e.name] != e.default}
    return changed, problems(model, changed)


def problems(model: type[BaseModel], values: Mapping[str, object]) -> list[str]:
    """Return what a model finds wrong with values, one sentence each.

    >>> from pydantic import Field
    >>> class Options(BaseModel):
    ...     rounds: int = Field(1, ge=1)
    >>> problems(Options, {"rounds": 0})
    ['Rounds: input should be greater than or equal to 1.']
    """
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        return [
            f"{_label(str(e['loc'][0]) if e['loc'] else 'options')}: {e['msg'][:1].lower()}{e['msg'][1:]}."
            for e in error.errors()
        ]
    return []


def _entry(name: str, field: FieldInfo, given: Sequence[object] | None) -> Entry | None:
    annotation, optional = without_none(field.annotation)
    default = field.get_default(call_default_factory=True)
    kind: Kind
    options: tuple[object, ...] = ()
    if given is not None or get_origin(annotation) is Literal:
        kind, options = "choice", tuple(given if given is not None else get_args(annotation))
    elif annotation is bool:
        kind = "flag"
    elif annotation is int:
        kind = "whole"
    elif annotation is float:
        kind = "number"
    elif annotation is str:
        kind = "text"
    else:
        return None
    low, high = _limits(field)
    title = field.title or _label(name)
    extra = field.json_schema_extra
    multiline = isinstance(extra, dict) and bool(extra.get("multiline"))
    return Entry(name, title, field.description or "", kind, default, optional, options, low, high, multiline)


def _widget(entry: Entry, value: Any, key: str) -> Any:
    help_text = entry.help or None
    if entry.kind == "flag":
        return st.toggle(entry.label, bool(value), key=key, help=help_text)
    if entry.kind == "choice":
        options = [None, *entry.choices] if entry.optional else list(entry.choices)
        at = options.index(value) if value in options else 0
        return st.selectbox(entry.label, options, index=at, key=key, help=help_text, format_func=_shown)
    if entry.kind == "text":
        area = st.text_area if entry.multiline else st.text_input
        text = area(entry.label, value or "", key=key, help=help_text)
        return text.strip() or (None if entry.optional else "")
    kind: Any = int if entry.kind == "whole" else float
    return st.number_input(
        entry.label,
        min_value=_cast(kind, entry.low),
        max_value=_cast(kind, entry.high),
        value=_cast(kind, value),
        step=1 if kind is int else None,
        key=key,
        help=help_text,
        placeholder=UNSET if entry.optional else None,
    )


def _cast(kind: Any, value: Any) -> Any:
    return None if value is None else kind(value)


def _shown(value: object) -> str:
    if value is None:
        return UNSET
    return value if isinstance(value, str) else str(value)


def _limits(field: FieldInfo) -> tuple[float | None, float | None]:
    low = high = None
    for limit in field.metadata:
        low = getattr(limit, "ge", low)
        high = getattr(limit, "le", high)
        if getattr(limit, "gt", None) is not None:
            low = limit.gt + 1 if field.annotation is int else limit.gt
    return low, high


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()
