"""Models that are there already: servers running on this machine, and providers whose key the environment holds.

Only this machine's own addresses are asked, once each and briefly; no key is sent or shown.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from engine.errors import ConfigurationError
from engine.lm.catalog import PROVIDERS, Provider, find_route

WAIT = 0.8
"""Seconds a server may take to list its models."""
MOST_BYTES = 1_000_000
MOST_MODELS = 200
_LOOPBACK = ("localhost", "::1")


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
        found = list(pool.map(lambda place: _ask(place[0], place[1], wait), reversed(unique)))
    return [server for server in found if server is not None]


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
    return url if host in _LOOPBACK or host.startswith("127.") else None


def _ask(provider: Provider, address: str, wait: float) -> LocalServer | None:
    # Without the system's proxy: it would be asked for an address that means its own machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    try:
        with opener.open(f"{address}/models", timeout=wait) as reply:
            listed = orjson.loads(reply.read(MOST_BYTES))
    except (urllib.error.URLError, OSError, ValueError):
        return None
    names = _names(listed)
    if names is None:
        return None
    return LocalServer(provider.title, address, tuple(f"{provider.prefix}/{name}" for name in names))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A server of this machine must not send the question elsewhere."""

    def redirect_request(self, *_args: object) -> None:
        """Follow nothing."""
        return


def _names(listed: object) -> Sequence[str] | None:
    """The model names of an OpenAI-protocol list; None where it is none."""
    entries = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(entries, list):
        return None
    names = [e["id"] for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]
    return list(dict.fromkeys(name for name in names if name and name.isprintable()))[:MOST_MODELS]
