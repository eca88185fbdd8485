"""What Autotune changes leaves for DSPy: examples chosen by the input, reasoning added or taken away, searches by vectors."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.dspy_exports import same_in_dspy, script_for
from support.step_fields import fields

from engine.export.program import ProgramFile, program_file
from engine.pipeline.build import build_program
from engine.pipeline.spec import CorpusSpec, PipelineSpec, StepOptions, StepSpec
from engine.records import Demo

MESSAGES = (
    "the parcel came late",
    "my password is wrong",
    "where is my parcel",
    "the invoice is too high",
    "I cannot log in",
    "a refund for the invoice",
)
ROWS = [
    "late parcels again",
    "an invoice with a wrong sum",
    "log in fails with my password",
    "Straße und Käse",
]
PASSAGES = CorpusSpec(passages=("Refunds take five days.", "Parcels go out on Mondays.", "Log in by mail."))


STEPS = PipelineSpec(
    steps=(
        StepSpec(
            name="find",
            strategy="retrieve",
            inputs=fields("text"),
            options=StepOptions(corpus=PASSAGES, k=2, retriever="embeddings"),
        ),
        StepSpec(name="sort", inputs=fields("text"), outputs=fields("queue")),
        StepSpec(
            name="think", strategy="chain_of_thought", inputs=fields("text", "queue"), outputs=fields("note")
        ),
        StepSpec(
            name="muse", strategy="chain_of_thought", inputs=fields("text", "note"), outputs=fields("mood")
        ),
        StepSpec(
            name="reply",
            strategy="best_of_n",
            inputs=fields("text", "mood", "passages:list[str]"),
            outputs=fields("answer"),
            options=StepOptions(tries=2),
        ),
    )
)
ONE = PipelineSpec(steps=(StepSpec(name="sort", inputs=fields("text"), outputs=fields("queue")),))
AGENT = PipelineSpec(
    steps=(
        StepSpec(
            name="agent",
            strategy="react",
            inputs=fields("text"),
            outputs=fields("answer"),
            options=StepOptions(tools=("search",), corpus=PASSAGES, max_iters=3, retriever="embeddings"),
        ),
    )
)


def demos(**more: list[str]) -> tuple[Demo, ...]:
    """Solved examples; every third lacks its reasoning, as those that came from the data do."""
    made = []
    for i, message in enumerate(MESSAGES):
        values = {"text": message, **{name: texts[i % len(texts)] for name, texts in more.items()}}
        made.append(
            Demo({n: v for n, v in values.items() if n != "reasoning" or i % 3}, augmented=bool(i % 2))
        )
    return tuple(made)


def tuned(spec: PipelineSpec) -> ProgramFile:
    candidate = build_program(spec).candidate()
    steps = candidate.steps
    changes: dict[str, dict[str, Any]] = {
        "sort": {"demos": demos(queue=["parcels", "access", "billing"]), "nearest": 2},
        "think.predict": {
            "demos": demos(queue=["parcels"], note=["n1", "n2"], reasoning=["So."]),
            "nearest": 3,
            "instructions": "Think of the ZEBRA.",
        },
        "muse.predict": {"demos": demos(note=["n1"], mood=["calm", "cross"]), "reason_first": False},
        "reply.module.predict": {
            "demos": demos(mood=["calm"], passages=["Refunds take five days."], answer=["yes", "no"]),
            "nearest": 1,
            "reason_first": False,
        },
        "reply.reward_fn.rate": {"reason_first": True},
        "agent.react": {"reason_first": True},
        "agent.extract.predict": {"reason_first": False},
    }
    for path, change in changes.items():
        if path in steps:
            candidate = candidate.with_step(path, **change)
    if spec is ONE:
        candidate = candidate.with_step("sort", reason_first=True)
    return program_file(spec, candidate)


def shown(messages: list[dict[str, Any]]) -> list[list[tuple[str, str]]]:
    """The fields of every turn after the first, without the sentences that each library words its own way."""
    turns = [re.findall(r"\[\[ ## (\w+) ## \]\]\n(.*)", turn["content"]) for turn in messages[1:]]
    absent = ("(not supplied in this example)", "Not supplied for this particular example.")
    return [
        [(n, "" if text.strip() in absent else text) for n, text in turn if n != "completed"]
        for turn in turns
    ]


def answer(body: dict[str, Any]) -> str:
    """An answer that depends on every example that is shown, on their order, and on the input."""
    system, last = body["messages"][0]["content"], body["messages"][-1]["content"]
    names = re.findall(r"`\[\[ ## (\w+) ## \]\]`", last)
    *examples, _ = shown(body["messages"])
    text = re.search(r"\[\[ ## text ## \]\]\n(.*)", last)
    seed = repr((examples, names, text and text[1], "ZEBRA" in system))
    number = int(hashlib.sha256(seed.encode()).hexdigest(), 16)
    steps = len(re.findall(r"Tool name: |\[\[ ## tool_name_\d+ ## \]\]\n", last))
    values = {
        "queue": ("parcels", "access", "billing")[number % 3],
        "note": f"note {number % 9}",
        "mood": f"mood {number % 7}",
        "answer": f"answer {number % 97} {'Refunds take' in last}",
        "next_thought": "On.",
        "next_tool_name": "finish" if steps else "search",
        "next_tool_args": json.dumps({} if steps else {"query": "refund of a parcel"}),
        "explanation": "Well.",
        "score": "0.95",
        "reasoning": f"So {number % 5}.",
    }
    return "\n\n".join(
        [*(f"[[ ## {n} ## ]]\n{values[n]}" for n in names if n in values), "[[ ## completed ## ]]"]
    )


def asked(bodies: list[dict[str, Any]]) -> list[Any]:
    """What each request asked for, and the examples in it."""
    return [
        (re.findall(r"`\[\[ ## (\w+)", body["messages"][-1]["content"]), shown(body["messages"])[:-1])
        for body in bodies
    ]


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        pytest.param(STEPS, ["queue", "note", "mood", "passages", "answer"], id="steps"),
        pytest.param(ONE, ["reasoning", "queue"], id="one step"),
        pytest.param(AGENT, ["answer"], id="agent"),
    ],
)
def test_dspy_shows_the_same_examples_in_the_same_order_and_predicts_the_same(
    spec: PipelineSpec, names: list[str], tmp_path: Path
):
    here, there = map(
        asked, same_in_dspy(tuned(spec), answer, [{"text": row} for row in ROWS], names, tmp_path)
    )
    assert there == here
    choices = {str(examples) for _, examples in here}
    assert len(choices) > 4 if spec is STEPS else len(choices) > 1 or spec is AGENT, "every input has its own"


def test_the_script_says_plainly_what_was_tuned(tmp_path: Path):
    text = script_for(tuned(STEPS), "http://127.0.0.1:1/v1", tmp_path)
    made = text.partition("def __init__(self):\n        super().__init__()\n")[2].partition("\n\n")[0]
    assert [line.strip() for line in made.splitlines()] == [
        "self.find = Search(Embeddings, FIND_PASSAGES, 2, 'passages', listed=True)",
        "self.sort = Nearest(2, SORT)",
        "self.think = dspy.ChainOfThought(THINK)",
        "self.think.predict = Nearest(3, self.think.predict.signature)",
        "self.muse = dspy.Predict(MUSE)",
        "self.reply_judge = dspy.Predict(REPLY_JUDGE)",
        "self.reply = dspy.BestOfN(",
        "dspy.ChainOfThought(REPLY), 2, self.rate_reply, 0.9",
        ")",
        "self.reply.module = dspy.Predict(self.reply.module.predict.signature.delete('reasoning'))",
        "self.reply.module = Nearest(1, self.reply.module.signature)",
        "self.reply_judge = dspy.ChainOfThought(self.reply_judge.signature)",
    ]
    assert "pip install dspy tuneboard\n" in text
    assert "from engine.basics.similarity import" in text
    assert "self.sort = dspy.ChainOfThought(SORT)" in script_for(
        tuned(ONE), "http://127.0.0.1:1/v1", tmp_path / "one"
    )
