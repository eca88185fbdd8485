"""The LM client for embeddings: the same cache, retries and limits, with another request and another reply.

A request's messages are the texts; a reply has one completion for each, the vector's float32 bytes in base 64. It knows
nothing of what vectors are for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from yarl import URL

from engine.errors import ConfigurationError
from engine.lm import failures
from engine.lm.base import Reply, Request
from engine.lm.client import LM
from engine.lm.openai_http import OpenAITransport
from engine.lm.transport import Transport, needed_key
from engine.lm.wire import jsonable, texts_of, usage_of, vectors_of
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

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        address = self.place.url.removesuffix("/chat/completions") + "/embeddings"
        self.place = replace(self.place, url=address)
        self._url = URL(address)

    def _body(self, request: Request, **extra: Any) -> bytes:
        body = {"model": self._model, "input": texts_of(request), **request.params, **extra}
        try:
            return orjson.dumps(body, default=jsonable)
        except TypeError as error:
            raise failures.unsendable(self.place.model, error) from None

    def _reply(self, data: bytes, content_type: str, seconds: float, request: Request) -> Reply:
        try:
            reply = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise failures.bad_reply(self.place, data, content_type) from None
        try:
            choices = vectors_of(reply["data"], len(request.messages))
        except (KeyError, TypeError, AttributeError, ValueError):
            raise failures.wrong_shape(self.place, reply) from None
        usage = usage_of(reply.get("usage"), self._price) or Usage(calls=1)
        return Reply(choices, usage, str(reply.get("model") or self._model), seconds)
