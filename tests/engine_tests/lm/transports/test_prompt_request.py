"""Requests are written at once, and big or broken ones still end as aiohttp means them to."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import aiohttp
import orjson
import pytest
from support.servers.openai_server import OpenAIServer

from engine.lm.transports.openai_http import PromptRequest

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def post(url: str, body: Any, times: int = 1, kind: type[PromptRequest] = PromptRequest) -> list[Any]:
    async def main() -> list[Any]:
        async with aiohttp.ClientSession(request_class=kind) as session:

            async def one() -> Any:
                async with session.post(
                    f"{url}/chat/completions", data=io.BytesIO(orjson.dumps(body))
                ) as response:
                    return (await response.json())["choices"][0]["message"]["content"]

            return await asyncio.gather(*(one() for _ in range(times)))

    return asyncio.run(main())


def test_small_requests_are_on_the_wire_at_once() -> None:
    left: list[Any] = []

    class Watched(PromptRequest):
        def write_bytes(self, *args: Any, **kwargs: Any) -> Any:
            rest = super().write_bytes(*args, **kwargs)
            left.append(rest.gi_frame.f_locals["started"])
            return rest

    with OpenAIServer("fine") as server:
        assert post(server.url, BODY, 40, Watched) == ["fine"] * 40
    assert left == [None] * 40, (
        "aiohttp writes requests in another way: measure PromptRequest again, or remove it"
    )


def test_a_body_larger_than_the_buffers_is_written_in_turns() -> None:
    big = {**BODY, "messages": [{"role": "user", "content": "x" * 20_000_000}]}
    with OpenAIServer(lambda body: str(len(body["messages"][0]["content"]))) as server:
        assert post(server.url, big, 2) == ["20000000"] * 2


def test_a_connection_that_breaks_is_an_error_of_aiohttps() -> None:
    with OpenAIServer("fine") as server:
        server.drop()
        with pytest.raises(aiohttp.ClientError):
            post(server.url, BODY)
    with pytest.raises(aiohttp.ClientError):
        post(server.url, BODY)
