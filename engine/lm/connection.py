"""A test of a connection: one small call, and in plain words what is wrong or how fast it was."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from engine.basics.addresses import is_this_machine
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
from engine.lm.choice import PROVIDERS, ModelChoice, Provider, find_route
from engine.lm.client import LM

IMPORT_SECONDS = 60.0
"""Additional time for a test through litellm: its import is slow on a small machine."""


async def check_connection(
    choice: ModelChoice, api_key: str | None = None, timeout: float = 20.0
) -> tuple[str, str]:
    """Make one small call to a model; return what is wrong, and a message. Never raises for a bad endpoint.

    What is wrong is "" or one of: key, model, unreachable, rate limit, reply, timeout, settings, other.
    """
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
        reply = await lm.send(lm.request(({"role": "user", "content": QUESTION},), max_tokens=MAX_TOKENS))
    except EngineError as error:
        problem, title = next((words for kind, *words in _TITLES if isinstance(error, kind)), ("other", ""))
        return problem, f"{title} {error}".strip()
    return "", f"It works: {reply.model or choice.name} answered in {time.perf_counter() - started:.2f} s."


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

WAIT = 0.8
"""Seconds a server may take to list its models."""
MOST_BYTES = 1_000_000
MOST_MODELS = 200


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server of this machine that answered. `models` are whole names, provider/model, ready to be chosen."""

    title: str
    address: str
    models: tuple[str, ...]


def local_servers(wait: float = WAIT) -> list[LocalServer]:
    """Return the model servers that run on this machine at their usual ports (Ollama, LM Studio, vLLM or SGLang).

    A variable such as OLLAMA_API_BASE moves a port; one that points to another machine is not followed.
    """
    places = [(p, url) for p in PROVIDERS if p.local and p.protocol == "openai" and (url := _address(p))]
    unique = list({url: (p, url) for p, url in reversed(places)}.values())
    with ThreadPoolExecutor(max_workers=max(1, len(unique))) as pool:
        answers = list(pool.map(lambda place: _ask(place[0], place[1], wait), reversed(unique)))
    return [server for server in answers if server is not None]


def providers_with_key() -> list[Provider]:
    """Return the providers whose usual key variable is set in the environment.

    >>> [p.title for p in providers_with_key() if p.prefix == "offline"]
    []
    """
    return [p for p in PROVIDERS if p.key_env and p.needs_key and os.environ.get(p.key_env, "").strip()]


def _address(provider: Provider) -> str | None:
    try:
        url = find_route(f"{provider.prefix}/any").base_url
    except ConfigurationError:
        return None
    host = urlsplit(url or "").hostname or ""
    return url if is_this_machine(host) else None


def _ask(provider: Provider, address: str, wait: float) -> LocalServer | None:
    # Without the system's proxy: it would be asked for an address that means its own machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    try:
        with opener.open(f"{address}/models", timeout=wait) as reply:
            listed = orjson.loads(reply.read(MOST_BYTES))
    except (urllib.error.URLError, OSError, ValueError):
        return None
    entries = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(entries, list):
        return None
    names = [e["id"] for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]
    known = dict.fromkeys(f"{provider.prefix}/{name}" for name in names if name and name.isprintable())
    return LocalServer(provider.title, address, tuple(known)[:MOST_MODELS])


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A server of this machine must not send the question elsewhere."""

    def redirect_request(self, *_args: object) -> None:
        """Follow nothing."""
        return
