"""A run's process: its own session, reaped, keys in its environment and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.run_setup import wait_for

from dashboard.state import launching
from engine.errors import NotFoundError, RunError
from engine.store.processes import process_lives
from engine.store.rows import SILENT_AFTER
from engine.store.store import Store


@pytest.fixture
def run_id(home):
    with Store.open(home) as store:
        project = store.projects.create("p", {})
    model = {"name": "openai/x", "base_url": "http://127.0.0.1:9/v1", "key_env": "SOME_KEY"}
    return launching.create(project, {"model": model}, "a run", {"calls": 3})


def test_create_stores_a_queued_run(home, run_id):
    with Store.open(home) as store:
        run = store.runs.get(run_id)
    assert (run.state, run.title, run.estimate) == ("queued", "a run", {"calls": 3})


def test_the_process_is_in_its_own_session_is_reaped_and_logs(home, run_id, monkeypatch, tmp_path):
    # A python of our own that says what it was started with, instead of doing a run.
    fake = tmp_path / "python"
    fake.write_text(
        '#!/bin/sh\necho "args $@"\necho "key $SOME_KEY home $TUNEBOARD_HOME"\nps -o sid= -p $$\n'
    )
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    pid = launching.start(run_id, {"SOME_KEY": "sk-secret"})
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or not process_lives(pid))
    wait_for(lambda: launching.log_path(run_id).read_text().count("\n") >= 2)
    said = launching.log_path(run_id).read_text()
    assert f"args -P -m engine run {run_id}" in said
    assert f"key sk-secret home {home}" in said
    wait_for(lambda: not Path(f"/proc/{pid}").exists())  # no zombie is left
    assert "SOME_KEY" not in os.environ
    with Store.open(home) as store:
        assert "sk-secret" not in repr(store.runs.get(run_id))


def test_a_process_that_cannot_start_is_a_sentence(run_id, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RunError, match="could not be started"):
        launching.start(run_id)


def test_pause_resume_stop_are_flags_in_the_store(home, run_id):
    with Store.open(home) as store:
        store.runs.claim(run_id, os.getpid())
    launching.pause(run_id)
    with Store.open(home) as store:
        assert store.runs.get(run_id).pause_requested
    launching.resume(run_id)
    with Store.open(home) as store:
        assert not store.runs.get(run_id).pause_requested
    launching.stop(run_id)
    with Store.open(home) as store:
        assert store.runs.get(run_id).stop_requested


def test_a_run_that_failed_is_going_on_as_soon_as_it_is_asked_to(home, run_id, monkeypatch, tmp_path):
    with Store.open(home) as store:
        store.runs.claim(run_id, 1)
        store.runs.set_state(run_id, "failed", "The server is away.")
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 5\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    launching.resume(run_id)  # this process never says a word
    with Store.open(home) as store:
        run = store.runs.get(run_id)
        assert (run.state, run.message, run.finished_at, run.is_over) == ("queued", "", None, False)
        store.runs.request_stop(run_id)  # while its process is on its way
        assert not store.queue.join(run_id, run.pid), "the run was cancelled"
        store.runs.set_state(run_id, "failed", "The server is away.")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RunError, match="could not be started"):
        launching.resume(run_id)
    with Store.open(home) as store:
        run = store.runs.get(run_id)
    assert run.state == "failed"
    assert "could not be started" in run.message


def test_a_finished_run_does_not_go_on(home, run_id):
    with Store.open(home) as store:
        store.runs.claim(run_id, os.getpid())
        store.runs.set_state(run_id, "finished")
    with pytest.raises(RunError, match="has finished"):
        launching.resume(run_id)


def silent_since(home, run_id, pid, seconds):
    with Store.open(home) as store:
        store.connection.write(
            "UPDATE runs SET pid = ?, heartbeat_at = ? WHERE id = ?",
            (pid, time.monotonic() - seconds, run_id),
        )


def test_a_run_whose_process_number_was_taken_by_another_process_goes_on(home, run_id, monkeypatch, tmp_path):
    started = tmp_path / "started"
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\necho yes > {started}\n")
    fake.chmod(0o755)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with Store.open(home) as store:
            store.runs.claim(run_id, os.getpid())
        silent_since(home, run_id, other.pid, SILENT_AFTER + 1)
        monkeypatch.setattr(sys, "executable", str(fake))
        launching.resume(run_id)
        wait_for(started.exists)
        assert other.poll() is None, "it is no process of this run"
    finally:
        other.kill()
        other.wait()


def test_a_process_of_a_run_that_lives_and_says_nothing_is_ended_before_the_run_goes_on(
    home, run_id, monkeypatch, tmp_path
):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nexec sleep 5\n")
    fake.chmod(0o755)
    stuck = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with Store.open(home) as store:
        store.runs.claim(run_id, stuck.pid)
    silent_since(home, run_id, stuck.pid, SILENT_AFTER + 1)
    with Store.open(home) as store:
        assert "says nothing" in store.runs.get(run_id).message
    monkeypatch.setattr(sys, "executable", str(fake))
    launching.resume(run_id)
    stuck.wait(10)
    with Store.open(home) as store:
        assert store.runs.get(run_id).state == "queued"


def test_a_silent_process_that_may_be_another_one_is_left_alone_and_the_run_goes_on(
    home, run_id, monkeypatch, tmp_path
):
    started = tmp_path / "started"
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\necho yes > {started}\n")
    fake.chmod(0o755)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with Store.open(home) as store:
            store.runs.claim(run_id, other.pid)
            # As an earlier version has stored it.
            store.connection.write("UPDATE runs SET process = '' WHERE id = ?", (run_id,))
        silent_since(home, run_id, other.pid, SILENT_AFTER + 1)
        with Store.open(home) as store:
            run = store.runs.get(run_id)
        assert run.state == "lost"
        assert "whether it lives is not known. Go on with it: nothing" in run.message
        monkeypatch.setattr(sys, "executable", str(fake))
        launching.resume(run_id)
        wait_for(started.exists)
        with Store.open(home) as store:
            assert store.runs.claim(run_id, os.getpid()).state == "running"
            assert not store.runs.heartbeat(run_id, other.pid)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_an_unknown_run_is_a_sentence(home):
    with pytest.raises(NotFoundError):
        launching.resume("nobody")


def test_launch_knows_no_streamlit():
    code = "import sys, dashboard.state.launching, dashboard.state.writing; assert 'streamlit' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
