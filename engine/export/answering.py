"""Rows answered by an exported program: its command line, and records of one class.

A stand-alone export carries this file with the engine's others (see `alone`), so it needs no installed Tuneboard. Its
answers are not stored: every row asks the model. Keys are read from the environment.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO, get_args

import orjson
from pydantic import BaseModel, ValidationError

from engine.adapters.base import Adapter
from engine.adapters.chat import ChatAdapter
from engine.adapters.plan import FieldPlan, plan_of, read_fields
from engine.adapters.scalars import UnreadableError
from engine.adapters.values import jsonable, parse_value, reader_for
from engine.basics.data import JsonObject, Values
from engine.errors import AdapterParseError, EngineError, first_problem
from engine.export.program import ProgramFile, read_program
from engine.lm.calls.cache import configure_cache
from engine.lm.choice import ModelChoice
from engine.lm.client import make_lm
from engine.pipeline.signatures import field_type

Row = Values


class AnswerError(EngineError):
    """A row without an answer, or a model that cannot be asked."""


class LoneProgram:
    """A program file with the model to ask; answers rows of texts or typed values."""

    def __init__(
        self,
        file: ProgramFile,
        model: str | None = None,
        base_url: str | None = None,
        key_variable: str | None = None,
    ) -> None:
        """Build the program. Raises EngineError for a model that cannot be asked, and ProgramFileError."""
        self.file = file
        chosen = _model(file.model or ModelChoice(), model, base_url, key_variable)
        # The file is the user's: its addresses get the keys that it names.
        key_envs = {one.key_env for one in file.models if one.key_env}
        self.program = file.build(lm=make_lm(chosen), key_envs=key_envs)
        fields = file.pipeline.inputs
        self.types = {field.name: str if field.type == "str" else field_type(field) for field in fields}
        self.required = [field.name for field in fields if not field.parsed_type.optional]

    def answer(self, row: Row) -> JsonObject:
        """Return a row's outputs as JSON values. Raises AnswerError."""
        inputs = {}
        for name, kind in self.types.items():
            if name in row:
                value = row[name]
                try:
                    is_text = isinstance(value, str) and kind is not str
                    inputs[name] = parse_value(value, kind) if is_text else value
                except UnreadableError as error:
                    raise AnswerError(f"Input {name!r} {error}.") from None
        prediction = self.program(**inputs)
        return {field.name: jsonable(prediction.get(field.name)) for field in self.file.pipeline.outputs}

    def attempt(self, row: Row) -> tuple[JsonObject, str]:
        """Return a row's outputs, or an error message."""
        try:
            return self.answer(row), ""
        except Exception as error:  # noqa: BLE001 - one row must not end the others
            return {}, str(error) or type(error).__name__


def _model(
    usual: ModelChoice, name: str | None, base_url: str | None, key_variable: str | None
) -> ModelChoice:
    """Return the program's model with what was asked for in its place. The usual key is not sent to another address.

    Raises AnswerError.
    """
    changes: JsonObject = {}
    if name:
        prefix = usual.name.partition("/")[0]
        changes["name"] = name if "/" in name or base_url or "/" not in usual.name else f"{prefix}/{name}"
    if base_url:
        base = base_url.strip().rstrip("/").removesuffix("/chat/completions")
        if not base.startswith(("http://", "https://")):
            raise AnswerError(f"{base_url!r} is no address: write it with http:// or https://.")
        changes |= {"base_url": base, "key_env": ""}
    if key_variable:
        changes["key_env"] = key_variable
    try:
        return ModelChoice.model_validate(usual.model_dump() | changes)
    except ValidationError as error:
        raise AnswerError(first_problem(error, "the model")[1]) from None


# Records


class Extractor:
    """A program whose last step's answer is a record of one class; a reply that the class refuses is sent back."""

    def __init__(self, file: ProgramFile, record: type[BaseModel]) -> None:
        self.file, self.record = file, record
        self._programs: dict[tuple[str | None, ...], LoneProgram] = {}

    def extract(self, row: Row, **model: str | None) -> Any:
        """Return the record of one document. Takes `LoneProgram`'s model, base_url, key_variable. Raises AnswerError."""
        key = tuple(model.values())
        try:
            if key not in self._programs:
                lone = LoneProgram(self.file, **model)
                check_records(lone.program, self.record)
                self._programs[key] = lone
            values = self._programs[key].answer(row)
            return made_of(self.record, values)
        except AnswerError:
            raise
        except (EngineError, UnreadableError) as error:
            raise AnswerError(str(error)) from error


def describe(record: type[BaseModel], descriptions: Mapping[str, str]) -> None:
    """Give fields of a record, and of the records in it, other descriptions: by path, such as "lines.price"."""
    inside: dict[str, dict[str, str]] = {}
    for path, text in descriptions.items():
        name, _, rest = path.partition(".")
        if rest:
            inside.setdefault(name, {})[rest] = text
        elif name in record.model_fields:
            record.model_fields[name].description = text
    for name, texts in inside.items():
        field = record.model_fields.get(name)
        for inner in _records_in(field and field.annotation):
            describe(inner, texts)
    record.model_rebuild(force=True)


def _records_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Iterate over the classes of records in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _records_in(inner)


def check_records(program: Any, record: type[BaseModel]) -> None:
    """Have the steps that write a record's fields read replies as the class does: its defaults, its validators."""
    for predictor in program.predictors():
        adapter = predictor.adapter or ChatAdapter()
        # A layout in free words is read by a second call, so only the record as a whole is checked.
        if (
            set(record.model_fields) <= {*predictor.signature.output_fields}
            and adapter.find is not Adapter.find
        ):
            predictor.adapter = _checking(adapter, record)


def _checking(adapter: Any, record: type[BaseModel]) -> Any:
    """Return an adapter that reads a reply's fields as the class has them, and refuses one of which it makes no record."""
    fields = record.model_fields

    def as_in_class(field: FieldPlan) -> FieldPlan:
        info = fields.get(field.name)
        if info is None:
            return field
        kind = info.annotation
        return replace(field, annotation=kind, reader=reader_for(kind), info=info, nullable=False)

    def parse(signature: Any, completion: str) -> dict[str, object]:
        outputs = tuple(map(as_in_class, plan_of(signature).outputs))
        sections, decoded = adapter.find(outputs, completion)
        values = read_fields(outputs, sections, completion, decoded=decoded)
        try:
            made_of(record, {name: jsonable(values[name]) for name in fields})
        except UnreadableError as error:
            raise AdapterParseError(f"The record {error}.", reply=completion) from None
        return values

    def fallback() -> Any:
        other = adapter.fallback()
        return None if other is None else _checking(other, record)

    checking = copy(adapter)
    vars(checking).update(parse=parse, fallback=fallback)
    return checking


def made_of(record: type[BaseModel], values: Row) -> Any:
    """Return the record of JSON values by field. Raises UnreadableError."""
    return reader_for(record).json({name: values[name] for name in record.model_fields if name in values})


# The command line


def main(folder: Path) -> int:
    """Answer with `program.json` in a folder and store no answer: see `answer_arguments`."""
    configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    return answer_arguments(read_program(folder / "program.json"))


def answer_arguments(file: ProgramFile) -> int:
    """Answer one row or a file's rows with a program, as the command line says; return the exit code."""
    csv.field_size_limit(2**31 - 1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # any text can be written, whatever the terminal is set to
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")
    inputs = [field.name for field in file.pipeline.inputs]
    parser = _parser(inputs)
    given = parser.parse_args()
    try:
        lone = LoneProgram(file, given.model, given.base_url, given.key_variable)
    except EngineError as error:
        parser.error(str(error))
    if given.file is not None:
        return _answer_file(parser, lone, given)
    row = {name: value for name in inputs if (value := getattr(given, f"field_{name}")) is not None}
    if missing := [option(name) for name in lone.required if name not in row]:
        parser.error(f"give a file of rows, or {' and '.join(missing)}")
    answer, problem = lone.attempt(row)
    if problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    return 0


def _parser(inputs: Iterable[str]) -> argparse.ArgumentParser:
    """Return the options: one for each input, and which model to ask."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description="Answers one row, or every row of a file."
    )
    columns = ", ".join(inputs)
    parser.add_argument("file", nargs="?", help=f"CSV, TSV, JSON or JSON Lines with the columns {columns}")
    for name in inputs:
        parser.add_argument(option(name), dest=f"field_{name}", metavar="VALUE")
    parser.add_argument("--model", help="ask another model")
    parser.add_argument("--base-url", help="... at this address, such as http://localhost:11434/v1")
    parser.add_argument("--key-variable", help="... with the key in this environment variable")
    parser.add_argument("--at-once", type=int, default=8, metavar="N", help="rows at the same time (8)")
    parser.add_argument("--output", metavar="FILE", help="write the answers here and not to the terminal")
    return parser


def option(name: str) -> str:
    """Return the option of an input."""
    reserved = name in ("model", "base_url", "key_variable", "at_once", "output", "help")
    return f"--input-{name}" if reserved else f"--{name}"


def _answer_file(parser: argparse.ArgumentParser, lone: LoneProgram, given: argparse.Namespace) -> int:
    """Answer every row of a file as CSV. A row that fails has its error in the last column."""
    try:
        rows = list(rows_of(Path(given.file)))
    except (OSError, ValueError, csv.Error) as error:
        parser.error(f"{given.file} cannot be read: {error}")
    if rows and (missing := [name for name in lone.required if name not in rows[0]]):
        parser.error(f"the file has no column {', '.join(missing)}; it has {', '.join(map(str, rows[0]))}")
    if given.output is None:
        failed = _answer_rows(sys.stdout, lone, rows, given.at_once)
    else:
        try:
            out = Path(given.output).open("w", newline="", encoding="utf-8")  # noqa: SIM115 - closed below
        except OSError as error:
            parser.error(f"{given.output} cannot be written: {error}")
        with out:
            failed = _answer_rows(out, lone, rows, given.at_once)
    sys.stderr.write(f"{len(rows)} rows, {failed} failed.\n")
    return 1 if rows and failed == len(rows) else 0


def _answer_rows(out: TextIO, lone: LoneProgram, rows: Sequence[Row], at_once: int) -> int:
    """Write each row's inputs, answers and error as they come, in the order of the rows; return how many failed."""
    table = csv.writer(out)
    inputs = [name for name in lone.types if any(name in row for row in rows)]
    outputs = [field.name for field in lone.file.pipeline.outputs]
    table.writerow([*inputs, *outputs, "error"])
    failed = 0
    with ThreadPoolExecutor(max(1, at_once)) as pool:
        try:
            answers = pool.map(lone.attempt, rows)
            for number, (row, (answer, problem)) in enumerate(zip(rows, answers, strict=True), 1):
                failed += bool(problem)
                cells = [*(row.get(name) for name in inputs), *(answer.get(name) for name in outputs)]
                table.writerow([*map(cell, cells), problem])
                out.flush()
                if sys.stderr.isatty():
                    sys.stderr.write(f"\r{number} of {len(rows)} rows, {failed} failed ")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what was answered is written
            raise
    return failed


def rows_of(path: Path) -> Iterator[JsonObject]:
    """Yield a file's rows. Raises OSError, csv.Error and ValueError."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        if path.suffix.lower() == ".json":
            rows = json.load(file)
        elif path.suffix.lower() in (".jsonl", ".ndjson"):
            rows = [json.loads(line) for line in file if line.strip()]
        else:
            head = file.readline()
            file.seek(0)
            yield from csv.DictReader(file, delimiter=max(",;\t", key=head.count), restval="")
            return
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("the file must hold a list of objects, one for each row")
    yield from rows


def cell(value: object) -> str:
    """Return a value as a cell of a table: text as it is, the rest as JSON.

    >>> cell("a"), cell(None), cell(["é", 2])
    ('a', '', '["é",2]')
    """
    return value or "" if value is None or isinstance(value, str) else orjson.dumps(value).decode()
