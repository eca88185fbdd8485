"""Training of weights: chat rows go in, a tuned model comes out; one trainer a file.

It knows no program, metric or store: the driver scores checkpoints and rolls out programs for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from engine.errors import entry_named

if TYPE_CHECKING:
    from engine.training.contract import Trainer

TRAINERS: tuple[tuple[str, str], ...] = (
    ("local", "engine.training.local:LocalTrainer"),
    ("openai", "engine.training.openai:OpenAITrainer"),
    ("file", "engine.training.file:FileTrainer"),
)
"""Every trainer: its name, and its module and class ("local", "engine.training.local:LocalTrainer")."""


def get_trainer(name: str) -> Trainer:
    """Return a trainer by its name; only its file is imported. Raises UnknownNameError listing the names there are."""
    module, _, attribute = entry_named("trainer", name, dict(TRAINERS)).partition(":")
    return cast("Trainer", getattr(importlib.import_module(module), attribute)())
