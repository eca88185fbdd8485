"""Work that a long history must not add to: counted in steps of SQLite's machine, which are the same on every machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.large_store import fill
from support.results import result_of

from engine.lm.base import Choice, Reply
from engine.lm.calls.cache import Cache
from engine.records import Candidate, Outcome, StepState, Usage
from engine.store.rows import RunRow
from engine.store.store import Store

FEW, MANY = 3, 300


def steps(store: Store, action: Callable[[], object]) -> int:
    """Return how many steps SQLite took for what an action reads and writes."""
    found = 0

    def step() -> int:
        nonlocal found
        found += 1
        return 0

    store.connection._db.set_progress_handler(step, 1)
    try:
        action()
    finally:
        store.connection._db.set_progress_handler(None, 1)
    return found


def read_whole(store: Store, project: str) -> dict[str, RunRow]:
    return {run.id: run for run in store.runs.all(project)}


def run_list_steps(store: Store, project: str) -> int:
    known = read_whole(store, project)
    return steps(store, lambda: store.runs.all(project, known))


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str, str]]:
    found = []
    for runs in (FEW, MANY):
        home = tmp_path_factory.mktemp(f"runs-{runs}")
        filled = fill(home, runs=runs, trials=runs * 20, rows=40, longest=20)
        found.append((home, filled.busy, filled.run))
    return found


def test_what_a_run_does_takes_no_more_steps_in_a_long_history(histories):
    def work(store: Store, project: str) -> None:
        run = store.runs.create(project, {"seed": 1}, "New")
        store.runs.claim(run, 1)
        number = store.trials.add_candidate(run, Candidate({"a": StepState("Answer.")}))
        store.trials.start(run, number, "c", "validation", "", 1)
        store.trials.add_outcomes(run, number, [Outcome(0, 1.0)])
        store.trials.finish(run, number)
        store.events.add(run, "note", "Done.")
        store.runs.save_result(run, result_of())
        store.runs.set_state(run, "finished")
        store.runs.get(run)

    found = []
    for home, project, _ in histories:
        with Store.open(home) as store:
            found.append(steps(store, lambda store=store, project=project: work(store, project)))
    assert found[1] <= 1.05 * found[0], found


def test_reading_one_run_takes_no_more_steps_in_a_long_history(histories):
    found = []
    for home, _, run in histories:
        with Store.open(home, read_only=True) as store:

            def look(store: Store = store, run: str = run) -> None:
                store.runs.get(run)
                store.trials.all(run)
                store.trials.candidates(run)
                store.trials.outcomes(run, 3)
                store.events.all(run, latest=50)
                store.requests.all(run)

            found.append(steps(store, look))
    assert found[1] <= 1.05 * found[0], found


def test_a_list_of_runs_read_before_takes_a_few_steps_each(histories):
    few, many = histories
    with Store.open(few[0]) as store:
        first = run_list_steps(store, few[1])
    with Store.open(many[0]) as store:
        again = run_list_steps(store, many[1])
        assert (again - first) / (MANY - FEW) < 30, (first, again)
        plan = " ".join(
            row[3]
            for row in store.connection.read(
                "EXPLAIN QUERY PLAN SELECT id, revision FROM runs WHERE project_id = ? "
                "ORDER BY created_at DESC, rowid DESC",
                ("p",),
            )
        )
    assert "COVERING INDEX" in plan


def test_runs_read_before_are_read_again_when_they_change(histories):
    home, project, run = histories[0]
    with Store.open(home) as store, Store.open(home, read_only=True) as reader:
        known = read_whole(reader, project)
        again = {row.id: row for row in reader.runs.all(project, known)}
        assert all(again[i] is known[i] for i in known)
        store.runs.set_note(run, "A note")
        new = store.runs.create(project, {}, "Newest")
        found = reader.runs.all(project, known)
        assert [row.note for row in found if row.id == run] == ["A note"]
        assert found[0].id == new
        assert [row.id for row in found] == [row.id for row in reader.runs.all(project)]
        store.runs.set_state(new, "running")
        assert reader.runs.all(project, {row.id: row for row in found})[0].state == "running"


def test_a_row_of_a_long_trial_costs_what_one_of_a_short_trial_does(tmp_path):
    with Store.open(tmp_path) as store:
        run = store.runs.create("p", {}, "Long")
        store.trials.start(run, 1, "c", "validation", "", 5_000)

        def batch(first: int) -> int:
            rows = [Outcome(first + i, float(i % 2)) for i in range(10)]
            return steps(store, lambda: store.trials.add_outcomes(run, 1, rows))

        batch(0)
        short = batch(4_990)
        store.trials.add_outcomes(run, 1, [Outcome(i, float(i % 2)) for i in range(10, 4_000)])
        assert batch(4_000) <= 1.1 * short
        (trial,) = store.trials.all(run)
        assert (trial.rows_done, trial.score) == (4_020, pytest.approx(0.5))


def test_the_size_of_a_large_cache_is_known_without_counting(tmp_path):
    path = tmp_path / "cache.sqlite3"
    cache = Cache(path)
    reply = Reply((Choice("yes"),), Usage(1, 0, 10, 5, 0.5), "m")
    wanted = 3_000
    cache._open().execute("BEGIN")
    for number in range(wanted):
        cache.put(str(number), reply)
    cache._open().execute("COMMIT")
    assert cache.size()[::2] == (wanted, wanted / 2)
    looked_at = 0

    def step() -> int:
        nonlocal looked_at
        looked_at += 1
        return 0

    connection = cache._open()
    connection.set_progress_handler(step, 1)
    assert cache.size()[::2] == (wanted, wanted / 2)
    connection.set_progress_handler(None, 1)
    assert looked_at < 100
    cache.put("one more", reply)
    cache.put("1", reply)  # in the place of the one that it has
    assert cache.size()[0] == wanted + 1
    other = Cache(path)
    assert other.size()[0] == wanted + 1
    other.close()
    assert cache.clear() == wanted + 1
    assert cache.size()[::2] == (0, 0.0)
    cache.put("1", reply)
    assert cache.size()[0] == 1
    cache.close()
