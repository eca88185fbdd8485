"""Requests are written at once, and big or broken ones still end as aiohttp means them to."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import aiohttp
import orjson
import pytest
from openai_server import OpenAIServer

from engine.lm.openai_http import PromptRequest

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def post(url: str, body: Any, times: int = 1) -> list[Any]:
    async def main() -> list[Any]:
        async with aiohttp.ClientSession(request_class=PromptRequest) as session:

            async def one() -> Any:
                async with session.post(
                    f"{url}/chat/completions", data=io.BytesIO(orjson.dumps(body))
                ) as response:
                    return (await response.json())["choices"][0]["message"]["content"]

            return await asyncio.gather(*(one() for _ in range(times)))

    return asyncio.run(main())


def test_small_requests() -> None:
    with OpenAIServer("fine") as server:
        assert post(server.url, BODY, 40) == ["fine"] * 40


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
