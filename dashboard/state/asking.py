"""Short-lived processes that ask a model for a page: one input tried, a few rows rehearsed. No Streamlit in here.

The dashboard's own process never loads a model client. API keys are in the child's environment and nowhere else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dashboard.state.models import is_offline
from dashboard.state.selection import read_only
from engine.errors import RunError
from engine.home import data_home

if TYPE_CHECKING:
    from engine.runs.rehearsal import Rehearsal, RehearsalRequest
    from engine.runs.spec import ModelChoice
    from engine.runs.trying import Attempt, Piece, TryRequest

LONGEST = 180.0
"""Seconds after which a child is ended."""


def try_out(
    request: TryRequest,
    keys: Mapping[str, str] | None = None,
    hear: Callable[[Piece], None] | None = None,
) -> tuple[Attempt, ...]:
    """Answer one input with some prompts; return an attempt for each. `hear` is told each piece as it is written.

    Raises RunError with a sentence when nothing came back.
    """
    from engine.runs.trying import Attempts, Piece

    asked = request.model_copy(update={"stream": hear is not None})
    last = b""
    for line in _lines("engine.runs.trying", asked.model_dump_json().encode(), keys):
        if hear is not None and not line.startswith(b'{"attempts"'):
            hear(Piece.model_validate_json(line))
        last = line
    found = Attempts.model_validate_json(last)
    if found.problem:
        raise RunError(found.problem)
    return found.attempts


def rehearse(request: RehearsalRequest, keys: Mapping[str, str] | None = None) -> Rehearsal:
    """Answer and score a few rows. Raises RunError with a sentence when nothing came back."""
    from engine.runs.rehearsal import Rehearsal

    *_, last = _lines("engine.runs.rehearsal", request.model_dump_json().encode(), keys)
    found = Rehearsal.model_validate_json(last)
    if found.problem:
        raise RunError(found.problem)
    return found


def refusal(models: Sequence[ModelChoice]) -> str:
    """Return why this dashboard may not ask one of these models, or ""."""
    if read_only() and not all(map(is_offline, models)):
        return "This is a read-only look: asking this model would cost its owner money."
    return ""


def _lines(module: str, text: bytes, keys: Mapping[str, str] | None) -> Iterator[bytes]:
    """Iterate over what a child prints, line by line, at least one; end it when nobody listens any more."""
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **(keys or {}), "TUNEBOARD_HOME": str(data_home())},
            )
        except OSError as error:
            raise RunError(f"The process that asks the model could not be started: {error}.") from error
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(LONGEST, end)
        timer.start()
        said = False
        try:
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
            process.stdin.write(text)
            process.stdin.close()
            for line in process.stdout:
                said = True
                yield line
        except BrokenPipeError:
            pass  # it ended before it had read everything; why is told below
        finally:
            timer.cancel()
            if process.poll() is None and not said:
                process.kill()
            _close(process)
        if late.is_set():
            raise RunError(
                f"The model did not answer within {LONGEST:.0f} seconds. Try again, or test it on the Settings page."
            )
        if process.returncode or not said:
            errors.seek(0)
            last = errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise RunError(f"The process that asks the model ended early: {last or 'it said nothing'}")


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
