"""Streaming under every adapter: what is shown is what is answered, or nothing is shown."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.servers.openai_server import OpenAIServer

import engine
from engine.evaluate.streaming import StreamListener, StreamResponse, streamify

TEXT = "It comes on Monday, by mail."
CHAT = f"[[ ## reasoning ## ]]\nIt says so.\n\n[[ ## answer ## ]]\n{TEXT}\n\n[[ ## completed ## ]]"
JSON = f'{{"reasoning": "It says so.", "answer": "{TEXT}"}}'
XML = f"<reasoning>\nIt says so.\n</reasoning>\n<answer>\n{TEXT}\n</answer>"


def streamed(program: Any, adapter: Any, answers: list[str]) -> list[Any]:
    left = iter(answers)
    stream = streamify(program, stream_listeners=[StreamListener("answer")])

    async def run(lm: Any) -> list[Any]:
        with engine.context(lm=lm, adapter=adapter):
            return [item async for item in stream(question="When?")]

    with OpenAIServer(answer=lambda body: next(left)) as server:
        return asyncio.run(run(engine.LM("openai/m", api_base=server.url, api_key="k", cache=False)))


def shown(items: list[Any]) -> str:
    return "".join(i.chunk for i in items if isinstance(i, StreamResponse))


@pytest.mark.parametrize(
    ("adapter", "reply"),
    [(engine.ChatAdapter(), CHAT), (engine.JSONAdapter(), JSON), (engine.XMLAdapter(), XML)],
    ids=lambda value: type(value).__name__,
)
def test_a_field_comes_in_pieces_under_every_layout(adapter: Any, reply: str) -> None:
    items = streamed(engine.ChainOfThought("question -> answer"), adapter, [reply])
    assert items[-1].answer == TEXT
    assert shown(items) == TEXT
    assert len(items) > 3


def test_a_layout_of_two_calls_shows_what_it_answers_or_nothing() -> None:
    program = engine.ChainOfThought("question -> answer")
    items = streamed(program, engine.TwoStepAdapter(), ["On Monday, I believe.", CHAT])
    assert items[-1].answer == TEXT
    assert shown(items) in ("", TEXT)


def test_a_steps_own_layout_is_the_one_that_is_read() -> None:
    program = engine.ChainOfThought("question -> answer")
    program.predict.adapter = engine.XMLAdapter()
    assert shown(streamed(program, engine.JSONAdapter(), [XML])) == TEXT


@pytest.mark.parametrize(
    "broken", ["", "I cannot help with that.", '{"answer": '], ids=["empty", "no", "half"]
)
def test_what_cannot_be_read_is_not_shown(broken: str) -> None:
    items = streamed(engine.ChainOfThought("question -> answer"), engine.ChatAdapter(), [broken, CHAT])
    assert items[-1].answer == TEXT
    assert shown(items) in ("", TEXT)
