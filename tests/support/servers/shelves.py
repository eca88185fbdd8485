"""Models for the made-up sorting task: some of different quality and price to compare, and for a local fine-tuning server a
large one that knows the task and a small one that can learn it."""

from __future__ import annotations

from typing import Any

from support.run_setup import COLOURS, THINGS
from support.servers.fine_tuning_server import Rows
from support.servers.openai_server import Answer, default_answer

from engine.lm.choice import ModelChoice

PRICES = {"openai/test-model": 10.0, "openai/middle": 2.0, "openai/small": 0.1}
"""Models to compare -> US dollars for a million tokens."""


def compared_models(url: str) -> tuple[ModelChoice, ...]:
    """The models to compare, at one server; the first is the run's own."""
    return tuple(ModelChoice(name=name, base_url=url) for name in PRICES)


def of_three(body: dict[str, Any]) -> str:
    """Answer right; the small one of the models to compare errs on every third thing."""
    asked = str(body["messages"][-1]["content"])
    thing = next((t for t in THINGS if t in asked), None)
    if thing is None or "program_description" in str(body["messages"]):
        return default_answer(body)
    place = THINGS.index(thing) + (body["model"] == "small" and THINGS.index(thing) % 3 == 0)
    return reply(COLOURS[place % 3])


def reply(shelf: str) -> str:
    """A shelf as the chat layout has it."""
    return f"[[ ## shelf ## ]]\n{shelf}\n\n[[ ## completed ## ]]"


def _known(text: str) -> str:
    return next((COLOURS[THINGS.index(t) % 3] for t in THINGS if t in text), COLOURS[0])


def untrained(body: dict[str, Any]) -> str:
    """Answer as a large model, which knows the shelves, or as a small one, which always says the same."""
    asked = str(body["messages"][-1]["content"])
    return reply(_known(asked) if body["model"].startswith("large") else COLOURS[0])


def learned(rows: Rows) -> Answer:
    """Return a tuned model: it knows the things that it was shown."""
    shown = {t for row in rows for t in THINGS if t in str(row["messages"][-2]["content"])}

    def answer(body: dict[str, Any]) -> str:
        asked = str(body["messages"][-1]["content"])
        return reply(_known(asked) if any(t in asked for t in shown) else COLOURS[0])

    return answer
