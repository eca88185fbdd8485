"""The data folder and this installation: runs put away, tuned models, a team's deploy folder, what is installed.

Keys are named, never shown; nothing is called.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from rich.table import Table

from engine.basics.home import data_home, write_whole
from engine.basics.text import counted
from engine.cli.output import Screen, echo
from engine.errors import ConfigurationError, EngineError
from engine.export.container import wheel
from engine.lm.calls.cache import Cache, default_path
from engine.lm.choice import PROVIDERS
from engine.lm.keys import find_key
from engine.lm.local.serving import SERVERS, merge_adapter, serving_command
from engine.lm.local.sources import model_title
from engine.lm.tuned import PREFIX, get_tuned, tuned_models
from engine.runs.results.archive import bring_back, put_away
from engine.store.store import FILE_NAME, Store

# Runs put away


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


# Tuned models


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


# A folder from which a team's dashboard is started, by Docker Compose or as a service of systemd

FILES = ("compose.yaml", "Dockerfile", "tuneboard.service")


def write_deploy_folder(folder: Path) -> list[Path]:
    """Write the files and this Tuneboard's wheel into a folder, made where it was missing; return their paths.

    Files that the user may have changed are left alone. Raises ConfigurationError where the dashboard is not
    installed or the folder cannot be written, ProgramFileError where this Tuneboard is not installed as a package.
    """
    spec = importlib.util.find_spec("dashboard")
    if spec is None or spec.origin is None:
        raise ConfigurationError("The dashboard is not installed. Run: pip install tuneboard")
    source = Path(spec.origin).parent / "deploy"
    name, content = wheel()
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("tuneboard-*.whl"):
            old.unlink()  # the image takes the only one there is
        write_whole(folder / name, content)
        written.append(folder / name)
        for file in FILES:
            if not (folder / file).exists():
                write_whole(folder / file, (source / file).read_bytes())
                written.append(folder / file)
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} cannot be written: {error.strerror or error}."
        ) from error
    return written


# The installed and the missing parts

Finding = tuple[Literal["ok", "note", "bad"], str, str]

PACKAGES = ("streamlit", "plotly", "pandas", "pyarrow", "openpyxl", "aiohttp", "litellm", "optuna", "keyring")


def examine() -> int:
    """Print the findings; return 0, or 1 where something that is needed is missing."""
    findings = [*_packages(), *_home(), *_cache(), *_keys()]
    table = Table(show_edge=False, pad_edge=False, show_header=False)
    looks = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "bad": "[red]missing[/red]"}
    for mark, what, words in findings:
        table.add_row(looks[mark], what, words)
    Screen().print(table)
    return 1 if any(mark == "bad" for mark, _, _ in findings) else 0


def _packages() -> Iterator[Finding]:
    good = sys.version_info >= (3, 11)
    yield ("ok" if good else "bad"), "Python", f"{platform.python_version()} on {platform.system()}"
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            yield "bad", name, "not installed: pip install tuneboard"
        else:
            yield "ok", name, importlib.metadata.version(name)


def _home() -> Iterator[Finding]:
    home = data_home()
    try:
        with tempfile.TemporaryFile(dir=home):
            pass
        with Store.open(home) as store:
            runs = store.runs.count()
    except (OSError, EngineError) as error:
        yield "bad", "Data folder", f"{home}: {error}"
        return
    size = (home / FILE_NAME).stat().st_size
    yield "ok", "Data folder", f"{home}: {runs} runs, {_bytes(size)}"


def _cache() -> Iterator[Finding]:
    if not default_path().exists():
        yield "ok", "Call cache", "empty"
        return
    cache = Cache(default_path())
    try:
        replies, size, _ = cache.size()
    finally:
        cache.close()
    yield "ok", "Call cache", f"{replies:,} replies, {_bytes(size)}"


def _keys() -> Iterator[Finding]:
    yield "ok", "offline/learner", "the offline model: no key needed"
    for provider in PROVIDERS:
        if not provider.needs_key or provider.key_env is None:
            continue
        key = find_key(f"{provider.prefix}/x")
        if key:
            yield "ok", provider.title, f"key found: {key.where}"
        else:
            yield "note", provider.title, f"no key (set {provider.key_env} to use it)"


def _bytes(size: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1024:
            return f"{size:,.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} GB"
