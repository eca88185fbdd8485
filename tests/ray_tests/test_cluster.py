"""Whole runs on a real Ray cluster of two nodes: as on one machine, also when a worker is killed."""

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from ray_tests.conftest import worker_pids
from support import run_setup
from support.servers.openai_server import OpenAIServer

from engine.lm import cache
from engine.runs.worker import work
from engine.search.backends.contract import BackendChoice
from engine.store.store import Store

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own

KEY = "sk-test-never-stored-9c41"


def carried_out(home, server, monkeypatch, backend=None, **changes):
    """A run's row and its trials, each with its outcomes without their times."""
    monkeypatch.setenv("TUNEBOARD_HOME", str(home))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    run_id = run_setup.add_run(home, model=run_setup.server_model(server.url), **changes)
    work(home, run_id, backend)
    cache.default_cache().close()
    with Store.open(home, read_only=True) as store:
        run = store.runs.get(run_id)
        trials = {
            (trial.candidate_id, trial.label, trial.split): [
                replace(outcome, seconds=0.0) for outcome in store.trials.outcomes(run_id, trial.number)
            ]
            for trial in store.trials.all(run_id)
        }
    return run, trials


def assert_same(there, here):
    (run, trials), (expected, expected_trials) = there, here
    assert run.state == "finished", run.message
    assert run.result["best_candidate"] == expected.result["best_candidate"]
    assert (run.calls, run.input_tokens, run.output_tokens) == (
        expected.calls,
        expected.input_tokens,
        expected.output_tokens,
    )
    assert trials == expected_trials


def kept_texts(*folders):
    for folder in folders:
        for path in Path(folder).rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 50_000_000:
                yield path, path.read_bytes()


def test_a_run_on_two_nodes_is_the_same_as_here_also_when_a_worker_is_killed(cluster, tmp_path, monkeypatch):
    with OpenAIServer(answer=run_setup.answer) as server:
        here = carried_out(tmp_path / "here", server, monkeypatch)
        paid = server.calls
        on_ray = BackendChoice(name="ray", address=cluster.address)
        server.hold(after=paid + 20)
        killed = []

        def kill():
            run_setup.wait_for(lambda: server.calls >= paid + 22)
            pids = worker_pids(cluster)
            killed.extend(pids[:1])
            os.kill(pids[0], signal.SIGKILL)
            run_setup.wait_for(lambda: pids[0] not in worker_pids(cluster))
            server.release()

        thread = threading.Thread(target=kill)
        thread.start()
        there = carried_out(tmp_path / "there", server, monkeypatch, on_ray)
        thread.join()
        assert killed
        assert_same(there, here)
        assert server.calls == 2 * paid
        logs = cluster.head_node.get_logs_dir_path()
        found = [path for path, text in kept_texts(tmp_path, logs) if KEY.encode() in text]
        assert not found


def test_a_budget_holds_and_the_offline_model_runs_on_the_nodes(cluster, tmp_path, monkeypatch):
    on_ray = BackendChoice(name="ray", address=cluster.address)
    results = []
    for name, backend in (("here", None), ("there", on_ray)):
        home = tmp_path / name
        monkeypatch.setenv("TUNEBOARD_HOME", str(home))
        run_id = run_setup.add_run(home, budget={"calls": 90})
        work(home, run_id, backend)
        cache.default_cache().close()
        with Store.open(home, read_only=True) as store:
            run = store.runs.get(run_id)
        assert run.state == "finished", run.message
        results.append((run.result["best_candidate"], run.calls))
    assert results[0] == results[1]
    assert results[1][1] <= 90


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:9", "No Ray cluster answers at '127.0.0.1:9'"),
        ("ray://127.0.0.1:10001", "is no address of a Ray cluster"),
        ("nonsense", "is no address of a Ray cluster"),
    ],
)
def test_an_address_without_a_cluster_is_one_sentence(tmp_path, monkeypatch, address, words):
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path))
    run_id = run_setup.add_run(tmp_path)
    assert work(tmp_path, run_id, BackendChoice(name="ray", address=address)) == 1
    with Store.open(tmp_path, read_only=True) as store:
        assert words in store.runs.get(run_id).message
