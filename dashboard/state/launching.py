"""The processes that work for the dashboard: a run's, and the short-lived one that asks a model for a page.

A run works in its own process (`python -P -m engine run RUN_ID`), in its own session, so that it outlives the dashboard. All
that passes between them goes through the store. The dashboard's own process never loads a model client. API keys are in
a process's environment and nowhere else. No Streamlit in here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from dashboard.state import users
from dashboard.state.writing import WAIT, check_endpoints, writing
from engine.basics.children import Child
from engine.basics.data import Values
from engine.basics.home import data_home
from engine.errors import RunError
from engine.lm.keys import SECRET_VARIABLE
from engine.records import Usage
from engine.runs.child.request import ChildAnswer, ChildRequest, TaskName
from engine.runs.spending import check_larger, check_spending, room
from engine.runs.trust import key_variables
from engine.search.budget import Budget
from engine.store.processes import process_start
from engine.store.rows import BUDGET, RunRow


def create(
    project_id: str, spec: Mapping[str, object], title: str, estimate: Mapping[str, object] | None = None
) -> str:
    """Store a new run, queued; return its id. Raises RunError where it would ask an address that only a file has named, or pass its user's limits."""
    with writing("created run", f"{title} of project {project_id}") as store:
        check_endpoints(store, spec)
        check_spending(store, users.name(), spec, estimate)
        return store.runs.create(project_id, spec, title, estimate, started_by=users.name())


def start(run_id: str, keys: Mapping[str, str] | None = None) -> int:
    """Put a run at the end of the queue and start its process, which waits there for its turn; return its process id.

    `keys` (environment variable -> API key) go into the process's environment only. What it prints goes
    to `log_path(run_id)`. Raises RunError when the process cannot be started; the run has failed then.
    """
    with writing("started run", run_id) as store:
        spec = store.runs.get(run_id).spec
        check_endpoints(store, spec)
        # At once: a page that is drawn before the process has come up must not take the run for over.
        store.queue.expect(run_id, users.name())
    home = data_home()
    log = log_path(run_id)
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own module, an id that we made
                [sys.executable, "-P", "-m", "engine", "run", run_id],  # -P: see `engine.basics.children`
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(keys, spec),
                cwd=home,
                start_new_session=True,
                close_fds=True,
            )
    except OSError as error:
        message = f"The run's process could not be started: {error.strerror or error}."
        with writing() as store:
            store.runs.set_state(run_id, "failed", message)
        raise RunError(message) from error
    # A child that has ended must be waited for, or it stays in the process table as a zombie.
    threading.Thread(target=process.wait, name=f"reap-{run_id}", daemon=True).start()
    with writing() as store:
        store.queue.name_process(run_id, process.pid)
    return process.pid


def pause(run_id: str) -> None:
    """Ask a run to pause; calls under way are finished first."""
    with writing("paused run", run_id) as store:
        store.runs.request_pause(run_id)


def stop(run_id: str, *, untested: bool = False) -> None:
    """Ask a run to stop, keep the best so far and test it, unless it is to be `untested`."""
    with writing("stopped run", run_id) as store:
        store.runs.request_stop(run_id, untested=untested)


def ask(run_id: str, kind: str, content: Values) -> int:
    """Ask a run under way for something: a larger budget, or a prompt to try. Return the request's id.

    Raises RunError when the run has no process that could answer.
    """
    with writing(f"asked for {kind}", run_id) as store:
        run = store.runs.get(run_id)
        if not run.goes_on:
            raise RunError(
                "This run is not going on, so it cannot be asked for anything. Go on with it first."
            )
        check_endpoints(store, [run.spec, content])
        if kind == BUDGET:
            check_larger(store, run, content.get("budget") or {})
        return store.requests.add(run_id, kind, content)


def resume(run_id: str, keys: Mapping[str, str] | None = None) -> None:
    """Let a paused run go on; where its process has ended, start it again, at the end of the queue.

    From now on it counts for this page's user. A worker of this run that has sent no heartbeat for a minute is ended first. Raises RunError where nothing could be started.
    """
    with writing("resumed run", run_id) as store:
        run = store.runs.get(run_id)
        if run.state == "finished":
            raise RunError("This run has finished. Start a new one to go further.")
        check_endpoints(store, run.spec)
        if run.state in ("paused", "lost", "stopped", "failed"):
            check_spending(store, users.name(), run.spec, run.estimate, run.id)
        store.runs.request_resume(run_id, users.name())
    if run.state == "lost":
        _end_silent(run)
    if run.state in ("lost", "stopped", "failed"):
        start(run_id, keys)


def _end_silent(run: RunRow) -> None:
    """End the process of a run that says nothing, where it is known to be the run's own. Raises RunError where it may not.

    One whose start is not known may be another program by now. Where it is the run's after all, it ends by itself as soon
    as it finds that the run has another process, and what it stores until then counts as of an earlier one.
    """
    if run.pid is None or not run.process or process_start(run.pid) != run.process:
        return
    try:
        os.kill(run.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise RunError(
            f"Nothing was started: the run's process {run.pid} says nothing, and belongs to another user. End it, then go on."
        ) from error


def _environment(keys: Mapping[str, str] | None, asked: object) -> dict[str, str]:
    """Return a child's environment: of all secrets the keys of the models that it asks alone."""
    needed, prefixes = key_variables(asked)
    every = {**os.environ, **(keys or {})}
    passed = {
        name: value
        for name, value in every.items()
        if name in needed or name.startswith(prefixes) or not SECRET_VARIABLE.search(name)
    }
    return {**passed, "TUNEBOARD_HOME": str(data_home())}


def log_path(run_id: str) -> Path:
    """Return the file that holds what a run's process printed."""
    return data_home() / "logs" / f"{run_id}.log"


LONGEST = 180.0
"""Seconds after which a child is ended."""


NO_ANSWER = "The model did not answer within {seconds:.0f} seconds. Try again, ask for less, or test it on the Settings page."
TOO_LATE: dict[TaskName, str] = {
    "documents": "The documents could not be read within {seconds:.0f} seconds. Give fewer of them at once, or divide the largest."
}
"""Messages for a child that was ended for taking too long, where it asks no model."""


def ask_child(
    task: TaskName, request: BaseModel, keys: Mapping[str, str] | None = None, *, timeout: float = LONGEST
) -> Iterator[ChildAnswer]:
    """Iterate over a child's answers as they come, the last of them the result; leaving early ends the child.

    What it asks of models counts for this page's user. Raises RunError for a problem, where the user has used up what a month
    allows, for a child that ends without a result, and after `timeout` seconds.
    """
    content, spent = request.model_dump(mode="json"), Usage()
    user, project = users.name(), users.project_of_page()
    with users.opened(None) as store:
        check_endpoints(store, content)
        at_once = store.queue.limits().requests
        budget = Budget() if task == "documents" else room(store, user)
    asked = ChildRequest(task=task, content=content, at_once=at_once, budget=budget)
    envelope = asked.model_dump_json().encode()
    try:
        environment = _environment(keys, content)
        child = Child("engine.runs.child.process", envelope, seconds=timeout, env=environment)
    except OSError as error:
        raise RunError(f"The process that asks the model could not be started: {error}.") from error
    try:
        with child:
            for answer in _answers(child):
                spent = answer.usage or spent
                if answer.problem:
                    raise RunError(answer.problem)
                if answer.usage is None:
                    yield answer
                if answer.final:
                    child.end(grace=2.0)
                    return
            if child.late:
                raise RunError(TOO_LATE.get(task, NO_ANSWER).format(seconds=timeout))
            reason = child.last_words() or "it gave no reason"
            work = "reads the documents" if task == "documents" else "asks the model"
            raise RunError(f"The process that {work} ended early: {reason}")
    finally:
        if spent.calls:
            with users.opened(None, read_only=False, wait=WAIT) as store:
                store.spend.add(user, project, spent, task=task)


def child_result(
    task: TaskName, request: BaseModel, keys: Mapping[str, str] | None = None, *, timeout: float = LONGEST
) -> Any:
    """Return a task's result as JSON values. Raises RunError as `ask_child` does."""
    *_, last = ask_child(task, request, keys, timeout=timeout)
    return last.content


def _answers(child: Child) -> Iterator[ChildAnswer]:
    """Iterate over what a child writes until it ends, in whatever way."""
    with suppress(ValidationError):  # it ended in the middle of a line
        for line in child.output:
            yield ChildAnswer.model_validate_json(line)
