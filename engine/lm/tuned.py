"""Tuned models by name: where each one is and where it came from.

A tuned model is a folder in the data folder, `models/NAME`, with `model.json` (a `TunedModel`) and, for a local one, its
weights. "tuned/NAME" is its name wherever a model is named; "tuned/NAME@STEP" is one of its checkpoints. Nothing here loads weights.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.basics.home import data_home, write_whole
from engine.errors import ConfigurationError, UnknownNameError
from engine.lm.choice import ModelChoice

PREFIX = "tuned/"
FOLDER = "models"
_FILE = "model.json"


class TunedModel(BaseModel):
    """A tuned model and its lineage.

    `kind` is "local" (weights in its folder) or "hosted" (`hosted` says which model at which provider answers). `trainer`,
    `base_model` and `method` are as it was trained, `licence` the base model's as the user stated it, `rows` the number of
    training rows, `run` the run it was trained in ("" for none), `finished` whether training came to its end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["local", "hosted"] = "local"
    trainer: str
    base_model: str
    method: str = "lora"
    licence: str = ""
    rows: int = 0
    run: str = ""
    created: str = ""
    finished: bool = False
    hosted: ModelChoice | None = None


def model_folder(name: str) -> Path:
    """Return the folder of a tuned model, by "tuned/NAME", "tuned/NAME@STEP" or "NAME". Raises ConfigurationError for no such name."""
    plain = name.removeprefix(PREFIX).partition("@")[0]
    if not re.fullmatch(r"[\w][\w.-]{0,80}", plain, re.ASCII):
        raise ConfigurationError(f"{name!r} is no name of a tuned model: write it as tuned/NAME.")
    return data_home() / FOLDER / plain


def name_for(base_model: str, key: str) -> str:
    """Return the name of the model that a training makes of a base model; `key` is the training's own.

    >>> name_for("Qwen/Qwen3-0.6B", "a1b2c3")
    'Qwen3-0.6B-a1b2c3'
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", base_model.rstrip("/").rpartition("/")[2]).strip("-._")
    return f"{plain[:60] or 'model'}-{key}"


def save_tuned(model: TunedModel) -> None:
    """Write a tuned model's record, whole or not at all."""
    write_whole(model_folder(model.name) / _FILE, model.model_dump_json(indent=2).encode())


def get_tuned(name: str) -> TunedModel:
    """Return a tuned model's record. Raises UnknownNameError listing the ones there are."""
    file = model_folder(name) / _FILE
    try:
        return TunedModel.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        known = [PREFIX + m.name for m in tuned_models()]
        raise UnknownNameError("tuned model", name, known) from None


def tuned_models() -> list[TunedModel]:
    """Return the records of all tuned models, the newest first."""
    models = []
    for file in sorted((data_home() / FOLDER).glob(f"*/{_FILE}")):
        try:
            models.append(TunedModel.model_validate_json(file.read_bytes()))
        except (OSError, ValidationError):
            continue
    return sorted(models, key=lambda m: m.created, reverse=True)
