"""Outer limits of the layout. Who may import whom is checked by `lint-imports`, part of `make check`."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from limits import FLAWS, limits, lines_by_package

from engine import parts
from engine.basics.public_names import homes

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "engine").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")])
LONGEST_FILE = 600
LONGEST_FUNCTION = 60
FULLEST_FOLDER = 21
QUESTIONS = {"What", "Which", "How", "Whether", "Where", "Who", "Whose", "Why"}
AVOIDED = re.compile(
    r"\b(whoever|anew|beside|somebody|nobody|told|stands|mends?|of (its|their|one's) own|so many)\b", re.I
)
"""Words that docstrings do without: plainer ones say the same."""

DOORS = {
    "litellm": {"engine/lm/transports/litellm_gateway.py"},
    "optuna": {"engine/optimizers/shared/study.py"},
    "sqlite_utils": {"engine/lm/calls/cache.py"},
    "torch": {
        "engine/lm/local/weights.py",
        "engine/optimizers/training/grpo_child.py",
        "engine/optimizers/training/sft.py",
    },
    "transformers": {
        "engine/lm/local/weights.py",
        "engine/optimizers/training/grpo_child.py",
        "engine/optimizers/training/sft.py",
    },
    "peft": {
        "engine/lm/local/weights.py",
        "engine/optimizers/training/grpo_child.py",
        "engine/optimizers/training/sft.py",
    },
    "trl": {"engine/optimizers/training/grpo_child.py", "engine/optimizers/training/sft.py"},
}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return name(path)[:-3].replace("/", ".").removesuffix(".__init__")


def imports_of(tree: ast.AST) -> set[str]:
    """Return the modules that a file, or a part of one, imports from."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_files_and_functions_stay_within_the_outer_limits() -> None:
    too_long = [name(path) for path in SOURCES if path.read_text().count("\n") > LONGEST_FILE]
    too_long += [
        f"{name(path)}: {node.name}"
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert not too_long


def test_folders_stay_readable_at_a_glance() -> None:
    counts = Counter(path.parent for path in SOURCES)
    assert not [name(folder) for folder, n in counts.items() if n > FULLEST_FOLDER]


def test_every_module_has_a_docstring() -> None:
    assert not [name(path) for path in SOURCES if not ast.get_docstring(tree_of(path))]


def docstrings(tree: ast.Module) -> list[str]:
    """Return the docstrings of a file; those of signatures are prompts."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        ast.get_docstring(node) or ""
        for node in ast.walk(tree)
        if isinstance(node, documented)
        and not (isinstance(node, ast.ClassDef) and any(ast.unparse(b) == "Signature" for b in node.bases))
    ]


def test_docstrings_are_in_plain_english() -> None:
    found = [
        f"{name(path)}: {text.splitlines()[0]}"
        for path in SOURCES
        for text in docstrings(tree_of(path))
        if text.split(" ")[0] in QUESTIONS or AVOIDED.search(text)
    ]
    assert not found, "\n".join(found)


def test_third_party_packages_with_one_door_are_imported_there_only() -> None:
    for package, doors in DOORS.items():
        users = {
            name(path)
            for path in SOURCES
            if any(module.split(".")[0] == package for module in imports_of(tree_of(path)))
        }
        assert users <= doors, package


def test_no_cycle_is_hidden_in_a_function() -> None:
    """An import of our own inside a function is only for laziness: the module must not import back."""
    edges: dict[str, set[str]] = {}
    for path in SOURCES:
        tree, module = tree_of(path), module_of(path)
        for_types_only = {
            imported
            for block in ast.walk(tree)
            if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
            for imported in imports_of(block)
        }
        own = {found for found in imports_of(tree) if found.startswith(("engine", "dashboard"))}
        edges[module] = own - for_types_only - {module, "engine"}
    state: dict[str, str] = {}

    def visit(module: str, path: tuple[str, ...]) -> None:
        if state.get(module) == "done" or module not in edges:
            return
        assert state.get(module) != "open", f"import cycle: {' -> '.join((*path, module))}"
        state[module] = "open"
        for target in sorted(edges[module]):
            visit(target, (*path, module))
        state[module] = "done"

    for module in sorted(edges):
        visit(module, ())


def test_the_core_imports_no_optional_part() -> None:
    """A search, a run and a model client reach parts through `engine.parts` only; a part may use another."""
    listed = (parts.OPTIMIZERS, parts.TRAINERS, parts.BACKENDS, parts.TRANSPORTS)
    modules = {path.partition(":")[0] for kind in listed for _, path in kind} - {"engine.search.backend"}
    own_folders = ("engine/lm/transports", "engine/lm/local", "engine/runs/backends")
    core = [
        path
        for path in SOURCES
        if name(path).startswith(("engine/search/", "engine/runs/", "engine/lm/"))
        and not name(path).startswith(own_folders)
        and module_of(path) not in modules
    ]
    assert not {name(path): used for path in core if (used := imports_of(tree_of(path)) & modules)}


def test_the_door_of_pages_holds_what_pages_use() -> None:
    """Each name in the stub of `dashboard.services` is there, and a page uses it."""
    used = {
        alias.name
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.module == "dashboard.services"
        for alias in node.names
    }
    services = importlib.import_module("dashboard.services")
    assert used == set(homes("dashboard.services"))
    assert [name for name in sorted(used) if not hasattr(services, name)] == []


def test_packages_do_not_grow() -> None:
    """Lines may move from one package to another while the whole hardly grows."""
    known, lines = limits()["lines"], lines_by_package()
    grown = {package: n - known.get(package, 0) for package, n in lines.items() if n > known.get(package, 0)}
    more = f"Lines more than tests/limits.json allows: {grown}."
    hint = "`python tests/limits.py` writes the table again; say in the commit message what users get for it."
    assert not grown, f"{more} {hint}"


@pytest.mark.parametrize("kind", FLAWS)
def test_known_flaws_only_get_fewer(kind: str) -> None:
    """A module that moved counts as before; `python tests/limits.py` lowers the table."""
    known, flaws = limits()[kind], FLAWS[kind]()
    assert len(flaws) <= len(known), f"New: {sorted(set(flaws).difference(known))}"
