"""Training on this machine: a child process trains, checkpoint by checkpoint, and each is scored by the program's own metric.

The child waits while a checkpoint is scored: on one machine both would share its cores and its memory, and where training
ends early then depends on scores alone, not on which was quicker. Nothing here loads a heavy library.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal

import orjson
from pydantic import BaseModel, ValidationError

from engine.basics.home import data_home, write_whole
from engine.basics.text import duration, listed
from engine.errors import ConfigurationError, EngineError, ModelNotFoundError, TrainingError
from engine.lm.local.sources import (
    CHECKPOINTS,
    LOCAL,
    NEEDS,
    base_chain,
    find_source,
    fingerprint,
    is_trained,
)
from engine.lm.tuned import (
    PREFIX,
    TunedModel,
    get_tuned,
    model_folder,
    name_for,
    save_tuned,
    tuned_models,
)
from engine.optimizers.training.child import RESUMED_FROM, ChildMessage, TrainingJob
from engine.optimizers.training.file import FOLDER, long_rows
from engine.optimizers.training.grpo import round_groups
from engine.optimizers.training.pipe import (
    MODULE,
    ChildEndedError,
    ChildLostError,
    Start,
    TrainingChild,
    start_here,
)
from engine.optimizers.training.turns import Share, only_training
from engine.parts import Needs
from engine.records import content_hash
from engine.search.trainers import Order, Trained, TrainerProgress, TrainingEstimate, TrainingMonitor

_STATE = "training.json"
_SPEED = "speed.json"
_POLL_SECONDS = 0.2
MOST_LOSSES = 3
"""Machines that one training may lose before it fails."""

_MEASURED = 5
"""Steps after which the time that is left is known; the first ones are slower and do not count."""


class TrainingState(BaseModel):
    """State of a training, stored in the model's folder: scores by checkpoint, and what it has taken so far."""

    scores: dict[int, float | None] = {}
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    tokens: int = 0
    loss: float | None = None
    ended: Literal["", "finished", "early"] = ""
    share: Share = Share()

    def best(self) -> int | None:
        """Return the checkpoint with the best score, the first of equal ones; the last one where none has a score.

        >>> TrainingState(scores={10: 0.5, 20: 0.75, 30: 0.75}).best()
        20
        """
        scored = {step: score for step, score in self.scores.items() if score is not None}
        if scored:
            return max(sorted(scored), key=lambda step: scored[step])
        return max(self.scores, default=None)

    def worn_out(self, patience: int) -> bool:
        """Return whether this many checkpoints since the best one have brought no better score.

        >>> TrainingState(scores={10: 0.5, 20: 0.4, 30: 0.5}).worn_out(2)
        True
        """
        best = self.best()
        return best is not None and sum(step > best for step in self.scores) >= patience


@dataclass(frozen=True)
class LocalTrainer:
    """Trains on this machine: on its GPU where there is one, else on its CPU.

    `start` starts the process that trains, elsewhere perhaps: on a machine that has the same data folder.
    """

    name: ClassVar[str] = "local"
    title: ClassVar[str] = "On this machine"
    about: ClassVar[str] = (
        "Free, nothing leaves the machine. A graphics card makes it quick; without one a very small model still works."
    )
    needs: ClassVar[Needs] = Needs(
        "Training on this machine needs PyTorch, transformers, peft and trl",
        "weights",
        (*NEEDS.modules, "trl", "datasets"),
    )
    start: Start = start_here

    def check(self, order: Order) -> list[str]:
        """Return notes for the user. Raises ConfigurationError for a missing extra, a base that is not here, rows that cannot be learned."""
        settings = order.settings
        if advice := self.needs.missing():
            raise ConfigurationError(advice)
        base = find_base(settings.base_model)
        _check_rows(order)
        notes = []
        if not Path(base).is_dir() and base not in cached_bases():
            notes.append(f"{base} is fetched from the Hugging Face hub when the training starts.")
        notes += long_rows(order, "The tokens are counted when the training starts, and no answer is cut.")
        return notes

    def estimate(self, order: Order) -> TrainingEstimate:
        """Return rows and tokens of all epochs (not known for "grpo"); seconds as quick as the last training of this base model was."""
        if self._is_trained(order):
            return TrainingEstimate(len(order.rows or order.row_ids), 0, 0.0, 0.0)
        if order.settings.method == "grpo":
            return TrainingEstimate(len(order.row_ids), 0, 0.0)
        tokens = int(order.tokens * order.settings.epochs)
        speed = _speeds().get(_speed_key(order, self.start))
        return TrainingEstimate(len(order.rows), tokens, 0.0, tokens / speed if speed else None)

    async def train(self, order: Order, watch: TrainingMonitor) -> Trained:
        """Train, or go on from the last checkpoint. Raises TrainingError; the checkpoints are kept."""
        self.check(order)
        if not (order.rows or order.row_ids):
            raise TrainingError("There are no training rows, so there is nothing to learn from.")
        name = self.model_name(order)
        async with only_training(model_folder(name), watch):
            return await LocalTraining(order, watch, name, start=self.start).run()

    def model_name(self, order: Order) -> str:
        """Return the name of the model that an order makes. It changes with the base model's weights, where they are here.

        Raises ConfigurationError for a base that is not here.
        """
        base = order.settings.base_model
        marks = [mark for one in base_chain(find_base(base)) if (mark := fingerprint(Path(one)))]
        return name_for(base, content_hash([order.key, marks])[:12] if marks else order.key)

    def _is_trained(self, order: Order) -> bool:
        with suppress(EngineError):
            return is_trained(self.model_name(order))
        return False


@dataclass
class LocalTraining:
    """One training, from its start or its last checkpoint to its end; `module` is the child process that trains.

    Where the machine of that process is lost, the training goes on from the last checkpoint on another one.
    """

    order: Order
    watch: TrainingMonitor
    name: str
    module: str = MODULE
    start: Start = start_here
    state: TrainingState = field(init=False)
    device: str = "cpu"
    first: tuple[int, float] | None = None
    """Step and seconds from which the speed is measured."""
    estimated: bool = False

    def __post_init__(self) -> None:
        self.folder = model_folder(self.name)
        self.base = find_base(self.order.settings.base_model)
        try:
            self.state = TrainingState.model_validate_json((self.folder / _STATE).read_bytes())
        except (OSError, ValidationError):
            self.state = TrainingState()

    async def run(self) -> Trained:
        """Train what is left to train, and keep the best checkpoint as the model."""
        if is_trained(self.name):
            mine = self.state.share.is_of(self.order.run)
            return self._trained((self.state.ended or "finished") if mine else "already")
        best = self.state.best()
        if best is not None and best not in self._checkpoints():  # its files were removed
            shutil.rmtree(self.folder / CHECKPOINTS, ignore_errors=True)
            self.state = TrainingState()
        self.state.share = self.state.share.taken_over(self.order.run, self.state.tokens)
        ended = "stopped" if self.watch.stopped else await self._trained_on()
        if not self._checkpoints():
            return Trained("", "stopped", seconds=self.state.seconds, tokens=self._tokens)
        self._in_writing(lambda: self._keep_best(finished=ended != "stopped"))
        return self._trained(ended)

    async def _trained_on(self) -> Literal["finished", "early", "stopped"]:
        """Train from the last checkpoint to the end; return how it ended."""
        losses = 0
        while not self.state.ended:
            try:
                await self._train_rest()
            except ChildLostError as error:
                losses += 1
                if losses == MOST_LOSSES:
                    raise TrainingError(f"{error}{self._kept_so_far()}") from error
                self._note(str(error))
                continue
            if not self._complete() and not self.state.worn_out(self._patience):
                return "stopped"
            self.state.ended = "finished" if self._complete() else "early"
            self._in_writing(self._save)
        return self.state.ended

    async def _train_rest(self) -> None:
        self._in_writing(self._prepare)
        last = max(self._checkpoints(), default=0)
        go_on = True
        if last and last in self._marks() and last not in self.state.scores:
            go_on = await self._judge(last)  # the process had died meanwhile
        if go_on and not (last and last == self.state.steps):
            await self._with_child(last)

    def _complete(self) -> bool:
        return 0 < self.state.steps == max(self._checkpoints(), default=0)

    @property
    def _tokens(self) -> int:
        """Tokens that the order's run has to count."""
        return max(0, self.state.tokens - self.state.share.tokens)

    @property
    def _patience(self) -> int:
        return self.order.settings.patience

    # The child

    async def _with_child(self, last: int) -> None:
        work = TrainingJob(
            base=self.base,
            folder=str(self.folder),
            settings=self.order.settings,
            rows=self.order.rows,
            resume=last,
            seconds=self.state.seconds,
        )
        self._note("The model is loaded." if not last else f"The training goes on from step {last}.")
        try:
            async with TrainingChild(work, self.module, self.start) as child:
                await self._follow(child)
        except ChildLostError:
            raise
        except ChildEndedError as error:
            raise TrainingError(f"{error}{self._kept_so_far()}") from error

    async def _follow(self, child: TrainingChild) -> None:
        """Do what the child asks for until it is done; report to it that the run is stopped. Raises ChildEndedError."""
        stopping = began = False
        while True:
            if self.watch.stopped and not stopping:  # also where message comes upon message
                stopping = True
                await child.tell("stop")
            message = await child.next(_POLL_SECONDS)
            if message is None:
                if stopping and not began:
                    return  # it still loads the model, or waits for a machine
                continue
            began = True
            if message.kind == "done":
                return
            if message.kind == "round":
                groups = await round_groups(
                    self.order, self.watch, child, f"{PREFIX}{self.name}", message.step
                )
                await (child.tell("stop") if groups is None else child.tell("groups", groups=groups))
                continue
            self._took(message)
            if message.kind == "checkpoint":
                self._in_writing(self._save)
                goes_on = message.step in self._marks() and await self._judge(message.step)
                stopping = stopping or not goes_on
                await child.tell("go_on" if goes_on else "stop")

    def _took(self, message: ChildMessage) -> None:
        state, self.device = self.state, message.device
        state.step, state.steps = message.step, message.steps
        state.seconds, state.tokens = message.seconds, message.tokens
        if message.loss is not None:
            state.loss = message.loss
        if message.kind == "progress":
            self._note(self._time_left(message), message.reward)

    def _time_left(self, message: ChildMessage) -> str:
        """Return how long the rest takes, once, measured over the first steps; "" before and after."""
        if self.first is None and message.step:
            self.first = (message.step, message.seconds)
        if self.first is None or self.estimated or message.step - self.first[0] < _MEASURED:
            return ""
        self.estimated = True
        each = (message.seconds - self.first[1]) / (message.step - self.first[0])
        where = "GPU" if self.device == "cuda" else "CPU" if self.device == "cpu" else self.device
        return (
            f"About {duration(each * (message.steps - message.step))} of training are left on this {where}, as quick as the first "
            "steps were; scoring checkpoints is not counted."
        )

    def _kept_so_far(self) -> str:
        last = max(self._checkpoints(), default=0)
        return f" It is trained up to step {last}: start the run again to go on from there." if last else ""

    def _note(self, message: str = "", reward: float | None = None) -> None:
        state = self.state
        self.watch.note(
            TrainerProgress(
                state.step, state.steps, state.loss, reward, state.seconds, self._tokens, 0.0, message
            )
        )

    # Checkpoints

    def _marks(self) -> set[int]:
        """Return the steps of the planned checkpoints: those that are scored."""
        number, steps = self.order.settings.checkpoints, self.state.steps
        return {max(1, round(steps * (n + 1) / number)) for n in range(number)}

    def _checkpoints(self) -> list[int]:
        folder = self.folder / CHECKPOINTS
        return sorted(int(one.name) for one in folder.glob("*") if one.name.isdigit())

    async def _judge(self, step: int) -> bool:
        """Score a checkpoint; return whether the training goes on."""
        number = sorted(self._marks()).index(step) + 1
        score = await self.watch.score(f"{PREFIX}{self.name}@{step}", f"Checkpoint {number}")
        if score is None and self.watch.stopped:
            return False
        self.state.scores[step] = score
        self._in_writing(self._save)
        if self.order.settings.method == "full":
            self._drop_worse()
        return not self.watch.stopped and not self.state.worn_out(self._patience)

    def _drop_worse(self) -> None:
        """Remove checkpoints of whole models that are neither the best nor the last."""
        wanted = {self.state.best(), max(self._checkpoints(), default=0)}
        for step in self._checkpoints():
            if step not in wanted:
                shutil.rmtree(self.folder / CHECKPOINTS / str(step), ignore_errors=True)

    # The model's folder

    def _in_writing(self, work: Callable[[], None]) -> None:
        """Write to the model's folder. Raises TrainingError where that fails."""
        try:
            work()
        except OSError as error:
            raise TrainingError(
                f"{self.folder} cannot be written ({error.strerror or error}): free some space, or choose another data folder."
                f"{self._kept_so_far()}"
            ) from error

    def _prepare(self) -> None:
        (self.folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        for part in (self.folder / CHECKPOINTS).glob("*.part"):  # a process died while it wrote
            shutil.rmtree(part, ignore_errors=True)
        self._record(finished=False)

    def _save(self) -> None:
        write_whole(self.folder / _STATE, self.state.model_dump_json().encode())

    def _record(self, *, finished: bool) -> None:
        settings, run = self.order.settings, self.order.run
        with suppress(EngineError):
            known = get_tuned(self.name)
            if (known.finished, known.run) == (finished, run):
                return
        save_tuned(
            TunedModel(
                name=self.name,
                trainer=LocalTrainer.name,
                base_model=self.base,
                method=settings.method,
                licence=settings.licence,
                rows=len(self.order.rows or self.order.row_ids),
                run=run,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                finished=finished,
            )
        )

    def _keep_best(self, *, finished: bool) -> None:
        """Put the best checkpoint's files into the model's folder, then the record that says so."""
        chosen = self.state.best()
        step = chosen if chosen is not None else max(self._checkpoints())
        for file in sorted((self.folder / CHECKPOINTS / str(step)).iterdir()):
            if file.name not in RESUMED_FROM:
                _link(file, self.folder / file.name)
        if finished:
            for name in RESUMED_FROM:
                for state in (self.folder / CHECKPOINTS).glob(f"*/{name}"):
                    state.unlink()
            _note_speed(self.order, self.state, self.start)
        self._record(finished=finished)

    def _trained(self, ended: Literal["finished", "early", "stopped", "already"]) -> Trained:
        state, best, new = self.state, self.state.best(), ended != "already"
        return Trained(
            PREFIX + self.name,
            ended,
            self._tokens if new else 0,
            0.0,
            state.seconds if new else 0.0,
            state.loss,
            state.scores.get(best) if best is not None else None,
        )


def find_base(base_model: str) -> str:
    """Return the folder or hub's name of a base model; a tuned model is one as well.

    Raises ConfigurationError for a folder or a tuned model that is not here, with the near names that are.
    """
    name = base_model if base_model.startswith((PREFIX, LOCAL)) else LOCAL + base_model
    try:
        source = find_source(name)
    except (ModelNotFoundError, ConfigurationError) as error:
        near = near_bases(base_model)
        raise ConfigurationError(f"{error}{near}") from None
    return str(source.adapter or source.base)


def cached_bases() -> list[str]:
    """Return names of models in the Hugging Face hub's cache on this machine."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    folder = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    names = (one.name.removeprefix("models--").replace("--", "/") for one in folder.glob("models--*"))
    return sorted(names)


def near_bases(base_model: str) -> str:
    """Return a sentence with the base models on this machine that have a near name, or ""."""
    from rapidfuzz import fuzz, process

    folder = Path(base_model.removeprefix(LOCAL)).expanduser().parent
    here: Iterable[Path] = folder.glob("*/config.json") if folder.is_dir() else ()
    names = [
        *(str(one.parent) for one in here),
        *(PREFIX + m.name for m in tuned_models() if m.kind == "local" and m.finished),
        *cached_bases(),
    ]
    near = process.extract(base_model, names, scorer=fuzz.WRatio, limit=5, score_cutoff=50)
    return f" Near names on this machine: {listed([name for name, *_ in near])}." if near else ""


def _check_rows(order: Order) -> None:
    for number, row in enumerate(order.rows, 1):
        last = row.messages[-1] if row.messages else {}
        if last.get("role") != "assistant" or not last.get("content"):
            raise ConfigurationError(f"Training row {number} does not end with an answer to learn.")


def _speeds() -> dict[str, float]:
    """Return tokens a second by base model and method, as the last trainings have measured them."""
    try:
        speeds = orjson.loads((data_home() / FOLDER / _SPEED).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return speeds if isinstance(speeds, dict) else {}


def _speed_key(order: Order, start: Start) -> str:
    elsewhere = "" if start is start_here else " elsewhere"
    return f"{order.settings.base_model} {order.settings.method}{elsewhere}"


def _note_speed(order: Order, state: TrainingState, start: Start) -> None:
    """Keep how quick a training was: in tokens as an estimate counts them."""
    share = state.step / state.steps if state.steps else 0.0
    tokens = order.tokens * order.settings.epochs * share
    if state.seconds > 0 and tokens:
        speeds = {**_speeds(), _speed_key(order, start): tokens / state.seconds}
        write_whole(data_home() / FOLDER / _SPEED, orjson.dumps(speeds))


def _link(file: Path, target: Path) -> None:
    """Put a file to another place without a second copy where the disk can, whole or not at all."""
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(file, part)
    except OSError:
        shutil.copyfile(file, part)
    part.replace(target)
