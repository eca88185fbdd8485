"""The process that trains on this machine, as the first line on its standard input says."""

from __future__ import annotations

import os
import sys
import threading

from engine.optimizers.training.child import Channel, ChildMessage, TrainingJob, reason


def main() -> None:
    """Train as the first line on standard input says."""
    # What libraries print is no part of the talk.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    channel = Channel(output)
    work = TrainingJob.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=channel.listen, daemon=True).start()
    # Several GPUs would share each batch, and change the result.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    try:
        _train(work, channel)
    except Exception as error:  # noqa: BLE001 - the last words of a process; the worker raises them
        channel.send(ChildMessage(kind="failed", text=reason(error, work)))
        os._exit(1)
    channel.send(ChildMessage(kind="done"))


def _train(work: TrainingJob, channel: Channel) -> None:
    # Imported here: it takes seconds, in which the worker may end.
    if work.settings.method == "grpo":
        from engine.optimizers.training import grpo_child

        grpo_child.train(work, channel)
    else:
        from engine.optimizers.training import sft

        sft.train(work, channel)


if __name__ == "__main__":
    main()
