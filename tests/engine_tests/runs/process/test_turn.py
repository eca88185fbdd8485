"""Runs that wait for their turn, each in its own process: killed, cancelled, resumed, started by a dashboard that ends."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest
from fault_tests.storage import fill
from support.run_setup import PIPELINE, add_data, add_run, answer, kill, server_model, start_worker, wait_for
from support.servers.openai_server import OpenAIServer

from dashboard.state import launching
from engine.errors import StoreFullError
from engine.runs.child.playground import PreviewRequest
from engine.runs.spec import Named
from engine.store.processes import process_lives
from engine.store.queue import SETTING
from engine.store.store import Store


@pytest.fixture(autouse=True)
def one_at_a_time(home):
    with Store.open(home) as store:
        store.settings.set(SETTING, {"runs": 1})


@pytest.fixture
def held():
    """A model's server that answers nothing before it is released: a run that has begun stays under way."""
    with OpenAIServer(answer=answer) as server:
        server.hold(after=0)
        yield server
        server.release()


def state(home, run_id):
    with Store.open(home, read_only=True) as store:
        return store.runs.get(run_id).state


def waits(home, run_id):
    with Store.open(home, read_only=True) as store:
        return store.queue.place(run_id)


@contextmanager
def worker(home, run_id):
    """Start a run's process; it is ended at the latest with the `with` block."""
    with start_worker(home, run_id) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def two_runs(home, held):
    """Yield two runs, the first of them under way until the server is released."""
    data = add_data(home)
    runs = [add_run(home, dataset=data, model=server_model(held.url)) for _ in range(2)]
    with worker(home, runs[0]) as first:
        wait_for(lambda: held.requests, process=first)
        yield runs, first


def test_the_next_run_begins_when_the_one_before_was_killed(home, held, two_runs):
    runs, first = two_runs
    with worker(home, runs[1]) as second:
        wait_for(lambda: waits(home, runs[1]), process=second)
        assert state(home, runs[1]) == "queued"
        kill(first)
        wait_for(lambda: state(home, runs[1]) == "running", process=second)
        # The killed one waits for its turn when it goes on, and takes it when the other has ended.
        with worker(home, runs[0]) as third:
            wait_for(lambda: waits(home, runs[0]), process=third)
            held.release()
            assert second.wait(180) == 0
            _, said = third.communicate(timeout=180)
    assert [state(home, run) for run in runs] == ["finished", "finished"]
    assert said.decode().strip() == "Waiting: it begins as soon as another run ends."


@pytest.mark.parametrize("way", ["request", "signal"])
def test_a_waiting_run_that_is_cancelled_ends_and_can_go_on_later(home, held, two_runs, way):
    (_, run_id), first = two_runs
    with worker(home, run_id) as process:
        wait_for(lambda: waits(home, run_id), process=process)
        if way == "signal":
            process.send_signal(signal.SIGTERM)
        else:
            with Store.open(home) as store:
                store.runs.request_stop(run_id)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
    assert "Cancelled while it waited for its turn." in out.decode()
    assert state(home, run_id) == "stopped"
    held.release()
    assert first.wait(180) == 0
    with worker(home, run_id) as again:
        assert again.wait(180) == 0
    assert state(home, run_id) == "finished"


START = """
import sys, time
from dashboard.state import launching
print(launching.start(sys.argv[1]), flush=True)
time.sleep(600)
"""


def test_a_run_waits_on_when_the_dashboard_that_has_started_it_is_killed(home, held, two_runs):
    (_, run_id), first = two_runs
    with subprocess.Popen(
        [sys.executable, "-c", START, run_id], stdout=subprocess.PIPE, text=True
    ) as dashboard:
        pid = int(dashboard.stdout.readline())
        kill(dashboard)
    wait_for(lambda: waits(home, run_id))
    assert process_lives(pid)
    held.release()
    assert first.wait(180) == 0
    wait_for(lambda: state(home, run_id) == "finished")


def test_three_runs_at_once_and_a_preview_keep_to_the_limit_of_their_endpoint(home):
    with Store.open(home) as store:
        store.settings.set(SETTING, {"runs": 3, "requests": 5})
    data = add_data(home)
    with OpenAIServer(answer=answer, latency=0.02) as server, ExitStack() as stack:
        model = server_model(server.url)
        runs = [add_run(home, dataset=data, model=model, concurrency=16, seed=seed) for seed in range(3)]
        server.hold(after=0)
        workers = [stack.enter_context(worker(home, run)) for run in runs]
        wait_for(lambda: [state(home, run) for run in runs] == ["running"] * 3)
        wait_for(lambda: server.active == 5)
        rows = {number: {"text": f"a red lamp {number}", "shelf": "red"} for number in range(8)}
        asked = PreviewRequest(pipeline=PIPELINE, model=model, rows=rows, metric=Named(name="ExactMatch"))
        server.release()
        launching.child_result("preview", asked)
        assert [process.wait(180) for process in workers] == [0, 0, 0]
    assert server.peak == 5
    assert [state(home, run) for run in runs] == ["finished"] * 3


def test_a_run_killed_while_it_waits_goes_on_at_once(home, two_runs):
    (_, run_id), _ = two_runs
    pid = launching.start(run_id)
    wait_for(lambda: waits(home, run_id))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not process_lives(pid))
    assert state(home, run_id) == "lost"
    launching.resume(run_id)
    with Store.open(home, read_only=True) as store:
        again = store.runs.get(run_id)
    assert (again.state, again.pid != pid) == ("queued", True)
    os.kill(again.pid, signal.SIGKILL)


def test_a_run_that_finds_no_room_when_it_is_started_says_so_and_can_be_started_later(home, tmp_path):
    small = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", home], capture_output=True)
    if small.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        run_id = add_run(home, optimizer=Named(name="LabeledFewShot"))
        fill(home / "filler")
        with pytest.raises(StoreFullError, match="is full"):
            launching.start(run_id)
        with start_worker(home, run_id) as worker:
            assert b"is full" in worker.communicate(timeout=60)[1].replace(b"\n", b" ")
        wait_for(lambda: state(home, run_id) == "lost", 10)
        (home / "filler").unlink()
        launching.start(run_id)
        wait_for(lambda: state(home, run_id) in ("finished", "paused"))  # on so small a disk
    finally:
        launching.stop(run_id, untested=True)
        subprocess.run(["umount", "-l", home], check=True)
