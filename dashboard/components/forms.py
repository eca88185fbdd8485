"""Forms of several pages: an options model (pydantic) as widgets, and the choice of a model.

Adding an option to an algorithm adds it to the form. What cannot be a widget (nested models, functions) is
left out and keeps its default.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args, get_origin

import streamlit as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from dashboard.components import ui
from dashboard.services import ModelChoice, is_offline, without_none
from dashboard.state.models import key_state, price_words, title_of
from dashboard.text import escape_markdown

Kind = Literal["flag", "whole", "number", "choice", "text"]
KINDS: dict[object, Kind] = {bool: "flag", int: "whole", float: "number", str: "text"}
UNSET = "Automatic"


class OptionEntry(NamedTuple):
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
) -> tuple[OptionEntry, ...]:
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
    hidden: Collection[str] = (),
) -> dict[str, object] | None:
    """Draw a model's options; return those that differ from the defaults, or None (said why) where they make no sense.

    `hidden` options are not drawn and not returned: they are edited elsewhere.
    """
    shown = tuple(entry for entry in entries(model, choices) if entry.name not in hidden)
    if not shown:
        return {}
    places = st.columns(min(3, len(shown)), gap="medium")
    answers: dict[str, object] = {}
    for at, entry in enumerate(shown):
        with places[at % len(places)]:
            answers[entry.name] = _widget(entry, values.get(entry.name, entry.default), f"{key}_{entry.name}")
    changed = {e.name: answers[e.name] for e in shown if answers[e.name] != e.default}
    wrong = problems(model, changed)
    for sentence in wrong:
        st.caption(ui.mark("error", sentence, "red"))
    return None if wrong else changed


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


def _entry(name: str, field: FieldInfo, given: Sequence[object] | None) -> OptionEntry | None:
    annotation, optional = without_none(field.annotation)
    default = field.get_default(call_default_factory=True)
    options: tuple[object, ...] = ()
    if given is None and get_origin(annotation) is Literal:
        given = get_args(annotation)
    if given is not None:
        kind: Kind = "choice"
        options = tuple(given)
    elif annotation in KINDS:
        kind = KINDS[annotation]
    else:
        return None
    low, high = _limits(field)
    extra = field.json_schema_extra
    multiline = isinstance(extra, dict) and bool(extra.get("multiline"))
    title = field.title or _label(name)
    return OptionEntry(
        name, title, field.description or "", kind, default, optional, options, low, high, multiline
    )


def _widget(entry: OptionEntry, value: Any, key: str) -> Any:
    common: dict[str, Any] = {"key": key, "help": entry.help or None}
    if entry.kind == "flag":
        return st.toggle(entry.label, bool(value), **common)
    if entry.kind == "choice":
        options = [None, *entry.choices] if entry.optional else list(entry.choices)
        at = options.index(value) if value in options else 0
        names = {option: UNSET if option is None else str(option) for option in options}
        return st.selectbox(entry.label, options, index=at, format_func=lambda o: names[o], **common)
    if entry.kind == "text":
        area = st.text_area if entry.multiline else st.text_input
        return area(entry.label, value or "", **common).strip() or (None if entry.optional else "")
    kind = int if entry.kind == "whole" else float
    low, high, value = (None if n is None else kind(n) for n in (entry.low, entry.high, value))
    return st.number_input(
        entry.label,
        min_value=low,
        max_value=high,
        value=value,
        step=1 if kind is int else None,
        placeholder=UNSET if entry.optional else None,
        **common,
    )


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


def model_choice(
    label: str,
    models: Sequence[ModelChoice],
    chosen: ModelChoice | None,
    none: str = "",
    *,
    note: str = "",
    **options: Any,
) -> None:
    """Let the user choose a model, or `none` where that is named; show the key and price of the one chosen.

    `note` is what to know of the chosen model.
    """
    listed: list[str | ModelChoice] = [*([none] if none else []), *models]
    if chosen is not None and chosen not in listed:
        listed.append(chosen)
    st.selectbox(
        label,
        listed,
        index=0 if chosen is None else listed.index(chosen),
        format_func=lambda m: m if isinstance(m, str) else title_of(m),
        **options,
    )
    if note:
        st.caption(ui.mark("help", note))
    if chosen is not None and not is_offline(chosen):
        model_facts(chosen)


def model_facts(choice: ModelChoice, *, named: bool = False) -> None:
    """Show where a model's key is and its price, `named` in one line after its name."""
    is_there, sentence = key_state(choice)
    facts = [
        f":{'green' if is_there else 'orange'}[:material/key:] {escape_markdown(sentence)}",
        f":gray[:material/payments:] {escape_markdown(price_words(choice))}",
    ]
    st.caption(
        " · ".join([f"**{escape_markdown(title_of(choice))}**", *facts]) if named else "  \n".join(facts)
    )
