"""The source text of a Pydantic model, a dataclass or a DSPy signature class -> fields. Read, never run."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import PipelineError
from engine.pipeline.spec import FieldSpec

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


@dataclass(frozen=True, slots=True)
class ReadClass:
    """A class's fields: answers, and inputs where it says which are (a signature class does)."""

    name: str
    doc: str
    inputs: tuple[FieldSpec, ...]
    outputs: tuple[FieldSpec, ...]
    notes: tuple[str, ...]


def read_class(source: str) -> ReadClass:
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
    reader = _Reader(models, enums, classes)
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
    return ReadClass(name, doc, tuple(sides["input"]), tuple(sides["output"]), tuple(notes))


class _Reader:
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
