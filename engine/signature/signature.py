"""`Signature`: named, typed inputs and outputs with an instruction, as a class.

A signature is never changed: every operation returns a new one, so programs that share one cannot
disturb each other. It knows nothing of prompts, models or examples.
"""

from __future__ import annotations

import abc
import copy
import copyreg
import inspect
import logging
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import pydantic
from pydantic.fields import FieldInfo

from engine.basics.data import JsonObject, Values
from engine.basics.text import listed
from engine.errors import SignatureError, UnknownFieldError
from engine.signature.grammar import Names, caller_names, check_name, parse_sides, type_text
from engine.signature.nested import nested_fields

Role = Literal["input", "output"]
ROLE = "__dspy_field_type"
"""Key of a field's side in its `json_schema_extra`: DSPy's, so that either library reads the other's fields."""


def InputField(**options: object) -> Any:  # noqa: N802 - the name users of DSPy know
    """Declare a field that a step reads.

    `desc` says in words what it holds. Every other argument is pydantic's: `default`, `ge`, `le`,
    `max_length` and so on; constraints are shown in the prompt and hold for outputs.

    >>> InputField(desc="A customer's message.").json_schema_extra[ROLE]
    'input'
    """
    return _field("input", options)


def OutputField(**options: object) -> Any:  # noqa: N802 - the name users of DSPy know
    """Declare a field that a step writes; the arguments are those of `InputField`.

    With a default (or a type that admits None) a reply may leave it out.
    """
    return _field("output", options)


def _field(role: Role, options: JsonObject) -> FieldInfo:
    desc = options.pop("desc", None) or options.get("description")
    prefix = options.pop("prefix", None)
    given = options.pop("json_schema_extra", None)
    extra = {**(given if isinstance(given, dict) else {}), ROLE: role}
    if desc:
        extra["desc"] = str(desc)
    if prefix:
        extra["prefix"] = str(prefix)
    info: FieldInfo = pydantic.Field(json_schema_extra=extra, **options)
    return info


def role_of(field: object) -> Role | None:
    """Return the side of a field, or None for anything that is not a signature's field."""
    role = _extra(field).get(ROLE) if isinstance(field, FieldInfo) else None
    return role if role in ("input", "output") else None


def _extra(field: FieldInfo) -> JsonObject:
    return dict(field.json_schema_extra) if isinstance(field.json_schema_extra, dict) else {}


def typed(name: str, field: FieldInfo, annotation: Any = None) -> FieldInfo:
    """Return a copy of a field with its type (its own or str without one), description and label filled in.

    Without a description the placeholder "${name}" is used, as programs for DSPy expect;
    `Signature.description` reads it as "".
    """
    annotation = next(one for one in (annotation, field.annotation, str) if one is not None)
    try:
        info = FieldInfo.from_annotated_attribute(annotation, copy.copy(field))
    except (TypeError, pydantic.PydanticUserError) as error:
        raise SignatureError(f"Field {name!r} cannot have the type {annotation!r}: {error}") from error
    info.json_schema_extra = {"desc": f"${{{name}}}", "prefix": infer_prefix(name) + ":", **_extra(field)}
    return info


RULES = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "allow_inf_nan")
"""Keywords of pydantic's that are rules for a value."""


def with_rules(field: FieldInfo, rules: Values) -> FieldInfo:
    """Return a copy of a field with rules added; one of a kind that it has already takes that one's place.

    >>> from pydantic import Field
    >>> with_rules(Field(ge=1, le=5), {"le": 3}).metadata
    [Ge(ge=1), Le(le=3)]
    """
    ruled = copy.copy(field)
    new = pydantic.Field(**rules).metadata
    kinds = {type(rule) for rule in new}
    ruled.metadata = [*(rule for rule in field.metadata if type(rule) not in kinds), *new]
    return ruled


_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def infer_prefix(name: str) -> str:
    """Return a field name as title-case words, with acronyms kept.

    >>> infer_prefix("customer_name"), infer_prefix("shortURL2"), infer_prefix("HTMLPage")
    ('Customer Name', 'Short URL 2', 'HTML Page')
    """
    words = _WORDS.findall(name) or [name]
    return " ".join(word if word.isupper() and len(word) > 1 else word.capitalize() for word in words)


def _declared_fields(cls: type, declared: JsonObject, scope: Values) -> dict[str, FieldInfo]:
    """Return the fields that a class body declares, typed; `scope` is the scope of the class statement.

    Raises SignatureError for an annotated name that is neither an InputField nor an OutputField.
    """
    hints = inspect.get_annotations(cls)
    for name, hint in hints.items():
        class_variable = re.match(r"(\w+\.)*ClassVar\b", str(hint))
        if name not in declared and not name.startswith("_") and not class_variable:
            raise SignatureError(_WITHOUT_SIDE.format(f"{cls.__name__}.{name}", name))
    return {
        check_name(name): typed(name, field, _evaluated(cls, name, hints.get(name), scope))
        for name, field in declared.items()
    }


_WITHOUT_SIDE = "{} must say which side it is on: {}: ... = InputField() or = OutputField()."


def _evaluated(cls: type, name: str, hint: object, scope: Mapping[str, object]) -> object:
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


_log = logging.getLogger(__name__)

Fields = Mapping[str, FieldInfo]


def _content(field: FieldInfo) -> tuple[object, ...]:
    return field.annotation, _extra(field), repr(field.metadata), field.is_required(), repr(field.default)


def _derive(cls: SignatureMeta, fields: Fields, instructions: str | None = None) -> type[Signature]:
    return _build(cls.__name__, fields, instructions or cls.instructions)


def _build(name: str, fields: Fields, instructions: str | None) -> type[Signature]:
    text = inspect.cleandoc(instructions) if instructions else None
    signature = SignatureMeta(
        name, (Signature,), {"__module__": __name__}, fields=dict(fields), instructions=text
    )
    return typing.cast("type[Signature]", signature)


def _default_instructions(cls: SignatureMeta) -> str:
    read, written = (
        listed([f"`{name}`" for name in side]) or "nothing" for side in (cls._inputs, cls._outputs)
    )
    return f"Read {read} and write {written}."


if typing.TYPE_CHECKING:
    from abc import ABCMeta as ModelMeta
else:
    ModelMeta = type(pydantic.BaseModel)


class SignatureMeta(ModelMeta):
    """The class of signatures: collects a class body's fields, and carries what can be asked of them.

    It is derived from that of pydantic's models so that one may be a base too: it brings its fields, and no values.
    """

    _fields: Fields
    _inputs: Fields
    _outputs: Fields
    _instructions: str | None

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> SignatureMeta:
        """Make a signature class of a class body, or of `fields` that are ready."""
        ready = options.pop("fields", None)
        declared = {key: value for key, value in namespace.items() if role_of(value)}
        body = {key: value for key, value in namespace.items() if key not in declared}
        models = [b for b in bases if issubclass(b, pydantic.BaseModel)]
        cls = abc.ABCMeta.__new__(mcs, name, tuple(b for b in bases if b not in models), body)
        fields = {key: typed(key, field) for model in models for key, field in model.model_fields.items()}
        if plain := [key for key, field in fields.items() if not role_of(field)]:
            raise SignatureError(_WITHOUT_SIDE.format(f"{name}.{plain[0]}", plain[0]))
        inherited = None
        for base in reversed(cls.__mro__[1:]):
            if isinstance(base, SignatureMeta):
                fields |= base._fields
                inherited = base._instructions or inherited
        if ready is None:
            # A frame: with postponed annotations a hint may name a class of the function around the class statement.
            fields |= _declared_fields(cls, declared, sys._getframe(1).f_locals)
        else:
            fields = ready
        written = namespace.get("__doc__") if bases else None
        instructions = inspect.cleandoc(written) if written and written.strip() else inherited
        type.__setattr__(cls, "_instructions", options.pop("instructions", None) or instructions)
        outputs = {key: field for key, field in fields.items() if role_of(field) == "output"}
        inputs = {key: field for key, field in fields.items() if key not in outputs}
        for key, side in (("_inputs", inputs), ("_outputs", outputs), ("_fields", inputs | outputs)):
            type.__setattr__(cls, key, MappingProxyType(side))
        if bases:
            type.__setattr__(cls, "__doc__", cls.instructions)
        return cls

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: JsonObject, **_options: object) -> None:
        type.__init__(cls, name, bases, namespace)

    __instancecheck__, __subclasscheck__ = type.__instancecheck__, type.__subclasscheck__

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a new signature of a text or a dict: `Signature("question -> answer", "Be brief.")`."""
        if cls is not Signature:
            raise SignatureError(
                f"{cls.__name__} is a contract and holds no values. Use it as Predict({cls.__name__})."
            )
        return make_signature(*args, **kwargs)

    def __setattr__(cls, name: str, value: object) -> None:
        if name == "__doc__":  # as in DSPy; a signature that was derived before keeps its own
            type.__setattr__(cls, "_instructions", value and inspect.cleandoc(str(value)))
        if name.startswith("_"):  # so that cloudpickle can fill in a class that it has rebuilt
            super().__setattr__(name, value)
            return
        raise SignatureError(
            f"A signature cannot be changed: {cls.__name__}.{name} is fixed. Make a new one with with_instructions() "
            "or with_updated_fields()."
        )

    @property
    def instructions(cls) -> str:
        """The task of the step; without a docstring, a text that names its fields."""
        return cls._instructions or _default_instructions(cls)

    @property
    def fields(cls) -> Fields:
        """Every field by name: inputs first, then outputs."""
        return cls._fields

    model_fields = fields
    """The same, under pydantic's name."""

    @property
    def input_fields(cls) -> Fields:
        """The inputs by name."""
        return cls._inputs

    @property
    def output_fields(cls) -> Fields:
        """The outputs by name."""
        return cls._outputs

    @property
    def signature(cls) -> str:
        """The names as a text, "a, b -> c"."""
        return f"{', '.join(cls._inputs)} -> {', '.join(cls._outputs)}"

    def annotation(cls, name: str) -> Any:
        """Return a field's type. Raises SignatureError for a name the signature does not have."""
        return cls._field(name).annotation

    def description(cls, name: str) -> str:
        """Return what a field was described as; "" when it was not. A path ("invoice.items.price") goes into a record."""
        if "." in name and name not in cls._fields:
            return cls._nested(name)
        desc = _extra(cls._field(name)).get("desc", "")
        return "" if desc == f"${{{name}}}" else str(desc)

    def _nested(cls, path: str) -> str:
        name, _, rest = path.partition(".")
        laid_over: Mapping[str, str] = cls.descriptions_inside(name)
        if rest in laid_over:
            return laid_over[rest]
        for one in nested_fields(cls.annotation(name)):
            if one.path == rest:
                return one.description
        raise UnknownFieldError(
            f"{cls.__name__} has no field {path!r}: there is no {rest!r} inside {name!r}."
        )

    def descriptions_inside(cls, name: str) -> Mapping[str, str]:
        """Return the descriptions laid over those of a field's own type, by the path inside it."""
        inside: Mapping[str, str] = _extra(cls._field(name)).get("nested", {})
        return inside

    @property
    def described_fields(cls) -> tuple[str, ...]:
        """Everything that has a description: the fields, and the paths inside the records that are written."""
        inside = [
            f"{name}.{one.path}"
            for name in cls._outputs
            for one in nested_fields(cls._fields[name].annotation)
        ]
        return (*cls._fields, *dict.fromkeys(inside))

    def with_instructions(cls, instructions: str) -> type[Signature]:
        """Return the same fields with another instruction."""
        return _derive(cls, cls._fields, instructions)

    def append_instructions(cls, instructions: str) -> type[Signature]:
        """Return the same fields with a paragraph added to the instruction."""
        return _derive(
            cls, cls._fields, f"{cls.instructions}\n\n{instructions}" if instructions else cls.instructions
        )

    def with_updated_fields(cls, name: str, type_: object = None, **extra: Any) -> type[Signature]:
        """Return a signature in which one field has another type, description (`desc`), prefix, or rules (`ge`, `max_length` ...).

        A path into a record ("invoice.items.price") takes a description alone. It is laid over the class's own,
        which stays.
        """
        if "." in name and name not in cls._fields and extra.keys() == {"desc"} and type_ is None:
            return cls._with_nested(name, str(extra["desc"]))
        rules = {key: extra.pop(key) for key in RULES if key in extra}
        field = with_rules(cls._field(name), rules) if rules else cls._field(name)
        info = typed(name, field, type_)
        info.json_schema_extra = {**_extra(info), **extra}
        return _derive(cls, {**cls._fields, name: info})

    def _with_nested(cls, path: str, text: str) -> type[Signature]:
        cls.description(path)
        name, _, rest = path.partition(".")
        info = copy.copy(cls._fields[name])
        info.json_schema_extra = {**_extra(info), "nested": {**cls.descriptions_inside(name), rest: text}}
        return _derive(cls, {**cls._fields, name: info})

    def prepend(cls, name: str, field: object, type_: object = None) -> type[Signature]:
        """Return a signature with a field put first on its side."""
        return cls.insert(0, name, field, type_)

    def append(cls, name: str, field: object, type_: object = None) -> type[Signature]:
        """Return a signature with a field put last on its side."""
        return cls.insert(-1, name, field, type_)

    def insert(cls, index: int, name: str, field: Any, type_: object = None) -> type[Signature]:
        """Return a signature with a field put at a position among the inputs or outputs; -1 is the end."""
        role = role_of(field)
        if role is None:
            raise SignatureError(f"Field {name!r} must be an InputField or an OutputField.")
        info = typed(check_name(name), field, type_)
        sides = {"input": list(cls._inputs.items()), "output": list(cls._outputs.items())}
        side = sides[role] = [item for item in sides[role] if item[0] != name]
        at = index + len(side) + 1 if index < 0 else index
        if not 0 <= at <= len(side):
            raise SignatureError(f"Position {index} is outside the {len(side)} {role}s of {cls.__name__}.")
        side.insert(at, (name, info))
        return _derive(cls, dict([*sides["input"], *sides["output"]]))

    def delete(cls, name: str) -> type[Signature]:
        """Return a signature without a field; one that is not there is no error.

        A default instruction, which names the fields, names those that are left.
        """
        rest = {key: value for key, value in cls._fields.items() if key != name}
        unwritten = cls.instructions == _default_instructions(cls)
        return _build(cls.__name__, rest, None if unwritten else cls.instructions)

    def equals(cls, other: object) -> bool:
        """Return whether another signature has the same instruction and the same fields, types included."""
        return (
            isinstance(other, SignatureMeta)
            and cls.instructions == other.instructions
            and list(cls._fields) == list(other._fields)
            and all(_content(cls._fields[name]) == _content(other._fields[name]) for name in cls._fields)
        )

    def dump_state(cls) -> JsonObject:
        """Return the wording as JSON values: the instructions; name, label, description and type of each field.

        DSPy reads it too: it takes labels and descriptions in the order of the fields.
        """
        saved = [
            {
                "name": name,
                "prefix": _extra(field)["prefix"],
                "description": _extra(field)["desc"],
                "type": type_text(field.annotation),
                **({"nested": dict(inside)} if (inside := cls.descriptions_inside(name)) else {}),
            }
            for name, field in cls._fields.items()
        ]
        return {"instructions": cls.instructions, "fields": saved}

    def load_state(cls, state: Values) -> type[Signature]:
        """Return this signature with saved wording. Fields may be given by name, or in order as DSPy saves them.

        Types stay this signature's: a field that was saved with another one is named in a warning.
        """
        fields = dict(cls._fields)
        for name, words in cls._fields_by_name(state.get("fields", {})):
            if name not in fields:
                continue
            was, now = words.get("type"), type_text(fields[name].annotation)
            if was not in (None, now):
                _log.warning("%s.%s was saved as %s and is %s now.", cls.__name__, name, was, now)
            info = copy.copy(fields[name])
            new = {
                "desc": words.get("description") or f"${{{name}}}",
                "prefix": words.get("prefix"),
                "nested": words.get("nested"),
            }
            info.json_schema_extra = _extra(info) | {key: value for key, value in new.items() if value}
            fields[name] = info
        return _derive(cls, fields, state.get("instructions") or cls.instructions)

    def _fields_by_name(cls, saved: Any) -> Iterable[tuple[str, Values]]:
        """Return saved fields with their names; in DSPy's files they go by the order, or by their labels where that differs."""
        if isinstance(saved, Mapping):
            return saved.items()
        if all("name" in words for words in saved):
            return [(words["name"], words) for words in saved]
        if len(saved) == len(cls._fields):
            return zip(cls._fields, saved, strict=True)
        labels = {f"{infer_prefix(name)}:": name for name in cls._fields}
        return [(labels.get(words["prefix"], ""), words) for words in saved]

    def model_json_schema(cls, **options: Any) -> JsonObject:
        """Return the fields of both sides as a JSON schema, as pydantic writes that of a model."""
        fields: JsonObject = {name: (field.annotation, field) for name, field in cls._fields.items()}
        config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        model = pydantic.create_model(cls.__name__, __doc__=cls.instructions, __config__=config, **fields)
        schema: JsonObject = model.model_json_schema(**options)
        return schema

    def _field(cls, name: str) -> FieldInfo:
        try:
            return cls._fields[name]
        except KeyError:
            raise UnknownFieldError(
                f"{cls.__name__} has no field {name!r}. It has: {', '.join(cls._fields)}."
            ) from None

    def __repr__(cls) -> str:
        return f"{cls.__name__}({cls.signature})" if cls._fields else cls.__name__


class Signature(metaclass=SignatureMeta):
    """A contract for one step. Declare it as a class, or call it with a text or a dict.

    >>> class Route(Signature):
    ...     '''Choose the team that should answer.'''
    ...     message: str = InputField()
    ...     urgent: bool = OutputField(desc="Whether it cannot wait.")
    >>> Route.instructions, Route.annotation("urgent"), Route.description("urgent")
    ('Choose the team that should answer.', <class 'bool'>, 'Whether it cannot wait.')
    >>> Signature("question -> answer: int", "Count.").output_fields["answer"].annotation
    <class 'int'>
    """

    if TYPE_CHECKING:

        def __new__(  # type: ignore[misc]  # a call makes a class
            cls, signature: str | Values, instructions: str | None = None, **options: object
        ) -> type[Signature]:
            """Make a new signature of a text or a dict."""


AnySignature = str | Values | type[Signature]
"""A signature in any of its forms: a text, a dict of fields, a class."""


def _pickled(cls: SignatureMeta) -> Any:
    """Return what pickle keeps of a signature: where its class is found, else its fields and its instruction."""
    place: object = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        place = getattr(place, name, None)
    if place is cls:
        return cls.__qualname__
    return _build, (cls.__name__, dict(cls._fields), cls._instructions)


copyreg.pickle(SignatureMeta, _pickled)


def make_signature(
    signature: str | Values,
    instructions: str | None = None,
    signature_name: str = "StringSignature",
    custom_types: Names | None = None,
) -> type[Signature]:
    """Return a new signature of a text ("a, b: int -> c") or a dict (name -> (type, field) or field).

    Types a text names are looked up in `custom_types`, among Python's own, then in the calling code.
    Raises SignatureError when it cannot be read.
    """
    fields: dict[str, FieldInfo] = {}
    if isinstance(signature, str):
        inputs, outputs = parse_sides(signature, caller_names(custom_types))
        for make, side in ((InputField, inputs), (OutputField, outputs)):
            fields |= {name: typed(name, make(), annotation) for name, annotation in side.items()}
    elif isinstance(signature, Mapping):
        for name, value in signature.items():
            annotation, field = value if isinstance(value, tuple) and len(value) == 2 else (None, value)
            if role_of(field) is None:
                raise SignatureError(
                    f"Field {name!r} must be an InputField or an OutputField, alone or as (type, field)."
                )
            fields[check_name(name)] = typed(name, field, annotation)
    else:
        raise SignatureError(
            f"A signature is made of a text like 'question -> answer' or a dict, not {signature!r}."
        )
    return _build(signature_name, fields, instructions)


def ensure_signature(signature: AnySignature | None, instructions: str | None = None) -> Any:
    """Return a signature class whatever form it was given in; None stays None.

    Raises SignatureError for instructions next to a class, which has its own.
    """
    if signature is None or (isinstance(signature, SignatureMeta) and not instructions):
        return signature
    if isinstance(signature, SignatureMeta):
        raise SignatureError(
            f"{signature.__name__} has instructions already. Use {signature.__name__}.with_instructions(...) for others."
        )
    return make_signature(signature, instructions)
