"""The short-lived process that asks a model for a page: `ask` starts it, hears it, and ends it. No Streamlit in here.

The dashboard's own process never loads a model client. API keys are in the child's environment and nowhere else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from engine.errors import RunError
from engine.home import data_home
from engine.runs.child import ChildAnswer, ChildRequest, TaskName

LONGEST = 180.0
"""Seconds after which a child is ended."""


def ask(
    task: TaskName, request: BaseModel, keys: Mapping[str, str] | None = None, *, timeout: float = LONGEST
) -> Iterator[ChildAnswer]:
    """Iterate over a child's answers as they come, the last of them the result; leaving early ends the child.

    Raises RunError for a problem, for a child that ends without a result, and after `timeout` seconds.
    """
    envelope = ChildRequest(task=task, content=request.model_dump(mode="json"))
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "engine.runs.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **(keys or {}), "TUNEBOARD_HOME": str(data_home())},
                start_new_session=True,
            )
        except OSError as error:
            raise RunError(f"The process that asks the model could not be started: {error}.") from error
        late = threading.Event()

        def give_up() -> None:
            late.set()
            _end(process)

        timer = threading.Timer(timeout, give_up)
        timer.start()
        try:
            for answer in _answers(process, envelope.model_dump_json().encode()):
                if answer.problem:
                    raise RunError(answer.problem)
                yield answer
                if answer.final:
                    _end(process, grace=2.0)
                    return
        finally:
            timer.cancel()
            _end(process)
        if late.is_set():
            raise RunError(
                f"The model did not answer within {timeout:.0f} seconds. Try again, ask for less, or test it on the "
                "Settings page."
            )
        errors.seek(0)
        last = errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise RunError(f"The process that asks the model ended early: {last or 'it gave no reason'}")


def result(
    task: TaskName, request: BaseModel, keys: Mapping[str, str] | None = None, *, timeout: float = LONGEST
) -> Any:
    """Return a task's result as JSON values. Raises RunError as `ask` does."""
    *_, last = ask(task, request, keys, timeout=timeout)
    return last.content


def _answers(process: subprocess.Popen[bytes], request: bytes) -> Iterator[ChildAnswer]:
    """Iterate over what a child writes until it ends, in whatever way."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
    try:
        process.stdin.write(request)
        process.stdin.close()
        for line in process.stdout:
            yield ChildAnswer.model_validate_json(line)
    except (BrokenPipeError, ValidationError):
        return  # it ended before it had read everything, or in the middle of a line


def _end(process: subprocess.Popen[bytes], grace: float = 0.0) -> None:
    """End a child and all that it has started, after this many seconds to end by itself, and wait for it."""
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (AttributeError, ProcessLookupError):  # no groups on this system, or it has just ended
            process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None and not pipe.closed:
            pipe.close()
    process.wait()
