"""A user's file that is written again is the old one or the new one, whatever ends the write."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import engine
from engine.basics import home

SETUP = """
import csv, resource, shutil, signal, sys
from pathlib import Path
import engine
from engine import Example
at = Path(sys.argv[1])
def again(write):
    # The file system refuses what is written beyond 40 bytes of a file: with an error, or by ending the process.
    write(False)
    shutil.copytree(at, at.with_name("before"))
    if sys.argv[2] == "killed":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))
    write(True)
"""

INDEX = """
def write(second):
    engine.BM25(["a new passage" if second else "an old passage", "another"]).save(at / "index")
"""
WRITERS = {
    "a program's state": """
def write(second):
    engine.Predict(engine.Signature("question -> answer", "new" if second else "old")).save(at / "file")
""",
    "a Prompter": """
from engine.compat.prompter import folders
def write(second):
    folders.write(at, folders.SavedPrompter({"system_prompt": "new" if second else "old"}))
""",
    "the file of users": """
from engine.store.users import UserFile
def write(second):
    UserFile(at / "users").add("eva" if second else "ada")
""",
    "a program for DSPy": """
def write(second):
    engine.save_dspy(engine.Predict(engine.Signature("question -> answer", "new" if second else "old")), at / "file")
""",
    "results as JSON": """
def write(second):
    rows = [Example(question="new" if second else "old", answer="a").with_inputs("question")]
    evaluate = engine.Evaluate(devset=rows, metric=lambda row, got: 1.0, save_as_json=str(at / "file"))
    evaluate(lambda question: engine.Prediction(answer=question))
""",
    "results as CSV": """
def write(second):
    rows = [Example(question=("new" if second else "old") * 30, answer="a").with_inputs("question")]
    evaluate = engine.Evaluate(devset=rows, metric=lambda row, got: 1.0, save_as_csv=str(at / "file"))
    evaluate(lambda question: engine.Prediction(answer=question))
""",
    "a file of the command line": """
from engine.cli.programs import save_file
def write(second):
    save_file(at / "file", (b"new" if second else b"old") * 30)
""",
}


def _contents(folder: Path) -> dict[str, bytes]:
    """Return the files that a reader looks at, by path; a hidden rest of a killed write is none of them."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name[0] != "."}


def _cut_off(code: str, folder: Path, ending: str) -> None:
    folder.mkdir()
    words = [sys.executable, "-c", f"{SETUP}{code}again(write)", str(folder), ending]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(words, capture_output=True, env=environment, timeout=60, check=False)
    assert done.returncode == (-signal.SIGXFSZ if ending == "killed" else 1), done.stderr


@pytest.mark.parametrize("ending", ["refused", "killed"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_write_that_is_cut_off_leaves_the_old_file_whole(name: str, ending: str, tmp_path: Path) -> None:
    _cut_off(WRITERS[name], tmp_path / "cut", ending)
    after = _contents(tmp_path / "cut")
    assert after == _contents(tmp_path / "before")
    old = {"the file of users": b"ada"}.get(name, b"old")
    assert [old in content for content in after.values()] == [True]
    assert not any(b"new" in content or b"eva" in content for content in after.values())
    if ending == "refused":
        assert not list((tmp_path / "cut").rglob("*.partial"))


@pytest.mark.parametrize("ending", ["refused", "killed"])
def test_an_index_that_could_not_be_replaced_still_answers(ending: str, tmp_path: Path) -> None:
    folder = tmp_path / "cut" / "index"
    _cut_off(INDEX, tmp_path / "cut", ending)
    assert engine.BM25.load(folder)("old").passages == ["an old passage"]
    engine.BM25(["a new passage", "another"]).save(folder)
    assert engine.BM25.load(folder)("new").passages == ["a new passage"]
    assert len(list(folder.iterdir())) == 2


def test_a_file_that_is_replaced_keeps_its_permissions_and_the_link_that_leads_to_it(tmp_path: Path) -> None:
    file, link = tmp_path / "there" / "file", tmp_path / "link"
    home.write_whole(file, b"old")
    file.chmod(0o640)
    link.symlink_to(file)
    home.write_whole(link, b"new")
    assert (file.read_bytes(), link.is_symlink(), stat.S_IMODE(file.stat().st_mode)) == (b"new", True, 0o640)
    home.write_whole(file, b"secret", private=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_pipe_is_written_to_as_it_is_and_a_folder_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    home.write_whole(pipe, b"anything")
    assert (os.read(reader, 100), pipe.is_fifo()) == (b"anything", True)
    os.close(reader)
    with pytest.raises(IsADirectoryError):
        home.write_whole(tmp_path, b"anything")
