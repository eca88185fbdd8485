"""Descriptions and types of a model's fields by path, and a class with other descriptions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, create_model

from engine.adapters.notes import json_schema
from engine.errors import ConfigurationError
from engine.signature.grammar import UNIONS, type_text
from engine.signature.nested import below, is_record, nested_fields

Model = type[BaseModel]


def extract_field_descriptions(model: Model) -> dict[str, str]:
    """Return the description of every field by path, its name where it has none.

    >>> Item = create_model("Item", unit_price=(float, ...))
    >>> Bill = create_model("Bill", items=(list[Item], ...))
    >>> extract_field_descriptions(Bill)
    {'items': 'items', 'items.unit_price': 'unit_price'}
    """
    return {one.path: one.description or one.path.rpartition(".")[2] for one in nested_fields(model)}


def extract_field_types(model: Model) -> dict[str, str]:
    """Return the type of every field by path, as text.

    >>> class Bill(BaseModel):
    ...     total: float | None
    >>> extract_field_types(Bill)
    {'total': 'float | None'}
    """
    return {one.path: type_text(one.annotation) for one in nested_fields(model)}


def apply_optimized_descriptions(model: Model, descriptions: Mapping[str, str]) -> dict[str, Any]:
    """Return the model's JSON schema with descriptions by path, for a `response_format`. Raises ConfigurationError.

    >>> class Bill(BaseModel):
    ...     total: float
    >>> apply_optimized_descriptions(Bill, {"total": "With tax."})["properties"]["total"]
    {'type': 'number', 'description': 'With tax.'}
    """
    check_paths(model, descriptions)
    schema = json_schema(model, descriptions)
    if schema is None:
        raise ConfigurationError(f"{model.__name__} has no JSON schema. Use fields that JSON can hold.")
    return schema


def check_paths(model: Model, paths: Mapping[str, str] | tuple[str, ...]) -> None:
    """Raise ConfigurationError for a path that the model does not have."""
    known = {one.path for one in nested_fields(model)}
    for path in paths:
        if path not in known:
            raise ConfigurationError(
                f"{model.__name__} has no field {path!r}. Its fields: {', '.join(sorted(known)) or 'none'}."
            )


def create_optimized_model(model: Model, descriptions: Mapping[str, str]) -> Model:
    """Return a subclass with other descriptions: an instance of it is one of the model, with its validators and aliases.

    >>> class Bill(BaseModel):
    ...     total: float
    >>> made = create_optimized_model(Bill, {"total": "With tax."})
    >>> made.model_fields["total"].description, isinstance(made(total=1), Bill)
    ('With tax.', True)
    """
    check_paths(model, descriptions)
    made: Model = _subclass(model, descriptions)
    return made


def _subclass(record: Any, texts: Mapping[str, str]) -> Any:
    if not (isinstance(record, type) and issubclass(record, BaseModel)):
        return record
    changed: dict[str, Any] = {}
    for name, info in record.model_fields.items():
        inner = below(texts, name)
        if name not in texts and not inner:
            continue
        field = copy.copy(info)
        if name in texts:
            field.description = texts[name]
        changed[name] = (_inside(info.annotation, inner) if inner else info.annotation, field)
    made: Any = create_model(record.__name__, __base__=record, __doc__=record.__doc__, **changed)
    return made


def _inside(annotation: Any, texts: Mapping[str, str]) -> Any:
    """Return a type with the models in it described."""
    if is_record(annotation):
        return _subclass(annotation, texts)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(_inside(args[0], texts), *args[1:])]
    made = tuple(_inside(arg, texts) if arg is not Ellipsis else arg for arg in args)
    if origin in UNIONS:
        return Union[made]  # noqa: UP007 - built from a tuple at run time
    return origin[made] if origin is not None and made != args else annotation


def create_output_model() -> Model:
    """Return the model of a text answer: one field, `output`."""
    return TextOutput


class TextOutput(BaseModel):
    """A text answer."""

    output: str
