"""The installed and the missing parts, as a table. Keys are named, never shown; nothing is called."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
import tempfile
from collections.abc import Iterator
from typing import Literal

from rich.table import Table

from engine.basics.home import data_home
from engine.cli.output import Screen
from engine.errors import EngineError
from engine.lm.cache import Cache, default_path
from engine.lm.choice import PROVIDERS
from engine.lm.keys import find_key
from engine.store.store import FILE_NAME, Store

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
