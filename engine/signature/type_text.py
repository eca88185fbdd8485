"""A type as the text that names it in a signature: what prompts show and files keep."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

NoneType = type(None)
UNIONS = (Union, types.UnionType)


def type_text(annotation: Any) -> str:
    """Return a type as a person would write it in a signature.

    >>> type_text(list[str]), type_text(int | None), type_text(Literal["a", "b"])
    ('list[str]', 'int | None', "Literal['a', 'b']")
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is NoneType or annotation is None:
        return "None"
    if annotation is Any:
        return "Any"
    if annotation is Ellipsis:
        return "..."
    if origin is Annotated:
        return type_text(args[0])
    if origin is Literal:
        return f"Literal[{', '.join(repr(a) for a in args)}]"
    if origin in UNIONS:
        return " | ".join(type_text(a) for a in args)
    if origin is not None and args:
        name = getattr(origin, "__name__", str(origin))
        return f"{name}[{', '.join(type_text(a) for a in args)}]"
    return getattr(annotation, "__name__", None) or str(annotation)
