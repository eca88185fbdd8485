"""A program that reads records as a Python module: the record's class with the tuned descriptions, and `extract`.

The class is the user's own where it was given, validators and all; else it is written out of the fields. The rest of the
module is what standalone scripts carry; it needs pydantic and no Tuneboard. The record's JSON Schema is here too.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pydantic

from engine.adapters.json import JSON_MODE, response_format
from engine.errors import ProgramFileError, RunError
from engine.export.carried import carried
from engine.export.program import ProgramFile, json_text, quotable
from engine.export.standalone.extraction import REPLACED_HERE
from engine.export.standalone.script import PARTS, literal, program_data, type_literal
from engine.export.standalone.stand_ins import REPLACED
from engine.modules.module import Module
from engine.pipeline.importers.task import import_task
from engine.pipeline.records import with_descriptions
from engine.pipeline.spec import RECORD, FieldSpec, StepSpec
from engine.prediction import Prediction
from engine.signature.grammar import read_type

NEEDS_PYDANTIC = ("engine.adapters.values._validator", "engine.signature.grammar.UNIONS")
"""Stand-ins for what pydantic does: not in this module, which has it."""

ALWAYS = (
    "engine.export.standalone.extraction.Extractor",
    "datetime",
    "typing.Any",
    "typing.Literal",
    "typing.Optional",
    "typing.Union",
)
NAME = "Record"


def record_module(program: ProgramFile) -> str:
    """Return the module's text.

    Raises ProgramFileError, naming the step, the field or the model, for what takes more than asking a model.
    """
    step = program.pipeline.steps[-1]
    if step.each is not None or not step.outputs:
        raise ProgramFileError(f"The step {step.name!r} makes no single record. Take the Python script.")
    data = program_data(program, by_class=True)
    wanted = {one.get("layout", "bm25") for one in data["steps"]}
    wanted |= {"nearest" for one in data["steps"] if "nearest" in one}
    parts = {name: path for name, path in PARTS.items() if name in wanted}
    replaced = {k: v for k, v in REPLACED.items() if k not in NEEDS_PYDANTIC} | REPLACED_HERE
    imports, code = carried([*ALWAYS, *parts.values()], replaced, {"pydantic"})
    taken = {node.name for node in ast.parse(code).body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    fields = with_descriptions(step.outputs, tuned_descriptions(program, step))
    name, classes = _own_classes(step, fields, taken) or _written_classes(fields, taken)
    inputs = list(data["inputs"])
    texts = {
        "TITLE": quotable(program.title),
        "NAME": name,
        "ARGUMENTS": ", ".join(inputs),
        "ROW": ", ".join(f'"{one}": {one}' for one in inputs),
        "FIRST": inputs[0],
        "IMPORTS": imports,
        "CLASSES": classes,
        "PROGRAM": literal(data),
        "CODE": code,
        "PARTS": ", ".join(f'"{one}": {path.rpartition(".")[2]}' for one, path in parts.items()),
    }
    return re.sub(r"@([A-Z]+)@", lambda mark: texts[mark[1]], _MODULE)


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
    found = response_format(signature)
    if found == JSON_MODE:
        raise ProgramFileError(
            f"The answer of the step {step.name!r} has a field with free keys, which a strict schema cannot say. "
            "Give it the type of a record with fields."
        )
    for name, part in found["json_schema"]["schema"]["properties"].items():
        said = signature.description(name)
        if said and "$ref" not in part:
            part.setdefault("description", said)
    return json_text(found)


Ask = Callable[[Any, Sequence[Mapping[str, Any]], Mapping[str, Any]], str]
"""Takes a step's model, the messages and the request's other parameters; returns the reply's text."""


class RecordProgram(Module):
    """A record module's own code inside Tuneboard: it answers rows, and `ask` is called in place of an endpoint, in a thread.

    `text` is the module as it was written. A class that a user gave is replaced by one written out of the fields: no code of
    a user is run. Raises ProgramFileError where the text is not what the program makes.
    """

    def __init__(self, program: ProgramFile, text: str, lm: object, ask: Ask) -> None:
        super().__init__()
        if text != record_module(program):
            raise ProgramFileError("The module's text is not what the program makes.")
        steps = tuple(one.model_copy(update={"source": ""}) for one in program.pipeline.steps)
        pipeline = program.pipeline.model_copy(update={"steps": steps})
        code = record_module(program.model_copy(update={"pipeline": pipeline}))
        # Under the name of a module that is there: dataclasses look theirs up.
        self.names: dict[str, Any] = {"__name__": __name__}
        exec(code, self.names)  # noqa: S102 - written by this file alone, of data and types
        classes = [one for one in self.names.values() if isinstance(one, type)]
        for one in classes:
            if issubclass(one, pydantic.BaseModel) and one is not pydantic.BaseModel:
                one.model_rebuild(_types_namespace=self.names)
        self.names["complete"] = lambda model, messages, more: (ask(model, messages, more), "")
        own = {path.partition(".")[0]: one.lm for path, one in program.build().named_predictors()}
        for step in self.names["EXTRACTOR"].program(**_NOWHERE).steps:
            step.model = own.get(step.name) or lm

    async def aforward(self, **inputs: object) -> Prediction:
        """Return the record of one row. Raises RunError."""
        try:
            found = await asyncio.to_thread(self.names["EXTRACTOR"].extract, inputs, **_NOWHERE)
        except self.names["RecordError"] as error:
            raise RunError(str(error)) from None
        return Prediction(**{name: getattr(found, name) for name in type(found).model_fields})


_NOWHERE = {"model": "none", "base_url": "http://localhost", "key_variable": None}
"""The model of a module that asks no endpoint."""


# Classes written out


def _written_classes(fields: Sequence[FieldSpec], taken: Iterable[str]) -> tuple[str, str]:
    """Return the name of the record's class, and the source of the classes of some fields."""
    name = _free(NAME, taken)
    blocks = list(_classes(name, fields))
    return name, "import pydantic\nfrom decimal import Decimal\n\n\n" + "\n\n\n".join(blocks)


def _free(name: str, taken: Iterable[str]) -> str:
    taken = set(taken)
    return name if name not in taken else next(n for i in range(2, 1000) if (n := f"{name}{i}") not in taken)


def _classes(name: str, fields: Sequence[FieldSpec]) -> Iterator[str]:
    """Yield the source of a record's classes, those inside first."""
    lines = [f"class {name}(pydantic.BaseModel):"]
    for one in fields:
        kind = _type(one, name)
        if one.fields:
            yield from _classes(_inner(name, one), one.fields)
        optional = one.parsed_type.optional
        said = f"description={literal(one.description)}" if one.description else ""
        default = f"pydantic.Field({', '.join(filter(None, ['None' if optional else '', said]))})"
        given = default if said else "None" if optional else ""
        lines.append(f"    {one.name}: {kind}{f' = {given}' if given else ''}")
    yield "\n".join(lines)


def _inner(name: str, field: FieldSpec) -> str:
    return f"{name}{''.join(part.capitalize() for part in field.name.split('_'))}"


def _type(field: FieldSpec, name: str) -> str:
    """Return a field's type as source: parsed and written again, so that it can hold nothing but a type."""
    if not field.fields:
        return type_literal(field.parsed_type.annotation)
    stand_in = type(_inner(name, field), (), {})
    return type_literal(read_type(field.type, {RECORD: stand_in}).annotation)


# The user's own classes


def _own_classes(step: StepSpec, fields: Sequence[FieldSpec], taken: Iterable[str]) -> tuple[str, str] | None:
    """Return the name of the record's class and the classes that were given, with the tuned descriptions.

    None where the task's fields are no longer those of the classes, or a name means something else in the module.
    """
    if not step.source:
        return None
    read = import_task(step.source, "class").step.outputs
    if [_shape(f) for f in read] != [_shape(f) for f in step.outputs]:
        return None
    tree = ast.parse(step.source)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    name = _record_class(classes, fields)
    imports = _imports(tree)
    if name is None or imports is None or classes.keys() & set(taken):
        return None
    for class_name, field_name, text in _described(name, fields, classes):
        _describe(classes[class_name], field_name, text)
    return name, "\n".join(filter(None, [imports, "\n\n" + ast.unparse(ast.fix_missing_locations(tree))]))


def _shape(field: FieldSpec) -> object:
    return field.name, field.type, field.choices, [_shape(f) for f in field.fields]


def _record_class(classes: Mapping[str, ast.ClassDef], fields: Sequence[FieldSpec]) -> str | None:
    """Return the class that has all the fields; inherited ones count for the classes in the same text."""
    names = {f.name for f in fields}
    found = [n for n in classes if names <= set(_declarations(n, classes))]
    return found[-1] if found else None


def _declarations(name: str, classes: Mapping[str, ast.ClassDef]) -> dict[str, tuple[str, ast.AnnAssign]]:
    """Return a class's fields: name -> (the class that declares it, the declaration)."""
    node = classes[name]
    found: dict[str, tuple[str, ast.AnnAssign]] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes and base.id != name:
            found |= _declarations(base.id, classes)
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            found[one.target.id] = (name, one)
    return found


def _described(
    name: str, fields: Sequence[FieldSpec], classes: Mapping[str, ast.ClassDef]
) -> Iterator[tuple[str, str, str]]:
    """Yield (class, field, description) of every field of a record; a class used twice has its first one's."""
    declared = _declarations(name, classes)
    for one in fields:
        if one.name not in declared:
            continue
        owner, statement = declared[one.name]
        if one.description:
            yield owner, one.name, one.description
        inside = [w for w in re.findall(r"\w+", ast.unparse(statement.annotation)) if w in classes]
        if one.fields and inside:
            yield from _described(inside[0], one.fields, classes)


def _describe(node: ast.ClassDef, name: str, text: str) -> None:
    """Give a declaration in a class another description."""
    for one in node.body:
        if not (
            isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and one.target.id == name
        ):
            continue
        calls = [c for c in (one.value, *ast.walk(one.annotation)) if isinstance(c, ast.Call)]
        call = next((c for c in calls if ast.unparse(c.func).rpartition(".")[2] == "Field"), None)
        if call is None:
            given = [] if one.value is None else [one.value]
            call = ast.Call(ast.Attribute(ast.Name("pydantic"), "Field"), given, [])
            one.value = call
        call.keywords = [k for k in call.keywords if k.arg != "description"]
        call.keywords.append(ast.keyword("description", ast.Constant(text)))


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

    from program_records import extract

    record = extract(@FIRST@="...")           # a @NAME@
    record = extract(@FIRST@="...", base_url="http://localhost:11434/v1", model="llama3.2")

    python program_records.py document.txt    # the record as JSON

It needs Python 3.10 or newer and pydantic 2, and no Tuneboard. @NAME@ has the descriptions that were tuned. The model, the
prompts and the solved examples are in PROGRAM, just as they were tuned; the code below it is Tuneboard's own. A reply that is
no record, or that a validator refuses, is sent back once with what is wrong with it, else `extract` raises RecordError. The key is
read from the environment and is not in this file.
"""

from __future__ import annotations

@IMPORTS@
@CLASSES@


# The tuned program. The model is given "system" and "examples", and a document's own text.
PROGRAM: dict[str, Any] = @PROGRAM@

@CODE@


EXTRACTOR = Extractor(PROGRAM, {@PARTS@}, @NAME@)


def extract(
    @ARGUMENTS@, *, model: Optional[str] = None, base_url: Optional[str] = None, key_variable: Optional[str] = None
) -> @NAME@:
    """Return the record of one document. Another model, its address and the variable of its key can be given.

    Raises RecordError.
    """
    return EXTRACTOR.extract({@ROW@}, model=model, base_url=base_url, key_variable=key_variable)


if __name__ == "__main__":
    import sys
    from pathlib import Path

    if len(sys.argv) < 2:
        sys.exit("Give the file of a text: python program_records.py document.txt [base-url model [key-variable]]")
    try:
        found = extract(Path(sys.argv[1]).read_text(encoding="utf-8"), **dict(zip(("base_url", "model", "key_variable"), sys.argv[2:])))
    except (RecordError, OSError) as error:
        sys.exit(str(error))
    print(found.model_dump_json(indent=2))
'''
