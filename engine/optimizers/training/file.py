"""The training file alone, in the chat format that fine-tuning takes: for any other trainer.

One line a conversation: {"messages": [system, user, ..., assistant]}; the last message is the one to learn. The same
lines are uploaded to a provider and exported from a run.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from engine.basics.home import data_home, write_whole
from engine.basics.text import counted
from engine.errors import ConfigurationError, TrainingError
from engine.lm.exchange import message_tokens
from engine.search.trainers import (
    ChatRow,
    Order,
    Trained,
    TrainerProgress,
    TrainingEstimate,
    TrainingMonitor,
    training_lines,
)

FOLDER = "training"


def long_rows(order: Order, what_happens: str) -> list[str]:
    """Return a note on rows that may be longer than `max_length` allows, and what happens to them, or no note."""
    most = order.settings.max_length
    long = sum(message_tokens(row.messages) > most for row in order.rows)
    rows = f"{counted(long, 'row')} of {len(order.rows):,}"
    return [f"{rows} may be longer than {most:,} tokens (max_length). {what_happens}"] if long else []


class FileTrainer:
    """Writes the training file and trains nothing."""

    name: ClassVar[str] = "file"
    title: ClassVar[str] = "Only a training file"
    about: ClassVar[str] = (
        "Writes the right answers as a training file, for a trainer of your own. Nothing is trained here."
    )

    def check(self, order: Order) -> list[str]:
        """Return no notes: a file can always be written. Raises ConfigurationError for a method without rows."""
        if order.settings.method == "grpo":
            raise ConfigurationError(
                "A training file cannot hold rewards, so it is not made for the method grpo: choose lora or full."
            )
        return []

    def estimate(self, order: Order) -> TrainingEstimate:
        """Return the file's rows and tokens; it costs nothing."""
        return TrainingEstimate(len(order.rows), order.tokens, 0.0, 0.0)

    async def train(self, order: Order, watch: TrainingMonitor) -> Trained:
        """Write the file to `training/KEY.jsonl` in the data folder. Raises TrainingError where it cannot be written."""
        path = data_home() / FOLDER / f"{order.key}.jsonl"
        write_lines(order.rows, path)
        watch.note(TrainerProgress(1, 1, message=f"The training file is at {path}."))
        return Trained("", file=str(path))


def write_lines(rows: Iterable[ChatRow], path: Path) -> None:
    """Write the rows' training file, whole or not at all. Raises TrainingError."""
    try:
        write_whole(path, training_lines(rows))
    except OSError as error:
        raise TrainingError(
            f"The training file {path} cannot be written: {error.strerror or error}."
        ) from error
