"""The public names, as mypy and pyright see them in a user's program."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import engine
from engine.testing import ScriptedLM, asked

ROOT = Path(__file__).parents[2]
TYPED = ROOT / "tests/support/typed"
PYRIGHT = ROOT / ".bench/pyright/package/index.js"


@cache
def mypy_errors() -> dict[str, dict[int, str]]:
    """Return mypy's errors, by file and line."""
    files = [TYPED / "program.py", TYPED / "wrong.py"]
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--output", "json"]
    command += ["--cache-dir", str(ROOT / ".mypy_cache/user"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=TYPED, check=False)
    assert not done.stderr, done.stderr
    found: dict[str, dict[int, str]] = {file.name: {} for file in files}
    for line in done.stdout.splitlines():
        error = json.loads(line)
        found[Path(error["file"]).name][error["line"]] = error["message"]
    return found


@cache
def pyright_errors() -> dict[str, dict[int, str]]:
    """Return pyright's errors, by file and line; the test is left out where there is no pyright."""
    if not PYRIGHT.exists():
        pytest.skip("pyright is not here: `make peers` fetches it.")
    files = [TYPED / "program.py", TYPED / "wrong.py"]
    deno = Path(sys.executable).with_name("deno")
    command = [
        deno,
        "run",
        "-A",
        "--unstable-detect-cjs",
        PYRIGHT,
        "--pythonpath",
        sys.executable,
        "--outputjson",
        *files,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=TYPED, check=False)
    found: dict[str, dict[int, str]] = {file.name: {} for file in files}
    for error in json.loads(done.stdout)["generalDiagnostics"]:
        found[Path(error["file"]).name][error["range"]["start"]["line"] + 1] = error["message"]
    return found


CHECKERS = pytest.mark.parametrize("errors", [mypy_errors, pyright_errors], ids=["mypy", "pyright"])


@CHECKERS
def test_a_users_program_has_no_error_and_every_type_is_known(errors):
    assert errors()["program.py"] == {}


@CHECKERS
def test_each_mistake_in_a_program_is_an_error(errors):
    lines = (TYPED / "wrong.py").read_text().splitlines()
    wrong = [number for number, line in enumerate(lines, 1) if line.endswith("# WRONG")]
    assert sorted(errors()["wrong.py"]) == wrong


def test_the_users_program_runs(tmp_path):
    def respond(request):
        _, outputs = asked(request)
        known = {"team": "billing", "urgent": True}
        return {name: known.get(name, "Thank you.") for name in outputs}

    program = runpy.run_path(str(TYPED / "program.py"))
    try:
        tuned = program["build"](ScriptedLM(respond))
        again = program["kept"](tuned, tmp_path / "desk.json")
    finally:
        engine.configure(lm=None)
    assert again.route.demos == tuned.route.demos
