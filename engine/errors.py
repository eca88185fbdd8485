"""Every exception the engine raises on purpose, in one place.

A message names the thing that is wrong and says what to do about it; it is written for the person
who reads it on a page or in a terminal, so no traceback is needed. Failures of one row are
records (`engine.records.Outcome.error`), never exceptions that end a run.

An error is also of the built-in kind that fits it (`except ValueError:` catches a wrong set-up), and can be pickled.
This module imports nothing of the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import ValidationError


T = TypeVar("T")


class EngineError(Exception):
    """Root of every error the engine raises on purpose."""

    # A KeyError would show its message in quotes.
    __str__ = Exception.__str__

    def __reduce__(self) -> Any:
        return _rebuilt, (type(self), self.args, dict(vars(self)))


def _rebuilt(cls: type[EngineError], args: tuple[object, ...], values: dict[str, object]) -> EngineError:
    """Return an unpickled error, whatever arguments its constructor takes."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(values)
    return error


class ConfigurationError(EngineError, ValueError):
    """A set-up that cannot work."""


class UnknownNameError(ConfigurationError):
    """A name that no registry holds.

    >>> str(UnknownNameError("optimizer", "mipro3", ["MIPROv2", "BootstrapFewShot"]))
    "There is no optimizer 'mipro3'. Choose one of: BootstrapFewShot, MIPROv2."
    >>> str(UnknownNameError("tuned model", "tuned/x", []))
    "There is no tuned model 'tuned/x', and no other one either."
    """

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        names = ", ".join(sorted(valid))
        rest = f". Choose one of: {names}." if names else ", and no other one either."
        super().__init__(f"There is no {kind} {name!r}{rest}")


def entry_named(kind: str, name: str, entries: Mapping[str, T]) -> T:
    """Return the entry of a name. Raises UnknownNameError listing the names there are."""
    if name not in entries:
        raise UnknownNameError(kind, name, entries)
    return entries[name]


def first_problem(error: ValidationError, whole: str = "") -> tuple[str, str]:
    """Return the place of the first problem in data, as a dotted path (`whole`: in all of it), and pydantic's message."""
    first = error.errors(include_url=False)[0]
    return ".".join(map(str, first["loc"])) or whole, first["msg"].removeprefix("Value error, ")


class MetricError(ConfigurationError):
    """A metric that cannot be called with an example and a prediction, or that returns no number."""


class MissingKeyError(ConfigurationError):
    """A model needs an API key and none was found."""


class SignatureError(EngineError, ValueError, TypeError):
    """A signature, a field name or a field type cannot be used."""


class UnknownFieldError(SignatureError, KeyError):
    """A field that the signature does not have."""


class PipelineError(EngineError):
    """Steps whose wiring does not fit together."""


class DatasetError(EngineError):
    """A file or table of examples cannot be used."""


class ProgramFileError(EngineError, ValueError):
    """A saved program cannot be read."""


class ProgramFileMissingError(ProgramFileError, FileNotFoundError):
    """There is no file or folder of that name."""


class StepMissingError(ProgramFileError, KeyError):
    """A saved program lacks a step of the program that it is loaded into."""


class StoreError(EngineError):
    """The database file cannot be used."""


class NotFoundError(StoreError):
    """No such project, dataset, run or candidate."""


class StoreLockedError(StoreError):
    """Another program holds the database file."""


class StoreFullError(StoreError):
    """The disk has no room for what was to be written."""


class AccessError(StoreError):
    """A change, or a look, that the user has no right to on a server with several users."""


class StoreTakenError(StoreError):
    """The open database file is not at its path any more, or a newer version of Tuneboard uses it."""


class StoreTooNewError(StoreTakenError):
    """The database was written by a newer version of Tuneboard."""


class StoreDamagedError(StoreError):
    """The database file holds bytes that cannot be read."""


class RunError(EngineError):
    """A run cannot start or go on."""


class TrainingError(RunError):
    """A training of weights failed; what was trained before is kept."""


class BudgetExhaustedError(EngineError):
    """The next call would pass the budget, so it was not made."""


class AdapterParseError(EngineError):
    """A model's reply lacks the fields that were asked for.

    `reply` (`lm_response` in DSPy) is the text as it came, `found` (`parsed_result`) the fields that could be read
    from it; `adapter_name` and `signature` say who asked for what. A single argument is the message; without a
    message the error names the adapter, the reply and the outputs.

    >>> AdapterParseError("The reply has no answer.", reply="Hm.").lm_response
    'Hm.'
    >>> str(AdapterParseError(adapter_name="Bare", signature=None, lm_response="Hm."))
    "Bare could not read the reply 'Hm.'."
    """

    def __init__(
        self,
        adapter_name: str = "",
        signature: object = None,
        lm_response: str = "",
        message: str | None = None,
        parsed_result: Mapping[str, object] | None = None,
        *,
        reply: str = "",
        found: Mapping[str, object] | None = None,
    ) -> None:
        if signature is None and message is None and not lm_response:
            adapter_name, message = "", adapter_name
        self.adapter_name = adapter_name
        self.signature = signature
        self.reply = reply or lm_response
        self.found = dict(found or parsed_result or {})
        super().__init__(message or self._message())

    @property
    def lm_response(self) -> str:
        """The reply, under DSPy's name."""
        return self.reply

    @property
    def parsed_result(self) -> dict[str, object]:
        """The fields that could be read, under DSPy's name."""
        return self.found

    def _message(self) -> str:
        text = f"{self.adapter_name or 'The adapter'} could not read the reply {self.reply!r}."
        outputs = ", ".join(getattr(self.signature, "output_fields", ()))
        return f"{text} It should give: {outputs}." if outputs else text


class ConstraintError(EngineError):
    """An `Assert` that still fails after its retries."""


class ToolError(EngineError):
    """A tool failed; the message names the tool and says why."""


class ToolArgumentsError(ToolError, ValueError):
    """Arguments that do not fit the tool."""


class UnknownToolError(ToolError, KeyError, ValueError):
    """A call of a tool that is not there."""


class ToolTimeoutError(ToolError):
    """A tool gave no result in time."""


class SandboxError(EngineError, RuntimeError):
    """Code in the sandbox failed. The message is the sandbox's own traceback or reason."""


class SandboxTimeoutError(SandboxError):
    """Code in the sandbox ran too long."""


class SandboxMemoryError(SandboxError):
    """Code in the sandbox needed too much memory."""


class LMError(EngineError):
    """A call to a model failed.

    `status` is the HTTP status where there was one; `retry_after` the seconds the server asked to wait; `retryable`
    whether the same call may succeed later. `code` names the kind of error as DSPy does, `provider_code` is the
    server's own; `provider` is its name and `request_id` the server's name for the request, where they are known.
    `spent` has the usage of the answers behind it, where there were any, and no text: one that cannot be used is
    paid for too.
    """

    retryable = False
    code = "lm_error"
    provider: str = ""
    provider_code: str | None = None
    request_id: str | None = None
    spent: Any = None

    def __init__(
        self, message: str, *, model: str = "", status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.model = model
        self.status = status
        self.retry_after = retry_after

    @property
    def message(self) -> str:
        """The message."""
        return str(self)


def spent_by(error: Exception) -> Any:
    """Return what the answers behind an error have cost, if any came: a model's own method may fail with any error."""
    reply = vars(error).get("spent")
    return reply if hasattr(reply, "usage") else None


class AuthenticationFailedError(LMError):
    """The key was refused (401, 403)."""

    code = "auth"


class ModelNotFoundError(LMError):
    """The endpoint knows no such model, or the address is wrong (404)."""

    code = "unsupported_model"


class RateLimitedError(LMError):
    """Too many requests (429)."""

    code = "rate_limit"
    retryable = True


class ContextWindowExceededError(LMError):
    """The prompt is longer than the model accepts."""

    code = "context_window_exceeded"


class InvalidRequestError(LMError):
    """The endpoint refused the request (any other 4xx)."""

    code = "invalid_request"


class ProviderFailureError(LMError):
    """The endpoint failed (5xx)."""

    code = "server"
    retryable = True


class UnreachableError(LMError):
    """No connection to the endpoint."""

    code = "transport"
    retryable = True


class LMTimeoutError(LMError):
    """No answer in time."""

    code = "timeout"
    retryable = True


class SilentEndpointError(LMTimeoutError):
    """No answer in time, again and again, from an endpoint that has never answered anything."""

    retryable = False


class BadReplyError(LMError):
    """The endpoint answered something that is not the JSON it should be."""

    code = "unexpected"
    retryable = True
