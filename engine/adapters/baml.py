"""BAMLAdapter: JSON answers, asked for with a short notation of types in place of a JSON schema.

The notation is that of BAML (boundaryml.com), as DSPy's adapter of this name has it: fewer tokens than a schema,
and the descriptions of a model's fields stand next to them.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import orjson
from pydantic import BaseModel

from engine.adapters.json import INPUT_LEAD, OUTPUT_LEAD, JSONAdapter
from engine.adapters.plan import FieldPlan, Plan
from engine.signature.grammar import UNIONS, is_class, type_text
from engine.signature.nested import below
from engine.signature.types.base import Type

NoneType = type(None)
_NOTHING: Mapping[str, str] = {}


class BAMLAdapter(JSONAdapter):
    """Shows the outputs' types in a short notation, with the descriptions of a model's fields; reads JSON as `JSONAdapter` does.

    For pydantic models inside each other, which small models fill in more reliably so. A model that holds itself is
    named where it comes again. The settings are those of `JSONAdapter`.

    >>> from typing import Literal
    >>> from pydantic import BaseModel, Field
    >>> from engine.signature import Signature
    >>> class Address(BaseModel):
    ...     street: str = Field(description="With the number.")
    ...     country: Literal["US", "CA"] | None
    >>> signature = Signature("note -> homes: list[Address], age: int", custom_types={"Address": Address})
    >>> print(BAMLAdapter().system_text(signature).split("this form:")[1].split("Your task")[0].strip())
    {
      homes: [
        {
          # With the number.
          street: string,
          country: "US" or "CA" or null,
        }
      ],
      age: int,
    }
    """

    name = "baml"

    def structure(self, plan: Plan) -> str:
        """Return the layout: the inputs' headers, then the object with each value's type."""
        inputs = self.marked((f.name, f"{{{f.name}}}") for f in plan.inputs)
        lines = [line for one in plan.outputs for line in _field_lines(one)]
        form = "\n".join(["{", *lines, "}"])
        return "\n\n".join(filter(None, [INPUT_LEAD, inputs, OUTPUT_LEAD, form]))


def notation(
    annotation: Any, indent: str = "", inside: tuple[type, ...] = (), nested: Mapping[str, str] = _NOTHING
) -> str:
    """Return a type in the short notation; `inside` are the models around it, `nested` descriptions by path.

    >>> notation(list[str]), notation(dict[str, int | None]), notation(Literal["a", 1, True])
    ('string[]', 'dict[string, int or null]', '"a" or 1 or true')
    """
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (*UNIONS, types.UnionType):
        return " or ".join(notation(part, indent, inside, nested) for part in _none_last(args))
    if origin is Literal:
        return " or ".join(orjson.dumps(value).decode() for value in args)
    if is_class(annotation, Enum):
        return " or ".join(orjson.dumps(member.value).decode() for member in annotation)
    if origin in (list, set, frozenset) and args:
        if not _is_model(args[0]):
            return f"{notation(args[0], indent, inside, nested)}[]"
        return f"[\n{indent}{STEP}{notation(args[0], indent + STEP, inside, nested)}\n{indent}]"
    if origin is dict:
        return f"dict[{', '.join(notation(part, indent, inside, nested) for part in args)}]"
    if _is_model(annotation):
        return _model(annotation, indent, inside, nested)
    return type_text(annotation)


def _model(model: type[BaseModel], indent: str, inside: tuple[type, ...], nested: Mapping[str, str]) -> str:
    if model in inside and not nested:
        return f"{model.__name__}, as above"
    lines: list[str] = []
    for name, field in model.model_fields.items():
        described = (
            nested.get(name)
            or field.description
            or (f"alias: {field.alias}" if field.alias and field.alias != name else "")
        )
        value = notation(field.annotation, indent + STEP, (*inside, model), below(nested, name))
        lines += [f"{indent}{STEP}{line}" for line in _comments(described)]
        lines += [f"{indent}{STEP}{line}" for line in _comments(_documented(field.annotation))]
        lines.append(f"{indent}{STEP}{name}: {value},")
    return "\n".join(["{", *lines, f"{indent}}}"])


def _field_lines(one: FieldPlan) -> list[str]:
    rules = f"must be {one.rules}" if one.rules else ""
    notes = [_documented(one.annotation), rules]
    comments = [line for note in notes for line in _comments(note)]
    return [
        *(f"{STEP}{line}" for line in comments),
        f"{STEP}{one.name}: {notation(one.annotation, STEP, (), one.nested)},",
    ]


def _documented(annotation: object) -> str:
    """Return the descriptions of the models and user-defined types in a type."""
    if is_class(annotation, Type):
        return annotation.description()
    if _is_model(annotation):
        return annotation.__dict__.get("__doc__") or ""
    return " ".join(filter(None, map(_documented, get_args(annotation))))


def _comments(text: str) -> list[str]:
    return [f"# {line.strip()}" for line in text.splitlines() if line.strip()]


def _is_model(annotation: object) -> bool:
    return is_class(annotation, BaseModel) and not is_class(annotation, Type)


def _none_last(parts: tuple[object, ...]) -> list[object]:
    return sorted(parts, key=lambda part: part is NoneType)


STEP = "  "
_SIMPLE: dict[Any, str] = {
    str: "string",
    int: "int",
    float: "float",
    bool: "boolean",
    NoneType: "null",
    Any: "any JSON value",
}
