"""Descriptions and types of a model's fields by path, and a class with other descriptions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, create_model

from engine.adapters.notes import json_schema
from engine.basics.data import JsonObject
from engine.errors import ConfigurationError
from engine.signature.grammar import UNIONS, type_text
from engine.signature.nested import below, is_record, nested_fields

Model = type[BaseModel]


def extract_field_descriptions(model: Model) -> dict[str, str]:
    """Return the description of every field by path; a field without one has its name.

    >>> Item = create_model("Item", unit_price=(float, ...))
    >>> Bill = create_model("Bill", items=(list[Item], ...))
    >>> extract_field_descriptions(Bill)
    {'items': 'items', 'items.unit_price': 'unit_price'}
    """
    return {field.path: field.description or field.path.rpartition(".")[2] for field in nested_fields(model)}


def extract_field_types(model: Model) -> dict[str, str]:
    """Return the type of every field by path, as text.

    >>> class Bill(BaseModel):
    ...     total: float | None
    >>> extract_field_types(Bill)
    {'total': 'float | None'}
    """
    return {field.path: type_text(field.annotation) for field in nested_fields(model)}


def apply_optimized_descriptions(model: Model, descriptions: Mapping[str, str]) -> JsonObject:
    """Return the model's JSON schema with descriptions by path, for a `response_format`. Raises ConfigurationError.

    >>> class Bill(BaseModel):
    ...     total: float
    >>> apply_optimized_descriptions(Bill, {"total": "With tax."})["properties"]["total"]
    {'type': 'number', 'description': 'With tax.'}
    """
    _check_paths(model, descriptions)
    schema = json_schema(model, descriptions)
    if schema is None:
        raise ConfigurationError(f"{model.__name__} has no JSON schema. Use fields that JSON can hold.")
    return schema


def create_optimized_model(model: Model, descriptions: Mapping[str, str]) -> Model:
    """Return a subclass with other descriptions: an instance of it is one of the model, with its validators and aliases.

    >>> class Bill(BaseModel):
    ...     total: float
    >>> Tuned = create_optimized_model(Bill, {"total": "With tax."})
    >>> Tuned.model_fields["total"].description, isinstance(Tuned(total=1), Bill)
    ('With tax.', True)
    """
    _check_paths(model, descriptions)
    described: Model = _described_type(model, descriptions)
    return described


def _check_paths(model: Model, paths: Mapping[str, str]) -> None:
    known = extract_field_types(model)
    if unknown := [path for path in paths if path not in known]:
        raise ConfigurationError(
            f"{model.__name__} has no field {unknown[0]!r}. Its fields: {', '.join(sorted(known)) or 'none'}."
        )


def _described_type(annotation: Any, texts: Mapping[str, str]) -> Any:
    """Return a type with the models in it described; a record that is no model stays as it is."""
    if not is_record(annotation):
        origin, args = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return Annotated[(_described_type(args[0], texts), *args[1:])]
        described = tuple(arg if arg is Ellipsis else _described_type(arg, texts) for arg in args)
        if origin in UNIONS:
            return Union[described]  # noqa: UP007 - built from a tuple at run time
        return origin[described] if origin is not None and described != args else annotation
    if not issubclass(annotation, BaseModel):
        return annotation
    changed: JsonObject = {}
    for name, info in annotation.model_fields.items():
        inner = below(texts, name)
        if name in texts or inner:
            field = copy.copy(info)
            field.description = texts.get(name, info.description)
            changed[name] = (_described_type(info.annotation, inner) if inner else info.annotation, field)
    return create_model(annotation.__name__, __base__=annotation, __doc__=annotation.__doc__, **changed)


def create_output_model() -> Model:
    """Return the model of a text answer: one field, `output`."""
    return TextOutput


class TextOutput(BaseModel):
    """A text answer."""

    output: str
