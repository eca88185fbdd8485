"""Requests to the short-lived process and its answers: little is loaded for it, as every page can ask.

See `engine.runs.child.process`, which answers.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from engine.basics.data import JsonObject
from engine.lm.choice import ModelChoice
from engine.records import Usage
from engine.runs.spec import Frozen
from engine.search.budget import Budget

TaskName = Literal["playground", "preview", "new_rows", "connection", "documents", "task_draft"]


class ChildRequest(BaseModel):
    """A task and what it is asked, as that task's own request has it.

    `at_once` limits requests at once to one endpoint, together with the runs of the data folder; None is no limit.
    `budget` is what the user may still spend.
    """

    task: TaskName
    content: JsonObject
    at_once: int | None = None
    budget: Budget = Budget()


class ChildAnswer(BaseModel):
    """A part of a result, the whole one (`final`), or the message of what went wrong.

    Or `usage` alone: what the child has spent so far, calls under way included.
    """

    content: Any = None
    usage: Usage | None = None
    problem: str = ""
    final: bool = False


class ConnectionRequest(Frozen):
    """The model to ask for one word, with a key that is not stored yet; `timeout` in seconds."""

    model: ModelChoice
    api_key: str | None = None
    timeout: float = 20.0
