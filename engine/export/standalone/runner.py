"""A program's rows through its steps: prompts filled in, models asked over `calling`, replies read; the command line.

The code is copied into exported scripts, with the engine's own that it uses; see `engine.export.carried`.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from engine.adapters.base import feedback_turns
from engine.adapters.plan import MISSING, read_fields
from engine.adapters.scalars import UnreadableError
from engine.adapters.values import format_value, reader_for
from engine.errors import AdapterParseError
from engine.export.standalone.calling import CallError, complete, with_key
from engine.export.standalone.stand_ins import NOTES, calendar_text, may_be_absent
from engine.pipeline.build import run_steps
from engine.signature.grammar import without_none
from engine.similarity import text_of_values


class Field:
    """A field of a step: its name, its type, and how an output is read."""

    rules = ""

    def __init__(self, name: str, annotation: Any) -> None:
        self.name, self.annotation, self.reader = name, annotation, reader_for(annotation)

    def default(self) -> Any:
        """Return the value of an output that a reply leaves out, or MISSING if it must be there."""
        return None if without_none(self.annotation)[1] else MISSING


class Program:
    """PROGRAM, ready to answer; `parts` are what only some programs need: layouts, searches."""

    def __init__(self, data: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
        NOTES.update(data["notes"])
        self.data, self.parts = data, parts
        self.inputs = [Field(name, kind) for name, kind in data["inputs"].items()]
        self.steps = [self.step(one) for one in data["steps"]]

    def step(self, data: Mapping[str, Any]) -> SimpleNamespace:
        """Return a step in the form in which `run_steps` takes it."""
        step = SimpleNamespace(**{**data, "when": None, "each": None})
        for name in ("when", "each"):
            if name in data:
                setattr(step, name, SimpleNamespace(**data[name]))
        step.inputs = [Field(name, kind) for name, kind in data["takes"].items()]
        step.makes = step.answers = [SimpleNamespace(name=name) for name in data["makes"]]
        if "passages" in data:
            step.search = self.parts["bm25"](data["passages"], data["k"])
            return step
        step.outputs = [Field(name, kind) for name, kind in data["outputs"].items()]
        step.read = self.parts[data["layout"]]
        if "nearest" in data:
            step.near = self.parts["nearest"]([one["text"] for one in data["examples"]])
        return step

    def answer(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the program's answer to one row: every step's fields, the last step's last. Raises EngineError."""
        return asyncio.run(run_steps(self, row, ask))  # type: ignore[arg-type]  # a pipeline in all that is used of it


async def ask(step: object, calls: list[dict[str, object]]) -> Sequence[Mapping[str, Any]]:
    """Return a step's answer to each of its calls, one after the other."""
    return [search(step, given) if "passages" in vars(step) else asked(step, given) for given in calls]


def search(step: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the passages nearest to a step's first input, as its output."""
    query = given.get(step.inputs[0].name)
    text = " ".join(map(str, query)) if isinstance(query, list | tuple) else str(query)
    found = step.search.find(text) if query else []
    return {step.makes[0].name: found if step.as_list else format_value(found, str)}


def asked(step: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's answer; a reply that cannot be used is sent back once with what is wrong with it."""
    messages: list[Mapping[str, Any]] = prompt(step, given)
    reply, ended = complete(step.model, messages, step.asks_for)
    try:
        return read(step, reply)
    except AdapterParseError as error:
        messages += feedback_turns(reply, f"{error} {ended}".strip())
    reply, ended = complete(step.model, messages, step.asks_for)
    try:
        return read(step, reply)
    except AdapterParseError as error:
        problem = f"The step {step.name!r} was asked twice. {error} {ended}".strip()
        raise AdapterParseError(problem, reply=reply) from None


def read(step: Any, reply: str) -> dict[str, Any]:
    """Return the typed fields of a reply. Raises AdapterParseError that names all that is wrong."""
    found, decoded = step.read(step.outputs, reply)
    return read_fields(step.outputs, found, reply, decoded=decoded)


def prompt(step: Any, given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the messages: the system's, the solved examples as turns, then the inputs."""
    parts = []
    for one in step.inputs:
        if one.name in given:
            before, after = (mark.format(name=one.name) for mark in step.marks)
            parts.append(before + format_value(given[one.name], one.annotation) + after)
    user = {"role": "user", "content": "".join(parts) + step.reminder}
    return [{"role": "system", "content": step.system}, *examples(step, given), user]


def examples(step: Any, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the solved examples as turns: all, or those most like the inputs with the nearest last."""
    if "near" not in vars(step):
        return list(step.examples)
    places = step.near.nearest(text_of_values(given, [one.name for one in step.inputs]), step.nearest)
    found = [step.examples[place] for place in reversed(places)]
    found.sort(key=lambda one: bool(one["complete"]))  # incomplete ones come first
    return [turn for one in found for turn in one["turns"]]


def main(data: dict[str, object], parts: dict[str, object]) -> int:
    """Answer one row or a file's rows, as the command line says; return the exit code."""
    program = Program(data, parts)
    csv.field_size_limit(2**31 - 1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # any text can be written, whatever the terminal is set to
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")
    parser = command_line(program)
    given = parser.parse_args()
    try:
        place_models(program, given)
    except CallError as error:
        parser.error(str(error))
    row = {one.name: getattr(given, f"field_{one.name}") for one in program.inputs}
    if given.file is not None:
        return answer_file(parser, program, given)
    missing = [option(n) for n in needed(program) if row[n] is None]
    if missing:
        parser.error(f"give a file of rows, or {' and '.join(missing)}")
    found, problem = attempt_row(program, {n: v for n, v in row.items() if v is not None})
    if problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(json.dumps(found, ensure_ascii=False, default=calendar_text) + "\n")
    return 0


def command_line(program: Program) -> argparse.ArgumentParser:
    """Return the options: one for each input, and which model to ask."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description="Answers one row, or every row of a file."
    )
    columns = ", ".join(one.name for one in program.inputs)
    parser.add_argument("file", nargs="?", help=f"CSV, TSV, JSON or JSON Lines with the columns {columns}")
    for one in program.inputs:
        parser.add_argument(option(one.name), dest=f"field_{one.name}", metavar="VALUE")
    parser.add_argument("--model", help="ask another model")
    parser.add_argument("--base-url", help="... at this address, such as http://localhost:11434/v1")
    parser.add_argument("--key-variable", help="... with the key in this environment variable")
    parser.add_argument("--at-once", type=int, default=8, metavar="N", help="rows at the same time (8)")
    parser.add_argument("--output", metavar="FILE", help="write the answers here and not to the terminal")
    return parser


def option(name: str) -> str:
    """Return the option of an input."""
    taken = name in ("model", "base_url", "key_variable", "at_once", "output", "help")
    return f"--input-{name}" if taken else f"--{name}"


def needed(program: Program) -> list[str]:
    """Return the inputs that must be there."""
    return [one.name for one in program.inputs if not may_be_absent(one)]


def place_models(program: Program, given: argparse.Namespace) -> None:
    """Put each step's model in its place, with its key. Raises CallError."""
    model = dict(program.data["model"])
    if given.base_url:
        # A key for the usual address is not sent to another one.
        base = given.base_url.strip().rstrip("/")
        model.update(url=base if base.endswith("/chat/completions") else f"{base}/chat/completions")
        model.update(key_variable=None, needs_key=False)
    if given.key_variable:
        model.update(key_variable=given.key_variable, needs_key=True)
    if given.model:
        model.update(name=given.model)
    for step in program.steps:
        if "passages" in vars(step):
            continue
        chosen = getattr(step, "model", model)
        if not (chosen["name"] and chosen["url"]):
            raise CallError(program.data["no_model"])
        step.model = with_key(chosen)


def answer_file(parser: argparse.ArgumentParser, program: Program, given: argparse.Namespace) -> int:
    """Answer every row of a file as CSV. A row that fails has its error in the last column."""
    try:
        rows = list(rows_of(Path(given.file)))
    except (OSError, ValueError, csv.Error) as error:
        parser.error(f"{given.file} cannot be read: {error}")
    missing = [name for name in needed(program) if rows and name not in rows[0]]
    if missing:
        parser.error(f"the file has no column {', '.join(missing)}; it has {', '.join(map(str, rows[0]))}")
    if given.output is None:
        failed = answer_rows(sys.stdout, program, rows, given.at_once)
    else:
        try:
            out = Path(given.output).open("w", newline="", encoding="utf-8")  # noqa: SIM115 - closed below
        except OSError as error:
            parser.error(f"{given.output} cannot be written: {error}")
        with out:
            failed = answer_rows(out, program, rows, given.at_once)
    sys.stderr.write(f"{len(rows)} rows, {failed} failed.\n")
    return 1 if rows and failed == len(rows) else 0


def answer_rows(out: object, program: Program, rows: list[dict[str, object]], at_once: int) -> int:
    """Answer rows, some at a time, and write them as they come; return how many failed."""
    with ThreadPoolExecutor(max(1, at_once)) as pool:
        done = pool.map(lambda row: attempt_row(program, row), rows)
        try:
            return write_answers(out, program, rows, done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what was answered is written
            raise


def write_answers(out: Any, program: Program, rows: list[dict[str, Any]], done: Any) -> int:
    """Write each row's inputs, answers and error as they come, in the order of the rows; return how many failed."""
    table = csv.writer(out)
    inputs = [one.name for one in program.inputs if any(one.name in row for row in rows)]
    outputs = program.data["outputs"]
    table.writerow([*inputs, *outputs, "error"])
    failed = 0
    for number, (row, (found, problem)) in enumerate(zip(rows, done, strict=True), 1):
        failed += bool(problem)
        cells = [*(row.get(name) for name in inputs), *(found.get(name) for name in outputs)]
        table.writerow([*map(cell, cells), problem])
        out.flush()
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{number} of {len(rows)} rows, {failed} failed ")
    return failed


def attempt_row(program: Program, row: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return a row's outputs, or what went wrong."""
    try:
        given = {}
        for one in program.inputs:
            if one.name in row:
                value = row[one.name]
                is_written = isinstance(value, str) and one.annotation is not str
                try:
                    given[one.name] = one.reader.text(value) if is_written else value
                except UnreadableError as error:
                    return {}, f"Input {one.name!r} {error}."
        made = program.answer(given)
        return {name: made.get(name) for name in program.data["outputs"]}, ""
    except Exception as error:  # noqa: BLE001 - one row must not end the others
        return {}, str(error) or type(error).__name__


def rows_of(path: Path) -> Iterator[dict[str, object]]:
    """Return a file's rows as dicts. Raises OSError and ValueError."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        if path.suffix.lower() == ".json":
            found = json.load(file)
        elif path.suffix.lower() in (".jsonl", ".ndjson"):
            found = [json.loads(line) for line in file if line.strip()]
        else:
            head = file.readline()
            file.seek(0)
            mark = max(",;\t", key=head.count)
            yield from csv.DictReader(file, delimiter=mark, restval="")
            return
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError("the file must hold a list of objects, one for each row")
    yield from found


def cell(value: object) -> str:
    """Return a value as a cell of a table: text as it is, the rest as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return orjson.dumps(value).decode().strip('"')
