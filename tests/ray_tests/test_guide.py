"""The guide's commands for a cluster of several machines, as they are written, with two nodes on this machine."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.ports import own_port
from support.run_setup import csv_bytes, spec

from engine.runs.spec import Named

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ASK_NODES = 'import ray; ray.init("auto", log_to_driver=False); print("NODES", len(ray.nodes()))'


def end_all(mark):
    """End the processes with a variable: nodes outlive the command that starts them, and `ray stop` would end those of others."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            continue


def test_two_nodes_by_the_guides_commands_carry_out_a_run(tmp_path):
    guide = (ROOT / "engine" / "README.md").read_text()
    block = re.search(r"A cluster of several\s+machines.*?```sh\n(.*?)```", guide, re.DOTALL)[1]
    assert block.count("ray start") == 2
    port = str(own_port())
    block = re.sub(r"HEAD=[\d.]+", "HEAD=127.0.0.1", block).replace("6379", port)
    joined, running = block.rsplit("tuneboard", 1)
    (tmp_path / "rows.csv").write_bytes(csv_bytes())
    run = spec("rows.csv", optimizer=Named(name="LabeledFewShot"))
    (tmp_path / "SPEC.json").write_text(run.model_dump_json())
    script = f"set -e\ntuneboard() {{ python -m engine \"$@\"; }}\n{joined}\npython -c '{ASK_NODES}'\ntuneboard{running}"
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # Ray's sockets have long names
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "TUNEBOARD_HOME": str(tmp_path / "data"),
            "RAY_TMPDIR": short,
        }
        try:
            done = subprocess.run(
                ["bash", "-c", script],
                env=environment,
                cwd=tmp_path,
                stdout=(log := (tmp_path / "log").open("w")),
                stderr=subprocess.STDOUT,
                timeout=400,
            )
        finally:
            end_all(f"RAY_TMPDIR={short}")
            log.close()
    words = (tmp_path / "log").read_text()
    assert done.returncode == 0, words
    assert "NODES 2" in words
    assert "Starting workers on the Ray cluster" in words
    assert "Test rows" in words
