"""Clusters that are not the usual one: started for a run alone, without Tuneboard, with another one."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster
from ray_tests.conftest import NODE
from support import run_setup
from support.servers.openai_server import OpenAIServer

import engine
from engine.runs.worker import work
from engine.search.backend import BackendChoice
from engine.store.store import Store

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow]

LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
LISTENS = "0A"


def descendants(pid):
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(pids):
    """The addresses, in hex, at which these processes listen."""
    owned = set()
    for pid in pids:
        try:
            links = (str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir())
            owned |= {link[8:-1] for link in links if link.startswith("socket:[")}
        except OSError:
            continue
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {parts[1].partition(":")[0] for parts in lines if parts[3] == LISTENS and parts[9] in owned}


def test_a_cluster_is_started_for_a_run_on_loopback_and_ends_with_it(tmp_path):
    with OpenAIServer(answer=run_setup.answer) as server:
        server.hold(after=20)
        run_id = run_setup.add_run(tmp_path, model=run_setup.server_model(server.url))
        environment = {**os.environ, "TUNEBOARD_HOME": str(tmp_path), "OPENAI_API_KEY": "sk-test"}
        environment.pop("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
        command = [sys.executable, "-m", "engine", "run", run_id, "--backend", "ray", "--address", "local"]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        run_setup.wait_for(lambda: server.calls >= 20, process=process)
        started = descendants(process.pid)
        addresses = listening(started)
        assert addresses
        assert addresses <= set(LOOPBACK)
        server.release()
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert "gains nothing from a Ray cluster" in said.replace("\n", " ")
    run_setup.wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))


def test_a_stop_ends_a_run_on_a_cluster_with_the_best_so_far(tmp_path):
    with OpenAIServer(answer=run_setup.answer) as server:
        server.hold(after=40)
        run_id = run_setup.add_run(tmp_path, model=run_setup.server_model(server.url))
        environment = {**os.environ, "TUNEBOARD_HOME": str(tmp_path), "OPENAI_API_KEY": "sk-test"}
        command = [sys.executable, "-m", "engine", "run", run_id, "--backend", "ray", "--address", "local"]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        run_setup.wait_for(lambda: server.calls >= 40, process=process)
        process.send_signal(signal.SIGTERM)
        server.release()
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    with Store.open(tmp_path, read_only=True) as store:
        run = store.runs.get(run_id)
    assert run.result.stopped == "stopped"


@pytest.mark.parametrize(
    ("whole", "words"), [(True, "has another Tuneboard"), (False, "has no Tuneboard like this")]
)
def test_a_cluster_without_this_tuneboard_is_one_sentence(tmp_path, monkeypatch, whole, words):
    theirs = tmp_path / "theirs" / "engine"
    if whole:
        shutil.copytree(Path(engine.__file__).parent, theirs, ignore=shutil.ignore_patterns("__pycache__"))
    theirs.mkdir(parents=True, exist_ok=True)
    with (theirs / "__init__.py").open("a") as file:
        file.write("\n# Another one.\n")
    monkeypatch.setenv("PYTHONPATH", str(theirs.parent))
    monkeypatch.chdir(tmp_path)  # Ray has its workers look in the driver's folder first
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "node_ip_address": "127.0.0.1"})
    try:
        home = tmp_path / "home"
        monkeypatch.setenv("TUNEBOARD_HOME", str(home))
        run_id = run_setup.add_run(home)
        assert work(home, run_id, BackendChoice(name="ray", address=cluster.address)) == 1
        with Store.open(home, read_only=True) as store:
            assert words in store.runs.get(run_id).message
    finally:
        cluster.shutdown()
