"""Measure what a long history costs: `make bench-growth`, or `python tests/benchmarks/growth.py --only history,calls`.

Stores of growing size, ten times as much in each step: runs with their trials and rows, tables of examples, kept answers. One
real run and one real answer are written by the product and multiplied by SQL. Pages are drawn in this process, without a browser.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.large_store import fill
from support.pages.page_frame import open_page
from support.run_setup import add_data, add_run, csv_bytes
from support.tables import markdown

from engine.lm.base import Choice, Reply
from engine.lm.calls.cache import Cache, place_of
from engine.records import Usage
from engine.runs.spec import Named
from engine.runs.worker import work
from engine.store.store import FILE_NAME, Store

RUNS = (10, 100, 1_000)
TRIALS_EACH = 100
TABLE_ROWS = (10_000, 100_000, 1_000_000)
CALLS = (100_000, 1_000_000, 10_000_000)
PAGES = ("home", "history", "run", "results", "tune", "settings")
REPEATS = 5
SAMPLE = 2_000
"""Look-ups and writes of one turn."""

LOGARITHM, LINEAR = "logarithm", "linear"


class Line(NamedTuple):
    """What was measured at each size, and how it may grow with the size."""

    what: str
    unit: str
    sizes: Sequence[int]
    values: Sequence[float]
    may_grow: str

    @property
    def grown(self) -> float:
        """How many times the first value the last one is."""
        return self.values[-1] / self.values[0]

    @property
    def limit(self) -> float:
        """Return how many times the first value the last one may be."""
        first, last = self.sizes[0], self.sizes[-1]
        return 1.1 * last / first if self.may_grow == LINEAR else math.log(last) / math.log(first)


def history(folder: Path) -> list[Line]:
    """Measure stores with more and more runs in one project, each with 100 trials of some ten rows."""
    found: dict[tuple[str, str, str], list[float]] = {}

    def note(what: str, unit: str, value: float, may_grow: str = LOGARITHM) -> None:
        found.setdefault((what, unit, may_grow), []).append(value)

    rows = []
    for runs in RUNS:
        with _data_folder(folder / f"history-{runs}") as home:
            ids = fill(home, runs=runs, trials=runs * TRIALS_EACH, rows=100, longest=TRIALS_EACH)
            rows.append(_count(home, "outcomes"))
            note("Store on disk", "MB", (home / FILE_NAME).stat().st_size / 1e6, LINEAR)
            note(
                "Opening the store",
                "ms",
                1000 * _least(lambda home=home: Store.open(home, read_only=True).close()),
            )
            for page in PAGES:
                app = open_page(
                    page, project=ids.busy, **({"run": ids.run} if page in ("run", "results") else {})
                )
                note(f"Page {page.capitalize()}", "ms", 1000 * _least(app.run, time.process_time))
            note("A run done again from its kept answers", "s", _resumed(home))
    print(f"rows answered and scored: {rows}", file=sys.stderr)
    return [Line(what, unit, RUNS, values, grow) for (what, unit, grow), values in found.items()]


def tables(folder: Path) -> list[Line]:
    """Measure the Examples page with more and more rows: the first look reads the file, the others do not."""
    first, again = [], []
    for rows in TABLE_ROWS:
        with _data_folder(folder / f"table-{rows}") as home:
            ids = fill(home, runs=1, trials=20, rows=rows)
            started = time.perf_counter()
            app = open_page("examples", project=ids.wide)
            first.append(time.perf_counter() - started)
            again.append(1000 * _least(app.run, time.process_time))
    return [
        Line("Page Examples, first look", "s", TABLE_ROWS, first, LINEAR),
        Line("Page Examples, again", "ms", TABLE_ROWS, again, LOGARITHM),
    ]


def calls(folder: Path) -> list[Line]:
    """Measure caches with more and more answers, in turns: CPU time, which the machine's other work adds less to."""
    paths = [folder / str(number) / "cache.sqlite3" for number in CALLS]
    for path, number in zip(paths, CALLS, strict=True):
        path.parent.mkdir(parents=True)
        _fill_cache(path, number)
    sizes = [path.stat().st_size / 1e6 for path in paths]
    rounds: list[list[tuple[float, ...]]] = [[] for _ in CALLS]
    for turn in range(REPEATS):
        for times, path, number in zip(rounds, paths, CALLS, strict=True):
            times.append(_cache_times(path, number, turn))
    names = (
        ("Look-up of a kept answer", "us"),
        ("Look-up of an answer that is not there", "us"),
        ("Keeping a new answer", "us"),
        ("Opening the cache and one look-up", "us"),
        ("Size of the cache, as on the Settings page", "us"),
    )
    return [
        Line("Call cache on disk", "MB", CALLS, sizes, LINEAR),
        *(
            Line(
                name,
                unit,
                CALLS,
                [1e6 * statistics.median(times[at] for times in turns) for turns in rounds],
                LOGARITHM,
            )
            for at, (name, unit) in enumerate(names)
        ),
    ]


def _reply(number: int) -> Reply:
    text = f"[[ ## queue ## ]]\nbilling {number}\n\n[[ ## completed ## ]]"
    return Reply(
        (Choice(text),), Usage(1, 0, 210, 14, 0.0001), "openai/gpt-4.1-mini", 0.8, False, None, "0123456789ab"
    )


def _key(number: int) -> str:
    return f"{number:064x}"


def _fill_cache(path: Path, wanted: int) -> None:
    """Make a cache with a number of answers: copies of one that the product wrote, in the order in which they lie in the file."""
    cache = Cache(path)
    cache.put(_key(0), _reply(0), "0123456789ab")
    cache.close()
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("BEGIN")
    database.executemany(
        "INSERT INTO answers SELECT ?1, ?2, model, replace(reply, 'billing 0', 'billing ' || hex(?2)), payer, created_at, calls, "
        "input_tokens, output_tokens, cost FROM answers WHERE id = ?3",
        ((*place, place_of(_key(0))[0]) for place in sorted(place_of(_key(n)) for n in range(1, wanted))),
    )
    database.execute("COMMIT")
    database.execute("PRAGMA journal_mode = WAL")
    database.close()


def _cache_times(path: Path, number: int, turn: int) -> tuple[float, ...]:
    """Return CPU seconds of what is done with a cache of a number of answers, with other answers in each turn."""
    known = [_key((turn * SAMPLE + n) * (number // (SAMPLE * REPEATS)) + 1) for n in range(SAMPLE)]
    new = [_key(number + turn * SAMPLE + n) for n in range(SAMPLE)]
    cache = Cache(path)
    cache.size()
    found = (
        _mean(cache.get, known),
        _mean(cache.get, new),
        _mean(lambda key: cache.put(key, _reply(1)), new),
        _mean(lambda key: _one_look(path, key), known[:100]),
        _mean(lambda _: cache.size(), known[:100]),
    )
    cache.close()
    return found


def _one_look(path: Path, key: str) -> None:
    cache = Cache(path)
    if cache.get(key) is None:
        raise RuntimeError("The cache has lost an answer.")
    cache.close()


def _resumed(home: Path) -> float:
    """Return the seconds of a run whose calls were all made before, in a store with a history."""
    data = add_data(home, csv_bytes(41), "again.csv")
    optimizer = Named(name="BootstrapFewShotWithRandomSearch")
    seconds = []
    for number in range(4):
        run = add_run(home, dataset=data, optimizer=optimizer)
        started = time.perf_counter()
        if work(home, run) != 0:
            raise RuntimeError("The run failed.")
        if number:
            seconds.append(time.perf_counter() - started)
    return min(seconds)


def _count(home: Path, table: str) -> int:
    database = sqlite3.connect(home / FILE_NAME)
    try:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        database.close()


def _least(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the shortest of a few times in seconds; what others do on the machine only makes it longer."""
    times = []
    for _ in range(REPEATS):
        started = clock()
        action()
        times.append(clock() - started)
    return min(times)


def _mean(action: Callable[[str], object], keys: Sequence[str]) -> float:
    started = time.process_time()
    for key in keys:
        action(key)
    return (time.process_time() - started) / len(keys)


@contextmanager
def _data_folder(home: Path) -> Iterator[Path]:
    home.mkdir(parents=True)
    os.environ["TUNEBOARD_HOME"] = str(home)
    try:
        yield home
    finally:
        shutil.rmtree(home)


BENCHMARKS: tuple[Callable[[Path], list[Line]], ...] = (history, tables, calls)


def markdown_table(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table."""
    rows = []
    for line in lines:
        sizes = ", ".join(f"{size:,}" for size in line.sizes)
        values = ", ".join(f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" for value in line.values)
        met = "yes" if line.grown <= line.limit else "NO"
        grown, limit = f"{line.grown:.2f} x", f"{line.limit:.2f} x"
        rows.append((line.what, sizes, f"{values} {line.unit}", grown, limit, met))
    return markdown(("what", "sizes", "figures", "grown", "limit", "met"), rows)


def main() -> int:
    """Measure what is asked for; the exit status says whether everything grows slowly enough."""
    names = [benchmark.__name__ for benchmark in BENCHMARKS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(names), help=f"some of: {', '.join(names)}")
    wanted = parser.parse_args().only.split(",")
    if unknown := sorted(set(wanted) - set(names)):
        parser.error(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(names)}")
    with tempfile.TemporaryDirectory(prefix="tuneboard-growth-") as folder:
        found = [b(Path(folder) / b.__name__) for b in BENCHMARKS if b.__name__ in wanted]
    lines = [line for part in found for line in part]
    print(markdown_table(lines))
    return 0 if all(line.grown <= line.limit for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
