"""Fields inside fields: the paths into a record's type, and a JSON schema with a description for each path.

Pure functions of types and schemas. A class is never changed: descriptions by path are laid over what its schema says.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, cast, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from engine.basics.data import JsonObject
from engine.signature.grammar import UNIONS

RECURSION = 2
"""Depth to which a model is described inside itself; deeper levels keep the class's descriptions."""

MOST_PATHS = 500
"""Paths of one field; a type with more is described by path up to there."""

_CONTAINERS = (list, set, frozenset, tuple, dict)


@dataclass(frozen=True, slots=True)
class NestedField:
    """A field inside a record: its path by Python names, the same path by the keys of JSON (aliases), type and description.

    `inside_itself` says that its class holds itself, and that this is the deepest place with a path.
    """

    path: str
    keys: tuple[str, ...]
    annotation: Any
    description: str = ""
    inside_itself: bool = False


def nested_fields(annotation: object) -> tuple[NestedField, ...]:
    """Return every field inside a type, parents first: through lists, dicts, unions and models inside models.

    A list adds nothing to a path. A model that holds itself is followed to `RECURSION` levels.

    >>> from pydantic import create_model
    >>> Item = create_model("Item", price=(float, ...))
    >>> Invoice = create_model("Invoice", number=(str, ...), items=(list[Item], ...))
    >>> [one.path for one in nested_fields(Invoice | None)]
    ['number', 'items', 'items.price']
    """
    try:
        return _cached(annotation)
    except TypeError:  # a type that cannot be hashed, such as a Literal of a list
        return _all(annotation)


def _all(annotation: object) -> tuple[NestedField, ...]:
    fields: list[NestedField] = []
    for one in _walk(annotation, (), (), ()):
        fields.append(one)
        if len(fields) >= MOST_PATHS:
            break
    return tuple(fields)


_cached = lru_cache(maxsize=512, typed=True)(_all)


def _walk(
    annotation: object, path: tuple[str, ...], keys: tuple[str, ...], around: tuple[type, ...]
) -> Iterator[NestedField]:
    for record in records_in(annotation):
        if around.count(record) > RECURSION:
            continue
        inside = (*around, record)
        for name, info in fields_inside(record).items():
            here, its_keys, kind = (*path, name), (*keys, _key(name, info.validation_alias)), info.annotation
            deepest = any(inside.count(one) > RECURSION for one in records_in(kind))
            yield NestedField(".".join(here), its_keys, kind, info.description or "", deepest)
            yield from _walk(kind, here, its_keys, inside)


def records_in(annotation: Any) -> list[type]:
    """Return the records that a type is or holds: models, dataclasses and typed dicts, none that shows itself as a whole."""
    annotation = getattr(annotation, "__value__", annotation)  # a type that was given a name
    origin = get_origin(annotation)
    if origin is Annotated:
        return records_in(get_args(annotation)[0])
    if origin in UNIONS or origin in _CONTAINERS:
        return list(dict.fromkeys(record for arg in get_args(annotation) for record in records_in(arg)))
    return [annotation] if is_record(annotation) else []


def is_record(kind: object) -> bool:
    """Return whether a type is a record: a model, a dataclass or a typed dict."""
    if not isinstance(kind, type) or getattr(kind, "shown_whole", False):
        return False
    return issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind) or typing.is_typeddict(kind)


def fields_inside(record: object) -> Mapping[str, FieldInfo]:
    """Return a record's fields, as pydantic knows them."""
    infos = getattr(record, "model_fields", None) or getattr(record, "__pydantic_fields__", None)
    if infos is None:
        return {name: FieldInfo(annotation=hint) for name, hint in typing.get_type_hints(record).items()}
    return cast("Mapping[str, FieldInfo]", infos)


def _key(name: str, alias: object) -> str:
    """Return the key that a field has in a JSON schema."""
    if isinstance(alias, AliasChoices):
        alias = next((choice for choice in alias.choices if isinstance(choice, str)), None)
    return alias if isinstance(alias, str) else name


def below(descriptions: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the descriptions of what is inside a field, by the path from there.

    >>> below({"items": "Lines.", "items.price": "Net."}, "items")
    {'price': 'Net.'}
    """
    lead = f"{name}."
    return {path.removeprefix(lead): text for path, text in descriptions.items() if path.startswith(lead)}


def keyed(value: object, annotation: object) -> Any:
    """Return a record's JSON values, named by field, under the keys of its schema (aliases).

    >>> from pydantic import Field, create_model
    >>> Bill = create_model("Bill", total=(int, Field(alias="totalDue")))
    >>> keyed([{"total": 3}], list[Bill])
    [{'totalDue': 3}]
    """
    aliases = _aliases(annotation)
    return _renamed(value, "", aliases, to_names=False) if aliases else value


def named(value: object, annotation: object) -> Any:
    """Return a record's JSON values under its fields' names, whether they come by name or under the keys of its schema.

    >>> from pydantic import Field, create_model
    >>> Bill = create_model("Bill", total=(int, Field(alias="totalDue")))
    >>> named([{"totalDue": 3}, {"total": 4}], list[Bill])
    [{'total': 3}, {'total': 4}]
    """
    aliases = _aliases(annotation)
    return _renamed(value, "", aliases, to_names=True) if aliases else value


_Aliases = dict[str, dict[str, str]]
"""Path of a record -> name of a field in it -> its key, for fields whose key is another."""


def _aliases(annotation: object) -> _Aliases:
    aliases: _Aliases = {}
    for one in nested_fields(annotation):
        around, _, name = one.path.rpartition(".")
        if name != one.keys[-1]:
            aliases.setdefault(around, {})[name] = one.keys[-1]
    return aliases


def _renamed(value: object, at: str, aliases: _Aliases, *, to_names: bool) -> object:
    if isinstance(value, list):
        return [_renamed(item, at, aliases, to_names=to_names) for item in value]
    if not isinstance(value, Mapping):
        return value
    here = aliases.get(at, {})
    names = {key: name for name, key in here.items()}
    renamed = {}
    for key, item in value.items():
        # An alias may be another field's name.
        name: Any = key if key in here or not to_names else names.get(key, key)
        inside = _renamed(item, f"{at}.{name}" if at else str(name), aliases, to_names=to_names)
        renamed[name if to_names else here.get(name, name)] = inside
    return renamed


def with_descriptions(schema: JsonObject, annotation: object, descriptions: Mapping[str, str]) -> JsonObject:
    """Return a type's JSON schema with descriptions by path.

    A definition on the way to one is written out in its place, so that a model used twice can be described twice;
    the others stay shared.
    """
    texts = {
        one.keys: descriptions[one.path] for one in nested_fields(annotation) if one.path in descriptions
    }
    if not texts:
        return schema
    definitions: JsonObject = schema.get("$defs", {})
    described: JsonObject = _described({k: v for k, v in schema.items() if k != "$defs"}, texts, definitions)
    used = _referred(described, definitions)
    return (
        {**described, "$defs": {name: definitions[name] for name in definitions if name in used}}
        if used
        else described
    )


_Texts = Mapping[tuple[str, ...], str]


def _described(node: JsonObject, texts: _Texts, definitions: JsonObject) -> JsonObject:
    described = dict(node)
    if "$ref" in described:
        described = {**definitions[_name(described.pop("$ref"))], **described}
        if "$ref" in described:
            return _described(described, texts, definitions)
    described.pop("discriminator", None)  # it points to definitions that are written out now
    for key in ("items", "additionalProperties"):
        if isinstance(described.get(key), dict):
            described[key] = _described(described[key], texts, definitions)
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if isinstance(described.get(key), list):
            described[key] = [_described(one, texts, definitions) for one in described[key]]
    if isinstance(described.get("properties"), dict):
        described["properties"] = {
            key: _property(key, one, texts, definitions) for key, one in described["properties"].items()
        }
    return described


def _property(key: str, node: JsonObject, texts: _Texts, definitions: JsonObject) -> JsonObject:
    inner = {keys[1:]: text for keys, text in texts.items() if keys[0] == key and len(keys) > 1}
    described = _described(node, inner, definitions) if inner else node
    return {**described, "description": texts[(key,)]} if (key,) in texts else described


def _referred(node: object, definitions: JsonObject) -> set[str]:
    """Return the names of the definitions that a schema needs."""
    names: set[str] = set()
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
            if isinstance(ref := part.get("$ref"), str) and (name := _name(ref)) not in names:
                names.add(name)
                waiting.append(definitions[name])
    return names


def _name(ref: str) -> str:
    return ref.rpartition("/")[2]
