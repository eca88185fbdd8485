"""Training on a machine of a Ray cluster that has a GPU: the process of `engine.optimizers.training`, started there by an actor.

The data folder is the same one there, so checkpoints and the tuned model need no way back. Nothing here imports Ray:
its one door passes it in.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from engine.lm.local.sources import CHECKPOINTS
from engine.optimizers.training.child import TrainingJob
from engine.optimizers.training.local import LocalTrainer
from engine.optimizers.training.pipe import ChildLostError, start_here
from engine.runs.backends.worker import fingerprint


def gpu_trainer(ray: object) -> LocalTrainer:
    """Return the trainer of this machine, whose training processes are started on a GPU of the connected cluster."""
    return LocalTrainer(start=partial(RayProcess, ray))


class TrainingHost:
    """An actor that starts the process and passes its lines on. `theirs` is the driver's fingerprint."""

    def __init__(self, module: str, request: bytes, theirs: str) -> None:
        self._problem = _problem(TrainingJob.model_validate_json(request), theirs)
        if not self._problem:
            self._child = start_here(module, request)
            self._child.__enter__()

    def read(self) -> bytes:
        """Wait for the process's next line and return it; b"" at its end."""
        return b"" if self._problem else self._child.output.readline()

    def tell(self, text: bytes) -> None:
        """Write to the process's standard input."""
        if not self._problem:
            self._child.tell(text)

    def end(self, grace: float) -> tuple[int, str]:
        """End the process; return its exit status, and the last line of its standard error or why there was none."""
        if self._problem:
            return 1, self._problem
        self._child.end(grace)
        return self._child.code or 0, self._child.last_words()


class RayProcess:
    """The process of a training on a cluster: `engine.optimizers.training.pipe.Process`. It waits there until a GPU is free."""

    def __init__(self, ray: Any, module: str, request: bytes) -> None:
        self._ray = ray
        self.code: int | None = None
        self._words = ""
        # Each group is served in its order, by a separate thread: a read that waits holds up no message.
        # No CPU: those are the rows' workers'.
        actor_class = ray.remote(
            num_cpus=0, num_gpus=1, max_restarts=0, concurrency_groups={"reading": 1, "writing": 1}
        )(TrainingHost)
        self._actor = actor_class.remote(module, request, fingerprint())

    def __enter__(self) -> RayProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def output(self) -> RayProcess:
        """The process itself: it has the one method that is needed."""
        return self

    def readline(self) -> bytes:
        """Wait for the next line and return it; b"" at the end. Raises ChildLostError."""
        line: bytes = self._result(self._actor.read.options(concurrency_group="reading").remote())
        return line

    def tell(self, text: bytes) -> None:
        """Write to the process's standard input, soon; without effect where it has ended."""
        self._actor.tell.options(concurrency_group="writing").remote(text)

    def last_words(self) -> str:
        """Return the last line that it wrote to standard error; "" for none."""
        return self._words

    def end(self, grace: float = 0.0) -> None:
        """End it, after this many seconds to end by itself."""
        if grace:
            self.code, self._words = self._result(self._actor.end.remote(grace))
        self._ray.kill(self._actor)  # its standard input ends, and with it the process

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            raise ChildLostError("The cluster's machine that trained the model was lost.") from error


def _problem(work: TrainingJob, theirs: str) -> str:
    """Return why a training cannot run on this machine; "" where it can."""
    if theirs != fingerprint():
        return f"The machine with the GPU has another Tuneboard ({fingerprint()}) than the driver ({theirs}): install the same one."
    folder = Path(work.folder)
    if not (folder / CHECKPOINTS).is_dir():
        return f"{folder} is not on the machine with the GPU: give all machines of the cluster the same data folder."
    return ""
