"""An error as one message on stderr and an exit code: 2 where the user can fix it, 1 for the rest.

A traceback is never printed; that of an unexpected error goes to `logs/cli.log` in the data folder.
"""

from __future__ import annotations

import functools
import logging
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from engine.errors import (
    ConfigurationError,
    DatasetError,
    EngineError,
    NotFoundError,
    PipelineError,
    ProgramFileError,
    RunError,
    SignatureError,
)
from engine.home import data_home

P = ParamSpec("P")
R = TypeVar("R")

USERS = 2
OURS = 1
INTERRUPTED = 130

_USERS_ERRORS = (
    ConfigurationError,
    DatasetError,
    NotFoundError,
    PipelineError,
    ProgramFileError,
    RunError,
    SignatureError,
)


def say(message: str) -> None:
    """Write a message to stderr, as it is."""
    sys.stderr.write(message.rstrip() + "\n")


def plain_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Make a command end with one message and an exit code, whatever goes wrong in it."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except EngineError as error:
            say(str(error))
            raise typer.Exit(USERS if isinstance(error, _USERS_ERRORS) else OURS) from None
        except KeyboardInterrupt:
            say("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of our output has gone (`| head`).
            sys.stderr.close()
            raise typer.Exit(OURS) from None
        except typer.Exit:
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback on the terminal
            where = _log(error)
            say(f"Something inside Tuneboard went wrong: {type(error).__name__}: {error}. {where}")
            raise typer.Exit(OURS) from None

    return run


def _log(error: Exception) -> str:
    path = data_home() / "logs" / "cli.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            log.write("".join(traceback.format_exception(error)))
    except OSError:
        logging.getLogger(__name__).debug("The log could not be written.", exc_info=True)
        return "Please report it."
    return f"The details are in {path}."
