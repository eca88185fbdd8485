"""A program that reads records as a Python module: the record's class with the tuned descriptions, and `extract`.

The class is the user's own where it was given, validators and all; else it is written out of the fields. The module
lies in the folder of a stand-alone program, next to `engine`. The record's JSON Schema is here too.
"""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
import typing
from collections.abc import Iterator, Mapping, Sequence

import pydantic

from engine.adapters.json import JSON_MODE, response_format
from engine.errors import ProgramFileError
from engine.export.alone import OLDEST, standalone
from engine.export.formats import ExportFormat
from engine.export.program import ProgramFile, json_text, literal, quotable
from engine.export.weights import Files, portable
from engine.pipeline.importers.task import import_task
from engine.pipeline.records import paths, with_descriptions
from engine.pipeline.signatures import field_type
from engine.pipeline.spec import RECORD, FieldSpec, StepSpec
from engine.signature.grammar import read_type, type_text

FILE = "program_records.py"
NAME = "Record"
TAKEN = frozenset(
    {"EXTRACTOR", "Extractor", "Path", "RecordError", "describe", "extract", "read_program", "sys"}
)
"""Names that mean something else in the module."""


def record_module(program: ProgramFile) -> Files:
    """Return the files of a folder with the module.

    Raises ProgramFileError, naming the step or the field, for a program that makes no single record and for a corpus
    that is too large.
    """
    step = program.pipeline.steps[-1]
    if step.each is not None or not step.outputs:
        raise ProgramFileError(f"The step {step.name!r} makes no single record. Take the Python script.")
    fields = with_descriptions(step.outputs, tuned_descriptions(program, step))
    name, classes = _user_classes(step, fields) or _written_classes(fields)
    inputs = [field.name for field in program.pipeline.inputs]
    texts = {
        "TITLE": quotable(program.title),
        "NAME": name,
        "ARGUMENTS": ", ".join(inputs),
        "ROW": ", ".join(f'"{one}": {one}' for one in inputs),
        "FIRST": inputs[0],
        "CLASSES": classes,
        "DESCRIBE": ", describe" if "\ndescribe(" in classes else "",
        "OLDEST": OLDEST,
    }
    module = re.sub(r"@([A-Z]+)@", lambda mark: texts[mark[1]], _MODULE)
    return {FILE: module.encode(), **standalone(program)}


def record_class(program: ProgramFile) -> type[pydantic.BaseModel]:
    """Return a class of the last step's fields, without any code of the user's."""
    fields = {
        field.name: (field_type(field), None if field.parsed_type.optional else ...)
        for field in program.pipeline.steps[-1].outputs
    }
    return pydantic.create_model(NAME, **fields)  # type: ignore[call-overload,no-any-return]  # names of fields


def tuned_descriptions(program: ProgramFile, step: StepSpec) -> dict[str, str]:
    """Return the descriptions of a step's outputs after tuning, by path."""
    found: dict[str, str] = {}
    for path, state in program.candidate.steps.items():
        if path.partition(".")[0] == step.name:
            found |= {name: text for name, text in state.field_descriptions.items() if text}
    return found


def schema_text(program: ProgramFile) -> str:
    """Return the `response_format` of a request for the last step's record, with the tuned descriptions, as JSON.

    Raises ProgramFileError for a record that a strict schema cannot say.
    """
    step = program.pipeline.steps[-1]
    built = [one for path, one in program.build().named_predictors() if path.partition(".")[0] == step.name]
    if not built:
        raise ProgramFileError(f"The step {step.name!r} asks no model, so there is no schema of its answer.")
    signature = built[0].signature
    schema = response_format(signature)
    if schema == JSON_MODE:
        raise ProgramFileError(
            f"The answer of the step {step.name!r} has a field with free keys, which a strict schema cannot say. "
            "Give it the type of a record with fields."
        )
    for name, part in schema["json_schema"]["schema"]["properties"].items():
        description = signature.description(name)
        if description and "$ref" not in part:
            part.setdefault("description", description)
    return json_text(schema)


# Classes written out


def _written_classes(fields: Sequence[FieldSpec]) -> tuple[str, str]:
    """Return the name of the record's class, and the source of the classes of some fields."""
    imports = "import datetime\nfrom decimal import Decimal\nfrom typing import Any, Literal\n\nimport pydantic\n\n\n"
    return NAME, imports + "\n\n\n".join(_classes(NAME, fields))


def _classes(name: str, fields: Sequence[FieldSpec]) -> Iterator[str]:
    """Yield the source of a record's classes, those inside first."""
    lines = [f"class {name}(pydantic.BaseModel):"]
    for field in fields:
        kind = _type(field, name)
        if field.fields:
            yield from _classes(_inner(name, field), field.fields)
        default = "None" if field.parsed_type.optional else ""
        if field.description:
            description = f"description={ast.unparse(ast.Constant(field.description))}"
            default = f"pydantic.Field({', '.join(filter(None, [default, description]))})"
        lines.append(f"    {field.name}: {kind}{f' = {default}' if default else ''}")
    yield "\n".join(lines)


def _inner(name: str, field: FieldSpec) -> str:
    return f"{name}{''.join(part.capitalize() for part in field.name.split('_'))}"


def _type(field: FieldSpec, name: str) -> str:
    """Return a field's type as source: parsed and written again, so that it can hold nothing but a type.

    Raises ProgramFileError for a type that is neither Python's nor a record.
    """
    inner = _inner(name, field)
    kind = read_type(field.type, {RECORD: type(inner, (), {})}) if field.fields else field.parsed_type
    tree = ast.parse(type_text(kind.annotation), mode="eval")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if names - _TYPES - vars(builtins).keys() - {inner}:
        raise ProgramFileError(
            f"The field {field.name!r} holds {field.type}, which no record's class can say."
        )
    return ast.unparse(_InDatetime().visit(tree))


_DATES = frozenset({"date", "datetime", "time", "timedelta"})
_TYPES = _DATES | {"Any", "Decimal", "Literal"}


class _InDatetime(ast.NodeTransformer):
    """Writes `datetime.date` for `date`, which may also be the name of a field."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Attribute(ast.Name("datetime"), node.id) if node.id in _DATES else node


# The user's own classes


def _user_classes(step: StepSpec, fields: Sequence[FieldSpec]) -> tuple[str, str] | None:
    """Return the name of the record's class, and the classes as they were given, with what tuning changed behind them.

    None where the task's fields are no longer those of the classes, or a name means something else in the module.
    """
    if not step.source:
        return None
    source = re.sub(r"^from __future__ .*\n?", "", textwrap.dedent(step.source), flags=re.MULTILINE)
    read = import_task(source, "class").step.outputs
    if [_shape(f) for f in read] != [_shape(f) for f in step.outputs]:
        return None
    tree = ast.parse(source)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    names = {field.name for field in fields}
    whole = [name for name in classes if names <= _field_names(name, classes)]
    imports = _imports(tree)
    if not whole or imports is None or classes.keys() & TAKEN:
        return None
    given = {path: field.description for path, field in paths(read)}
    tuned = {path: f.description for path, f in paths(fields) if f.description not in ("", given.get(path))}
    lines = [imports, f"\n{source.strip()}", f"\ndescribe({whole[-1]}, {literal(tuned)})" if tuned else ""]
    return whole[-1], "\n".join(filter(None, lines))


def _shape(field: FieldSpec) -> object:
    return field.name, field.type, field.choices, [_shape(f) for f in field.fields]


def _field_names(name: str, classes: Mapping[str, ast.ClassDef]) -> set[str]:
    """Return the names of a class's fields, those included that it inherits from classes in the same text."""
    statements = [s for s in classes[name].body if isinstance(s, ast.AnnAssign)]
    names = {s.target.id for s in statements if isinstance(s.target, ast.Name)}
    bases = [
        b.id for b in classes[name].bases if isinstance(b, ast.Name) and b.id in classes and b.id != name
    ]
    return names.union(*(_field_names(base, classes) for base in bases))


def _imports(tree: ast.Module) -> str | None:
    """Return the import lines that classes need and do not have; None where a name is not known."""
    known = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            known |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
    used = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    lines = ["import pydantic"]
    for name in sorted(used - known - vars(builtins).keys() - {"pydantic"}):
        line = _import_of(name, tree)
        if line is None:
            return None
        lines.append(line)
    return "\n".join(lines)


def _import_of(name: str, tree: ast.Module) -> str | None:
    if name in pydantic.__all__:
        return f"from pydantic import {name}"
    if name in typing.__all__:
        return f"from typing import {name}"
    if name == "datetime" and any(
        isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "datetime"
        for n in ast.walk(tree)
    ):
        return "import datetime"
    if name in ("re", "enum", "decimal", "typing", "math", "uuid"):
        return f"import {name}"
    return next((f"from {module} import {name}" for module, names in _HOMES.items() if name in names), None)


_HOMES = {
    "datetime": ("date", "time", "datetime", "timedelta"),
    "decimal": ("Decimal",),
    "enum": ("Enum", "IntEnum", "StrEnum"),
    "uuid": ("UUID",),
    "pathlib": ("Path",),
}

_MODULE = '''\
"""@TITLE@.

    pip install -r requirements.txt
    python program_records.py document.txt    # the record as JSON

    from program_records import extract

    record = extract(@FIRST@="...")           # a @NAME@
    record = extract(@FIRST@="...", base_url="http://localhost:11434/v1", model="llama3.2")

It needs Python @OLDEST@ or newer, and program.json and `engine` next to it, but no Tuneboard. @NAME@ has the descriptions that
were tuned. A reply that is no record, or that a validator refuses, is sent back with what is wrong with it; if it stays so,
`extract` raises RecordError. The key is read from the environment.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from engine.export.answering import AnswerError as RecordError
from engine.export.answering import Extractor@DESCRIBE@
from engine.export.program import read_program

@CLASSES@


EXTRACTOR = Extractor(read_program(Path(__file__).with_name("program.json")), @NAME@)


def extract(
    @ARGUMENTS@, *, model: str | None = None, base_url: str | None = None, key_variable: str | None = None
) -> @NAME@:
    """Return the record of one document. Another model, its address and the variable of its key can be given.

    Raises RecordError.
    """
    return EXTRACTOR.extract({@ROW@}, model=model, base_url=base_url, key_variable=key_variable)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("Give the file of a text: python program_records.py document.txt [base-url model [key-variable]]")
    try:
        found = extract(Path(sys.argv[1]).read_text(encoding="utf-8"), **dict(zip(("base_url", "model", "key_variable"), sys.argv[2:])))
    except (RecordError, OSError) as error:
        sys.exit(str(error))
    print(found.model_dump_json(indent=2))
'''

FORM = ExportFormat(
    name="records",
    title="Pydantic module",
    about="The record's class with the tuned descriptions, and extract(), which returns one, in the folder of a stand-alone "
    "program: no Tuneboard, but Python 3.11 and the packages in requirements.txt.",
    file_name="program_records.zip",
    render=lambda program: record_module(portable(program)),
)
SCHEMA = ExportFormat(
    name="schema",
    title="JSON Schema",
    about="The answer's schema with the tuned descriptions, as the response_format of a request.",
    file_name="response_format.json",
    render=schema_text,
)
