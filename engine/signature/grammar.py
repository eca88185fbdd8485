"""Types from text: a type ("list[str]"), a field's type as a value, and signature texts ("question, k: int -> answer")."""

from __future__ import annotations

import ast
import datetime
import decimal
import keyword
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

from engine.basics.data import JsonObject, Values
from engine.errors import SignatureError

NoneType = type(None)
UNIONS = (Union, types.UnionType)


def type_text(annotation: object) -> str:
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


_BUILTIN: JsonObject = {
    t.__name__: t
    for t in (int, str, float, bool, list, tuple, dict, set, frozenset, complex, bytes, bytearray, object)
} | {"None": None}
_KNOWN: JsonObject = _BUILTIN | {
    t.__name__: t
    for t in (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, decimal.Decimal)
}
_MODULES: JsonObject = {"typing": typing, "datetime": datetime, "decimal": decimal}
_OWN = frozenset(
    {
        *("Audio", "Citations", "Code", "Document", "File", "History", "Image", "PDF", "Reasoning"),
        *("Tool", "ToolCall", "ToolCallResults", "ToolCalls"),
    }
)
"""Types of the engine that a text may name; found where they are, since this layer is below them."""

_ENGINE_NAMES = ("engine", "dspy")
_MAX_FRAMES = 100

UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""Errors of `ast.parse` for a text that is no Python, or none that it can read."""

Names = Values


def parse_type(text: str, custom_types: Names | None = None) -> object:
    """Return the type that a text names.

    Understands the built-in types, everything in `typing`, `X | Y`, `Optional`, `Literal` with
    constants, subscripts, dates and times, `Decimal`, the engine's own types (Image, History, Tool ...), and the names
    in `custom_types`, which come first.

    Raises SignatureError for anything else.

    >>> parse_type("list[str]"), parse_type("Literal['a', 'b'] | None")
    (list[str], typing.Optional[typing.Literal['a', 'b']])
    >>> parse_type("list[strr]")
    Traceback (most recent call last):
    engine.errors.SignatureError: 'strr' is not a type known here. Use str, int, float, bool, ...
    """
    try:
        body: ast.expr | None = ast.parse(text.strip(), mode="eval").body
    except UNREADABLE:
        body = None
    if body is None or isinstance(body, ast.Tuple | ast.List):
        raise SignatureError(
            f"{text!r} is not a type. Write one like str, int, list[str] or Literal['a', 'b']."
        )
    try:
        return _resolve(body, {} if custom_types is None else custom_types)
    except RecursionError:
        raise SignatureError(f"The type {text[:80]!r} is nested too deeply.") from None


def parse_sides(text: str, custom_types: Names | None = None) -> tuple[JsonObject, JsonObject]:
    """Return the inputs and the outputs of a signature text, each as name -> type (str when none is given).

    >>> parse_sides("question, k: int -> answers: list[str]")
    ({'question': <class 'str'>, 'k': <class 'int'>}, {'answers': list[str]})
    """
    sides = _split_arrow(text)
    if len(sides) != 2:
        raise SignatureError(
            f"{text!r} needs exactly one '->' between its inputs and its outputs, as in 'question -> answer'."
        )
    inputs, outputs = (_parse_side(side, text, custom_types) for side in sides)
    for name in inputs.keys() & outputs.keys():
        raise SignatureError(
            f"{text!r} names {name!r} twice: as an input and as an output. Rename one of them."
        )
    if not outputs:
        raise SignatureError(f"{text!r} has no output. Name at least one field after '->'.")
    return inputs, outputs


def caller_names(custom_types: Names | None) -> Names:
    """Return names to look types up in: those given, then the callers' local and global names.

    The frames are walked only for a name that is found nowhere else.
    """
    # Frames: a text cannot name a class of the function it is written in otherwise (test_a_local_class_is_found_as_a_type).
    return _CallerNames(custom_types or {}, sys._getframe(2))


class _CallerNames(JsonObject):
    def __init__(self, given: Names, frame: types.FrameType) -> None:
        super().__init__(given)
        self._frame = frame

    def get(self, name: str, default: object = None) -> Any:
        if name in self:
            return self[name]
        frame: types.FrameType | None = self._frame
        for _ in range(_MAX_FRAMES):
            if frame is None:
                break
            for scope in (frame.f_locals, frame.f_globals):
                if name in scope and (_is_type(scope[name]) or isinstance(scope[name], types.ModuleType)):
                    return scope[name]
            frame = frame.f_back
        return default


def check_name(name: object) -> str:
    """Return a field's name, or raise SignatureError when Python could not use it as one.

    >>> check_name("2nd try")
    Traceback (most recent call last):
    engine.errors.SignatureError: '2nd try' cannot be a field's name. Use letters, digits and _ ...
    """
    if not isinstance(name, str) or not is_field_name(name):
        raise SignatureError(
            f"{name!r} cannot be a field's name. Use letters, digits and _ only, start with a letter, "
            "and avoid Python's own words (class, from, ...)."
        )
    return name


def is_field_name(name: str) -> bool:
    """Return whether Python could use a text as a field's name."""
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")


def _split_arrow(text: str) -> list[str]:
    parts, quote, start = [], "", 0
    for i, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif text.startswith("->", i):
            parts.append(text[start:i])
            start = i + 2
    return [*parts, text[start:]]


def _parse_side(side: str, text: str, custom_types: Names | None) -> dict[str, object]:
    names: Names = {} if custom_types is None else custom_types
    fields: dict[str, object] = {}
    for argument in side_arguments(side, text):
        if check_name(argument.arg) in fields:
            raise SignatureError(f"{text!r} names {argument.arg!r} twice. Every field needs its own name.")
        fields[argument.arg] = str if argument.annotation is None else _resolve(argument.annotation, names)
    return fields


def side_arguments(side: str, text: str) -> list[ast.arg]:
    """Return the names and types on one side of a signature text, unread. Raises SignatureError."""
    side = side.strip().replace("\n", " ")
    try:
        arguments = typing.cast(ast.FunctionDef, ast.parse(f"def f({side}): pass").body[0]).args
    except UNREADABLE as error:
        raise SignatureError(
            f"{side[:80]!r} in {text[:200]!r} cannot be read. List fields as 'name' or 'name: type', with commas between."
        ) from error
    others = (
        arguments.vararg,
        arguments.kwarg,
        arguments.defaults,
        arguments.posonlyargs,
        arguments.kwonlyargs,
    )
    if any(others):
        raise SignatureError(
            f"{side!r} in {text!r} may hold names and types only: no *, / or default values."
        )
    return arguments.args


def _resolve(node: ast.expr, names: Names) -> Any:
    if isinstance(node, ast.Name):
        return _lookup(node.id, names)
    if isinstance(node, ast.Attribute):
        return _dotted(node, names)
    if isinstance(node, ast.Constant) and (node.value is None or node.value is Ellipsis):
        return node.value
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return parse_type(node.value, names)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return typing.Union[_resolve(node.left, names), _resolve(node.right, names)]  # noqa: UP007 - built at run time
    if isinstance(node, ast.Tuple | ast.List):
        items = [_resolve(item, names) for item in node.elts]
        return tuple(items) if isinstance(node, ast.Tuple) else items
    if isinstance(node, ast.Subscript):
        return _subscript(node, names)
    raise SignatureError(
        f"{_source(node)!r} cannot be read as a type. Declare the signature as a class instead."
    )


def _subscript(node: ast.Subscript, names: Names) -> object:
    base = _resolve(node.value, names)
    if base is typing.Literal:
        items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return typing.Literal[tuple(_constant(item) for item in items)]
    if base is typing.Annotated:
        raise SignatureError("Annotated cannot be used in a text. Declare the signature as a class instead.")
    inside = _resolve(node.slice, names)
    try:
        return base[inside]
    except TypeError as error:
        raise SignatureError(f"{_source(node)!r} is not a type: {error}.") from error


def _source(node: ast.expr) -> str:
    """Return the text of a part, for a message."""
    try:
        return ast.unparse(node)[:80]
    except UNREADABLE:
        return "..."


def _constant(node: ast.expr) -> object:
    try:
        value = ast.literal_eval(node)
        hash(value)
        repr(value)  # a number of thousands of digits cannot be written
        return value
    except (*UNREADABLE, TypeError) as error:
        raise SignatureError(
            f"Literal[{_source(node)}] must list plain values in quotes, like Literal['yes', 'no']."
        ) from error


def _lookup(name: str, names: Names) -> object:
    if name in _BUILTIN:
        return _BUILTIN[name]
    kind = names.get(name)
    if kind is None and not name.startswith("_") and name in typing.__all__:
        kind = getattr(typing, name)
    if kind is None or isinstance(kind, types.ModuleType):
        kind = _KNOWN.get(name)
    # Looked up, not imported: the package of public names lies above this one, and a caller that means it has loaded it.
    if kind is None and name in _OWN and "engine" in sys.modules:
        kind = getattr(sys.modules["engine"], name)
    if not _is_type(kind):
        raise SignatureError(
            f"{name!r} is not a type known here. Use str, int, float, bool, list[...], dict[...], Optional[...], "
            "Literal['a', 'b'], or pass your own class in custom_types."
        )
    return kind


def _dotted(node: ast.Attribute, names: Names) -> object:
    path = ast.unparse(node)
    root, *rest = path.split(".")
    if root in _MODULES and len(rest) == 1:
        kind: object = _MODULES[root]
    else:
        kind = names.get(root)
        if kind is None and root in _ENGINE_NAMES:
            kind = sys.modules["engine"]  # as in `_lookup`: above this package, and loaded by the caller
    for part in rest:
        kind = None if kind is None or part.startswith("_") else getattr(kind, part, None)
    if not _is_type(kind):
        raise SignatureError(f"{path!r} is not a type known here. Pass your own class in custom_types.")
    return kind


def _is_type(value: object) -> bool:
    return isinstance(value, type) or type(value).__module__ in ("typing", "types", "typing_extensions")


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
        """True where a value holds several: a list, a tuple or a set."""
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
    read = read_type(text)
    return FieldType(text, Literal[choices], read.optional, choices) if choices else read


def read_type(text: str, custom_types: Names | None = None) -> FieldType:
    """Return the type that a text names; `custom_types` are looked up first."""
    try:
        plain, optional = without_none(parse_type(text, custom_types))
    except SignatureError as error:
        return FieldType(text, None, problem=str(error))
    return FieldType(text, plain, optional, get_args(plain) if get_origin(plain) is Literal else ())


_Kind = TypeVar("_Kind")


def is_class(annotation: object, kind: type[_Kind] | tuple[type[_Kind], ...]) -> TypeGuard[type[_Kind]]:
    """Return whether a type is a class, and one of these or of their subclasses."""
    return isinstance(annotation, type) and issubclass(annotation, kind)


def without_none(annotation: object) -> tuple[Any, bool]:
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
    others = tuple(a for a in args if a is not NoneType)
    if len(others) == len(args):
        return annotation, False
    return (others[0] if len(others) == 1 else Union[others]), True  # noqa: UP007 - built from a tuple at run time


def _class_names(annotation: object) -> Iterator[str]:
    """Yield the names of the classes in a type."""
    if isinstance(annotation, type):
        yield annotation.__name__
    for inner in get_args(annotation):
        yield from _class_names(inner)
