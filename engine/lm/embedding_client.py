"""The LM client for embeddings: the same cache, retries and limits, with another request and another reply.

A request's messages are the texts; a reply has one completion for each, the vector's float32 bytes in base 64. It knows
nothing of what vectors are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.errors import ConfigurationError
from engine.lm.base import Choice, Request
from engine.lm.client import LM
from engine.lm.openai_http import OpenAITransport
from engine.lm.transport import Transport, needed_key
from engine.lm.wire import texts_of, vectors_of
from engine.records import Usage


class EmbeddingLM(LM):
    """A model that answers texts with vectors; see `engine.lm.embedder.Embedder` for plain use."""

    def _make_transport(self) -> Transport:
        if self.route.protocol == "offline":
            raise ConfigurationError(
                f"There is no embedding model {self.model!r}. Without a network use 'offline/hashing'."
            )
        found = needed_key(self.route, self._api_key, self._key_env, self._headers)
        if self.route.protocol == "litellm":
            from engine.lm.litellm_gateway import LiteLLMEmbeddings

            return LiteLLMEmbeddings(
                self.route, found, timeout=self.timeout, price=self._price(), headers=self._headers
            )
        return OpenAIEmbeddings(
            self.route,
            found,
            key_env=self._key_env,
            timeout=self.timeout,
            price=self._price(),
            headers=self._headers,
        )


class OpenAIEmbeddings(OpenAITransport):
    """One embedding model at one endpoint that speaks the OpenAI protocol."""

    path = "/embeddings"
    streams = False

    def _asked(self, request: Request) -> dict[str, Any]:
        return {"input": texts_of(request)}

    def _choices(self, reply: Mapping[str, Any], request: Request) -> tuple[Choice, ...]:
        return vectors_of(reply["data"], len(request.messages))

    def _counted(self, request: Request, choices: tuple[Choice, ...]) -> Usage:  # noqa: ARG002 - vectors hold no tokens
        return Usage(calls=1)
