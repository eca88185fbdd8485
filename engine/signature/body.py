"""Reads the fields that a class body declares, postponed annotations included. It knows nothing of other forms."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any, NoReturn

from pydantic.fields import FieldInfo

from engine.errors import SignatureError
from engine.signature.fields import check_name, typed


def declared_fields(cls: type, declared: dict[str, Any], scope: Mapping[str, Any]) -> dict[str, FieldInfo]:
    """Return the fields that a class body declares, typed; `scope` is where the class statement stands.

    Raises SignatureError for an annotated name that is neither an InputField nor an OutputField.
    """
    hints = inspect.get_annotations(cls)
    for name in hints:
        if name not in declared and not name.startswith("_") and not _is_class_variable(hints[name]):
            _refuse_field(cls, name)
    fields = {}
    for name, field in declared.items():
        hint = hints.get(name)
        fields[check_name(name)] = typed(
            name, field, _evaluated(cls, name, hint, scope) if hint is not None else str
        )
    return fields


def _is_class_variable(hint: Any) -> bool:
    if isinstance(hint, str):
        return hint.split("[")[0].rsplit(".", 1)[-1] == "ClassVar"
    return hint is typing.ClassVar or str(hint).startswith("typing.ClassVar[")


def _refuse_field(cls: type, name: str) -> NoReturn:
    raise SignatureError(
        f"{cls.__name__}.{name} must say which side it is on: {name}: ... = InputField() or = OutputField()."
    )


def _evaluated(cls: type, name: str, hint: Any, scope: Mapping[str, Any]) -> Any:
    """Return a hint as a type; with postponed annotations it arrives as source text."""
    if not isinstance(hint, str):
        return hint
    holder = types.new_class("Hint")
    holder.__annotations__ = {name: hint}
    holder.__module__ = cls.__module__
    try:
        return typing.get_type_hints(holder, localns=dict(scope), include_extras=True)[name]
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise SignatureError(
            f"The type {hint!r} of {cls.__name__}.{name} cannot be found: {error}."
        ) from error
