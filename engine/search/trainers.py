"""The contract between the driver and a trainer, the same for this machine and for a provider.

A trainer gets an `Order` and a `TrainingMonitor`. It reports progress to the watch, has it score checkpoints, looks whether it was
stopped, and returns the tuned model. The order's key names the training: the same order started again goes on from its
last checkpoint, or from the provider's job, and one that was finished returns its model at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from engine.basics.home import write_whole
from engine.lm.exchange import message_tokens
from engine.parts import TRAINERS, load
from engine.records import content_hash, strict_json_form

if TYPE_CHECKING:
    from engine.lm.base import BaseLM


class TrainSettings(BaseModel):
    """Settings of one training. `base_model` is a folder, a hub's name or a provider's name, as the trainer reads it.

    `method` is "lora" (a small adapter), "full" (all weights) or "grpo" (reinforcement with the program's own metric, on a
    small adapter). `max_length` counts tokens of one row. After `patience` checkpoints without a better validation score
    the training ends. `licence` is the base model's, as the user states it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trainer: str = "local"
    base_model: str
    method: Literal["lora", "full", "grpo"] = "lora"
    epochs: float = Field(default=3.0, gt=0)
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    max_length: int = Field(default=2048, ge=16)
    rank: int = Field(default=16, ge=1)
    checkpoints: int = Field(default=4, ge=1)
    patience: int = Field(default=2, ge=1)
    group_size: int = Field(default=8, ge=2)
    rounds: int = Field(default=20, ge=1)
    licence: str = ""
    base_url: str | None = None
    key_env: str | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ChatRow:
    """One conversation to learn: the last message is the assistant's, the answer that is learned. `step` is the step's path.

    `row` is the id of the dataset's row that it came from.
    """

    messages: tuple[Mapping[str, object], ...]
    step: str = ""
    row: int | None = None


@dataclass(frozen=True)
class Order:
    """The order of a training: chat rows (none for "grpo", whose rows are `row_ids` for rollouts) and settings.

    `task` is a hash of what rewards and the scores of checkpoints depend on: the prompt, the rows' values and the metric.
    `run` is the run that pays for the training; it is no part of the key.
    """

    settings: TrainSettings
    rows: tuple[ChatRow, ...] = ()
    row_ids: tuple[int, ...] = ()
    task: str = ""
    run: str = ""

    @cached_property
    def key(self) -> str:
        """Twelve hex digits that name the training: of everything that decides its result."""
        rows = [asdict(row) for row in self.rows]
        settings = self.settings.model_dump(exclude={"licence"})
        return content_hash([settings, rows, list(self.row_ids), *filter(None, [self.task])])[:12]

    @property
    def tokens(self) -> int:
        """About how many tokens the chat rows have, once each."""
        return sum(message_tokens(row.messages) for row in self.rows)


@dataclass(frozen=True, slots=True)
class TrainerProgress:
    """Progress of a training: optimizer steps done of all, loss of the last ones, seconds, tokens seen and US dollars."""

    step: int
    steps: int
    loss: float | None = None
    reward: float | None = None
    seconds: float = 0.0
    tokens: int = 0
    usd: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One call of one step inside one run of the program: what was asked, what was answered, and its reward (0 to 1).

    Rollouts of one `group` answered the same row with the same step, so that their rewards can be compared. `readable` is
    False where the answer did not follow the step's format.
    """

    group: str
    messages: tuple[Mapping[str, object], ...]
    completion: str
    reward: float
    readable: bool = True


class TrainingMonitor(Protocol):
    """The driver, as a trainer sees it."""

    @property
    def stopped(self) -> bool:
        """True once the user has stopped the run or the budget is spent: keep the best checkpoint and return."""

    def note(self, progress: TrainerProgress) -> None:
        """Receive progress. Returns at once."""

    async def score(self, model: str, label: str) -> float | None:
        """Return the program's mean score (0 to 1) on the validation rows with this model; None where it could not be scored."""

    async def rollouts(self, model: BaseLM, rows: Sequence[int], group_size: int) -> Sequence[Rollout]:
        """Run the program `group_size` times on each row with this model, at temperature 1; return all calls of its steps."""


@dataclass(frozen=True, slots=True)
class TrainingEstimate:
    """Estimate of a training: chat rows, tokens of all epochs, US dollars and seconds; None where not known.

    It costs 0 dollars on this machine.
    """

    rows: int
    tokens: int
    usd: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """The end of a training. `model` is the name of the tuned model, "tuned/NAME"; "" for a trainer that only writes a file.

    `ended` is "finished", "early" (no gain for a while), "stopped" (by the user or the budget; the best checkpoint is kept) or
    "already" (trained by an earlier run). `tokens` and `usd` are what the order's run has to count.
    """

    model: str
    ended: Literal["finished", "early", "stopped", "already"] = "finished"
    tokens: int = 0
    usd: float | None = None
    seconds: float = 0.0
    loss: float | None = None
    score: float | None = None
    file: str = ""


class Trainer(Protocol):
    """A way to train: one file each, listed in `engine.parts`. Made without arguments.

    It may have `hosted`, True where it trains elsewhere, so that several trainings may run at once; one in the registry has `about`, a sentence for a form. A user's own trainer may
    have `models`, a mapping of the names of its tuned models to models that answer in this process.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def check(self, order: Order) -> list[str]:
        """Return notes for the user before anything is started. Raises ConfigurationError for what cannot work.

        Without rows only the settings are judged: a run asks before it pays for a teacher's answers.
        """

    def estimate(self, order: Order) -> TrainingEstimate:
        """Return what the training takes, without starting it and without loading a heavy library: nothing where it is done."""

    async def train(self, order: Order, monitor: TrainingMonitor) -> Trained:
        """Train, or go on with the training of the same key. Raises TrainingError with a message for the user.

        Steps count from the beginning of the training; tokens and dollars are those of the order's run, also where an
        earlier process of it began. The tuned model answers as its best scored checkpoint, so that it is not scored again.
        """


def get_trainer(name: str) -> Trainer:
    """Return a trainer by its name; only its file is imported. Raises UnknownNameError listing the names there are."""
    trainer: Trainer = load(TRAINERS, name, "trainer")()
    return trainer


def training_lines(rows: Iterable[ChatRow]) -> bytes:
    """Return chat rows as JSON Lines, one conversation a line.

    >>> training_lines([ChatRow(({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}))])
    b'{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}\\n'
    """
    return b"".join(
        orjson.dumps({"messages": row.messages}, default=strict_json_form) + b"\n" for row in rows
    )


def read_order(file: Path | None) -> Order | None:
    """Return the order stored in a file, or None."""
    try:
        return None if file is None else _ORDER.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def write_order(file: Path | None, order: Order) -> None:
    """Store an order in a file, if any. Raises OSError."""
    if file is not None:
        write_whole(file, orjson.dumps(asdict(order), default=strict_json_form))


_ORDER = TypeAdapter(Order)
