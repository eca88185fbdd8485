"""Every exception the engine raises on purpose, in one place.

A message names the thing that is wrong and says what to do about it; it is written for the person
who reads it on a page or in a terminal, so no traceback is needed. Failures of one row are
records (`engine.records.Outcome.error`), never exceptions that end a run.

This module imports nothing of the engine.
"""

from __future__ import annotations

from collections.abc import Iterable


class EngineError(Exception):
    """Root of every error the engine raises on purpose."""


class ConfigurationError(EngineError):
    """A set-up that cannot work."""


class UnknownNameError(ConfigurationError):
    """A name that no registry holds.

    >>> str(UnknownNameError("optimizer", "mipro3", ["MIPROv2", "BootstrapFewShot"]))
    "There is no optimizer 'mipro3'. Choose one of: BootstrapFewShot, MIPROv2."
    """

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        super().__init__(f"There is no {kind} {name!r}. Choose one of: {', '.join(sorted(valid))}.")


class MissingKeyError(ConfigurationError):
    """A model needs an API key and none was found."""


class SignatureError(EngineError):
    """A signature, a field name or a field type cannot be used."""


class PipelineError(EngineError):
    """Steps whose wiring does not fit together."""


class DatasetError(EngineError):
    """A file or table of examples cannot be used."""


class ProgramFileError(EngineError):
    """A saved program cannot be read."""


class StoreError(EngineError):
    """The database file cannot be used."""


class NotFoundError(StoreError):
    """No such project, dataset, run or candidate."""


class StoreLockedError(StoreError):
    """Another program holds the database file."""


class StoreTooNewError(StoreError):
    """The database was written by a newer version of Tuneboard."""


class RunError(EngineError):
    """A run cannot start or go on."""


class BudgetExhaustedError(EngineError):
    """The next call would pass the budget, so it was not made."""


class AdapterParseError(EngineError):
    """A model's reply lacks the fields that were asked for.

    `reply` is the text as it came; `found` the fields that could be read from it.
    """

    def __init__(self, message: str, *, reply: str = "", found: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.reply = reply
        self.found = found or {}


class ConstraintError(EngineError):
    """An `Assert` that still fails after its retries."""


class ToolError(EngineError):
    """A tool failed; the message names the tool and says why."""


class ToolArgumentsError(ToolError):
    """Arguments that do not fit the tool."""


class ToolTimeoutError(ToolError):
    """A tool gave no result in time."""


class SandboxError(EngineError):
    """Code in the sandbox failed. The message is the sandbox's own traceback or reason."""


class SandboxTimeoutError(SandboxError):
    """Code in the sandbox ran too long."""


class SandboxMemoryError(SandboxError):
    """Code in the sandbox needed too much memory."""


class LMError(EngineError):
    """A call to a model failed.

    `status` is the HTTP status where there was one; `retry_after` the seconds the server asked to
    wait; `retryable` whether the same call may succeed later.
    """

    retryable = False

    def __init__(
        self, message: str, *, model: str = "", status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.model = model
        self.status = status
        self.retry_after = retry_after


class AuthenticationFailedError(LMError):
    """The key was refused (401, 403)."""


class ModelNotFoundError(LMError):
    """The endpoint knows no such model, or the address is wrong (404)."""


class RateLimitedError(LMError):
    """Too many requests (429)."""

    retryable = True


class ContextWindowExceededError(LMError):
    """The prompt is longer than the model accepts."""


class InvalidRequestError(LMError):
    """The endpoint refused the request (any other 4xx)."""


class ProviderFailureError(LMError):
    """The endpoint failed (5xx)."""

    retryable = True


class UnreachableError(LMError):
    """No connection to the endpoint."""

    retryable = True


class LMTimeoutError(LMError):
    """No answer in time."""

    retryable = True


class BadReplyError(LMError):
    """The endpoint answered something that is not the JSON it should be."""

    retryable = True
