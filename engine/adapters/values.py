"""Values of fields: read from what a model wrote, and written as text and as the content of a message.

Reading is lenient about form only: fences, damaged JSON, Markdown bullets here, single values in `scalars`. This module
knows types and text, nothing of signatures or prompts.
"""

from __future__ import annotations

import datetime
import decimal
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args, get_origin

import orjson

from engine.adapters.notes import checkable, json_schema
from engine.adapters.scalars import (
    BOOL,
    FLOAT,
    INT,
    STR,
    Reader,
    UnreadableError,
    bare,
    bullet_items,
    choices,
    loose_json,
    number_text,
    refuse,
    shown,
    unfenced,
)
from engine.basics.value_parsing import read_dates
from engine.errors import ConfigurationError, SignatureError, first_problem
from engine.signature.grammar import UNIONS, NoneType, is_class, type_text
from engine.signature.types.base import Part, Type
from engine.signature.types.tool import ToolForm

__all__ = ["Reader", "UnreadableError", "format_value", "parse_value", "reader_for", "type_text"]


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
    rules = tuple(c for c in constraints if type(c).__name__ != "Strict")
    if not rules:
        return reader
    check = _validator(Annotated[(annotation, *rules)])
    return Reader(lambda text: check(reader.text(text)), lambda value: check(reader.json(value)))


_cached_reader = lru_cache(maxsize=2048, typed=True)(_constrained)


def _build(annotation: object) -> Reader:
    origin = get_origin(annotation)
    for kind, reader in _SIMPLE:
        if annotation is kind:
            return reader
    if origin is Literal:
        return choices(annotation, {value: (str(value),) for value in get_args(annotation)})
    if is_class(annotation, Enum):
        return choices(annotation, {member: (str(member.value), member.name) for member in annotation})
    if origin in UNIONS:
        return _union(annotation)
    if is_class(annotation, Type):
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


def _any_text(text: str) -> object:
    try:
        return loose_json(text)
    except ValueError:
        return text.strip()


_NOTHING = frozenset({"", "null", "none"})


_SIMPLE = (
    (str, STR),
    (bool, BOOL),
    (int, INT),
    (float, FLOAT),
    (Any, Reader(_any_text, lambda value: value)),
    (object, Reader(_any_text, lambda value: value)),
)


def _is_closed(annotation: object) -> bool:
    return get_origin(annotation) is Literal or is_class(annotation, Enum)


def _union(annotation: object) -> Reader:
    members = [a for a in get_args(annotation) if a is not NoneType]
    optional = len(members) < len(get_args(annotation))
    closed = any(map(_is_closed, members))
    # Text accepts everything, so it is tried last.
    readers = [reader_for(m) for m in sorted(members, key=lambda m: m is str)]

    def first(value: object, attempts: Sequence[Callable[[Any], Any]]) -> object:
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

    def json(value: object) -> object:
        if value is None and optional:
            return None
        for member in members:  # a JSON value that already has a member's type is that member
            if type(value) is member:
                return value
        return text(value) if isinstance(value, str) else first(value, [r.json for r in readers])

    return Reader(text, json)


# Structures


def _collection(container: Any, annotation: object) -> Reader:
    args = get_args(annotation)
    fixed = container is tuple and bool(args) and not (len(args) == 2 and args[1] is Ellipsis)
    item = reader_for(args[0]) if args else reader_for(Any)
    each = [reader_for(a) for a in args] if fixed else []
    closed = bool(args) and _is_closed(args[0])
    plain_text = bool(args) and args[0] is str and not fixed

    def json(value: object) -> Any:
        if not isinstance(value, list | tuple | set | frozenset):
            refuse(annotation, value)
        if plain_text and all(type(v) is str for v in value):
            return container(value)
        if fixed and len(value) != len(each):
            raise UnreadableError(f"must have exactly {len(each)} items, but has {len(value)}")
        readers = each if fixed else [item] * len(value)
        pairs = zip(readers, value, strict=True)
        return container([_inside("item", i, r, v) for i, (r, v) in enumerate(pairs, start=1)])

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


def _inside(what: str, key: object, reader: Reader, value: object) -> Any:
    """Return a part of a structure; errors say which one it is."""
    try:
        return reader.json(value)
    except UnreadableError as error:
        raise UnreadableError(f"{what} {key!r} {error}") from None


def _dict(annotation: object) -> Reader:
    args = get_args(annotation)
    validate = _validator(annotation) if args else dict
    values = reader_for(args[1]) if args else reader_for(Any)

    def json(value: object) -> object:
        if not isinstance(value, Mapping):
            refuse(annotation, value)
        return validate({key: _inside("entry", key, values, entry) for key, entry in value.items()})

    return Reader(lambda text: json(_decoded(text, annotation)), json)


_CALENDAR = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)


def _structured(annotation: object) -> Reader:
    """Read everything pydantic has a schema for: models, typed dicts, dataclasses, dates, decimals."""
    validate = _validator(annotation)
    calendar = is_class(annotation, _CALENDAR)
    number = is_class(annotation, decimal.Decimal)
    scalar = calendar or number or _schema_type(annotation) == "string"

    def json(value: object) -> object:
        if calendar and isinstance(value, int | float):
            refuse(annotation, value)  # a bare number would be taken for seconds since 1970
        return validate(value)

    def text(written: str) -> Any:
        if not scalar:
            return json(_decoded(written, annotation))
        plain = number_text(written) if number else bare(written)
        if annotation is datetime.date and len(days := read_dates(plain)) == 1:
            plain = days[0].isoformat()
        if calendar and plain.replace(".", "").isdigit():
            refuse(annotation, written)
        return validate(plain)

    return Reader(text, json)


def _schema_type(annotation: object) -> str | None:
    schema = json_schema(annotation)
    return None if schema is None else schema.get("type")


def _decoded(text: str, annotation: object) -> object:
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
            f"A field of type {type_text(annotation)} cannot be read from a reply: "
            "use a JSON type, an Enum, a pydantic model, a dataclass or a TypedDict."
        ) from error
    validate_python = adapter.validate_python

    def validate(value: object) -> object:
        try:
            # By itself pydantic reads a model's aliases alone; an answer under the fields' names means the same.
            return validate_python(value, by_name=True, by_alias=True)
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


# Writing


def format_value(value: Any, annotation: object = None) -> str:
    """Return a value as it is written in a prompt.

    Text stays as it is; a list given to a `str` field becomes numbered passages; other structures become
    JSON on one line.

    >>> format_value(True), format_value({"a": [1, "é"]}), format_value("x")
    ('True', '{"a":[1,"é"]}', 'x')
    >>> print(format_value(["One.", "Two."], str))
    [1] «One.»
    [2] «Two.»
    """
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return] # checked on the line above
    if kind is bool or kind is int or kind is float:
        return str(value)
    if value is None:
        return "null"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Type) and isinstance(form := value.format(), str):
        return form
    if annotation is str and isinstance(value, list | tuple):
        return numbered(format_value(one, str) for one in value)
    data = jsonable(value)
    return data if isinstance(data, str) else orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS).decode()


def numbered(texts: Iterable[str]) -> str:
    """Return texts as numbered passages."""
    return "\n".join(f"[{i}] {_quoted(text)}" for i, text in enumerate(texts, start=1)) or "N/A"


def _quoted(text: str) -> str:
    if "\n" not in text:
        return f"«{text}»"
    lines = "\n".join(f"    {line}" for line in text.split("\n"))
    return f"«««\n{lines}\n»»»"


def jsonable(value: object) -> Any:
    """Return a value as JSON types: models, dataclasses, dates and sets included; unknown objects as str()."""
    kind = type(value)
    if kind is str or kind is bool or kind is int or kind is float or value is None:
        return value
    from pydantic_core import to_jsonable_python

    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    return to_jsonable_python(value, fallback=str)


def parse_value(value: object, annotation: object, constraints: Sequence[object] = ()) -> object:
    """Read a text (or a JSON value) as a type; raises UnreadableError, a ValueError, saying what it must be.

    >>> parse_value("1,234", int), parse_value("yes", bool), parse_value("- a\\n- b", list[str])
    (1234, True, ['a', 'b'])
    >>> parse_value("Answer: 42", int)
    Traceback (most recent call last):
        ...
    engine.adapters.scalars.UnreadableError: must be a single whole number, but is 'Answer: 42'
    """
    reader = reader_for(annotation, tuple(constraints))
    return reader.text(value) if isinstance(value, str) else reader.json(value)


FORMED = (Type, ToolForm)
"""Values that say themselves how they stand in a message."""

_NONCE = secrets.token_hex(12)
_MARK = re.compile(rf"\[{_NONCE}:(\d+)\]")


class Content:
    """The parts of one message, collected while its text is written."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def text(self, value: object, annotation: object, name: str) -> str:
        """Return a value as text with marks where its parts stand. Raises ConfigurationError for a value that does not fit.

        Saved values are JSON: they become what the field's type says first.
        """
        if holds_types(annotation):
            value = fitted(value, annotation, name)
        if isinstance(value, list | tuple) and value and all(isinstance(item, FORMED) for item in value):
            return "\n".join(f"[{i}] {self._of(item)}" for i, item in enumerate(value, start=1))
        return format_value(self._plain(value), annotation)

    def of(self, text: str) -> str | list[Part]:
        """Return a message's content: the text, or its pieces and parts in turn."""
        if not self.parts:
            return text
        content: list[Part] = []
        for i, piece in enumerate(_MARK.split(text)):
            if i % 2:
                content.append(self.parts[int(piece)])
            elif piece.strip():
                content.append({"type": "text", "text": piece})
        return content

    def _plain(self, value: Any) -> Any:
        if isinstance(value, FORMED):
            return self._of(value)
        if isinstance(value, Mapping):
            return {key: self._plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(item) for item in value]
        if hasattr(value, "model_fields_set"):
            return {name: self._plain(getattr(value, name)) for name in type(value).model_fields}
        return value

    def _of(self, value: Type | ToolForm) -> str:
        form = value.format()
        if isinstance(form, str):
            return form
        marks = []
        for part in form:
            marks.append(f"[{_NONCE}:{len(self.parts)}]")
            self.parts.append(part)
        return "".join(marks)


@lru_cache(maxsize=1024)
def _holds_types(annotation: object) -> bool:
    if is_class(annotation, FORMED):
        return True
    fields = getattr(annotation, "model_fields", None)
    if isinstance(fields, dict) and any(holds_types(f.annotation) for f in fields.values()):
        return True
    return any(holds_types(arg) for arg in get_args(annotation))


def holds_types(annotation: object) -> bool:
    """Return whether values of a type can hold such values.

    >>> from engine.signature.types import Image
    >>> holds_types(list[Image]), holds_types(dict[str, int])
    (True, False)
    """
    try:
        return _holds_types(annotation)
    except (TypeError, RecursionError):  # cannot be hashed, or refers to itself
        return False


def revived(value: object, annotation: object) -> object:
    """Return a saved output (JSON values) as its type; one that does not fit as it is: it is only shown.

    >>> from engine.signature.types import Code
    >>> revived("print(1)", Code)
    Code(code='print(1)')
    """
    if isinstance(value, FORMED):
        return value
    try:
        return fitted(value, annotation, "")
    except ConfigurationError:
        return value


@lru_cache(maxsize=256)
def _input_check(annotation: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(annotation).validate_python


def fitted(value: object, annotation: object, name: str) -> object:
    """Return an input's value as its type. Raises ConfigurationError that names the input."""
    from pydantic import ValidationError

    try:
        return _input_check(annotation)(value)
    except ValidationError as error:
        raise ConfigurationError(f"Input {name!r} cannot be used: {first_problem(error)[1]}") from None
