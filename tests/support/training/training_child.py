"""A stand-in for the child process of a training, without torch: `TrainingChild(work, "training_child")` with this folder on PYTHONPATH.

It speaks the protocol of `engine.optimizers.training.child` and makes empty checkpoints. `settings.licence` says what it does at a step,
such as "3 half": write half a line and be killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from engine.optimizers.training.child import Channel, ChildMessage, TrainingJob

STEPS = 4


def main() -> None:
    output = os.fdopen(os.dup(1), "wb")
    channel = Channel(output)
    work = TrainingJob.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=channel.listen, daemon=True).start()
    at, _, fault = work.settings.licence.partition(" ")
    for step in range(work.resume + 1, STEPS + 1):
        if work.settings.method == "grpo":
            channel.send(ChildMessage(kind="round", step=step - 1))
            if channel.wait("groups") is None:
                break
        if str(step) == at:
            _fail(fault, output)
        channel.send(ChildMessage(kind="progress", step=step, steps=STEPS, loss=1 / step, tokens=10 * step))
        folder = Path(work.folder, "checkpoints", str(step))
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "tiny"}')
        (folder / "adapter_model.safetensors").write_text(str(step))
        if not channel.goes_on_after(
            ChildMessage(kind="checkpoint", step=step, steps=STEPS, tokens=10 * step)
        ):
            break
    channel.send(ChildMessage(kind="done"))


def _fail(fault: str, output: object) -> None:
    if fault == "half":
        os.write(output.fileno(), b'{"kind": "progress", "st')  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "odd":
        os.write(output.fileno(), b"Loading weights: 100%\n")  # type: ignore[attr-defined]
        print("It speaks another language.", file=sys.stderr, flush=True)
        os._exit(1)
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
