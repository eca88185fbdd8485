"""Limits that keep the layout what it is. (Who may import whom: `lint-imports`, part of `make test`.)"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "engine").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")])
LONGEST_FILE = 600
LONGEST_FUNCTION = 60
HEAVY = {
    "litellm",
    "optuna",
    "pandas",
    "numpy",
    "streamlit",
    "plotly",
    "aiohttp",
    "sqlite_utils",
    "typer",
    "rich",
}
DOORS = {
    "litellm": {"engine/lm/litellm_gateway.py"},
    "optuna": {"engine/optimizers/shared/study.py"},
    "sqlite_utils": {"engine/store/migrations.py", "engine/lm/cache.py"},
}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_file_has_one_subject_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= LONGEST_FILE, "too long for one subject"
    assert ast.get_docstring(tree), "a module says what it is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, f"{node.name} is too long"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_third_party_packages_with_one_door_are_imported_there_only(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.split(".")[0])
    for package, doors in DOORS.items():
        assert package not in imported or name(path) in doors, f"{package} is imported outside its door"


def test_import_engine_loads_nothing_heavy() -> None:
    code = f"import sys, engine; print(sorted(sys.modules.keys() & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_no_cycle_is_hidden_in_a_function() -> None:
    """An import of our own inside a function is only for laziness: the module must not import back."""
    edges: dict[str, set[str]] = {}
    for path in SOURCES:
        module = name(path)[:-3].replace("/", ".").removesuffix(".__init__")
        edges[module] = {
            node.module
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.startswith(("engine", "dashboard"))
        } - {module}
    typing_only = {
        (name(path)[:-3].replace("/", ".").removesuffix(".__init__"), node.module)
        for path in SOURCES
        for block in ast.walk(ast.parse(path.read_text()))
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom) and node.module
    }
    seen: dict[str, str] = {}

    def visit(module: str, path: tuple[str, ...]) -> None:
        if seen.get(module) == "done" or module not in edges:
            return
        assert seen.get(module) != "open", f"import cycle: {' -> '.join((*path, module))}"
        seen[module] = "open"
        for target in sorted(edges[module]):
            if (module, target) not in typing_only and module != "engine":
                visit(target, (*path, module))
        seen[module] = "done"

    for module in sorted(edges):
        visit(module, ())
