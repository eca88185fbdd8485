"""Calls to every other provider, through litellm: the only file that imports it, and only on first use.

Importing it takes seconds and some 200 MB, so the dashboard's process never comes here. It sends one request
once: retries, cache and limits are the client's.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from engine.basics.data import JsonObject, Values
from engine.errors import ConfigurationError, LMError, ModelNotFoundError
from engine.lm import streaming
from engine.lm.base import Choice, Reply, Request
from engine.lm.choice import is_reasoning_model
from engine.lm.exchange import choice_of, drop_sampling, for_reasoning, texts_of, usage_of, vectors_of
from engine.lm.keys import Secret, without_keys
from engine.lm.options import refuse_of_model
from engine.lm.transports import failures, responses
from engine.lm.transports.failures import Place
from engine.lm.transports.openai_http import OpenAITransport
from engine.records import Usage

if TYPE_CHECKING:
    from engine.lm.client import LM


class LiteLLMTransport:
    """One model of a provider that litellm speaks to."""

    function = "acompletion"
    streams = True
    longest = OpenAITransport.longest
    """Characters of a reply. One in a piece is read to its end by litellm, and fails then."""
    assembly: Callable[[], streaming.Assembly] = streaming.Assembly
    streamed: ClassVar[Mapping[str, object]] = {"stream": True, "stream_options": {"include_usage": True}}

    def __init__(self, lm: LM, key: Secret) -> None:
        route = lm.route
        env = lm.key_env or (route.provider.key_env if route.provider else None)
        self.place = Place(route.host, route.name, route.base_url or "", key, env, route.provider_name)
        self._seconds = lm.timeout
        self.longest = lm.options.longest_reply or self.longest
        self._price = lm.known_price
        self._reasoning = is_reasoning_model(route.model)
        fixed: JsonObject = {
            "model": route.model,
            "timeout": lm.timeout,
            "num_retries": 0,
            "max_retries": 0,
        }
        if route.base_url:
            fixed["api_base"] = route.base_url
        if lm.headers:
            fixed["extra_headers"] = dict(lm.headers)
        if lm.options.verify is not True:
            fixed["ssl_verify"] = lm.options.verify
        # Where it finds no key, litellm looks for the provider's usual one by itself: another address must not get that.
        self._unkeyed = {"api_key": "none"} if route.foreign else {}
        self._fixed = fixed

    async def send(self, request: Request) -> Reply:
        """Send one request. Raises LMError for everything that can go wrong on the way."""
        litellm = await _litellm()
        refuse_of_model(self.place.model, request.params)
        given = {name: value for name, value in request.params.items() if name not in _OURS}
        params = {**self._fixed, "messages": [dict(m) for m in request.messages], **given}
        if self._reasoning:
            for_reasoning(params)
        elif params.get("reasoning_effort") and "claude" in self.place.model:
            # While it thinks it takes no other temperature than 1.
            drop_sampling(params)
        params = self._shaped(params) | self._key()
        streamed = self.streams and (request.params.get("n") or 1) == 1
        listener = streaming.listener.get() if streamed else None
        if listener is not None:
            params |= self.streamed
            listener.begin()
        started = time.perf_counter()
        assembly = self.assembly()

        async def answer() -> Any:
            response = await getattr(litellm, self.function)(**params)
            if listener is not None:
                size = 0
                async for event in response:
                    chunk = assembly.add_event(event.model_dump())
                    if chunk is not None:
                        size += len(chunk.text) + len(chunk.reasoning)
                        if size > self.longest:
                            raise failures.too_long(self.place, self.longest)
                        listener.feed(chunk)
            return response

        try:
            # A little longer than litellm's own limit, for providers where it keeps none.
            async with asyncio.timeout(self._seconds + 5):
                response = await answer()
        except Exception as error:  # noqa: BLE001 - litellm raises what its providers' libraries raise
            # Not chained: litellm's errors can hold the request, and with it the key.
            raise streaming.final(self._failure(error), shown=assembly.begun) from None
        data = response.model_dump() if listener is None else assembly.reply()
        if len(str(data.get("choices"))) > self.longest:
            raise failures.too_long(self.place, self.longest)
        return self._reply(data, response, request, started)

    def _reply(self, data: dict[str, object], response: object, request: Request, started: float) -> Reply:
        seconds = time.perf_counter() - started
        try:
            choices = self._choices(data, request)
        except (KeyError, TypeError, AttributeError, ValueError):
            choices = ()
        if not choices:
            raise failures.wrong_shape(self.place, data)
        usage = usage_of(data.get("usage"), self._price) or Usage(calls=1)
        if usage.cost is None:
            charged = getattr(response, "_hidden_params", {}).get("response_cost")
            if isinstance(charged, int | float) and charged:
                usage = replace(usage, cost=float(charged))
        return Reply(choices, usage, str(data.get("model") or self.place.model), seconds)

    def _shaped(self, params: JsonObject) -> JsonObject:
        """Return litellm's arguments for another kind of request."""
        return params

    def _choices(self, data: Values, request: Request) -> tuple[Choice, ...]:  # noqa: ARG002 - for embeddings
        return tuple(map(choice_of, data["choices"]))

    def _failure(self, error: Exception) -> LMError:
        """Return litellm's error as the engine's: by the words it hides the cause in, then by its HTTP status."""
        if isinstance(error, LMError):
            return error
        kind = type(error).__name__
        message = without_keys(str(error), self.place.key).partition("\nTraceback")[0]
        if isinstance(error, TimeoutError) or kind in ("Timeout", "APITimeoutError"):
            return failures.timed_out(self.place, self._seconds)
        if "LLM Provider NOT provided" in message:
            return self.place.failure(
                ModelNotFoundError,
                f"No provider is known for model {self.place.model!r}: write it as provider/model, for example "
                "openai/gpt-5-mini, or give the base URL of an endpoint that speaks the OpenAI protocol.",
            )
        if any(words in message for words in ("Cannot connect", "Connection refused", "Connect call failed")):
            return failures.unreachable(self.place, "connection refused")
        if "Server disconnected" in message:
            return failures.unreachable(self.place, "it closed the connection without an answer")
        if "Unable to get json response" in message:
            original = message.partition("Original Response:")[2].strip()
            return failures.bad_reply(self.place, original.encode())
        body = _error_in(message)
        if kind == "ContextWindowExceededError":
            body["code"] = "context_length_exceeded"
        status = getattr(error, "status_code", None)
        if not isinstance(status, int) or status < 400:
            status = 400 if isinstance(error, ValueError | TypeError) else 500
        return failures.from_status(self.place, status, orjson.dumps({"error": body}), _headers(error))

    def _key(self) -> dict[str, str]:
        return {"api_key": self.place.key.reveal()} if self.place.key else self._unkeyed


class LiteLLMResponses(LiteLLMTransport):
    """One model of a provider that litellm asks by way of OpenAI's /responses, or as if it had that."""

    function = "aresponses"
    streamed: ClassVar[Mapping[str, object]] = {"stream": True}

    def __init__(self, lm: LM, key: Secret) -> None:
        super().__init__(lm, key)
        self.assembly = responses.ResponseAssembly
        self._developer = lm.options.developer_role

    def _shaped(self, params: JsonObject) -> JsonObject:
        return responses.response_request(params, developer=self._developer)

    def _choices(self, data: Values, request: Request) -> tuple[Choice, ...]:  # noqa: ARG002 - the base's
        return (responses.response_choice(data),)


class LiteLLMText(LiteLLMTransport):
    """One model of a provider that litellm asks to go on with a text."""

    function = "atext_completion"
    streams = False  # what litellm makes of the pieces warns of itself

    def _shaped(self, params: JsonObject) -> JsonObject:
        return responses.text_request(params)

    def _choices(self, data: Values, request: Request) -> tuple[Choice, ...]:
        return super()._choices({"choices": list(map(responses.as_chat, data["choices"]))}, request)


class LiteLLMEmbeddings(LiteLLMTransport):
    """One embedding model of a provider that litellm speaks to."""

    function = "aembedding"
    streams = False

    def _shaped(self, params: JsonObject) -> JsonObject:
        texts = texts_of(params.pop("messages"))
        return {"input": texts, **params}

    def _choices(self, data: Values, request: Request) -> tuple[Choice, ...]:
        return vectors_of(data["data"], len(request.messages))


_OURS = ("num_retries", "max_retries")
"""Parameters of a call that the client has heeded already."""


def _error_in(message: str) -> dict[str, object]:
    """Return the provider's own error out of litellm's message around it."""
    start, end = message.find("{"), message.rfind("}")
    if 0 <= start < end:
        try:
            data = orjson.loads(message[start : end + 1])
        except orjson.JSONDecodeError:
            data = None
        if isinstance(data, dict):
            inner = data.get("error", data)
            return dict(inner) if isinstance(inner, dict) else {"message": str(inner)}
    return {"message": re.sub(r"^(litellm\.\w+: )+|\.? Handle with `litellm\.\w+`\.?", "", message)}


def _headers(error: Exception) -> Mapping[str, str]:
    """Return the response's headers on retrying, where litellm kept them in a case-insensitive mapping of httpx."""
    for holder in (getattr(error, "response", None), error):
        headers = getattr(holder, "headers", None) or getattr(holder, "litellm_response_headers", None)
        if headers and isinstance(headers, Mapping):
            return {
                name: str(headers[given])
                for given in headers
                for name in _RETRY_NAMES
                if name == given.lower()
            }
    return {}


async def _litellm() -> ModuleType:
    """Return litellm, imported on a thread the first time: the event loop goes on while that takes its seconds."""
    return _load() if _load.cache_info().currsize else await asyncio.to_thread(_load)


@functools.cache
def _load() -> ModuleType:
    # Before the import: it would fetch a price list from the network.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ.setdefault("LITELLM_LOG", "ERROR")
    try:
        import litellm
    except ImportError as error:
        raise ConfigurationError(f"litellm cannot be imported ({error}): install tuneboard again.") from error
    litellm.telemetry = False
    litellm.drop_params = True
    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    litellm.num_retries = 0
    return litellm


_RETRY_NAMES = ("retry-after", "retry-after-ms")
