"""The test-connection button: one small call, and in plain words what is wrong or how fast it was.

A model that goes through litellm is tested in a child process, because importing litellm would slow down the
process that asks for good. The key travels to the child on standard input, never as an argument.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Protocol

import orjson

from engine.errors import (
    AuthenticationFailedError,
    BadReplyError,
    ConfigurationError,
    EngineError,
    LMError,
    LMTimeoutError,
    MissingKeyError,
    ModelNotFoundError,
    RateLimitedError,
    UnreachableError,
)
from engine.lm.base import Reply
from engine.lm.catalog import find_route
from engine.lm.client import LM

IMPORT_SECONDS = 60.0
"""How much longer a test through litellm may take: its import is slow on a small machine."""


class Choice(Protocol):
    """What is tested; `engine.runs.spec.ModelChoice` is one."""

    @property
    def name(self) -> str:
        """The model's name, provider/model."""
        ...

    @property
    def base_url(self) -> str | None:
        """The endpoint's address, where it is not the provider's own."""
        ...

    @property
    def key_env(self) -> str | None:
        """The environment variable that holds the key, where it is not the provider's usual one."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """What came of a test. `message` is one plain sentence; `detail` the longer one with the server's words.

    `problem` is "" or one of: key, model, unreachable, rate limit, reply, timeout, settings, other. `seconds` is
    the call's time, `model` the name that the endpoint gave itself.
    """

    ok: bool
    message: str
    detail: str = ""
    problem: str = ""
    seconds: float = 0.0
    model: str = ""


def test_connection(
    choice: Choice,
    api_key: str | None = None,  # noqa: PT028 - named for the button; it is no test of pytest's
    timeout: float = 20.0,  # noqa: PT028 - the same
) -> ConnectionReport:
    """Make one small call to a model and say in plain words what came of it. Never raises for a bad endpoint."""
    try:
        through_litellm = find_route(choice.name, choice.base_url).protocol == "litellm"
    except ConfigurationError as error:
        return ConnectionReport(False, str(error), problem="settings")
    if through_litellm:
        return _in_child(choice, api_key, timeout)
    from engine.loop import run

    return run(check_connection(choice, api_key, timeout))


# pytest would take the function above for a test wherever it is imported.
test_connection.__test__ = False  # type: ignore[attr-defined]  # functions take any attribute


async def check_connection(
    choice: Choice, api_key: str | None = None, timeout: float = 20.0
) -> ConnectionReport:
    """As `test_connection`, for async code, in this process."""
    started = time.perf_counter()
    try:
        lm = LM(
            choice.name,
            api_base=choice.base_url or None,
            api_key=api_key or None,
            key_env=choice.key_env,
            cache=False,
            num_retries=0,
            timeout=timeout,
        )
        reply = await lm.complete(lm.request(({"role": "user", "content": QUESTION},), max_tokens=MAX_TOKENS))
    except EngineError as error:
        return _failed(error, choice.name)
    return _worked(reply, choice.name, time.perf_counter() - started)


def _worked(reply: Reply, name: str, seconds: float) -> ConnectionReport:
    answered = reply.model or name
    return ConnectionReport(
        True,
        f"It works: {answered} answered in {seconds:.2f} s.",
        f"It said: {reply.text[:200]}",
        "",
        seconds,
        answered,
    )


def _failed(error: EngineError, name: str) -> ConnectionReport:
    for kind, problem, title in _TITLES:
        if isinstance(error, kind):
            return ConnectionReport(False, f"{title} {error}", str(error), problem, model=name)
    return ConnectionReport(False, str(error), str(error), "other", model=name)


def _in_child(choice: Choice, api_key: str | None, timeout: float) -> ConnectionReport:
    question = orjson.dumps(
        {
            "name": choice.name,
            "base_url": choice.base_url,
            "key_env": choice.key_env,
            "api_key": api_key,
            "timeout": timeout,
        }
    )
    slow = ConnectionReport(
        False, f"No answer from {choice.name} within {timeout:g} s: check the network.", problem="timeout"
    )
    try:
        child = subprocess.run(
            [sys.executable, "-m", "engine.lm.connection"],
            input=question,
            capture_output=True,
            timeout=timeout + IMPORT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return slow
    # The report is the last line: litellm may have written lines of its own before it.
    lines = child.stdout.strip().splitlines()
    try:
        return ConnectionReport(**orjson.loads(lines[-1]))
    except (IndexError, TypeError, orjson.JSONDecodeError):
        sentence = (
            f"The test of {choice.name} ended without a result (exit code {child.returncode}): try again."
        )
        return ConnectionReport(False, sentence, problem="other")


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    base_url: str | None
    key_env: str | None


def _main() -> None:
    asked = orjson.loads(sys.stdin.buffer.read())
    choice = _Asked(asked["name"], asked["base_url"], asked["key_env"])
    report = asyncio.run(check_connection(choice, asked["api_key"], asked["timeout"]))
    sys.stdout.write("\n" + orjson.dumps(asdict(report)).decode() + "\n")


_TITLES: tuple[tuple[type[EngineError], str, str], ...] = (
    (MissingKeyError, "key", "No key."),
    (AuthenticationFailedError, "key", "The key does not work."),
    (ModelNotFoundError, "model", "Unknown model."),
    (RateLimitedError, "rate limit", "The key works, but requests are being limited."),
    (LMTimeoutError, "timeout", "No answer in time."),
    (UnreachableError, "unreachable", "Host unreachable."),
    (BadReplyError, "reply", "Not a model's answer."),
    (LMError, "other", "It answered with an error."),
    (ConfigurationError, "settings", "The settings do not fit."),
)

QUESTION = "Answer with the word OK."
MAX_TOKENS = 32

if __name__ == "__main__":
    _main()
