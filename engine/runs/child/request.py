"""Requests to the short-lived process and its answers: little is loaded for it, as every page can ask.

See `engine.runs.child.process`, which answers.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from engine.lm.choice import ModelChoice
from engine.runs.spec import Frozen

TaskName = Literal["playground", "preview", "new_rows", "connection", "pile", "task_draft"]


class ChildRequest(BaseModel):
    """A task and what it is asked, as that task's own request has it.

    `at_once` limits requests at once to one endpoint, together with the runs of the data folder; None is no limit.
    """

    task: TaskName
    content: dict[str, Any]
    at_once: int | None = None


class ChildAnswer(BaseModel):
    """A part of a result, the whole one (`final`), or the message of what went wrong."""

    content: Any = None
    problem: str = ""
    final: bool = False


class ConnectionRequest(Frozen):
    """The model to ask for one word, with a key that is not stored yet; `timeout` in seconds."""

    model: ModelChoice
    api_key: str | None = None
    timeout: float = 20.0
