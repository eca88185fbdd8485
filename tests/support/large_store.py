"""A store as it is after a year: 200 runs, 10,000 trials, a table of 100,000 rows. For tests and benchmarks of pages."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from support.run_setup import add_data, csv_bytes, spec

from engine.runs.spec import ProjectDraft
from engine.runs.worker import work
from engine.store.store import FILE_NAME, Store

RUNS = 200
TRIALS = 10_000
ROWS = 100_000
LONGEST_RUN = 4_000
"""Trials of the run that the others' share is taken from."""


class LargeStore(NamedTuple):
    """The ids to open pages with: the project with the large table, that with all the runs, and its longest run."""

    wide: str
    busy: str
    run: str


def fill(
    home: Path, *, runs: int = RUNS, trials: int = TRIALS, rows: int = ROWS, longest: int = LONGEST_RUN
) -> LargeStore:
    """Fill a data folder: one real run is done, and its records are multiplied, to `longest` trials of the first run."""
    small, large = add_data(home, csv_bytes(62)), add_data(home, csv_bytes(rows), "year.csv")
    with Store.open(home) as store:
        store.settings.set("welcomed", True)
        busy = store.projects.create("Busy", _draft(small))
        wide = store.projects.create("Wide", _draft(large))
        first = store.runs.create(busy, spec(small).model_dump(mode="json"), "Run 1")
    assert work(home, first) == 0
    database = sqlite3.connect(home / FILE_NAME)
    with database:
        done = database.execute("SELECT max(number) FROM trials WHERE run_id = ?", (first,)).fetchone()[0]
        _lengthen(database, first, done, min(longest, trials - runs + 1))
        each = max(1, (trials - longest) // max(1, runs - 1))
        for number in range(2, runs + 1):
            _copy(database, first, f"copy{number:04d}", number, each)
    database.close()
    return LargeStore(wide, busy, first)


def _draft(dataset: str) -> dict[str, object]:
    run = spec(dataset)
    known = run.model_dump(exclude={"dataset_hash"})
    return ProjectDraft.model_validate(known).model_dump(mode="json")


def _names(database: sqlite3.Connection, table: str, leave: tuple[str, ...]) -> str:
    found = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    return ", ".join(name for name in found if name not in leave)


def _lengthen(database: sqlite3.Connection, run: str, done: int, wanted: int) -> None:
    """Give a run more trials like those it has."""
    names = _names(database, "trials", ("number",))
    for number in range(done + 1, wanted + 1):
        database.execute(
            f"INSERT INTO trials (number, {names}) SELECT ?, {names} FROM trials WHERE run_id = ? AND number = ?",
            (number, run, 1 + number % done),
        )
        database.execute(
            "INSERT INTO outcomes (run_id, trial, row, score, content) SELECT run_id, ?, row, score, content "
            "FROM outcomes WHERE run_id = ? AND trial = ?",
            (number, run, 1 + number % done),
        )


def _copy(database: sqlite3.Connection, run: str, new: str, number: int, trials: int) -> None:
    """Copy a run with some of its trials."""
    names = _names(database, "runs", ("id", "title", "created_at"))
    database.execute(
        f"INSERT INTO runs (id, title, created_at, {names}) SELECT ?, ?, created_at - ?, {names} FROM runs WHERE id = ?",
        (new, f"Run {number}", number * 60, run),
    )
    for table, limit in (
        ("candidates", "number <= 1000"),
        ("trials", f"number <= {trials}"),
        ("outcomes", f"trial <= {trials}"),
        ("events", "TRUE"),
    ):
        names = _names(database, table, ("run_id",) if table != "events" else ("run_id", "id"))
        database.execute(
            f"INSERT INTO {table} (run_id, {names}) SELECT ?, {names} FROM {table} WHERE run_id = ? AND {limit}",
            (new, run),
        )
