"""A JSON Schema -> fields: properties, enums, nested objects by description. It reads data, nothing else."""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import PipelineError
from engine.pipeline.spec import FieldSpec

_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
DEEPEST = 12


@dataclass(frozen=True, slots=True)
class ReadFields:
    """Fields of a class or a schema, its description, and notes on what was left out; inputs only where it names them."""

    outputs: tuple[FieldSpec, ...]
    description: str
    notes: tuple[str, ...]
    inputs: tuple[FieldSpec, ...] = ()
    name: str = ""


def read_schema(text: str) -> ReadFields:
    """Return the fields of a JSON Schema; one inside a tool's or a response format's description is found too.

    Raises PipelineError when it is no JSON, or describes no object with properties.

    >>> found = read_schema('{"properties": {"kind": {"enum": ["a", "b"]}, "n": {"type": ["integer", "null"]}}}')
    >>> [(f.name, f.type, f.choices) for f in found.outputs]
    [('kind', 'str', ('a', 'b')), ('n', 'Optional[int]', ())]
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise PipelineError(
            f"This is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}."
        ) from None
    except RecursionError:
        raise PipelineError("This JSON is nested too deeply to be a schema of fields.") from None
    schema, said = _object_in(data)
    if schema is None:
        raise PipelineError(
            'This JSON is no schema of an object: it has no "properties". Paste one such as {"properties": {"name": {"type": "string"}}}.'
        )
    definitions = {
        **(data.get("definitions") or {}),
        **(schema.get("definitions") or {}),
        **(data.get("$defs") or {}),
        **(schema.get("$defs") or {}),
    }
    reader = _SchemaReader(definitions)
    fields = tuple(
        reader.field(name, part) for name, part in schema["properties"].items() if isinstance(part, Mapping)
    )
    if not fields:
        raise PipelineError("The schema has no properties, so there is nothing to answer. Add at least one.")
    return ReadFields(fields, " ".join(str(said).split()), tuple(reader.notes))


def _object_in(data: object, depth: int = 0) -> tuple[dict[str, Any] | None, str]:
    """Return the schema with properties in the usual wrappings, and its description."""
    if not isinstance(data, dict) or depth > 5:
        return None, ""
    if isinstance(data.get("properties"), dict):
        return data, str(data.get("description", ""))
    for key in ("parameters", "input_schema", "inputSchema", "schema", "json_schema", "function", "items"):
        found, said = _object_in(data.get(key), depth + 1)
        if found is not None:
            return found, said or str(data.get("description", ""))
    reference = str(data.get("$ref", "")).rpartition("/")[2]
    for key in ("$defs", "definitions"):
        if reference and isinstance(data.get(key), dict):
            return _object_in(data[key].get(reference), depth + 1)
    return None, ""


class _SchemaReader:
    """Reads properties, given the schema's definitions."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.definitions = definitions
        self.notes: list[str] = []

    def field(self, name: str, part: Mapping[str, object]) -> FieldSpec:
        part = self._resolved(part)
        said = " ".join(str(part.get("description", "")).split())
        values = (
            [v for v in part.get("enum", []) if v is not None] if isinstance(part.get("enum"), list) else []
        )
        if len(values) > 1:
            return FieldSpec(name=name, choices=tuple(str(v) for v in values), description=said)
        inner = self._resolved(part.get("items")) if part.get("type") == "array" else part
        nested = self._nested(inner)
        return FieldSpec(
            name=name, type=self._type(part), description=" ".join(x for x in (said, nested) if x)
        )

    def _resolved(self, part: Any, depth: int = 0) -> dict[str, Any]:
        if not isinstance(part, Mapping):
            return {}
        if "$ref" in part and depth < DEEPEST:
            target = self.definitions.get(str(part["$ref"]).rpartition("/")[2], {})
            return self._resolved({**target, **{k: v for k, v in part.items() if k != "$ref"}}, depth + 1)
        if isinstance(part.get("allOf"), list) and len(part["allOf"]) == 1 and depth < DEEPEST:
            return {
                **self._resolved(part["allOf"][0], depth + 1),
                **{k: v for k, v in part.items() if k != "allOf"},
            }
        return dict(part)

    def _type(self, part: object, depth: int = 0) -> str:
        part = self._resolved(part)
        if depth > DEEPEST:
            return "str"
        for key in ("anyOf", "oneOf"):
            if isinstance(part.get(key), list):
                return self._union([self._type(p, depth + 1) for p in part[key]])
        kind = part.get("type")
        if isinstance(kind, list):
            return self._union([_PLAIN.get(str(k), "str") for k in kind])
        if kind == "array":
            return f"list[{self._type(part.get('items'), depth + 1)}]" if part.get("items") else "list[str]"
        if kind == "object" or "properties" in part:
            return "dict[str, Any]"
        return _PLAIN.get(str(kind), "str")

    def _union(self, kinds: list[str]) -> str:
        others = list(dict.fromkeys(k for k in kinds if k != "None"))
        joined = " | ".join(others) or "str"
        return f"Optional[{joined}]" if "None" in kinds else joined

    def _nested(self, part: Mapping[str, object]) -> str:
        inside = part.get("properties")
        if not isinstance(inside, Mapping) or not inside:
            return ""
        return f"With: {', '.join(f'{name} ({self._type(p)})' for name, p in inside.items())}."


AS_TEXT = frozenset(
    (
        "EmailStr",
        "HttpUrl",
        "AnyUrl",
        "AnyHttpUrl",
        "UUID",
        "UUID4",
        "SecretStr",
        "Path",
        "constr",
        "StrictStr",
        "IPvAnyAddress",
    )
)
AS_NUMBER = frozenset(
    ("Decimal", "confloat", "condecimal", "PositiveFloat", "NonNegativeFloat", "StrictFloat")
)
AS_WHOLE = frozenset(("conint", "PositiveInt", "NonNegativeInt", "StrictInt"))
DATES = frozenset(("date", "datetime", "time", "timedelta"))
PLURAL = {
    "List": "list",
    "Dict": "dict",
    "Set": "set",
    "Tuple": "tuple",
    "Sequence": "list",
    "Iterable": "list",
    "conlist": "list",
}
_ENUMS = frozenset(("Enum", "StrEnum", "IntEnum"))


def read_class(source: str) -> ReadFields:
    """Return the fields of the class in a source text; of several, the one that no other one uses.

    Raises PipelineError when the text is no Python or holds no class with fields.

    >>> found = read_class("class Order(BaseModel):\\n    item: str = Field(description='What')\\n    count: int | None = None")
    >>> [(f.name, f.type, f.description) for f in found.outputs]
    [('item', 'str', 'What'), ('count', 'int | None', '')]
    """
    try:
        tree = ast.parse(textwrap.dedent(source))
    except SyntaxError as error:
        raise PipelineError(
            f"This is not Python that can be read: line {error.lineno}: {error.msg}. Paste the whole class, from 'class' on."
        ) from None
    except (ValueError, RecursionError):
        raise PipelineError(
            "This is not Python that can be read. Paste the whole class, from 'class' on."
        ) from None
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    enums = {name: _members(node) for name, node in classes.items() if _ENUMS & _bases(node)}
    models = {name: node for name, node in classes.items() if name not in enums and _declared(node, classes)}
    if not models:
        raise PipelineError(
            "There is no class with fields in this text. Paste one such as: class Order(BaseModel): item: str."
        )
    used = {
        n.id
        for node in models.values()
        for f in _annotations(node)
        for n in ast.walk(f)
        if isinstance(n, ast.Name)
    }
    name = next((n for n in reversed(models) if n not in used), list(models)[-1])
    reader = _DeclarationReader(models, enums, classes)
    sides: dict[str, list[FieldSpec]] = {"input": [], "output": []}
    for statement in _declared(models[name], classes):
        side, field = reader.field(statement)
        sides[side].append(field)
    others = [n for n in models if n != name and n not in used]
    notes = [
        *reader.notes,
        *(
            [f"Only {name} was read; {', '.join(others)} {'was' if len(others) == 1 else 'were'} left aside."]
            if others
            else []
        ),
    ]
    doc = " ".join((ast.get_docstring(models[name]) or "").split())
    return ReadFields(tuple(sides["output"]), doc, tuple(notes), tuple(sides["input"]), name)


class _DeclarationReader:
    """Reads declarations, given the other classes of the text."""

    def __init__(
        self,
        models: Mapping[str, ast.ClassDef],
        enums: Mapping[str, tuple[str, ...]],
        classes: Mapping[str, ast.ClassDef],
    ) -> None:
        self.models, self.enums, self.classes = models, enums, classes
        self.notes: list[str] = []

    def field(self, statement: ast.AnnAssign) -> tuple[str, FieldSpec]:
        assert isinstance(statement.target, ast.Name)  # noqa: S101 - `_declared` lets only these through
        name = statement.target.id
        annotation: ast.expr = statement.annotation
        said = _description(statement.value)
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = _expression(annotation.value)
        if isinstance(annotation, ast.Subscript) and _last(annotation.value) == "Annotated":
            parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
            said = said or next((d for part in parts[1:] if (d := _description(part))), "")
            annotation = parts[0]
        side = (
            "input"
            if isinstance(statement.value, ast.Call) and _last(statement.value.func) == "InputField"
            else "output"
        )
        choices = self._choices(annotation)
        if choices:
            return side, FieldSpec(name=name, choices=choices, description=said)
        nested = self._nested(annotation)
        described = " ".join(part for part in (said, nested) if part)
        return side, FieldSpec(name=name, type=self._type(annotation), description=described)

    def _choices(self, node: ast.expr) -> tuple[str, ...]:
        if isinstance(node, ast.Subscript) and _last(node.value) == "Optional":
            return self._choices(node.slice)
        if isinstance(node, ast.Name) and node.id in self.enums:
            return self.enums[node.id]
        if isinstance(node, ast.Subscript) and _last(node.value) == "Literal":
            values = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            texts = tuple(str(v.value) for v in values if isinstance(v, ast.Constant))
            return texts if len(texts) > 1 else ()
        return ()

    def _nested(self, node: ast.expr) -> str:
        """Return in words what a record inside the record holds."""
        names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in self.models]
        if not names:
            return ""
        parts = [
            f"{s.target.id} ({ast.unparse(s.annotation)})"
            for s in _declared(self.models[names[0]], self.classes)
            if isinstance(s.target, ast.Name)
        ]
        return f"With: {', '.join(parts)}."

    def _type(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant):
            if node.value is None:
                return "None"
            return self._type(_expression(str(node.value)))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return f"{self._type(node.left)} | {self._type(node.right)}"
        if isinstance(node, ast.Call):
            return self._named(_last(node.func))
        if isinstance(node, ast.Subscript):
            outer = _last(node.value)
            if outer in ("Annotated", "Required", "ClassVar"):
                inner = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
                return self._type(inner)
            if outer == "Literal":
                return ast.unparse(node).replace("typing.", "")
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            inside = ", ".join(
                "..." if isinstance(p, ast.Constant) and p.value is ... else self._type(p) for p in parts
            )
            return f"{PLURAL.get(outer, outer)}[{inside}]"
        return self._named(_last(node))

    def _named(self, name: str) -> str:
        if name in self.models:
            return "dict[str, Any]"
        if name in self.enums:
            return f"Literal[{', '.join(map(repr, self.enums[name]))}]"
        if name in AS_TEXT:
            return "str"
        if name in AS_NUMBER:
            return "float"
        if name in AS_WHOLE:
            return "int"
        if name in DATES:
            return f"datetime.{name}"
        return PLURAL.get(name, name)


def _declared(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> list[ast.AnnAssign]:
    """Return a class's own declarations after those of its bases in the same text."""
    found: dict[str, ast.AnnAssign] = {}
    for base in node.bases:
        parent = classes.get(_last(base))
        if parent is not None and parent is not node:
            found |= {s.target.id: s for s in _declared(parent, {}) if isinstance(s.target, ast.Name)}
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
            hidden = (
                name.startswith("_")
                or name == "model_config"
                or "ClassVar" in ast.unparse(statement.annotation)
            )
            if not hidden:
                found[name] = statement
    return list(found.values())


def _annotations(node: ast.ClassDef) -> list[ast.expr]:
    found: list[ast.expr] = []
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign):
            text = statement.annotation
            found.append(
                _expression(text.value)
                if isinstance(text, ast.Constant) and isinstance(text.value, str)
                else text
            )
    return [*found, *node.bases]


def _members(node: ast.ClassDef) -> tuple[str, ...]:
    found = []
    for statement in node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            value = statement.value
            found.append(
                str(value.value) if isinstance(value, ast.Constant) else statement.targets[0].id.lower()
            )
    return tuple(found)


def _bases(node: ast.ClassDef) -> set[str]:
    return {_last(base) for base in node.bases}


def _last(node: ast.expr) -> str:
    """Return a name without the modules before it: `pydantic.Field` -> "Field"."""
    return re.split(r"[\[(]", ast.unparse(node))[0].rpartition(".")[2]


def _description(node: ast.expr | None) -> str:
    if not isinstance(node, ast.Call):
        return ""
    for keyword in node.keywords:
        if keyword.arg in ("description", "desc", "title") and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return ""


def _expression(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return ast.Name(id="str", ctx=ast.Load())
