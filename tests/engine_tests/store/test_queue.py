"""The queue of runs: places, limits, turns between users, and processes that end or race."""

import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack

import pytest
from support.run_setup import living_process, wait_for

from engine.errors import RunError
from engine.store.processes import process_lives
from engine.store.queue import SETTING, Limits, QueuePosition, fair_order, usual_runs
from engine.store.rows import NO_TURN_AFTER, RunRow
from engine.store.store import Store


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as store:
        yield store


def limit(store, **limits):
    store.settings.set(SETTING, limits)


def new_run(store, user=""):
    return store.runs.create("p", {}, "T", started_by=user)


def joined(store, pids, *users):
    """Return runs of these users that wait, each with its own process."""
    runs = [new_run(store, user) for user in users]
    for run, pid in zip(runs, pids, strict=True):
        assert store.queue.join(run, pid)
    return runs


@pytest.fixture
def pids():
    with ExitStack() as stack:
        processes = [stack.enter_context(living_process()) for _ in range(5)]
        yield [process.pid for process in processes]


def test_as_many_runs_begin_as_there_are_places_in_the_order_in_which_they_came(store, pids):
    limit(store, runs=2)
    runs = joined(store, pids[:4], "", "", "", "")
    assert store.queue.begin(runs[3], pids[3]) == QueuePosition(3)
    assert store.queue.begin(runs[2], pids[2]) == QueuePosition(2)
    first, second = (store.queue.begin(run, pid) for run, pid in zip(runs[:2], pids[:2], strict=True))
    assert isinstance(first, RunRow)
    assert (first.state, first.pid) == ("running", pids[0])
    assert isinstance(second, RunRow)
    place = store.queue.begin(runs[3], pids[3])
    assert (place, place.words) == (QueuePosition(1), "Waiting: 1 run before this one.")
    store.runs.set_state(runs[0], "finished")
    assert store.queue.begin(runs[3], pids[3]) == QueuePosition(1)
    assert store.queue.begin(runs[2], pids[2]).state == "running"
    assert store.queue.begin(runs[3], pids[3]).words == "Waiting: it begins as soon as another run ends."


def test_without_settings_there_is_a_place_for_each_core(store):
    assert store.queue.limits() == Limits()
    assert store.queue.limits().places == usual_runs() >= 2
    limit(store, runs=None)
    assert store.queue.limits().places == usual_runs()


def test_a_paused_run_keeps_its_place_and_an_ended_process_frees_it_at_once(store, pids):
    limit(store, runs=1)
    with living_process() as process:
        run, next_run = joined(store, [process.pid, pids[0]], "", "")
        assert store.queue.begin(run, process.pid).state == "running"
        store.runs.set_state(run, "paused")
        assert isinstance(store.queue.begin(next_run, pids[0]), QueuePosition)
        process.kill()  # its heartbeat is fresh
        wait_for(lambda: not process_lives(process.pid))
        assert store.queue.begin(next_run, pids[0]).state == "running"


def test_a_waiting_run_whose_process_was_killed_loses_its_place_and_nothing_else(store, pids):
    limit(store, runs=1)
    (holder,) = joined(store, pids[:1], "")
    store.queue.begin(holder, pids[0])
    with living_process() as process:
        killed, after = joined(store, [process.pid, pids[1]], "", "")
        assert store.queue.place(after) == QueuePosition(1)
        process.kill()
        wait_for(lambda: not process_lives(process.pid))
    assert store.queue.place(after) == QueuePosition(0)
    store.connection.write(
        "UPDATE runs SET heartbeat_at = ? WHERE id = ?", (time.monotonic() - NO_TURN_AFTER - 1, killed)
    )
    run = store.runs.get(killed)
    assert (run.state, run.message) == (
        "lost",
        "Its process ended while it waited for its turn. Go on with it: it waits again.",
    )
    assert store.queue.join(killed, pids[2])
    assert store.queue.place(killed) == QueuePosition(1), "it waits at the end"


def test_a_waiting_process_that_lives_and_says_nothing_holds_up_no_other(store, pids):
    limit(store, runs=1)
    silent, after = joined(store, pids[:2], "", "")
    store.connection.write(
        "UPDATE runs SET heartbeat_at = ? WHERE id = ?", (time.monotonic() - NO_TURN_AFTER - 1, silent)
    )
    assert store.queue.begin(after, pids[1]).state == "running"


def test_users_take_turns(store, pids):
    limit(store, runs=1)
    runs = joined(store, pids, "ada", "ada", "ada", "bob", "bob")
    begun = []
    while len(begun) < 5:
        for run, pid in zip(runs, pids, strict=True):
            if run not in begun and isinstance(store.queue.begin(run, pid), RunRow):
                begun.append(run)
                store.runs.set_state(run, "finished")
    a1, a2, a3, b1, b2 = runs
    assert begun == [a1, b1, a2, b2, a3]


def test_a_users_limit_holds_back_that_user_alone(store, pids):
    limit(store, runs=3, runs_per_user=1)
    first, second, other, more = joined(store, pids[:4], "ada", "ada", "bob", "ada")
    assert store.queue.begin(first, pids[0]).state == "running"
    place = store.queue.begin(second, pids[1])
    assert place.words == "Waiting: your limit is 1 run at once."
    assert store.queue.begin(other, pids[2]).state == "running"
    assert store.queue.begin(more, pids[3]) == QueuePosition(1, own_limit=1)
    store.runs.set_state(first, "stopped")
    assert store.queue.begin(second, pids[1]).state == "running"


def test_a_run_waits_for_its_users_limit_only_where_the_user_has_reached_it(store, pids):
    limit(store, runs=1, runs_per_user=2)
    first, _, third, _ = joined(store, pids[:4], "", "", "", "")
    store.queue.begin(first, pids[0])
    assert store.queue.begin(third, pids[2]).words == "Waiting: 1 run before this one."


def test_the_fair_order_of_many(store):
    class Run:
        def __init__(self, number, user):
            self.id, self.user, self.ticket = f"{user}{number}", user, number

    waiting = [Run(n, "a") for n in range(4)] + [Run(4, "b"), Run(5, "c"), Run(6, "b")]
    last = {"a": 7, "b": 0, "c": 9}
    assert fair_order(Counter(), waiting, last, None) == (["b4", "a0", "c5", "b6", "a1", "a2", "a3"], [])
    order, blocked = fair_order(Counter(a=1), waiting, last, 2)
    assert (order, blocked) == (["b4", "a0", "c5", "b6"], ["a1", "a2", "a3"])


def test_a_cancelled_run_does_not_begin(store, pids):
    limit(store, runs=1)
    (run,) = joined(store, pids[:1], "")
    store.runs.request_stop(run)
    stopped = store.runs.get(run)
    assert (stopped.state, stopped.message) == ("stopped", "Cancelled while it waited for its turn.")
    assert store.queue.begin(run, pids[0]) is None
    assert store.queue.join(run, pids[1]), "another process may go on with it"


def test_a_run_cancelled_before_its_process_came_up_does_not_begin(store, pids):
    run = new_run(store)
    store.queue.expect(run)
    store.queue.name_process(run, pids[0])
    store.runs.request_stop(run)
    assert not store.queue.join(run, pids[0])
    assert store.runs.get(run).state == "stopped"


def test_naming_a_process_late_changes_nothing(store, pids):
    run = new_run(store)
    store.queue.expect(run)
    assert store.queue.join(run, pids[0])
    assert store.queue.begin(run, pids[0]).state == "running"
    store.queue.name_process(run, pids[0])
    assert store.runs.get(run).state == "running"


def test_a_second_process_for_a_waiting_run_takes_its_place_and_the_first_ends(store, pids):
    limit(store, runs=1)
    holder, run, _ = joined(store, pids[:3], "", "", "")
    store.queue.begin(holder, pids[0])
    assert store.queue.join(run, pids[3])
    assert store.queue.place(run) == QueuePosition(0)
    with pytest.raises(RunError, match="taken over"):
        store.queue.begin(run, pids[1])
    with pytest.raises(RunError, match=f"process {pids[0]}"):
        store.queue.join(holder, pids[1])


RACER = """
import os, sys, time
from pathlib import Path
from engine.store.queue import QueuePosition
from engine.store.store import Store
home, run, go = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
with Store.open(home) as store:
    store.queue.join(run, os.getpid())
    print("ready", flush=True)
    while not go.exists():
        pass
    found = [store.queue.begin(run, os.getpid()) for _ in range(20)]
    print("begun" if any(not isinstance(one, QueuePosition) for one in found[:1]) or store.runs.get(run).state == "running" else "waits", flush=True)
    sys.stdin.read()
"""


def test_of_processes_that_race_for_one_place_one_begins(store, tmp_path):
    limit(store, runs=1)
    for attempt in range(3):
        go = tmp_path / f"go{attempt}"
        runs = [new_run(store) for _ in range(3)]
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, str(tmp_path), run, str(go)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for run in runs
        ]
        try:
            assert [racer.stdout.readline().strip() for racer in racers] == ["ready"] * 3
            go.touch()
            assert sorted(racer.stdout.readline().strip() for racer in racers) == ["begun", "waits", "waits"]
        finally:
            for racer in racers:
                racer.kill()
                racer.communicate()


def test_the_queue_looks_at_open_runs_only_by_an_index(store):
    plan = store.connection.read(
        "EXPLAIN QUERY PLAN SELECT id FROM runs WHERE state IN ('queued', 'running', 'paused')"
    )
    assert "runs_open" in str(plan)
