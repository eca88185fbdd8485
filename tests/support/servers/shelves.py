"""Models for the made-up sorting task at a local fine-tuning server: a large one that knows it, a small one that can learn it."""

from __future__ import annotations

from typing import Any

from support.run_setup import COLOURS, THINGS
from support.servers.fine_tuning_server import Rows
from support.servers.openai_server import Answer


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
