"""`compile` and `tuneboard tune` show one line on the search: written over itself on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import engine
from engine.basics.progress import ProgressLine
from engine.testing import ScriptedLM

SCRIPT = """
import time, engine
from engine.testing import ScriptedLM
def respond(request):
    time.sleep(0.02)
    return {"answer": "a1"}
rows = [engine.Example(question=f"q{i}", answer=f"a{i % 2}").with_inputs("question") for i in range(12)]
optimizer = engine.BootstrapFewShotWithRandomSearch(engine.ExactMatch(), num_candidate_programs=2, num_threads=2)
with engine.context(lm=ScriptedLM(respond)):
    optimizer.compile(engine.Predict("question -> answer"), trainset=rows, budget=engine.Budget(calls=60))
print("tuned")
"""


def on_a_terminal(command: list[str], folder: Path) -> str:
    """Run a command with a terminal of 100 columns for its output and return what it wrote there."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": "100", "TERM": "xterm", "TUNEBOARD_HOME": str(folder)}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, cwd=folder, env=env)
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    assert process.wait(60) == 0, written.decode()
    return written.decode()


def piped(script: str, folder: Path) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, cwd=folder, timeout=120
    )
    return done.stdout.decode(), done.stderr.decode()


def test_a_terminal_shows_one_line_with_prompt_best_calls_and_time(tmp_path):
    written = on_a_terminal([sys.executable, "-c", SCRIPT], tmp_path)
    assert written.endswith("tuned\r\n")
    states = written.removesuffix("\r\ntuned\r\n").lstrip("\r").split("\r")
    assert len(states) > 3
    assert all(len(state) < 100 for state in states)
    assert re.search(r"[Pp]rompt.*━.* best so far 50\s%  \d+ of 60 calls  \d+ s", states[-1])
    assert written.count("\n") == 2


def test_a_pipe_gets_plain_lines_and_standard_output_none(tmp_path):
    output, errors = piped(SCRIPT, tmp_path)
    assert output == "tuned\n"
    lines = errors.splitlines()
    assert 1 <= len(lines) <= 3
    assert re.fullmatch(r".*[Pp]rompt.*best so far 50\s%  \d+ of 60 calls  \d+ s", lines[-1])
    assert not re.search("[\r\x1b━]", errors)


@pytest.mark.parametrize("way", ["configure", "context"])
def test_one_setting_turns_it_off(tmp_path, way):
    off = SCRIPT.replace("with engine.context(", "with engine.context(progress=False, ")
    if way == "configure":
        off = SCRIPT.replace("import time, engine", "import time, engine; engine.configure(progress=False)")
    assert piped(off, tmp_path) == ("tuned\n", "")


def test_a_notebook_gets_the_line_that_is_written_over_itself(tmp_path):
    notebook = SCRIPT.replace(
        "import time",
        "import sys, types; sys.modules['ipykernel'] = types.ModuleType('ipykernel')\nimport time",
    )
    _, errors = piped(notebook, tmp_path)
    assert errors.count("\r") > 3
    assert errors.count("\n") == 1
    assert "\x1b" not in errors


def test_the_callers_recorder_hears_every_event(capsys):
    class Heard:
        def __init__(self):
            self.kinds = []

        def record(self, event):
            self.kinds.append(event.kind)

    heard = Heard()
    rows = [engine.Example(question=f"q{i}", answer="a").with_inputs("question") for i in range(3)]
    with engine.context(lm=ScriptedLM(lambda _: {"answer": "a"})):
        engine.BootstrapFewShot(engine.ExactMatch()).compile(
            engine.Predict("question -> answer"), trainset=rows, recorder=heard
        )
    assert {"trial_started", "trial_finished", "budget_spent"} <= set(heard.kinds)
    assert "calls" in capsys.readouterr().err


def test_a_search_that_fails_ends_its_line(tmp_path):
    script = SCRIPT.replace('return {"answer": "a1"}', 'raise engine.LMError("The endpoint is gone.")')
    script = (
        script.replace("    optimizer.compile", "    try: optimizer.compile").replace('print("tuned")', "")
        + "    except engine.EngineError as error: print(error)\n"
    )
    written = on_a_terminal([sys.executable, "-c", script], tmp_path)
    assert written.splitlines()[-1] == "The endpoint is gone."


def test_a_hundred_thousand_events_cost_next_to_nothing(tmp_path):
    with (tmp_path / "out.txt").open("w") as stream:
        line = ProgressLine(stream)
        started = time.process_time()
        for done in range(100_000):
            line.show("Trial 1", done, 100_000, "best so far 50%")
        line.close()
        assert time.process_time() - started < 2
    assert len((tmp_path / "out.txt").read_text().splitlines()) <= 3


def test_the_command_line_shows_the_same_line_and_erases_it(tmp_path):
    written = on_a_terminal([sys.executable, "-m", "engine", "demo"], tmp_path)
    assert re.search(
        r"\rSearching  [━─]{20}  (best so far|best) \d+\s%  \d+ trials  \d+ calls  \d+ s", written
    )
    assert "Test rows" in written
