"""The whole Python in a sandbox: what runs, what is refused, that its limits hold. Skipped where Deno or Pyodide is missing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import ProgramOfThought, context
from engine.errors import ConfigurationError, SandboxError, SandboxMemoryError, SandboxTimeoutError
from engine.testing import ScriptedLM
from engine.tools.pyodide import PyodideInterpreter, deno_program, pyodide_folder

os.environ.setdefault("TUNEBOARD_PYODIDE", str(Path(__file__).parents[3] / ".bench" / "pyodide"))
try:
    deno_program(), pyodide_folder()
    MISSING = ""
except ConfigurationError as error:
    MISSING = str(error)
there = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture(scope="module")
def python() -> Iterator[PyodideInterpreter]:
    def broken() -> None:
        raise ValueError("no luck")

    tools = {"twice": lambda x: 2 * x, "broken": broken}
    with PyodideInterpreter(tools, time_limit=180, memory_limit=200 * 2**20, output_limit=5000) as made:
        yield made


@there
def test_what_the_small_sandbox_cannot_run(python: PyodideInterpreter) -> None:
    assert python("class A:\n    @property\n    def x(self): return 3\nclass B(A): pass\nB().x") == 3
    assert python("def g():\n    yield from range(4)\nsum(g())") == 6
    assert python("import statistics\nstatistics.mean(numbers)", {"numbers": [1, 2, 6]}) == 3
    assert python("import re, textwrap\nprint(textwrap.fill('a b c', 3))").strip() == "a b\nc"
    assert python("kept = 5") == "(no output)"
    assert python("{'kept': kept, 'tags': {1}}") == {"kept": 5, "tags": [1]}


@there
@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("open('/etc/passwd').read()", "FileNotFoundError"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 80))", "OSError"),
        ("import subprocess\nsubprocess.run(['ls'])", "processes"),
        ("import js\njs.Deno.readTextFileSync('/etc/passwd')", "Requires read access"),
        ("import js\njs.Deno.env.toObject()", "Requires env access"),
        ("import js\njs.Deno.writeTextFileSync('/tmp/x', 'x')", "Requires write access"),
        ("1 / 0", "ZeroDivisionError"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit(1)", "SystemExit"),
    ],
)
def test_what_is_refused_is_named_and_variables_stay(
    python: PyodideInterpreter, code: str, named: str
) -> None:
    python("stays = 1")
    with pytest.raises(SandboxError, match=named):
        python(code)
    assert python("stays") == 1


@there
def test_host_functions_and_submit(python: PyodideInterpreter) -> None:
    assert python("[twice(x) for x in (1, 2)]") == [2, 4]
    assert "no luck" in python("try:\n    broken()\nexcept RuntimeError as e:\n    print(e)")
    assert "needs the argument" in python("try:\n    twice()\nexcept ValueError as e:\n    print(e)")
    assert python("SUBMIT(answer=4)\n1 / 0").output == {"answer": 4}


@there
def test_limits_end_the_code_and_the_next_begins_afresh(python: PyodideInterpreter) -> None:
    with pytest.raises(SandboxMemoryError):
        python("a = []\nwhile True: a.append('x' * 1_000_000)")
    with pytest.raises(SandboxError, match="More than 5000 characters"):
        python("while True: print('x' * 1000)")
    python.time_limit = 1.0
    started = time.monotonic()
    try:
        with pytest.raises(SandboxTimeoutError, match="longer than the 1 seconds"):
            python("try:\n    while True: pass\nexcept BaseException:\n    pass")
    finally:
        python.time_limit = 180.0
    assert time.monotonic() - started < 150  # a new process is started for it
    assert python("1 + 1") == 2


@there
def test_a_program_of_thought_may_use_it() -> None:
    made: list[PyodideInterpreter] = []

    def factory() -> PyodideInterpreter:
        made.append(PyodideInterpreter(time_limit=180))
        return made[-1]

    calls = [
        {"reasoning": "Generate.", "generated_code": "def g():\n    yield from numbers\nsum(g())"},
        {"reasoning": "The code gave 6.", "total": 6},
    ]
    with context(lm=ScriptedLM(calls)):
        program = ProgramOfThought("numbers: list[int] -> total: int", interpreter_factory=factory)
        assert program(numbers=[1, 2, 3]).total == 6
    assert made[0]._process is None  # it is not left running


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no Pyodide in"):
        pyodide_folder(tmp_path)
    with pytest.raises(ConfigurationError, match="PyodideInterpreter takes no argument 'size'"):
        PyodideInterpreter(size=1)
