"""`tuneboard as-dspy`: an unchanged program runs on the engine, with its own exit code and traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.compat.running import missing_names

SCRIPT = """
import sys
import dspy
import dspy.adapters.types.tool as tools
from dspy.teleprompt import BootstrapFewShot
from dspy.utils.dummies import DummyLM
from shared import make

dspy.configure(lm=DummyLM([{"answer": "4"}]))
print(sys.argv[1:], make()(question="2 + 2").answer, dspy.__version__)
print(dspy.clients.lm.LM.__module__, tools.Tool is dspy.Tool, BootstrapFewShot.__module__)
if "--train" in sys.argv:
    dspy.TrainingJob()
try:
    from dspy.teleprompt import GroundedProposer
except ImportError:
    pass
sys.exit(7)
"""
SHARED = """
import dspy as d

def make():
    return d.Predict("question -> answer")

def other():
    return d.Flex("question -> answer")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "shared.py").write_text(SHARED)
    # An installed DSPy, which must not be the one that answers.
    (tmp_path / "site" / "dspy").mkdir(parents=True)
    (tmp_path / "site" / "dspy" / "__init__.py").write_text("raise RuntimeError('the real one')")
    return tmp_path


def as_dspy(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.append({str(folder / 'site')!r}); from engine.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "as-dspy", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )


def test_a_script_runs_and_what_is_missing_is_listed(folder: Path) -> None:
    done = as_dspy(folder, str(folder / "script.py"), "--help", "x")
    assert done.returncode == 7, done.stderr
    assert done.stdout.splitlines() == [
        "['--help', 'x'] 4 3.4.1",
        "engine.lm.client True engine.optimizers.few_shot",
    ]
    assert done.stderr.strip().splitlines() == [
        "Used of DSPy, and not here:",
        f"  dspy.TrainingJob ({folder / 'script.py'}:13): compile with engine.BootstrapFinetune, which waits for its "
        "training and reports its progress",
        f"  dspy.teleprompt.GroundedProposer ({folder / 'script.py'}:15): use engine.MIPROv2, which writes its own "
        "instructions",
        f"  dspy.Flex ({folder / 'shared.py'}:8): use engine.RLM or engine.CodeAct, whose code is written when it is needed",
    ]


def test_a_traceback_is_the_scripts_own(folder: Path) -> None:
    done = as_dspy(folder, "script.py", "--train")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert 'script.py", line 13, in <module>' in lines[1]
    assert "no attribute 'TrainingJob': compile with" in done.stderr


def test_a_module_runs_by_its_name(folder: Path) -> None:
    done = as_dspy(folder, "-m", "script", "--fast")
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("['--fast'] 4")
    assert "dspy.teleprompt.GroundedProposer" in done.stderr


def test_a_wrong_command_is_one_message(folder: Path) -> None:
    for arguments, message in (
        (["nowhere.py"], "There is no file 'nowhere.py'."),
        (["-m"], "-m needs the name"),
    ):
        done = as_dspy(folder, *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(message)


def test_a_notebook_calls_one_line(folder: Path) -> None:
    code = "import engine; engine.compat.as_dspy()\nimport dspy\nprint(dspy.Predict is engine.Predict)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True
    )
    assert done.stdout.strip() == "True"
    late = "import sys, types; sys.modules['dspy'] = types.ModuleType('dspy')\nimport engine; engine.compat.as_dspy()"
    done = subprocess.run([sys.executable, "-c", late], capture_output=True, text=True, check=False)
    assert "DSPy itself is imported already" in done.stderr


def test_names_are_read_off_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(
        "import dspy\nfrom dspy.predict import *\nx: dspy.Image\n"
        "dspy.settings.lm.copy, dspy.evaluate.metrics.EM, dspy.Nothing, dspy.adapters.nowhere.X\n"
    )
    assert [use.name for use in missing_names(file)] == ["dspy.Nothing", "dspy.adapters.nowhere"]
    file.write_text("not python")
    assert missing_names(file) == []
