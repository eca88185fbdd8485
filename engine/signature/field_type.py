"""A field's type as a value, parsed once from its text ("list[str]", "Optional[int]"); files keep the text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from engine.errors import SignatureError
from engine.signature.grammar import UNIONS, NoneType, parse_type

_LISTS = (list, tuple, set, frozenset, Sequence)


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type that a text names: `plain` without its None, and whether it is `optional`.

    `choices` are the values of a closed set, a Literal's or those given with the field. Where the text names no type,
    `problem` says why, and `plain` is None.
    """

    text: str
    plain: Any
    optional: bool = False
    choices: tuple[Any, ...] = ()
    problem: str = ""

    @property
    def annotation(self) -> Any:
        """The Python type, None included. Raises SignatureError where the text names none."""
        if self.problem:
            raise SignatureError(self.problem)
        return self.plain | None if self.optional else self.plain

    @property
    def is_list(self) -> bool:
        """Whether a value holds several: a list, a tuple or a set."""
        return (get_origin(self.plain) or self.plain) in _LISTS

    @property
    def names(self) -> frozenset[str]:
        """The names of the classes in the type, such as Image in list[Image]."""
        return frozenset(_class_names(self.plain))


@lru_cache(maxsize=1024)
def read_field_type(text: str, choices: tuple[str, ...] = ()) -> FieldType:
    """Return the type that a text names; `choices` are the values allowed instead.

    >>> found = read_field_type("list[str] | None")
    >>> found.plain, found.optional, found.is_list, found.annotation
    (list[str], True, True, list[str] | None)
    >>> read_field_type("Literal['a', 'b']").choices, read_field_type("strr").problem[:31]
    (('a', 'b'), "'strr' is not a type known here")
    """
    try:
        plain, optional = without_none(parse_type(text))
    except SignatureError as error:
        plain, optional, problem = None, False, str(error)
    else:
        problem = ""
    if choices:
        return FieldType(text, Literal[choices], optional, choices)
    closed = get_args(plain) if get_origin(plain) is Literal else ()
    return FieldType(text, plain, optional, closed, problem)


def without_none(annotation: Any) -> tuple[Any, bool]:
    """Return a type without its None, and whether it had one.

    >>> without_none(int | None)
    (<class 'int'>, True)
    """
    if get_origin(annotation) is Annotated:
        return without_none(get_args(annotation)[0])
    if annotation is None or annotation is NoneType:
        return NoneType, True
    if get_origin(annotation) not in UNIONS:
        return annotation, False
    args = get_args(annotation)
    kept = tuple(a for a in args if a is not NoneType)
    if len(kept) == len(args):
        return annotation, False
    return (kept[0] if len(kept) == 1 else Union[kept]), True  # noqa: UP007 - built from a tuple at run time


def _class_names(annotation: Any) -> Iterator[str]:
    """Yield the names of the classes in a type."""
    if isinstance(annotation, type):
        yield annotation.__name__
    for inner in get_args(annotation):
        yield from _class_names(inner)
