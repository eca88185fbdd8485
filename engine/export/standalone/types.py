"""A field's type as the data that `standalone_reading` reads by; what it cannot read is said here, when a script is made."""

from __future__ import annotations

import datetime
from typing import Any, Literal, get_args, get_origin

from engine.adapters.notes import UNIONS, NoneType, output_note, type_hint
from engine.errors import ProgramFileError

SINGLE: dict[Any, str] = {
    str: "text",
    bool: "truth",
    int: "whole",
    float: "number",
    Any: "anything",
    object: "anything",
    datetime.date: "date",
    datetime.datetime: "datetime",
    datetime.time: "time",
}


def kind_of(annotation: Any, name: str) -> dict[str, Any]:
    """Return a type as data: its kind, and what a model is told of it where it answers something else.

    Raises ProgramFileError for a type that takes Tuneboard, naming the field.

    >>> kind_of(list[int], "sizes")["of"]
    {'kind': 'whole', 'must': 'must be a single whole number'}
    """
    origin, args = get_origin(annotation), get_args(annotation)
    must = {"must": output_note(annotation) or f"must be {type_hint(annotation)}"}
    if origin is None and _hashable(annotation) and annotation in SINGLE:
        kind = SINGLE[annotation]
        return {"kind": kind} if kind in ("text", "anything") else {"kind": kind, **must}
    if origin is Literal and all(isinstance(value, str | int) for value in args):
        return {"kind": "choice", "values": list(args), **must}
    if origin in UNIONS:
        members = sorted((one for one in args if one is not NoneType), key=lambda one: one is str)
        of = [kind_of(one, name) for one in members]
        return {"kind": "either", "of": of, "optional": NoneType in args, **must}
    if (origin or annotation) is list:
        return {"kind": "list", "of": kind_of(args[0] if args else Any, name), **must}
    if (origin or annotation) is dict and (not args or args[0] in (str, Any)):
        return {"kind": "object", "of": kind_of(args[1] if args else Any, name), **must}
    raise ProgramFileError(
        f"The field {name!r} holds {type_hint(annotation)}, which a script without Tuneboard cannot read. "
        "Take the Python script with Tuneboard."
    )


def _hashable(annotation: Any) -> bool:
    return getattr(annotation, "__hash__", None) is not None
