"""The child process of a training on this machine: it talks with the worker in lines, and lives no longer than it.

The first line that it reads is the order. It writes one JSON object a line: progress, checkpoints, and how it ended. After a
checkpoint it waits for "go on" or "stop"; "stop" may come at any time. Nothing here loads a heavy library: the method's file does.
"""

from __future__ import annotations

import errno
import os
import queue
import sys
import threading
from typing import BinaryIO, Literal

import orjson
from pydantic import BaseModel

from engine.errors import EngineError
from engine.text import shortened
from engine.training.contract import ChatRow, TrainSettings

GO_ON, STOP = b"go on\n", b"stop\n"
STATE, OPTIMIZER, SCHEDULE = "trainer_state.json", "optimizer.safetensors", "schedule.json"
RESUMED_FROM = (STATE, OPTIMIZER, SCHEDULE)
"""Files of a checkpoint that only going on with the training needs."""


class Work(BaseModel):
    """What the child is to do: train `base`, keep checkpoints in `folder`, go on from the checkpoint `resume` (0: begin).

    `seconds` is what the training has taken before.
    """

    base: str
    folder: str
    settings: TrainSettings
    rows: tuple[ChatRow, ...] = ()
    resume: int = 0
    seconds: float = 0.0


class Message(BaseModel):
    """A line from the child."""

    kind: Literal["progress", "checkpoint", "done", "failed"]
    step: int = 0
    steps: int = 0
    loss: float | None = None
    seconds: float = 0.0
    tokens: int = 0
    device: str = ""
    text: str = ""


class Channel:
    """Both directions of the talk. `stopping` is set once the worker has asked to stop."""

    def __init__(self, output: BinaryIO) -> None:
        self.stopping = threading.Event()
        self._output = output
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def listen(self) -> None:
        """Read what the worker says, on a thread; end the process where the worker has ended."""
        for line in sys.stdin.buffer:
            if line == STOP:
                self.stopping.set()
            self._answers.put(line == GO_ON)
        os._exit(3)  # at once, also in the midst of a calculation

    def send(self, message: Message) -> None:
        """Write a line."""
        self._output.write(orjson.dumps(message.model_dump()) + b"\n")
        self._output.flush()

    def goes_on_after(self, message: Message) -> bool:
        """Report a checkpoint and wait for the worker's decision, which its score decides."""
        self.send(message)
        return self._answers.get()


def main() -> None:
    """Train as the first line on standard input says."""
    # What libraries print is no part of the talk.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    channel = Channel(output)
    work = Work.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=channel.listen, daemon=True).start()
    os.environ.setdefault(
        "CUDA_VISIBLE_DEVICES", "0"
    )  # several would share each batch, and change the result
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        # Imported here: it takes seconds, in which the worker may end.
        from engine.training import sft

        sft.train(work, channel)
    except Exception as error:  # noqa: BLE001 - the last words of a process; the worker raises them
        channel.send(Message(kind="failed", text=reason(error, work)))
        os._exit(1)
    channel.send(Message(kind="done"))


def reason(error: Exception, work: Work) -> str:
    """Return why a training failed, for the user.

    >>> work = Work(base="m", folder="f", settings=TrainSettings(base_model="m"))
    >>> reason(OSError(28, "No space left on device"), work)
    'The disk is full, so no checkpoint could be written in f: free some space and start the run again.'
    """
    settings, text = work.settings, str(error)
    if isinstance(error, EngineError):
        return text
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in text:
        return f"The disk is full, so no checkpoint could be written in {work.folder}: free some space and start the run again."
    if (
        isinstance(error, MemoryError)
        or "out of memory" in text
        or "not enough memory" in text
        or "allocate memory" in text
    ):
        return out_of_memory(settings, "The memory does not hold the training of")
    return f"The training of {settings.base_model!r} failed: {type(error).__name__}: {shortened(' '.join(text.split()), 300)}"


def out_of_memory(settings: TrainSettings, what: str) -> str:
    """Return the message for a training that needs more memory than there is."""
    lora = "" if settings.method != "full" else "choose lora instead of full, "
    return (
        f"{what} {settings.base_model!r} with {settings.batch_size} rows at once: {lora}lower the batch size or the length of "
        "the rows, or take a smaller base model."
    )


if __name__ == "__main__":
    main()
