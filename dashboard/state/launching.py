"""Starting a run's process, and asking it to pause, go on or stop. No Streamlit in here.

A run works in its own process (`python -m engine run RUN_ID`), in its own session, so that it
outlives the dashboard. All that passes between them goes through the store, but for API keys: those are
in the process's environment and nowhere else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from dashboard.state.selection import check, writing
from engine.errors import RunError
from engine.home import data_home
from engine.store.runs import process_lives


def create(
    project_id: str, spec: Mapping[str, object], title: str, estimate: Mapping[str, object] | None = None
) -> str:
    """Store a new run, queued; return its id."""
    with writing() as store:
        return store.runs.create(project_id, spec, title, estimate)


def start(run_id: str, keys: Mapping[str, str] | None = None) -> int:
    """Start a run's process; return its process id.

    `keys` (environment variable -> API key) go into the process's environment only. What it prints goes
    to `log_path(run_id)`. Raises RunError when the process cannot be started.
    """
    check()
    home = data_home()
    log = log_path(run_id)
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **(keys or {}), "TUNEBOARD_HOME": str(home)}
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own module, an id that we made
                [sys.executable, "-m", "engine", "run", run_id],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=home,
                start_new_session=True,
                close_fds=True,
            )
    except OSError as error:
        raise RunError(f"The run's process could not be started: {error.strerror or error}.") from error
    # A child that has ended must be waited for, or it stays in the process table as a zombie.
    threading.Thread(target=process.wait, name=f"reap-{run_id}", daemon=True).start()
    return process.pid


def pause(run_id: str) -> None:
    """Ask a run to pause; calls under way are finished first."""
    with writing() as store:
        store.runs.request_pause(run_id)


def stop(run_id: str) -> None:
    """Ask a run to stop, keep the best so far and test it."""
    with writing() as store:
        store.runs.request_stop(run_id)


def ask(run_id: str, kind: str, content: Mapping[str, object]) -> int:
    """Ask a run under way for something: a larger budget, or a prompt to try. Return the request's id.

    Raises RunError when the run has no process that could answer.
    """
    with writing() as store:
        run = store.runs.get(run_id)
        if run.state not in ("queued", "running", "paused"):
            raise RunError(
                "This run is not going on, so it cannot be asked for anything. Go on with it first."
            )
        return store.requests.add(run_id, kind, content)


def resume(run_id: str, keys: Mapping[str, str] | None = None) -> None:
    """Let a paused run go on; start its process again where it has ended."""
    with writing() as store:
        run = store.runs.get(run_id)
        if run.state == "finished":
            raise RunError("This run has finished. Start a new one to go further.")
        store.runs.request_resume(run_id)
    if run.state in ("lost", "stopped", "failed") and not (run.state == "lost" and process_lives(run.pid)):
        _start_again(run_id, keys)


def _start_again(run_id: str, keys: Mapping[str, str] | None) -> None:
    check()
    # At once, not when the process has come up: a page that is drawn in between would take the run for over.
    with writing() as store:
        store.runs.expect_process(run_id)
    try:
        start(run_id, keys)
    except RunError as error:
        with writing() as store:
            store.runs.set_state(run_id, "failed", str(error))
        raise


def log_path(run_id: str) -> Path:
    """Return the file that holds what a run's process printed."""
    return data_home() / "logs" / f"{run_id}.log"
