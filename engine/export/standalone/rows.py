"""Part of the script that stands alone: its command line, and many rows at a time.

The code below the imports is copied into exported scripts.
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

from engine.export.standalone.calling import CallError, with_key
from engine.export.standalone.steps import SEARCHES, answer
from engine.export.standalone.values import UnreadableError, as_json, from_text, plain


def main(program: dict[str, Any]) -> int:
    """Answer one row or a file's rows, as the command line says; return the exit code."""
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
    row = {n: getattr(given, f"field_{n}") for n in program["inputs"]}
    if given.file is not None:
        return answer_file(parser, program, given)
    missing = [option(n) for n in needed(program) if row[n] is None]
    if missing:
        parser.error(f"give a file of rows, or {' and '.join(missing)}")
    found, problem = attempt_row(program, {n: v for n, v in row.items() if v is not None})
    if problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(json.dumps(found, ensure_ascii=False, default=plain) + "\n")
    return 0


def command_line(program: dict[str, Any]) -> argparse.ArgumentParser:
    """Return the options: one for each input, and which model to ask."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description="Answers one row, or every row of a file."
    )
    columns = ", ".join(program["inputs"]).replace("%", "%%")
    parser.add_argument("file", nargs="?", help=f"CSV, TSV, JSON or JSON Lines with the columns {columns}")
    for name in program["inputs"]:
        parser.add_argument(option(name), dest=f"field_{name}", metavar="VALUE")
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


def needed(program: dict[str, Any]) -> list[str]:
    """Return the inputs that must be there."""
    return [name for name, kind in program["inputs"].items() if not kind.get("optional")]


def place_models(program: dict[str, Any], given: argparse.Namespace) -> None:
    """Put each step's model in its place, with its key. Raises CallError."""
    model = dict(program["model"])
    if given.base_url:
        # A key for the usual address is not sent to another one.
        base = given.base_url.strip().rstrip("/")
        model.update(url=base if base.endswith("/chat/completions") else f"{base}/chat/completions")
        model.update(key_variable=None, needs_key=False)
    if given.key_variable:
        model.update(key_variable=given.key_variable, needs_key=True)
    if given.model:
        model.update(name=given.model)
    for step in program["steps"]:
        if "passages" in step:
            step["search"] = SEARCHES["passages"](step)
            continue
        if "model" not in step and not (model["name"] and model["url"]):
            raise CallError(program["no_model"])
        step["model"] = with_key(step.get("model") or model)
        if "nearest" in step:
            step["near"] = SEARCHES["nearest"]([one["text"] for one in step["examples"]])


def answer_file(parser: argparse.ArgumentParser, program: dict[str, Any], given: argparse.Namespace) -> int:
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


def answer_rows(out: Any, program: dict[str, Any], rows: list[dict[str, Any]], at_once: int) -> int:
    """Answer rows, some at a time, and write them as they come; return how many failed."""
    with ThreadPoolExecutor(max(1, at_once)) as pool:
        done = pool.map(lambda row: attempt_row(program, row), rows)
        try:
            return write_answers(out, program, rows, done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what was answered is written
            raise


def write_answers(out: Any, program: dict[str, Any], rows: list[dict[str, Any]], done: Any) -> int:
    """Write each row's inputs, answers and error as they come, in the order of the rows; return how many failed."""
    table = csv.writer(out)
    inputs = [name for name in program["inputs"] if any(name in row for row in rows)]
    table.writerow([*inputs, *program["outputs"], "error"])
    failed = 0
    for number, (row, (found, problem)) in enumerate(zip(rows, done), 1):  # noqa: B905 - as many of both
        failed += bool(problem)
        cells = [*(row.get(name) for name in inputs), *(found.get(name) for name in program["outputs"])]
        table.writerow([*map(cell, cells), problem])
        out.flush()
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{number} of {len(rows)} rows, {failed} failed ")
    return failed


def attempt_row(program: dict[str, Any], row: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return a row's outputs, or what went wrong."""
    try:
        given = {}
        for name, kind in program["inputs"].items():
            if name in row:
                is_written = isinstance(row[name], str) and kind["kind"] != "text"
                try:
                    given[name] = from_text(kind, row[name]) if is_written else row[name]
                except UnreadableError as error:
                    return {}, f"Input {name!r} {error}."
        made = answer(program, given)
        return {name: made.get(name) for name in program["outputs"]}, ""
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


def cell(value: Any) -> Any:
    """Return a value as a cell of a table: text as it is, the rest as JSON."""
    return "" if value is None else value if isinstance(value, str) else as_json(value).strip('"')
