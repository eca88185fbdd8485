"""The ways a request can travel, and the choice between them.

A transport sends one request once. It knows no cache, no retries and no limits: those are the client's.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from engine.errors import MissingKeyError
from engine.lm import streaming
from engine.lm.base import Reply, Request
from engine.lm.catalog import Route
from engine.lm.keys import FoundKey, Secret, key_for
from engine.lm.prices import Price


class Transport(Protocol):
    """Sends one request and returns the reply. Raises LMError."""

    async def send(self, request: Request) -> Reply:
        """Send one request, once."""
        ...


class OfflineTransport:
    """The stand-in that answers on this machine, without a network."""

    def __init__(self, model: str) -> None:
        # Imported here: only who asks for the stand-in loads it.
        from engine.lm.offline.learner import OfflineLM

        self._lm = OfflineLM(model)

    async def send(self, request: Request) -> Reply:
        """Answer one request."""
        # It computes without ever waiting: let others on the loop have their turn between two answers.
        await asyncio.sleep(0)
        started = time.perf_counter()
        reply = await self._lm.complete(request)
        hears = streaming.listener.get()
        if hears is not None and len(reply.choices) == 1:
            hears.begin()
            for piece in re.findall(r"\s*\S+\s*$|\s*\S+", reply.text):
                hears.feed(streaming.Chunk(piece))
            hears.feed(streaming.Chunk(finish_reason="stop"))
        return replace(reply, seconds=time.perf_counter() - started)


def make_transport(
    route: Route,
    *,
    api_key: Secret | None,
    key_env: str | None,
    timeout: float,
    price: Price | None,
    headers: Mapping[str, str],
) -> Transport:
    """Return the transport for a route, with its key. Raises MissingKeyError where it needs one and has none."""
    if route.protocol == "offline":
        return OfflineTransport(route.name)
    found = needed_key(route, api_key, key_env, headers)
    if route.protocol == "litellm":
        from engine.lm.litellm_gateway import LiteLLMTransport

        return LiteLLMTransport(route, found, timeout=timeout, price=price, headers=headers)
    from engine.lm.openai_http import OpenAITransport

    return OpenAITransport(route, found, key_env=key_env, timeout=timeout, price=price, headers=headers)


def needed_key(
    route: Route, api_key: Secret | None, key_env: str | None, headers: Mapping[str, str]
) -> FoundKey:
    """Return a route's key. Raises MissingKeyError where it needs one and has none."""
    found = FoundKey(api_key, "given") if api_key else key_for(route, key_env)
    if not found.key and route.provider and route.provider.needs_key and not route.custom and not headers:
        raise MissingKeyError(
            f"{route.name!r} needs an API key for {route.provider.title} and none was found in the {found.where}: set "
            "it, or give the key on the Settings page or as api_key."
        )
    return found


def endpoint_id(route: Route) -> str:
    """Return what the cache's keys call a route's endpoint.

    The stand-in's is a hash of its source, so that a new version of it does not answer from an old one's cache.
    """
    if route.protocol != "offline":
        return route.endpoint
    digest = hashlib.sha256()
    for source in sorted((Path(__file__).parent / "offline").glob("*.py")):
        digest.update(source.read_bytes())
    return f"offline:{digest.hexdigest()[:16]}"
