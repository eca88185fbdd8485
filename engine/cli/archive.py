"""Runs put away in a file, and brought back, from the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.basics.text import counted
from engine.cli.output import echo
from engine.runs.results.archive import bring_back, put_away
from engine.store.store import Store


def archive_runs(run_ids: Sequence[str], output: Path | None) -> None:
    """Move runs into a file and print its path. Raises NotFoundError, StoreError."""
    with Store.open() as store:
        path = put_away(store, run_ids, output)
    echo(f"Put away {counted(len(set(run_ids)), 'run')} in {path}")
    echo(f"Bring them back with: tuneboard unarchive {path}")


def unarchive_runs(path: Path, *, trust: bool) -> None:
    """Add the runs of a file to the store again and print how many. Raises StoreError."""
    with Store.open() as store:
        brought = bring_back(store, path, trust=trust)
    left_out = f"; {counted(len(brought.here), 'run')} left out, already here" if brought.here else ""
    echo(f"Brought back {counted(len(brought.runs), 'run')}{left_out}.")
