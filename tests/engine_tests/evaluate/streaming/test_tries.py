"""Streaming programs that try several times: only the chosen try is shown, and a broken condition is told."""

import asyncio

import pytest
from support.servers.openai_server import OpenAIServer

import engine
from engine.errors import ConstraintError
from engine.evaluate.streaming import (
    StatusMessage,
    StatusMessageProvider,
    StreamListener,
    StreamResponse,
    streamify,
)
from engine.lm.streaming import Chunk

ASK = "question -> answer"


def reply(text):
    return f"[[ ## answer ## ]]\n{text}\n\n[[ ## completed ## ]]"


def streamed(program, answers, listen=True, provider=None):
    """What comes of a program whose model gives these answers in turn."""
    left = iter(answers)
    listeners = [StreamListener("answer", predict=program.predictors()[0])] if listen else None
    stream = streamify(program, provider, listeners)

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


class Short(engine.Module):
    """Answers, and wants few words."""

    def __init__(self, condition=engine.Assert):
        super().__init__()
        self.step = engine.Predict(ASK)
        self.condition = condition

    def forward(self, question):
        made = self.step(question=question)
        self.condition(len(made.answer.split()) <= 3, "Use three words at most.")
        return made


LONG, BRIEF = "This is much too long an answer.", "Blue, mostly."


@pytest.mark.parametrize("condition", [engine.Assert, engine.Suggest])
def test_a_broken_condition_is_told_and_the_new_try_is_shown(condition):
    items, server = streamed(Short(condition), map(reply, [LONG, BRIEF]))
    assert len(server.requests) == 2
    (at,) = [i for i, item in enumerate(items) if isinstance(item, StatusMessage)]
    assert items[at].message == "Trying again, because: Use three words at most."
    assert (shown(items[:at]), shown(items[at:])) == (LONG, BRIEF)
    assert items[-1].answer == BRIEF
    assert [i.is_last_chunk for i in items if isinstance(i, StreamResponse)].count(True) == 2


def test_every_try_is_told_until_the_condition_gives_up():
    answers = [LONG, LONG.upper(), LONG.lower()]
    left = map(reply, answers)
    with OpenAIServer(answer=lambda body: next(left)) as server:
        lm = engine.LM("openai/test-model", api_base=server.url, api_key="k", cache=False)
        stream = streamify(Short(), stream_listeners=[StreamListener("answer")], async_streaming=False)
        items = []

        def read():
            for item in stream(question="?"):
                items.append(item)

        with engine.context(lm=lm), pytest.raises(ConstraintError, match="three words"):
            read()
    texts = "".join(i.chunk if isinstance(i, StreamResponse) else "|" for i in items)
    assert texts == "|".join(answers)


def test_without_listeners_the_message_stands_between_the_tries():
    items, _ = streamed(Short(), map(reply, [LONG, BRIEF]), listen=False)
    told = "".join(i.text if isinstance(i, Chunk) else "|" for i in items[:-1])
    assert told == f"{reply(LONG)}|{reply(BRIEF)}"


def test_a_condition_inside_a_chosen_try_is_told_with_it():
    program = engine.BestOfN(Short(), N=2, reward_fn=lambda args, p: p.answer == "Yes.", threshold=1.0)
    items, server = streamed(program, map(reply, [LONG, BRIEF, "Yes."]))
    assert len(server.requests) == 3
    assert [type(i) for i in items if not isinstance(i, StreamResponse)] == [engine.Prediction]
    assert shown(items) == "Yes."
    again, _ = streamed(program, map(reply, ["Not this one.", LONG, "Yes."]))
    assert shown(again) == f"{LONG}Yes."
    assert any(isinstance(i, StatusMessage) for i in again)


def test_a_listener_that_has_heard_its_call_hears_no_later_one():
    class Several(engine.Module):
        def __init__(self):
            super().__init__()
            self.short = Short()

        def forward(self, question):
            for _ in range(2):
                made = self.short(question=question)
            return made

    items, server = streamed(Several(), map(reply, [BRIEF, LONG, "Red."]))
    assert len(server.requests) == 3
    assert shown(items) == BRIEF, "only the first call is listened to"


def test_a_provider_says_what_is_told_of_a_new_try():
    class Silent(StatusMessageProvider):
        def retry_status_message(self, reason):
            return None if "three words" in reason else "?"

    items, _ = streamed(Short(), map(reply, [LONG, BRIEF]), provider=Silent())
    assert [type(i) for i in items if not isinstance(i, StreamResponse)] == [engine.Prediction]
    assert shown(items) == LONG + BRIEF
