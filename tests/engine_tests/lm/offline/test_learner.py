"""The offline learner on data it has never seen: it reads layouts, rules and demonstrations, and types hold."""

import asyncio
import random
import time
from enum import Enum
from statistics import mean
from typing import Any, Literal

import pytest
from hypothesis import given, settings, strategies
from pydantic import BaseModel

from engine.adapters.chat import ChatAdapter
from engine.adapters.json import JSONAdapter
from engine.lm.base import Request
from engine.lm.offline.labels import best_fits, read_rules
from engine.lm.offline.learner import OfflineLM, reply_text
from engine.lm.offline.writing import NOTHING
from engine.signature import InputField, OutputField, Signature

LM = OfflineLM()
ADAPTERS = [pytest.param(ChatAdapter(), id="chat"), pytest.param(JSONAdapter(), id="json")]


def ask(signature, demos, inputs, adapter=None, **params):
    adapter = adapter or ChatAdapter()
    rollout = params.pop("rollout_id", None)
    messages = adapter.format(signature, demos, inputs)
    return adapter.parse(signature, reply_text(LM.request(messages, rollout_id=rollout, **params)))


class Sort(Signature):
    """Sort the note."""

    note: str = InputField()
    bin: Literal["zork", "blim", "quaff"] = OutputField()


NOUNS = {
    "zork": ["turnip", "leek", "barley", "compost", "greenhouse"],
    "blim": ["violin", "chorus", "drummer", "rehearsal", "encore"],
    "quaff": ["harbour", "anchor", "ferry", "tide", "lighthouse"],
}


def unseen_rows(n, seed):
    rng = random.Random(seed)
    frames = [
        "We talked about the {a} and then the {b}.",
        "{a}, {b}, that was all",
        "no news of the {a}; {b} next week?",
    ]
    rows = []
    for _ in range(n):
        label = rng.choice(list(NOUNS))
        a, b = rng.sample(NOUNS[label], 2)
        rows.append({"note": rng.choice(frames).format(a=a, b=b), "bin": label})
    return rows


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_it_learns_labels_it_has_never_seen_from_demonstrations(adapter):
    demos, rest = unseen_rows(18, 1), unseen_rows(60, 2)

    def score(shown):
        return mean(ask(Sort, shown, {"note": r["note"]}, adapter)["bin"] == r["bin"] for r in rest)

    assert score([]) < 0.6
    assert score(demos) > 0.9


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_it_follows_rules_in_the_instruction(adapter):
    told = Sort.with_instructions(
        "Notes about turnips, leeks, barley or compost are zork. Music (violin, chorus, drummer, rehearsal) -> blim. "
        "Otherwise it is quaff."
    )
    rest = unseen_rows(60, 3)
    assert mean(ask(told, [], {"note": r["note"]}, adapter)["bin"] == r["bin"] for r in rest) > 0.85


@pytest.mark.parametrize(
    ("instruction", "text", "label"),
    [
        ("Refunds go to sales unless it is a gift card: then desk.", "a refund for my gift card", "desk"),
        ("Refunds go to sales unless it is a gift card: then desk.", "a refund please", "sales"),
        ("sales: offers, prices\ndesk: chairs, lamps", "the lamp flickers", "desk"),
        ("Mentions of price -> sales\nMentions of doors -> desk", "the door is stuck", "desk"),
        ("Lamps go to desk, not to sales.", "a lamp", "desk"),
        ("Outages reported by gold customers go to sales, otherwise desk.", "outage! plan: gold", "sales"),
        ("Outages reported by gold customers go to sales, otherwise desk.", "outage! plan: silver", "desk"),
        (
            "The first rule that fits wins. Lamps go to desk. Anything late goes to sales.",
            "my lamp is late",
            "desk",
        ),
        ("Route to sales if it says 'but'. Everything else goes to desk.", "fine but slow", "sales"),
    ],
)
def test_sentences_are_read_as_rules(instruction, text, label):
    fits = best_fits(text, read_rules(instruction, ("sales", "desk"), ("message",)))
    assert max(fits, key=lambda name: fits[name]) == label, fits


def test_a_list_of_the_allowed_values_is_no_rule():
    assert read_rules("Choose one of: sales, desk, post.", ("sales", "desk", "post"), ()) == ()


def test_the_same_request_gets_the_same_answer_and_rollouts_differ():
    demos, rows = unseen_rows(6, 4), unseen_rows(40, 5)
    inputs = [{"note": r["note"]} for r in rows]
    first = [ask(Sort, demos, i)["bin"] for i in inputs]
    assert first == [ask(Sort, demos, i)["bin"] for i in inputs]
    warm = [[ask(Sort, demos, i, temperature=1.0, rollout_id=k)["bin"] for i in inputs] for k in (1, 2, 1)]
    assert warm[0] == warm[2]
    assert warm[0] != warm[1]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Card(BaseModel):
    title: str
    pages: int
    tags: list[str] = []


class Everything(Signature):
    """Fill in the form."""

    text: str = InputField()
    urgent: bool = OutputField()
    stars: int = OutputField(ge=1, le=5)
    price: float = OutputField()
    colour: Colour = OutputField()
    kinds: list[Literal["a", "b"]] = OutputField()
    words: list[str] = OutputField()
    maybe: int | None = OutputField()
    table: dict[str, Any] = OutputField()
    card: Card = OutputField()
    free: str = OutputField()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_type_is_well_formed_with_and_without_demonstrations(adapter):
    demo = {
        "text": "The blue notebook costs 12.50, please hurry",
        "urgent": True,
        "stars": 4,
        "price": 12.5,
        "colour": "blue",
        "kinds": ["a"],
        "words": ["notebook"],
        "maybe": None,
        "table": {"x": 1},
        "card": {"title": "t", "pages": 3, "tags": []},
        "free": "hurry",
    }
    for demos in ([], [demo], [demo] * 5):
        answer = ask(Everything, demos, {"text": "A red pen for 3.20 euros. No hurry."}, adapter)
        assert 1 <= answer["stars"] <= 5
        assert isinstance(answer["urgent"], bool)
        assert isinstance(answer["card"], Card)
        assert isinstance(answer["words"], list)


def test_text_labels_are_learned_without_declared_choices():
    signature = Signature("note -> bin")
    demos, rest = unseen_rows(18, 6), unseen_rows(40, 7)
    assert mean(ask(signature, demos, {"note": r["note"]})["bin"] == r["bin"] for r in rest) > 0.9


def test_text_is_copied_as_the_demonstrations_copy_it():
    signature = Signature("mail -> order")
    demos = [
        {"mail": "Where is order QM-204? I wait", "order": "QM-204"},
        {"mail": "order QM-118 came broken", "order": "QM-118"},
        {"mail": "Please cancel order QM-990 today", "order": "QM-990"},
        {"mail": "I never got order QM-772!", "order": "QM-772"},
    ]
    assert ask(signature, demos, {"mail": "Hello, what about order QM-455, is it lost?"})["order"] == "QM-455"


def test_reasoning_says_which_rule_or_example_decided():
    signature = Signature(
        "note -> reasoning, bin: Literal['zork', 'blim']", "Turnips are zork. Violins are blim."
    )
    assert "Turnips are zork" in ask(signature, [], {"note": "my turnip"})["reasoning"]
    shown = [
        {"note": "the ferry", "reasoning": "r", "bin": "zork"},
        {"note": "a drummer", "reasoning": "r", "bin": "blim"},
    ]
    assert "a drummer" in ask(signature, shown, {"note": "the drummer left"})["reasoning"]


def test_incomplete_demonstrations_are_read_for_what_they_hold():
    signature = Signature("note -> bin: Literal['zork', 'blim'], why")
    demos = [{"note": "a violin", "bin": "blim"}, {"note": "a turnip", "bin": "zork"}]
    assert ask(signature, demos, {"note": "old violin"})["bin"] == "blim"


def test_usage_is_reported_and_costs_nothing():
    request = LM.request(ChatAdapter().format(Sort, [], {"note": "hello"}), n=2)
    reply = asyncio.run(LM.complete(request))
    assert len(reply.choices) == 2
    assert (reply.usage.calls, reply.usage.cost) == (1, 0.0)
    assert reply.usage.input_tokens > 50
    assert reply.usage.output_tokens > 5
    assert LM.price() == (0.0, 0.0)


def test_a_prompt_without_fields_gets_a_plain_answer():
    text = reply_text(Request("offline/learner", ({"role": "user", "content": "Say hello."},)))
    assert "Say hello." in text


def test_inputs_in_any_script_and_of_any_length_are_answered():
    for note in (
        "",
        "日本語のメモ",
        "🎻" * 50,
        "x" * 20_000,
        "[[ ## bin ## ]]\nzork",
        "ends\n\nwith\n\nparagraphs",
    ):
        assert ask(Sort, [], {"note": note})["bin"] in NOUNS


def proposed(rows, current="Sort."):
    writer = Signature("labelled_examples: list[dict], current_instructions -> proposed_instructions")
    return ask(writer, [], {"labelled_examples": rows, "current_instructions": current})[
        "proposed_instructions"
    ]


@pytest.mark.parametrize("known_by", ["outputs", "feedback"])
def test_rules_are_written_from_right_answers_and_from_feedback_on_wrong_ones(known_by):
    rows = [
        {"inputs": {"note": r["note"]}, "outputs": {"bin": r["bin"]}}
        if known_by == "outputs"
        else {
            "inputs": {"note": r["note"]},
            "outputs": {"bin": "zork"},
            "feedback": f"Expected '{r['bin']}', got 'zork'.",
        }
        for r in unseen_rows(24, 11)
    ]
    written = proposed(rows)
    assert written.startswith("Sort.")
    rest = unseen_rows(60, 12)
    told = Sort.with_instructions(written)
    assert mean(ask(told, [], {"note": r["note"]})["bin"] == r["bin"] for r in rest) > 0.85


def test_written_rules_do_not_pile_up():
    rows = [{"inputs": {"note": r["note"]}, "outputs": {"bin": r["bin"]}} for r in unseen_rows(24, 10)]
    once = proposed(rows)
    assert proposed(rows, once) == once


def test_without_examples_it_says_so():
    writer = Signature("dataset -> observations")
    assert ask(writer, [], {"dataset": "nothing here"})["observations"] == NOTHING


def test_an_output_called_summary_is_a_task_like_any_other():
    demos = [{"text": "The ferry sank. All were saved.", "summary": "ferry sank"}]
    assert ask(Signature("text -> summary"), demos, {"text": "The bus broke down."})["summary"] != NOTHING
    assert ask(Signature("text -> summary"), [], {"text": "The bus broke down. We walked."})["summary"] == (
        "The bus broke down."
    )


TEXT = strategies.text(max_size=200)


@settings(max_examples=60, deadline=None)
@given(instruction=TEXT, note=TEXT, shown=TEXT, value=TEXT)
def test_no_text_makes_it_fail(instruction, note, shown, value):
    signature = Signature(
        "note -> label, n: int, tags: list[str], ok: bool, kind: Literal['a', 'b-c']", instruction or "-"
    )
    demo = {"note": shown, "label": value, "n": len(value), "tags": [value], "ok": True, "kind": "a"}
    for adapter in (ChatAdapter(), JSONAdapter()):
        for demos in ([], [demo], [demo] * 4):
            messages = adapter.format(signature, demos, {"note": note})
            assert reply_text(LM.request(messages))
            assert reply_text(LM.request(messages, rollout_id=1, temperature=1.0))


def test_a_call_takes_milliseconds():
    demos, rows = unseen_rows(16, 13), unseen_rows(200, 14)
    messages = [ChatAdapter().format(Sort, demos, {"note": f"{r['note']} {i}"}) for i, r in enumerate(rows)]
    started = time.process_time()
    for m in messages:
        reply_text(LM.request(m))
    assert (time.process_time() - started) / len(messages) < 0.02
