"""The modules inside a program: their paths, replacing one of them, and copies.

Knows a module by its `named_predictors` alone.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from engine.lm.base import BaseLM, models_shared


def parts_of(program: object, *, inside_compiled: bool = False) -> list[tuple[str, Any]]:
    """Return a program ("self") and every module inside it, with paths, each once.

    Those inside of a compiled module that the program holds are left out, unless `inside_compiled`.
    """
    parts: list[tuple[str, Any]] = []
    seen: set[int] = set()

    def visit(module: Any, path: str) -> None:
        if id(module) in seen or (module._compiled and path and not inside_compiled):
            return
        seen.add(id(module))
        parts.append((path or "self", module))
        for name, part in held(vars(module)):
            visit(part, f"{path}.{name}" if path else name)

    visit(program, "")
    return parts


def held(attributes: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    """Iterate over the modules in some attributes, and in their lists, tuples and dicts, with their paths; not theirs."""

    def modules_in(value: object, path: str) -> Iterator[tuple[str, object]]:
        if hasattr(value, "named_predictors"):
            yield path, value
        elif isinstance(value, list | tuple):
            for i, part in enumerate(value):
                yield from modules_in(part, f"{path}[{i}]")
        elif isinstance(value, dict):
            for key, part in value.items():
                yield from modules_in(part, f"{path}[{key!r}]")

    for name, value in attributes.items():
        yield from modules_in(value, name)


def replace_part(program: Any, path: str, new: object) -> None:
    """Put another object at a step's path ("steps[0]", "solve.predict", "by_name['a']")."""
    *parents, last = re.findall(r"\[(?:\d+|'[^']*'|\"[^\"]*\")\]|[^.\[\]]+", path)
    holder = program
    for part in parents:
        holder = holder[_key(part)] if part.startswith("[") else getattr(holder, part)
    if last.startswith("["):
        holder[_key(last)] = new
    elif path != "self":
        setattr(holder, last, new)


def _key(part: str) -> Any:
    inner = part[1:-1]
    return int(inner) if inner.isdigit() else inner[1:-1]


def copied(value: object, memo: dict[int, object]) -> Any:
    """Return a deep copy of an attribute; models and what cannot be copied are shared."""
    if isinstance(value, BaseLM):
        return value
    try:
        with models_shared(memo):
            return copy.deepcopy(value, memo)
    except (TypeError, copy.Error, NotImplementedError, RecursionError):  # what refusing a copy raises
        # Locks, connections and some objects of libraries refuse a copy: the copy of the program shares them.
        return value
