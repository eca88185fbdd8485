"""The toy task of the optimizers' contract tests: words whose labels a prompt can teach by showing or stating them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engine.errors import InvalidRequestError
from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.modules.predict import Predict
from engine.records import Demo, Example, Usage
from engine.search.settings import Settings

_LABELS = ("red", "green", "blue")
_WORDS = ("apple", "leaf", "sky", "rose", "grass", "sea", "brick", "moss", "ice", "ruby", "fern", "denim")


def toy_rows(n: int = 36) -> dict[int, Example]:
    """Return rows of the toy task: `text` is a word and a number, `label` depends on the word."""
    return {
        i: Example(text=f"{_WORDS[i % 12]} {i}", label=_LABELS[i % 12 % 3]).with_inputs("text")
        for i in range(n)
    }


def toy_metric(example: Any, prediction: Any, trace: object = None) -> float:  # noqa: ARG001 - a metric's signature
    """Score 1 for the right label."""
    return float(prediction.label == example.label)


class ToyLM(BaseLM):
    """Knows a word's label only if the prompt shows or states it; writes what it saw when asked for instructions.

    It keeps replies like the persistent cache: the same request again is not paid for, and names its payer.
    `refuse` are words on which the call fails. `paid` counts calls that were really made.
    """

    def __init__(self, refuse: Sequence[str] = (), payer: str = "toy") -> None:
        super().__init__("toy")
        self.refuse = refuse
        self.paid = 0
        self.cache: dict[str, Reply] = {}
        self._payer = payer

    async def complete(self, request: Request) -> Reply:
        """Answer from the messages, or from the cache."""
        key = request.key()
        if key in self.cache:
            return replace(self.cache[key], cached=True)
        last = str(request.messages[-1]["content"])
        if any(word in last for word in self.refuse):
            raise InvalidRequestError("The toy model refuses this word.")
        self.paid += 1
        text = _toy_answer([str(m["content"]) for m in request.messages], request.rollout_id or 0)
        usage = Usage(
            calls=1, input_tokens=sum(len(str(m["content"])) for m in request.messages) // 4, output_tokens=8
        )
        reply = Reply((Choice(text),), usage, key=key, payer=self._payer)
        self.cache[key] = reply
        return reply


def _toy_answer(contents: list[str], rollout: int) -> str:
    asked = contents[0]
    for name in ("proposed_instructions", "observations", "summary", "rules", "advice"):
        if f"`{name}`" in asked.split("You write these output fields:")[-1]:
            pairs = re.findall(r'"text": ?"(\w+) \d+".*?"label": ?"(\w+)"', contents[-1])
            known = ", ".join(f"{word} is {label}" for word, label in pairs[: 3 + rollout % 3])
            return f"[[ ## {name} ## ]]\nNote {rollout}: {known}.\n\n[[ ## completed ## ]]"
    word = contents[-1].split("]]\n", 1)[-1].split(" ", 1)[0]
    shown = re.search(rf"{word} \d+.*?\[\[ ## label ## \]\]\n(\w+)", "\n".join(contents[1:-1]), re.DOTALL)
    stated = re.search(rf"{word} is (\w+)", asked)
    found = shown or stated
    return f"[[ ## label ## ]]\n{found.group(1) if found else 'red'}\n\n[[ ## completed ## ]]"


def toy_settings(lm: BaseLM, **changes: Any) -> Settings:
    """Return the settings of a run of the toy task, 18 rows to train on and 18 to validate."""
    rows = toy_rows()
    settings = Settings(
        program=Predict("text -> label"),
        metric=toy_metric,
        rows=rows,
        train=tuple(range(18)),
        validation=tuple(range(18, 36)),
        lm=lm,
        concurrency=8,
        seed=1,
        payer="toy",
    )
    return replace(settings, **changes)


def frozen_program() -> Predict:
    """Return the toy task's program with two examples and two sentences, for parts of it to be frozen."""
    program = Predict("text -> label")
    shown = tuple(Demo({"text": f"coal {i}", "label": "red"}) for i in range(2))
    state = {"instructions": "Say the colour. Never guess.", "demos": shown}
    return program.with_candidate(program.candidate().with_step("self", **state))
