"""The command line: one row, or many at a time.

The code is copied into exported scripts; see `engine.export.carried`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson

from engine.adapters.scalars import UnreadableError
from engine.export.standalone.calling import CallError, with_key
from engine.export.standalone.runner import Program
from engine.export.standalone.stand_ins import calendar_text, may_be_absent


def main(data: dict[str, Any], parts: dict[str, Any]) -> int:
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


def answer_rows(out: Any, program: Program, rows: list[dict[str, Any]], at_once: int) -> int:
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


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
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


def cell(value: Any) -> str:
    """Return a value as a cell of a table: text as it is, the rest as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return orjson.dumps(value).decode().strip('"')
