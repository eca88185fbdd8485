"""Typed reading: what a model wrote -> a value of the field's type, lenient where models are sloppy.

Lenient about form only: fences, damaged JSON, Markdown bullets here, single values in `scalars`. Knows types and
text, nothing of signatures or prompts.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args, get_origin

from engine.adapters.notes import UNIONS, NoneType, checkable, type_hint
from engine.adapters.scalars import (
    Reader,
    UnreadableError,
    bare,
    bool_json,
    bool_text,
    bullet_items,
    choices,
    float_json,
    float_text,
    int_json,
    int_text,
    loose_json,
    number_text,
    refuse,
    shown,
    str_from_json,
    unfenced,
)
from engine.errors import SignatureError
from engine.types.base import Type

__all__ = ["Reader", "UnreadableError", "reader_for"]


def reader_for(annotation: object, constraints: tuple[object, ...] = ()) -> Reader:
    """Return the reader of a type that also enforces the constraints (pydantic's field metadata)."""
    try:
        return _cached_reader(annotation, constraints)
    except TypeError:  # something in the type cannot be hashed (a Literal of a list, a mutable constraint)
        return _constrained(annotation, constraints)


def _constrained(annotation: object, constraints: tuple[object, ...]) -> Reader:
    while get_origin(annotation) is Annotated:
        annotation, *extra = get_args(annotation)
        constraints = (*constraints, *extra)
    reader = _build(annotation)
    kept = tuple(c for c in constraints if type(c).__name__ != "Strict")
    if not kept:
        return reader
    check = _validator(Annotated[(annotation, *kept)])
    return Reader(lambda text: check(reader.text(text)), lambda value: check(reader.json(value)))


_cached_reader = lru_cache(maxsize=2048, typed=True)(_constrained)


def _build(annotation: object) -> Reader:
    origin = get_origin(annotation)
    if annotation is str:
        return Reader(str.strip, str_from_json)
    if annotation is bool:
        return Reader(bool_text, bool_json)
    if annotation is int:
        return Reader(int_text, int_json)
    if annotation is float:
        return Reader(float_text, float_json)
    if annotation is Any or annotation is object:
        return Reader(_any_text, lambda value: value)
    if origin is Literal:
        return choices(annotation, {value: (str(value),) for value in get_args(annotation)})
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return choices(annotation, {member: (str(member.value), member.name) for member in annotation})
    if origin in UNIONS:
        return _union(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Type):
        return _own_form(annotation)
    container = origin if origin is not None else annotation
    if container in (list, set, frozenset, tuple):
        return _collection(container, annotation)
    if container is dict:
        return _dict(annotation)
    return _structured(annotation)


def _own_form(annotation: type[Type]) -> Reader:
    """Read a type that says itself how it is written."""
    validate = _validator(annotation)

    def text(written: str) -> Any:
        try:
            if annotation.read.__func__ is not Type.read.__func__:  # type: ignore[attr-defined]  # class methods
                return annotation.read(written)
            return validate(loose_json(written))
        except UnreadableError:
            raise
        except ValueError:
            return validate(bare(written))

    return Reader(text, validate)


def _any_text(text: str) -> Any:
    try:
        return loose_json(text)
    except ValueError:
        return text.strip()


_NOTHING = frozenset({"", "null", "none"})


def _union(annotation: object) -> Reader:
    members = [a for a in get_args(annotation) if a is not NoneType]
    optional = len(members) < len(get_args(annotation))
    closed = any(get_origin(m) is Literal or (isinstance(m, type) and issubclass(m, Enum)) for m in members)
    # Text accepts everything, so it is tried last.
    readers = [reader_for(m) for m in sorted(members, key=lambda m: m is str)]

    def first(value: Any, attempts: Sequence[Callable[[Any], Any]]) -> Any:
        for attempt in attempts:
            try:
                return attempt(value)
            except UnreadableError:
                continue
        return refuse(annotation, value)

    texts = [r.text for r in readers]

    def text(written: str) -> Any:
        nothing = optional and written.strip().lower() in _NOTHING
        if nothing and not closed:
            return None
        try:
            return texts[0](written) if len(texts) == 1 else first(written, texts)
        except UnreadableError:
            if nothing or (optional and bare(written).lower() in _NOTHING):
                return None
            raise

    def json(value: object) -> Any:
        if value is None and optional:
            return None
        for member in members:  # a JSON value that already has a member's type is that member
            if type(value) is member:
                return value
        return text(value) if isinstance(value, str) else first(value, [r.json for r in readers])

    return Reader(text, json)


# Structures


def _collection(container: Any, annotation: Any) -> Reader:
    args = get_args(annotation)
    fixed = container is tuple and bool(args) and not (len(args) == 2 and args[1] is Ellipsis)
    item = reader_for(args[0]) if args else reader_for(Any)
    each = [reader_for(a) for a in args] if fixed else []
    closed = bool(args) and (
        get_origin(args[0]) is Literal or (isinstance(args[0], type) and issubclass(args[0], Enum))
    )
    plain_text = bool(args) and args[0] is str and not fixed

    def json(value: Any) -> Any:
        if not isinstance(value, list | tuple | set | frozenset):
            refuse(annotation, value)
        if plain_text and all(type(v) is str for v in value):
            return container(value)
        if fixed and len(value) != len(each):
            raise UnreadableError(f"must have exactly {len(each)} items, but has {len(value)}")
        readers = each if fixed else [item] * len(value)
        return container([_at(i, r, v) for i, (r, v) in enumerate(zip(readers, value, strict=True), start=1)])

    def text(written: str) -> Any:
        bullets = bullet_items(written)
        if bullets is not None:
            return json(bullets)
        try:
            return json(loose_json(written))
        except ValueError as error:
            if isinstance(error, UnreadableError):
                raise
        if closed:  # choices hold no commas that matter: "red, blue" can be read in one way only
            return json([part.strip() for part in unfenced(written).split(",") if part.strip()])
        return refuse(annotation, written)

    return Reader(text, json)


def _at(position: int, reader: Reader, value: object) -> Any:
    try:
        return reader.json(value)
    except UnreadableError as error:
        raise UnreadableError(f"item {position} {error}") from None


def _dict(annotation: object) -> Reader:
    args = get_args(annotation)
    validate = _validator(annotation) if args else dict
    values = reader_for(args[1]) if args else reader_for(Any)

    def json(value: object) -> Any:
        if not isinstance(value, Mapping):
            refuse(annotation, value)
        read = {}
        for key, entry in value.items():
            try:
                read[key] = values.json(entry)
            except UnreadableError as error:
                raise UnreadableError(f"entry {key!r} {error}") from None
        return validate(read)

    return Reader(lambda text: json(_decoded(text, annotation)), json)


_CALENDAR = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)


def _structured(annotation: object) -> Reader:
    """Read everything pydantic has a schema for: models, typed dicts, dataclasses, dates, decimals."""
    validate = _validator(annotation)
    calendar = isinstance(annotation, type) and issubclass(annotation, _CALENDAR)
    number = isinstance(annotation, type) and issubclass(annotation, decimal.Decimal)
    scalar = calendar or number or _schema_type(annotation) == "string"

    def json(value: object) -> Any:
        if calendar and isinstance(value, int | float):
            refuse(annotation, value)  # a bare number would be taken for seconds since 1970
        return validate(value)

    def text(written: str) -> Any:
        if not scalar:
            return json(_decoded(written, annotation))
        plain = number_text(written) if number else bare(written)
        if calendar and plain.replace(".", "").isdigit():
            refuse(annotation, written)
        return validate(plain)

    return Reader(text, json)


def _schema_type(annotation: object) -> str | None:
    from engine.adapters.notes import json_schema

    schema = json_schema(annotation)
    return None if schema is None else schema.get("type")


def _decoded(text: str, annotation: object) -> Any:
    try:
        return loose_json(text)
    except ValueError:
        refuse(annotation, text)


def _validator(annotation: object) -> Callable[[Any], Any]:
    """Return pydantic's validation of a type, its first complaint turned into a clause."""
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    try:
        adapter: TypeAdapter[object] = TypeAdapter(checkable(annotation))
    except PydanticUserError as error:
        raise SignatureError(
            f"A field of type {type_hint(annotation)} cannot be read from a reply: "
            "use a JSON type, an Enum, a pydantic model, a dataclass or a TypedDict."
        ) from error
    validate_python = adapter.validate_python

    def validate(value: object) -> Any:
        try:
            return validate_python(value)
        except ValidationError as error:
            raise UnreadableError(_complaint(error.errors(include_url=False)[0])) from None

    return validate


def _complaint(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    rules = ", ".join(
        f"{k}={v}" for k, v in problem.get("ctx", {}).items() if isinstance(v, str | int | float)
    )
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    place = f" at {where}" if where else ""
    rule = f" ({rules})" if rules else ""
    return f"breaks its rule{place}: {message}{rule}, but is {shown(problem['input'])}"
