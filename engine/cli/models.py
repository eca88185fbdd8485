"""The tuned models of the data folder in the terminal: their lineage, how to serve them, and merging."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from engine.errors import EngineError
from engine.lm.local.serving import SERVERS, merge_adapter, serving_command
from engine.lm.local.sources import model_title
from engine.lm.tuned import PREFIX, get_tuned, tuned_models


def list_models() -> None:
    """Print every tuned model with its lineage, the newest first."""
    console = Console()
    found = tuned_models()
    for record in found:
        console.print(model_title(record), highlight=False, markup=False, soft_wrap=True)
    if not found:
        console.print("There is no tuned model yet. A run with BootstrapFinetune makes one.", highlight=False)


def show_model(name: str, merged: Path | None) -> None:
    """Print one model's lineage and the commands that serve it; with a folder, write its merged weights there first.

    Raises UnknownNameError, and what merging raises.
    """
    console = Console()
    record = get_tuned(name)
    full = PREFIX + record.name
    console.print(model_title(record), highlight=False, markup=False, soft_wrap=True)
    folder = merge_adapter(full, merged) if merged is not None else None
    if record.hosted is not None:
        console.print(f"At its provider it is {record.hosted.name}.", highlight=False, markup=False)
        return
    for server in SERVERS:
        try:
            line = f"{server}: {serving_command(full, server, folder)}"
        except EngineError as error:
            line = str(error)
        console.print(line, highlight=False, markup=False, soft_wrap=True)
