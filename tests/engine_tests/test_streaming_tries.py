"""Streaming programs that try several times: only the chosen try is ever shown."""

import asyncio

from openai_server import OpenAIServer

import engine
from engine.lm.streaming import Chunk
from engine.streaming import StreamListener, StreamResponse, streamify

ASK = "question -> answer"


def reply(text):
    return f"[[ ## answer ## ]]\n{text}\n\n[[ ## completed ## ]]"


def streamed(program, answers, listen=True, **settings):
    """What comes of a program whose model gives these answers in turn."""
    left = iter(answers)
    listeners = [StreamListener("answer", predict=program.predictors()[0])] if listen else None
    stream = streamify(program, stream_listeners=listeners)

    async def run(lm):
        with engine.context(lm=lm):
            return [item async for item in stream(question="?")]

    with OpenAIServer(answer=lambda body: next(left)) as server:
        lm = engine.LM("openai/test-model", api_base=server.url, api_key="k", cache=False)
        return asyncio.run(run(lm)), server


def shown(items):
    return "".join(i.chunk for i in items if isinstance(i, StreamResponse))


def longest(args, prediction):
    return len(prediction.answer) / 100


def test_the_chosen_try_is_shown_and_no_other():
    program = engine.BestOfN(engine.Predict(ASK), N=3, reward_fn=longest, threshold=1.0)
    items, server = streamed(
        program, map(reply, ["A short one.", "The longest of them all.", "The middle one."])
    )
    assert len(server.requests) == 3
    assert items[-1].answer == "The longest of them all."
    pieces = [i for i in items if isinstance(i, StreamResponse)]
    assert len(pieces) > 2
    assert "".join(p.chunk for p in pieces) == items[-1].answer
    assert [p.is_last_chunk for p in pieces] == [False] * (len(pieces) - 1) + [True]


def test_a_try_that_fails_is_not_shown():
    program = engine.BestOfN(
        engine.Predict("question -> answer: int"), N=2, reward_fn=lambda args, p: 1.0, threshold=1.0
    )
    answers = [reply("about four"), reply("about four"), reply("about four"), reply("4")]
    items, _ = streamed(program, answers)
    assert items[-1].answer == 4
    assert shown(items) == "4"


def test_a_refined_answer_is_shown_and_not_what_it_was_refined_from():
    program = engine.Refine(
        engine.Predict(ASK), N=2, reward_fn=lambda args, p: p.answer.isdigit(), threshold=1.0
    )
    advice = (
        '[[ ## discussion ## ]]\nVague.\n\n[[ ## advice ## ]]\n{"self": "A number."}\n\n[[ ## completed ## ]]'
    )
    items, server = streamed(program, [reply("about four"), advice, reply("4")])
    assert len(server.requests) == 3
    assert shown(items) == items[-1].answer == "4"


def test_without_listeners_every_piece_of_every_try_comes_at_once():
    program = engine.BestOfN(engine.Predict(ASK), N=2, reward_fn=longest, threshold=1.0)
    items, _ = streamed(program, map(reply, ["A first one.", "A second, longer one."]), listen=False)
    text = "".join(i.text for i in items if isinstance(i, Chunk))
    assert text == reply("A first one.") + reply("A second, longer one.")


def test_one_inside_another_shows_the_innermost_choice_of_the_outermost():
    inner = engine.BestOfN(engine.Predict(ASK), N=2, reward_fn=longest, threshold=0.2)
    outer = engine.BestOfN(inner, N=2, reward_fn=longest, threshold=1.0)
    tries = ["Short.", "A bit longer than short.", "The very longest of these answers.", "unused"]
    items, server = streamed(outer, map(reply, tries))
    assert len(server.requests) == 3
    assert shown(items) == items[-1].answer == "The very longest of these answers."
