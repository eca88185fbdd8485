"""Child processes: their answer, their end, their limits. Their work is typed into Python's own console module."""

from __future__ import annotations

import subprocess
import sys
import time

from engine.basics.children import Child


def test_a_child_answers_and_ends():
    with Child("code", b"print(6 * 7)\n", seconds=60) as child:
        assert child.output.read().replace(b">>> ", b"") == b"42\n"
    assert not child.late


def test_a_child_that_is_late_is_ended_with_all_it_started():
    work = b"import subprocess, sys, time\nprint(subprocess.Popen(['sleep', '60']).pid, flush=True)\ntime.sleep(60)\n"
    began = time.monotonic()
    with Child("code", work, seconds=2) as child:
        grandchild = int(child.output.readline().strip(b"> \n"))
        child.output.read()  # the output ends with the process
        assert child.late
    assert time.monotonic() - began < 30
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(grandchild)], capture_output=True, text=True
    ).stdout
    assert state.strip()[:1] in ("", "Z")


def test_the_last_words_of_a_child_say_why_it_ended():
    with Child("no_such_module", b"x" * 1_000_000, seconds=60) as child:
        assert child.output.read() == b""
        assert child.last_words().endswith("No module named no_such_module")


def test_code_in_the_folder_that_we_were_started_in_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "code.py").write_text("print('foreign')")
    monkeypatch.chdir(tmp_path)
    with Child("code", b"print(6 * 7)\n", seconds=60) as child:
        assert child.output.read().replace(b">>> ", b"") == b"42\n"


def test_memory_beyond_the_limit_is_a_memory_error():
    code = "from engine.basics.children import limit_memory; limit_memory(10**8); b = bytearray(10**9)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip().endswith("MemoryError")
