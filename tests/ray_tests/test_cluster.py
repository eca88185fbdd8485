"""Whole runs on a real Ray cluster of two nodes: as on one machine, also when a worker is killed."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ray._raylet import GcsClient
from ray_tests.conftest import worker_pids
from support import run_setup
from support.servers.openai_server import Failure, OpenAIServer

from engine.lm.calls import cache
from engine.runs.spec import Named
from engine.runs.worker import work
from engine.search.backend import BackendChoice
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
    assert run.result.best_candidate == expected.result.best_candidate
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


def test_several_models_are_compared_as_here(cluster, tmp_path, monkeypatch):
    def answer(body):
        if body["model"] == "test-model":
            return run_setup.answer(body)
        thing = next(t for t in run_setup.THINGS if t in str(body["messages"][-1]["content"]))
        shelf = run_setup.COLOURS[run_setup.THINGS.index(thing) % 3]
        return f"[[ ## shelf ## ]]\n{shelf}\n\n[[ ## completed ## ]]"

    with OpenAIServer(answer=answer) as server:
        other = run_setup.server_model(server.url).model_copy(update={"name": "openai/other-model"})
        asked = {"models": (other,), "optimizer": Named(name="LabeledFewShot")}
        here = carried_out(tmp_path / "here", server, monkeypatch, **asked)
        paid = server.calls
        on_ray = BackendChoice(name="ray", address=cluster.address)
        there = carried_out(tmp_path / "there", server, monkeypatch, on_ray, **asked)
        assert_same(there, here)
        assert server.calls == 2 * paid
        assert {body["model"] for body in server.requests[paid:]} == {"test-model", "other-model"}


def test_a_wait_that_the_endpoint_asks_of_one_worker_holds_for_all(cluster, tmp_path, monkeypatch):
    most, wait, at_once = 3, 0.4, 8
    arrivals = []

    def refuse_more(_):
        refused = server.active > most
        arrivals.append((time.monotonic(), refused))
        return Failure(429, headers={"Retry-After": str(wait)}, body=b"{}") if refused else None

    with OpenAIServer(answer=run_setup.answer, latency=0.1) as server:
        here = carried_out(tmp_path / "here", server, monkeypatch, concurrency=at_once)
        paid = server.calls
        server.faults = refuse_more
        on_ray = BackendChoice(name="ray", address=cluster.address)
        there = carried_out(tmp_path / "there", server, monkeypatch, on_ray, concurrency=at_once)
        assert_same(there, here)
        assert sum(server.served.values()) == 2 * paid
    refusals = [at for at, refused in arrivals if refused]
    assert refusals
    for refusal in refusals:
        meanwhile = [at for at, _ in arrivals if refusal < at < refusal + wait]
        assert len(meanwhile) < at_once, "only what was on its way may arrive"


def test_a_run_pauses_and_goes_on(cluster, tmp_path, monkeypatch):
    with OpenAIServer(answer=run_setup.answer) as server:
        here = carried_out(tmp_path / "here", server, monkeypatch)
        paid = server.calls
        server.hold(after=20)
        seen = []

        def pause():
            run_setup.wait_for(lambda: server.held)
            with Store.open(tmp_path / "there") as store:
                (run,) = store.runs.all()
                store.runs.request_pause(run.id)
                run_setup.wait_for_looks(tmp_path / "there", run.id)
                server.release()
                run_setup.wait_for(lambda: store.runs.get(run.id).state == "paused" and not server.active)
                seen.append(server.calls)
                run_setup.wait_for_looks(tmp_path / "there", run.id)
                seen.append(server.calls)
                store.runs.request_resume(run.id, "")

        thread = threading.Thread(target=pause)
        thread.start()
        on_ray = BackendChoice(name="ray", address=cluster.address)
        there = carried_out(tmp_path / "there", server, monkeypatch, on_ray)
        thread.join()
        assert_same(there, here)
        assert paid < seen[0] == seen[1] < server.calls == 2 * paid


@pytest.mark.parametrize(("part", "other"), [("python_version", "3.9.1"), ("ray_version", "2.0.0")])
def test_a_cluster_with_another_python_or_ray_is_one_sentence(cluster, tmp_path, monkeypatch, part, other):
    """Ray keeps the versions of a cluster in its own store, where it compares them with each process that connects."""
    place = {"namespace": b"cluster", "timeout": 10}
    kept = GcsClient(address=cluster.address)
    noted = kept.internal_kv_get(b"CLUSTER_METADATA", **place)
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path))
    run_id = run_setup.add_run(tmp_path)
    try:
        changed = json.dumps({**json.loads(noted), part: other}).encode()
        kept.internal_kv_put(b"CLUSTER_METADATA", changed, True, **place)
        assert work(tmp_path, run_id, BackendChoice(name="ray", address=cluster.address)) == 1
    finally:
        kept.internal_kv_put(b"CLUSTER_METADATA", noted, True, **place)
    with Store.open(tmp_path, read_only=True) as store:
        run = store.runs.get(run_id)
    assert "has another Ray or Python than this one" in run.message
    assert other in run.message
    assert run.calls == 0


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
        results.append((run.result.best_candidate, run.calls))
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
