"""Forms of several pages: an options model (pydantic) as widgets, and the choice of a model.

Adding an option to an algorithm adds it to the form. What cannot be a widget (nested models, functions) is
left out and keeps its default.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from dashboard.components import ui
from dashboard.services import JsonObject, ModelChoice, is_offline, without_none
from dashboard.state.models import key_state, price_words, title_of
from dashboard.text import escape_markdown

UNSET = "Automatic"


def drawn_fields(
    model: type[BaseModel], choices: Collection[str] = (), hidden: Collection[str] = ()
) -> dict[str, FieldInfo]:
    """Return the options of a model that can be drawn, by name; those in `choices` are picked from a list."""

    def is_drawn(name: str, field: FieldInfo) -> bool:
        annotation, _ = without_none(field.annotation)
        return name in choices or annotation in (bool, int, float, str) or get_origin(annotation) is Literal

    fields = model.model_fields.items()
    return {name: field for name, field in fields if name not in hidden and is_drawn(name, field)}


def options_form(
    model: type[BaseModel],
    values: Mapping[str, object],
    *,
    key: str,
    choices: Mapping[str, Sequence[object]] | None = None,
    hidden: Collection[str] = (),
) -> dict[str, object] | None:
    """Draw a model's options; return those that differ from the defaults, or None, with the reason shown, where they make no sense.

    `choices` gives a field's values where the model cannot. `hidden` options are not drawn and not returned: they are
    edited elsewhere.
    """
    given = choices or {}
    shown = drawn_fields(model, given, hidden)
    if not shown:
        return {}
    places = st.columns(min(3, len(shown)), gap="medium")
    changed: dict[str, object] = {}
    for at, (name, field) in enumerate(shown.items()):
        default = field.get_default(call_default_factory=True)
        with places[at % len(places)]:
            label = field.title or _label(name)
            answer = _widget(label, field, given.get(name), values.get(name, default), f"{key}_{name}")
        if answer != default:
            changed[name] = answer
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


def _widget(label: str, field: FieldInfo, given: Sequence[object] | None, value: Any, key: str) -> Any:
    annotation, optional = without_none(field.annotation)
    common: JsonObject = {"key": key, "help": field.description or None}
    if annotation is bool:
        return st.toggle(label, bool(value), **common)
    if given is not None or get_origin(annotation) is Literal:
        names = {option: str(option) for option in given or get_args(annotation)}
        return ui.select(label, {None: UNSET, **names} if optional else names, value, **common)
    if annotation is str:
        extra = field.json_schema_extra
        area = st.text_area if isinstance(extra, dict) and extra.get("multiline") else st.text_input
        return area(label, value or "", **common).strip() or (None if optional else "")
    low, high = _limits(field)
    return st.number_input(
        label,
        min_value=None if low is None else annotation(low),
        max_value=None if high is None else annotation(high),
        value=None if value is None else annotation(value),
        step=1 if annotation is int else None,
        placeholder=UNSET if optional else None,
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
