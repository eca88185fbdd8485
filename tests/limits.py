"""The ratchet of the house: its size and its known flaws, which may only get fewer.

`python tests/limits.py` writes `limits.json` again, after a change that made something smaller. A figure that rises
there takes a line in the commit message: what users get for it.
"""

from __future__ import annotations

import ast
import json
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILE = Path(__file__).with_name("limits.json")
PACKAGES = ("engine", "dashboard")

Edges = dict[str, set[str]]


@cache
def sources() -> dict[str, ast.Module]:
    """Return the syntax tree of each module of the product."""
    files = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return {module_of(file): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def lines_by_package() -> dict[str, int]:
    """Return the lines of each package; files that lie loose in `engine` and `dashboard` count together."""
    lines: Counter[str] = Counter()
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            parts = file.relative_to(ROOT).parts
            lines[".".join(parts[: min(2, len(parts) - 1)])] += len(file.read_bytes().splitlines())
    return dict(sorted(lines.items()))


def unnamed_modules() -> list[str]:
    """Return the modules and packages that the docstring of the package above them does not name."""
    trees = sources()
    unnamed = []
    for module in trees:
        parent, _, name = module.rpartition(".")
        if parent and name != "__main__" and name not in (ast.get_docstring(trees[parent]) or ""):
            unnamed.append(module)
    return unnamed


def class_names_with_two_meanings() -> list[str]:
    """Return the names of classes that are defined more than once, with their modules."""
    places = defaultdict(list)
    for module, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)
    return [f"{name}: {', '.join(sorted(at))}" for name, at in sorted(places.items()) if len(at) > 1]


@cache
def imports() -> Edges:
    """Return the modules of the product that each one imports, for annotations only and inside functions too."""
    edges: Edges = {module: set() for module in sources()}
    for module, tree in sources().items():
        for target in _imported(tree):
            while target and target not in edges:
                target = target.rpartition(".")[0]
            if target and target != module:
                edges[module].add(target)
    return edges


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_up() -> list[str]:
    """Return the imports from a higher layer, as `importer -> imported`; the layers are those of import-linter."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (
        contract["layers"] for contract in contracts if contract["name"] == "Layers import downwards only"
    )
    depth = {name.strip(): at for at, layer in enumerate(layers) for name in layer.split("|")}

    def layer_of(module: str) -> int | None:
        names = (module, ".".join(module.split(".")[:2]), module.split(".")[0])
        return next((depth[name] for name in names if name in depth), None)

    found = []
    for module, targets in imports().items():
        for target in sorted(targets):
            above, below = layer_of(target), layer_of(module)
            if above is not None and below is not None and above < below:
                found.append(f"{module} -> {target}")
    return found


def circles() -> list[str]:
    """Return the modules that import each other in circles, each with the first module of its circle.

    A circle is a strongly connected component, found as Tarjan does.
    """
    edges, index, low = imports(), dict[str, int](), dict[str, int]()
    stack: list[str] = []
    found: list[str] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in edges[module]:
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            found.extend(f"{min(group)}: {name}" for name in group if len(group) > 1)

    for module in edges:
        if module not in index:
            visit(module)
    return sorted(found)


FLAWS: dict[str, Callable[[], list[str]]] = {
    "imports_up": imports_up,
    "modules_in_circles": circles,
    "class_names_with_two_meanings": class_names_with_two_meanings,
    "modules_that_no_docstring_names": unnamed_modules,
}
"""Kind of flaw -> what lists those of today."""


def figures() -> dict[str, Any]:
    """Return today's figures, in the form of `limits.json`."""
    return {"lines": lines_by_package(), **{kind: flaws() for kind, flaws in FLAWS.items()}}


def limits() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    before, now = limits(), figures()
    FILE.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    print(f"lines: {sum(before['lines'].values())} -> {sum(now['lines'].values())}")
    print(*(f"{kind}: {len(before[kind])} -> {len(now[kind])}" for kind in FLAWS), sep="\n")
