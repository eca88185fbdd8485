"""The child's end of the talk with the worker, in lines; the process lives no longer than the worker.

The first line that it reads is the `TrainingJob`; later ones are JSON objects whose `kind` is "go_on" or "stop" (after a checkpoint;
"stop" may come at any time), "groups" (rollouts of a round) or "write" (a question to the model in training). It writes one
`ChildMessage` a line. Nothing here loads a heavy library: the method's file does.
"""

from __future__ import annotations

import errno
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO, Literal

import orjson
from pydantic import BaseModel

from engine.basics.data import JsonObject
from engine.basics.text import shortened
from engine.errors import EngineError
from engine.lm.local.jobs import Completion
from engine.search.trainers import ChatRow, TrainSettings

STATE, OPTIMIZER, SCHEDULE = "trainer_state.json", "optimizer.safetensors", "schedule.json"
RESUMED_FROM = (STATE, OPTIMIZER, SCHEDULE)
"""Files of a checkpoint that only going on with the training needs."""

GATHER = 0.004
"""Seconds to wait for further questions before those that wait are answered as a batch."""

_MOST_QUESTIONS = 256


class TrainingJob(BaseModel):
    """The child's task: train `base`, keep checkpoints in `folder`, go on from the checkpoint `resume` (0: begin).

    `seconds` is what the training has taken before.
    """

    base: str
    folder: str
    settings: TrainSettings
    rows: tuple[ChatRow, ...] = ()
    resume: int = 0
    seconds: float = 0.0


class ChildMessage(BaseModel):
    """A line from the child. A "round" asks for the rollouts of round `step`.

    "written" answers the question `id`: with completions, or with `error`, the name of the error whose message is `text`.
    """

    kind: Literal["progress", "checkpoint", "round", "written", "done", "failed"]
    step: int = 0
    steps: int = 0
    loss: float | None = None
    reward: float | None = None
    seconds: float = 0.0
    tokens: int = 0
    device: str = ""
    text: str = ""
    id: int = 0
    completions: tuple[Completion, ...] = ()
    error: str = ""


class Channel:
    """Both directions of the talk. `stopping` is set once the worker has asked to stop; `answer` answers questions."""

    def __init__(self, output: BinaryIO) -> None:
        self.stopping = threading.Event()
        self.answer: Callable[[list[JsonObject]], None] = lambda _questions: None
        self._output = output
        self._waiting: queue.SimpleQueue[JsonObject] = queue.SimpleQueue()

    def listen(self) -> None:
        """Read what the worker says, on a thread; end the process where the worker has ended."""
        for line in sys.stdin.buffer:
            message = orjson.loads(line)
            if message["kind"] == "stop":
                self.stopping.set()
            self._waiting.put(message)
        os._exit(3)  # at once, also in the midst of a calculation

    def send(self, message: ChildMessage) -> None:
        """Write a line."""
        self._output.write(orjson.dumps(message.model_dump(exclude_defaults=True)) + b"\n")
        self._output.flush()

    def wait(self, kind: str) -> JsonObject | None:
        """Wait for a line of this kind and return it, or None where the worker asks to stop. Questions are answered meanwhile."""
        while True:
            lines = self._next()
            if questions := [line for line in lines if line["kind"] == "write"]:
                self.answer(questions)
            for line in lines:
                if line["kind"] in (kind, "stop"):
                    return line if line["kind"] == kind else None

    def goes_on_after(self, message: ChildMessage) -> bool:
        """Report a checkpoint and wait for the worker's decision, which its score decides."""
        self.send(message)
        return self.wait("go_on") is not None

    def _next(self) -> list[JsonObject]:
        """Return the next line; with a question, also those that come right behind it."""
        lines = [self._waiting.get()]
        while lines[-1]["kind"] == "write" and len(lines) < _MOST_QUESTIONS:
            try:
                lines.append(self._waiting.get(timeout=GATHER))
            except queue.Empty:
                break
        return lines


def reason(error: Exception, work: TrainingJob) -> str:
    """Return why a training failed, for the user.

    >>> work = TrainingJob(base="m", folder="f", settings=TrainSettings(base_model="m"))
    >>> reason(OSError(28, "No space left on device"), work)
    'The disk is full, so no checkpoint could be written in f: free some space and start the run again.'
    """
    settings, text = work.settings, str(error)
    if isinstance(error, EngineError):
        return text
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in text:
        return f"The disk is full, so no checkpoint could be written in {work.folder}: free some space and start the run again."
    lacks = ("out of memory", "not enough memory", "allocate memory")
    if isinstance(error, MemoryError) or any(words in text for words in lacks):
        return out_of_memory(settings, "The memory does not hold the training of")
    return f"The training of {settings.base_model!r} failed: {type(error).__name__}: {shortened(' '.join(text.split()), 300)}"


def out_of_memory(settings: TrainSettings, what: str) -> str:
    """Return the message for a training that needs more memory than there is."""
    grpo = settings.method == "grpo"
    rows = f"{settings.group_size} tries of a row" if grpo else f"{settings.batch_size} rows"
    lora = "" if settings.method != "full" else "choose lora instead of full, "
    return (
        f"{what} {settings.base_model!r} with {rows} at once: {lora}lower the {'group' if grpo else 'batch'} size or the "
        "length of the rows, or take a smaller base model."
    )
