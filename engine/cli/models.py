"""The tuned models of the data folder in the terminal: their lineage, how to serve them, and merging."""

from __future__ import annotations

from pathlib import Path

from engine.cli.output import echo
from engine.errors import EngineError
from engine.lm.local.serving import SERVERS, merge_adapter, serving_command
from engine.lm.local.sources import model_title
from engine.lm.tuned import PREFIX, get_tuned, tuned_models


def list_models() -> None:
    """Print every tuned model with its lineage, the newest first."""
    titles = [model_title(record) for record in tuned_models()]
    for line in titles or ["There is no tuned model yet. A run with BootstrapFinetune makes one."]:
        echo(line)


def show_model(name: str, merged: Path | None) -> None:
    """Print one model's lineage and the commands that serve it; with a folder, write its merged weights there first.

    Raises UnknownNameError, and what merging raises.
    """
    record = get_tuned(name)
    full = PREFIX + record.name
    echo(model_title(record))
    folder = merge_adapter(full, merged) if merged is not None else None
    if record.hosted is not None:
        echo(f"At its provider it is {record.hosted.name}.")
        return
    for server in SERVERS:
        try:
            line = f"{server}: {serving_command(full, server, folder)}"
        except EngineError as error:
            line = str(error)
        echo(line)
