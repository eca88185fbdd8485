"""A task written elsewhere -> a step: a signature string, a class's source text, a JSON Schema, a saved state, a prompt.

Everything is data from outside: source text is read as a syntax tree and never run. What cannot be carried
over is listed in notes; what cannot be read is an error. It knows specs, no forms and no models.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping

from engine import parts
from engine.basics.data import JsonObject, Values
from engine.basics.text import json_of
from engine.errors import ConfigurationError, PipelineError, SignatureError
from engine.pipeline.check import usable_name
from engine.pipeline.importers.prompts import is_sentence, messages_in
from engine.pipeline.importers.step import Form, Imported, TaskForm, imported_step
from engine.pipeline.spec import RECORD, FieldSpec
from engine.signature.grammar import UNREADABLE, read_field_type, side_arguments
from engine.tools.function import written_out

LONGEST = 200_000


def guess_form(text: str) -> Form:
    """Return what a text most likely is.

    >>> [guess_form(t) for t in ("a -> b", "class A(BaseModel): x: int", '{"type": "object"}', "Sort {{mail}}.")]
    ['signature', 'class', 'schema', 'prompt']
    >>> guess_form('[{"role": "user", "content": "Hi"}]'), guess_form("Sort mails into new and old.")
    ('chat', 'sentence')
    """
    text = text.strip()
    if text[:1] in ("{", "[") and (form := _json_form(text)):
        return form
    if re.search(r"^\s*class\s+\w+\s*[(:]|^\s*(?:import|from)\s+dspy\b|\bdspy\.\w+\(", text, re.MULTILINE):
        return "class"
    if "->" in text and "\n" not in text and re.fullmatch(r"[\w\s,:\[\]|'\"().\->]+", text):
        return "signature"
    holes = re.search(r"\{\s*[A-Za-z_]\w*\s*\}", text)
    return "sentence" if is_sentence(text) and not holes else "prompt"


def _json_form(text: str) -> Form | None:
    try:
        data: object = json_of(text)
    except ValueError:
        data = None
    if messages_in(data):
        return "chat"
    if _predictors(data):
        return "state"
    described = re.search(r'"(properties|type|\$schema|parameters|schema)"\s*:', text)
    return "schema" if text.startswith("{") and described else None


def import_task(text: str, form: Form | None = None) -> Imported:
    """Return the step that a text describes; its form is guessed when it is not given.

    Raises PipelineError with one sentence for a text that cannot be read.

    >>> step = import_task("question, context: list[str] -> answer: Literal['yes', 'no']").step
    >>> [f.name for f in step.inputs], step.outputs[0].choices
    (['question', 'context'], ('yes', 'no'))
    """
    if not text.strip():
        raise PipelineError("There is nothing to read yet. Paste the text first.")
    if len(text) > LONGEST:
        raise PipelineError(
            f"This text has {len(text):,} characters; at most {LONGEST:,} can be read. Paste a part of it."
        )
    try:
        return task_form(form or guess_form(text)).read(text.strip())
    except RecursionError:
        raise PipelineError("This text is nested too deeply to be read. Paste a simpler one.") from None


def task_form(name: Form) -> TaskForm:
    """Return a form by its name. Raises UnknownNameError."""
    form: TaskForm = parts.load(parts.TASK_FORMS, name, "form of tasks")
    return form


# States


def _predictors(data: object) -> list[tuple[str, Values]]:
    """Return the predictors of a state that DSPy saved, each with its signature; none for other data."""
    if not isinstance(data, dict):
        return []
    states = {"": data} if isinstance(data.get("signature"), dict) else data
    signatures = ((name, part.get("signature")) for name, part in states.items() if isinstance(part, dict))
    return [
        (name, one)
        for name, one in signatures
        if isinstance(one, dict) and isinstance(one.get("fields"), list)
    ]


def _state(text: str) -> Imported:
    """Return the step of a state: it says prefixes and descriptions of fields, of which the last is the answer."""
    try:
        saved = _predictors(json_of(text))
    except ValueError:
        saved = []
    described = [f for f in saved[0][1]["fields"] if isinstance(f, dict)] if saved else []
    if len(described) < 2:
        raise PipelineError(
            "This state has no signature with an input and an answer. Paste the program's source."
        )
    reasons = [str(f.get("prefix", "")).startswith("Reasoning") for f in described]
    fields = [_saved_field(f) for f, hidden in zip(described, reasons, strict=True) if not hidden]
    notes = [
        f"The last field, {fields[-1].name!r}, was taken for the answer: a saved state does not say which fields are."
    ]
    if len(saved) > 1:
        notes.append(f"Only its first step, {saved[0][0]!r}, was read; it has {len(saved)}.")
    imported = imported_step(fields[:-1], fields[-1:], notes, str(saved[0][1].get("instructions", "")))
    return _thinking(imported) if any(reasons) else imported


def _saved_field(saved: Mapping[str, object]) -> FieldSpec:
    said, prefix = str(saved.get("description", "")), str(saved.get("prefix", ""))
    plain = re.fullmatch(r"\$\{(\w+)\}", said)
    return FieldSpec(
        name=plain[1] if plain else usable_name(prefix.strip(": ")), description="" if plain else said
    )


def _thinking(made: Imported) -> Imported:
    return Imported(made.step.model_copy(update={"strategy": "chain_of_thought"}), made.notes)


# Signatures


def _signature(text: str) -> Imported:
    sides = re.split(r"->(?![^\[]*\])", text)
    if len(sides) != 2 or not all(side.strip() for side in sides):
        raise PipelineError(
            "A signature has its inputs, an arrow -> and its answers, such as: question, context -> answer."
        )
    try:
        inputs, outputs = ([_field(one) for one in side_arguments(side, text)] for side in sides)
    except SignatureError as error:
        raise PipelineError(str(error)) from None
    return imported_step(inputs, outputs)


def _field(declared: ast.arg) -> FieldSpec:
    name, written = declared.arg, ast.unparse(declared.annotation) if declared.annotation else "str"
    kind = read_field_type(written)
    if kind.choices and not kind.optional:
        return FieldSpec(name=name, choices=tuple(map(str, kind.choices)))
    if kind.problem.startswith("Literal"):
        raise PipelineError(f"The values of {name!r} cannot be read. Write them as Literal['a', 'b'].")
    return FieldSpec(name=name, type=re.sub(r"\b(?:typing|dspy)\.", "", written))


# JSON Schemas


def _schema(text: str) -> Imported:
    """Return the step of a JSON Schema; one inside a tool's or a response format's description is found too."""
    try:
        data = json_of(text)
    except ValueError as error:
        raise PipelineError(f"This text {error}. Paste a JSON Schema.") from None
    schema, description = _object_in(data)
    if schema is None:
        raise PipelineError(
            'This JSON is no schema of an object: it has no "properties". Paste one such as {"properties": {"name": {"type": "string"}}}.'
        )
    definitions = {
        name: part
        for key in ("definitions", "$defs")
        for one in (data, schema)
        if isinstance(one.get(key), dict)
        for name, part in one[key].items()
    }
    try:
        schema = written_out(schema, {"$defs": definitions, "definitions": definitions}, _DEEPEST_RECORD + 1)
    except ConfigurationError as error:
        raise PipelineError(f"{error} Paste a simpler one.") from None
    if not any(isinstance(part, Mapping) for part in schema["properties"].values()):
        raise PipelineError("The schema has no properties, so there is nothing to answer. Add at least one.")
    outputs = _properties(schema)
    return imported_step((), outputs, (), " ".join(description.split()), "The schema's properties")


def _object_in(data: object, depth: int = 0) -> tuple[JsonObject | None, str]:
    """Return the schema with properties in the usual wrappings, and its description."""
    if not isinstance(data, dict) or depth > 5:
        return None, ""
    if isinstance(data.get("properties"), dict):
        return data, str(data.get("description", ""))
    for key in ("parameters", "input_schema", "inputSchema", "schema", "json_schema", "function", "items"):
        inner, description = _object_in(data.get(key), depth + 1)
        if inner is not None:
            return inner, description or str(data.get("description", ""))
    reference = str(data.get("$ref", "")).rpartition("/")[2]
    for key in ("$defs", "definitions"):
        if reference and isinstance(data.get(key), dict):
            return _object_in(data[key].get(reference), depth + 1)
    return None, ""


def _properties(schema: Values, depth: int = 0) -> list[FieldSpec]:
    """Return the properties of an object as fields; those it does not require may be empty."""
    required = schema.get("required")
    fields = []
    for name, part in schema["properties"].items():
        if isinstance(part, Mapping):
            field = _property(name, _joined(part), depth)
            optional = isinstance(required, list) and name not in required
            fields.append(_may_be_empty(field) if optional else field)
    return fields


def _may_be_empty(field: FieldSpec) -> FieldSpec:
    if field.type.startswith("Optional["):
        return field
    return field.model_copy(update={"type": f"Optional[{field.type}]"})


def _property(name: str, part: Mapping[str, object], depth: int) -> FieldSpec:
    """Return a property as a field; one that holds records has their fields."""
    description = " ".join(str(part.get("description", "")).split())
    values = part.get("enum")
    values = values if isinstance(values, list) else []
    closed = tuple(str(v) for v in values if v is not None)
    if len(closed) > 1:
        kind = "Optional[str]" if None in values else "str"
        return FieldSpec(name=name, type=kind, choices=closed, description=description)
    kind, record = _record_in(part)
    if record is not None and depth < _DEEPEST_RECORD:
        inside = tuple(_properties(record, depth + 1))
        if inside:
            return FieldSpec(name=name, type=kind, description=description, fields=inside)
    return FieldSpec(name=name, type=_type_in(part), description=description)


def _record_in(part: Values) -> tuple[str, Values | None]:
    """Return how a property holds a record, and the record's schema; None where it holds none."""
    options = part.get("anyOf") or part.get("oneOf")
    if isinstance(options, list):
        filled = [choice for option in options if (choice := _joined(option)).get("type") != "null"]
        kind, record = _record_in(filled[0]) if len(filled) == 1 else ("", None)
        return f"Optional[{kind}]" if len(filled) < len(options) else kind, record
    if part.get("type") == "array":
        items = _joined(part.get("items"))
        return f"list[{RECORD}]", items if isinstance(items.get("properties"), Mapping) else None
    return RECORD, part if isinstance(part.get("properties"), Mapping) else None


def _joined(part: object) -> Values:
    """Return a part of a schema, with the only one that it names under "allOf"."""
    if not isinstance(part, Mapping):
        return {}
    if isinstance(part.get("allOf"), list) and len(part["allOf"]) == 1:
        return {**_joined(part["allOf"][0]), **{k: v for k, v in part.items() if k != "allOf"}}
    return part


def _type_in(part: object) -> str:
    """Return the text of a property's type."""
    part = _joined(part)
    kind = part.get("type")
    for one in (part.get("anyOf"), part.get("oneOf")):
        if isinstance(one, list):
            return _union([_type_in(p) for p in one])
    if isinstance(kind, list):
        return _union([_PLAIN.get(str(k), "str") for k in kind])
    if kind == "array":
        return f"list[{_type_in(part.get('items'))}]"
    return "dict[str, Any]" if kind == "object" or "properties" in part else _PLAIN.get(str(kind), "str")


def _union(kinds: list[str]) -> str:
    joined = " | ".join(dict.fromkeys(k for k in kinds if k != "None")) or "str"
    return f"Optional[{joined}]" if "None" in kinds else joined


_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_DEEPEST_RECORD = 4
"""Records in records that are written out; deeper ones, as in a record that holds itself, stay free."""


# Classes


def _class(text: str) -> Imported:
    """Return the step of a class in a source text; of several, the one that no other one uses."""
    try:
        tree = ast.parse(textwrap.dedent(text))
    except SyntaxError as error:
        raise PipelineError(
            f"This is not Python that can be read: line {error.lineno}: {error.msg}. Paste the whole class, from 'class' on."
        ) from None
    except UNREADABLE:
        raise PipelineError(
            "This is not Python that can be read. Paste the whole class, from 'class' on."
        ) from None
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    enums = {name for name, node in classes.items() if _ENUMS & set(map(_last, node.bases))}
    models = {
        n: found for n, node in classes.items() if n not in enums and (found := _declared(node, classes))
    }
    if not models and (written := _called_signature(tree)):
        return written
    if not models:
        raise PipelineError(
            "There is no class with fields in this text. Paste one such as: class Order(BaseModel): item: str."
        )
    used = {
        word
        for name, declared in models.items()
        for part in (*classes[name].bases, *(s.annotation for s in declared.values()))
        for word in re.findall(r"\w+", ast.unparse(part))
    }
    unused = [n for n in models if n not in used]
    name = (unused or list(models))[-1]
    enum_types = {n: f"Literal[{', '.join(map(repr, _members(classes[n])))}]" for n in enums}
    reader = _Models(models, {**_KNOWN, **enum_types})
    sides: dict[str, list[FieldSpec]] = {"InputField": [], "OutputField": []}
    for field, statement in models[name].items():
        called = _last(statement.value.func) if isinstance(statement.value, ast.Call) else ""
        side = sides["InputField" if called == "InputField" else "OutputField"]
        side.append(reader.field(field, statement))
    others = [n for n in unused if n != name]
    were = "was" if len(others) == 1 else "were"
    notes = [f"Only {name} was read; {', '.join(others)} {were} left aside."] if others else []
    doc = " ".join((ast.get_docstring(classes[name]) or "").split())
    imported = imported_step(sides["InputField"], sides["OutputField"], notes, doc, f"The fields of {name}")
    if sides["InputField"]:
        thinks = any(_last(n.func) == "ChainOfThought" for n in ast.walk(tree) if isinstance(n, ast.Call))
        return _thinking(imported) if thinks else imported
    # A record's class: an export of the program can carry its validators.
    return Imported(imported.step.model_copy(update={"source": text}), imported.notes)


def _called_signature(tree: ast.AST) -> Imported | None:
    """Return the step of a signature that a program writes as a text, as in `dspy.Predict("question -> answer")`."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and n.args]
    signatures = [
        (_last(call.func), call.args[0].value)
        for call in calls
        if isinstance(call.args[0], ast.Constant) and "->" in str(call.args[0].value)
    ]
    if not signatures:
        return None
    imported = _signature(str(signatures[0][1]))
    if len(signatures) > 1:
        imported = Imported(
            imported.step, (*imported.notes, f"Only the first of its {len(signatures)} signatures was read.")
        )
    return _thinking(imported) if signatures[0][0] == "ChainOfThought" else imported


Declared = dict[str, ast.AnnAssign]


def _declared(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> Declared:
    """Return a class's own declarations after those of its bases in the same text."""
    declarations: Declared = {}
    for base in node.bases:
        parent = classes.get(_last(base))
        if parent is not None and parent is not node:
            declarations |= _declared(parent, {})
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
            shown = not name.startswith("_") and name != "model_config"
            if shown and "ClassVar" not in ast.unparse(statement.annotation):
                declarations[name] = statement
    return declarations


class _Models:
    """The classes of a text, read as fields; a class in a class becomes a record."""

    def __init__(self, models: Mapping[str, Declared], known: Mapping[str, str]) -> None:
        self.models, self.known = models, known

    def field(self, name: str, statement: ast.AnnAssign, depth: int = 0) -> FieldSpec:
        """Return a declaration as a field."""
        annotation, written = statement.annotation, ast.unparse(statement.annotation)
        parts = ast.walk(annotation) if "Annotated" in written else ()
        description = next(filter(None, map(_description, (statement.value, *parts))), "")
        inner = list(dict.fromkeys(word for word in re.findall(r"\w+", written) if word in self.models))
        as_record = len(inner) == 1 and depth < _DEEPEST_RECORD
        names = _Names(
            {**self.known, **dict.fromkeys(self.models, RECORD if as_record else "dict[str, Any]")}
        )
        kind = ast.unparse(names.visit(annotation))
        parsed = read_field_type(kind)
        if len(parsed.choices) > 1:
            optional = "Optional[str]" if parsed.optional else "str"
            return FieldSpec(
                name=name, type=optional, choices=tuple(map(str, parsed.choices)), description=description
            )
        if as_record:
            inside = [self.field(n, one, depth + 1) for n, one in self.models[inner[0]].items()]
            return FieldSpec(name=name, type=kind, description=description, fields=tuple(inside))
        return FieldSpec(name=name, type=kind, description=description)


class _Names(ast.NodeTransformer):
    """Writes an annotation with the names that a field's type knows."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return _expression(self.known.get(node.id, node.id))

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return _expression(self.known.get(node.attr, node.attr))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name: ast.expr = self.visit(node.func)
        return name

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        expression: ast.expr = self.visit(_expression(node.value)) if isinstance(node.value, str) else node
        return expression

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        outer = _last(node.value)
        if outer == "Literal":
            return ast.Subscript(ast.Name("Literal"), node.slice)
        if outer in ("Annotated", "Required"):
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
            inner: ast.expr = self.visit(parts[0] if parts else node.slice)
            return inner
        return ast.Subscript(self.visit(node.value), self.visit(node.slice))


def _members(node: ast.ClassDef) -> list[str]:
    """Return the values of an enum."""
    members = [s for s in node.body if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name)]
    return [
        str(s.value.value) if isinstance(s.value, ast.Constant) else ast.unparse(s.targets[0]).lower()
        for s in members
    ]


def _last(node: ast.expr) -> str:
    """Return a name without the modules before it: `pydantic.Field` -> "Field"."""
    return re.split(r"[\[(]", ast.unparse(node))[0].rpartition(".")[2]


def _description(node: ast.AST | None) -> str:
    keywords = node.keywords if isinstance(node, ast.Call) else []
    texts = {k.arg: str(k.value.value) for k in keywords if isinstance(k.value, ast.Constant)}
    return next((texts[k] for k in ("description", "desc", "title") if k in texts), "")


def _expression(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except UNREADABLE:
        return ast.Name("str")


_ENUMS = frozenset(("Enum", "StrEnum", "IntEnum"))
_AS = {
    "str": "EmailStr HttpUrl AnyUrl AnyHttpUrl UUID UUID4 SecretStr Path constr StrictStr IPvAnyAddress",
    "float": "Decimal confloat condecimal PositiveFloat NonNegativeFloat StrictFloat",
    "int": "conint PositiveInt NonNegativeInt StrictInt",
    "list": "List Sequence Iterable conlist",
    "dict": "Dict",
    "set": "Set",
    "tuple": "Tuple",
    "datetime.date": "date",
    "datetime.datetime": "datetime",
    "datetime.time": "time",
    "datetime.timedelta": "timedelta",
}
"""A field's type -> names of pydantic and typing that become it."""

_KNOWN = {name: kind for kind, names in _AS.items() for name in names.split()}

SIGNATURE = TaskForm(
    "signature",
    "a short form of inputs and answers",
    "Reads a line such as: question, context -> answer.",
    _signature,
)
CLASS = TaskForm(
    "class",
    "Python source with a class or a DSPy program",
    "Reads a class of pydantic's, a signature's class, or the signatures in a program; nothing is run.",
    _class,
)
SCHEMA = TaskForm(
    "schema",
    "a JSON Schema",
    "Reads the fields of an object, also inside a tool's or a response format's description.",
    _schema,
)
STATE = TaskForm("state", "a program saved by DSPy", "Reads the first step of a saved state.", _state)
