"""The worker process: a run from claim to export, killed anywhere and resumed, paused, stopped, failed."""

import contextlib
import hashlib
import io
import signal
import subprocess
import zlib
from pathlib import Path

import pytest
from rich.console import Console
from support.ports import own_port
from support.run_setup import (
    add_data,
    add_run,
    answer,
    answers_kept,
    csv_bytes,
    kill,
    server_model,
    start_worker,
    wait_for,
    wait_for_looks,
)
from support.servers.openai_server import OpenAIServer, default_answer

import engine
from engine.basics.text import percent
from engine.cli.tune import report
from engine.dataset import read_dataset
from engine.errors import NotFoundError, RunError
from engine.pipeline.templates import get_sample
from engine.runs.results.report import run_report
from engine.runs.spec import Named, sample_bytes, sample_draft
from engine.runs.worker import work
from engine.search.budget import Budget
from engine.store.store import Store

MIPRO = Named(name="MIPROv2", options={"auto": "light"})


def shape(home, run_id):
    """What must be the same however often the run was interrupted."""
    with Store.open(home, read_only=True) as store:
        run = store.runs.get(run_id)
        trials = [
            (t.number, t.candidate_id, t.split, t.label, t.score, t.rows_done)
            for t in store.trials.all(run_id)
        ]
        candidates = [(c.id, c.number) for c in store.trials.candidates(run_id)]
        return run.state, run.result.best_candidate, run.result.verdict, trials, candidates


def test_a_run_from_start_to_export(home):
    run_id = add_run(home, optimizer=MIPRO)
    assert work(home, run_id) == 0
    with Store.open(home, read_only=True) as store:
        run = store.runs.get(run_id)
        trials = store.trials.all(run_id)
        assert run.state == "finished"
        assert run.phase == ""
        assert run.calls > 0
        result = run.result
        assert {t.split for t in trials} >= {"validation", "test"}
        assert trials[0].label == "baseline"
        assert [t.number for t in trials] == list(range(1, len(trials) + 1))
        assert all(t.state == "finished" and t.rows_done == t.rows_total for t in trials)
        assert all(len(store.trials.outcomes(run_id, t.number)) == t.rows_total for t in trials)
        best = next(c for c in store.trials.candidates(run_id) if c.id == result.best_candidate)
        assert best.score == result.best.validation
        assert any(t.candidate_id == best.id for t in trials)
        kinds = [e.kind for e in store.events.all(run_id)]
        assert {"candidate_found", "trial_finished", "verdict"} <= set(kinds)
    assert result.verdict.sentence
    assert result.usage.calls == run.calls
    assert result.baseline.test is not None
    program = engine.load(result.export_path)
    surely = result.verdict.kind == "better"
    assert program.candidate().id == (result.best_candidate if surely else result.seed_candidate)
    assert Path(result.script_path).exists()


def test_an_optimizer_that_scores_nothing_ends_with_the_result_validated(home):
    run_id = add_run(home, optimizer=Named(name="LabeledFewShot"))
    assert work(home, run_id) == 0
    with Store.open(home, read_only=True) as store:
        result = store.runs.get(run_id).result
    assert result.best.validation is not None
    assert result.baseline.validation is not None
    assert result.best.test is not None


def test_next_to_a_prompt_that_retrieves_the_best_static_one_is_tested(home):
    sample = get_sample("support_tickets")
    content = sample_bytes(sample.file)
    table, digest = read_dataset(content, sample.file), hashlib.sha256(content).hexdigest()
    with Store.open(home) as store:
        stored = store.datasets.add(sample.file, content, digest, table.columns, len(table), "sample")
        draft = sample_draft(sample, stored)
        changes = {"budget": Budget(calls=330), "split": draft.split.model_copy(update={"sample": 100})}
        run = draft.model_copy(update=changes).to_run(digest)
        run_id = store.runs.create(store.projects.create("P", {}), run.model_dump(mode="json"), "A run")
    assert work(home, run_id) == 0
    with Store.open(home, read_only=True) as store:
        run, trials = store.runs.get(run_id), store.trials.all(run_id)
        states = {c.id: c.candidate.steps for c in store.trials.candidates(run_id)}
    result, static = run.result, run.result.static
    assert any(s.nearest for s in states[result.best_candidate].values())
    assert not any(s.nearest for s in states[static.candidate].values())
    assert run.calls > 330 - 30  # with a third prompt to test in mind, or its rows would not have fitted
    assert [(t.label, t.rows_done) for t in trials if t.split == "test"] == [
        ("baseline", 30),
        ("best", 30),
        ("static", 30),
    ]
    out = io.StringIO()
    report(run, Console(file=out, width=300))
    scores = f"{percent(static.test).removesuffix(' %')} against {percent(result.best.test)}"
    sentence = f"The best fixed prompt, which looks nothing up for an input, scores on the test rows, against the best one: {scores}, "
    with Store.open(home, read_only=True) as store:
        page = run_report(store, run_id)
    assert sentence in out.getvalue()
    assert f"--candidate {static.candidate}" in out.getvalue()
    assert sentence in page
    assert "(best fixed)" in page
    assert result.credits[0].step in states[result.best_candidate]


def run_killed_at(home, server, run_id, points):
    """Run a worker, killing it at each number of served answers, when it has kept them all; then let it end."""
    for point in points:
        server.hang_after(point)
        process = start_worker(home, run_id)
        wait_for(
            lambda p=point, child=process: (
                child.poll() is not None
                or (sum(server.served.values()) >= p and server.active == server.hanging)
            )
        )
        assert process.poll() is None, "The run ended before it could be killed: choose earlier points."
        wait_for(lambda: answers_kept(home) == sum(server.served.values()))
        kill(process)
        server.recover()
    process = start_worker(home, run_id)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


@pytest.mark.parametrize("optimizer", [None, MIPRO], ids=["random search", "mipro"])
def test_killed_at_several_points_it_ends_the_same_and_pays_for_nothing_twice(
    tmp_path, monkeypatch, optimizer
):
    changes = {} if optimizer is None else {"optimizer": optimizer}
    with OpenAIServer(answer, latency=0.01) as server:
        whole = tmp_path / "whole"
        monkeypatch.setenv("TUNEBOARD_HOME", str(whole))
        undisturbed = add_run(whole, model=server_model(server.url), **changes)
        assert work(whole, undisturbed) == 0
        bought = sum(server.served.values())
        assert set(server.served.values()) == {1}
        server.forget()
        broken = tmp_path / "broken"
        monkeypatch.setenv("TUNEBOARD_HOME", str(broken))
        killed = add_run(broken, model=server_model(server.url), **changes)
        # In the baseline, early and late in the search, and in the final test.
        points = [3, bought // 3, bought * 2 // 3, bought - 6]
        run_killed_at(broken, server, killed, points if optimizer is None else points[1:3])
        assert set(server.served.values()) == {1}
        assert sum(server.served.values()) == bought
    assert shape(broken, killed) == shape(whole, undisturbed)
    with Store.open(broken, read_only=True) as store, Store.open(whole, read_only=True) as other:
        after, before = store.runs.get(killed), other.runs.get(undisturbed)
        assert after.calls == before.calls == bought
        assert after.usage.tokens == before.usage.tokens


def test_two_processes_find_the_same(tmp_path):
    # A set's order differs between processes: nothing that is decided may hang on it.
    found = []
    for seed in ("1", "2"):
        run_id = add_run(tmp_path / seed, optimizer=MIPRO)
        process = start_worker(tmp_path / seed, run_id, PYTHONHASHSEED=seed)
        process.communicate(timeout=300)
        found.append(shape(tmp_path / seed, run_id))
    assert found[0] == found[1]


def test_killed_without_warning_it_resumes(tmp_path):
    # Answers may be on their way when it dies: those, at most one per slot, are the only ones asked for again.
    with OpenAIServer(answer, latency=0.005) as server:
        run_id = add_run(tmp_path, model=server_model(server.url), concurrency=4)
        server.hang_after(30)
        process = start_worker(tmp_path, run_id)
        wait_for(lambda: sum(server.served.values()) >= 30, process=process)
        kill(process)
        server.recover()
        with Store.open(tmp_path, read_only=True) as store:
            assert store.runs.get(run_id).state == "running"  # nobody has noticed yet
        process = start_worker(tmp_path, run_id)
        process.communicate(timeout=300)
        assert process.returncode == 0
        assert sum(n - 1 for n in server.served.values()) <= 4
    assert shape(tmp_path, run_id)[0] == "finished"


def test_sigterm_keeps_the_best_and_tests_it(tmp_path):
    with OpenAIServer(answer, latency=0.02) as server:
        run_id = add_run(tmp_path, model=server_model(server.url), concurrency=2)
        server.hold(after=40)
        process = start_worker(tmp_path, run_id)
        wait_for(lambda: server.held == 2, process=process)
        process.send_signal(signal.SIGTERM)
        server.release()
        process.communicate(timeout=300)
        assert process.returncode == 0
        with Store.open(tmp_path, read_only=True) as store:
            run = store.runs.get(run_id)
            assert run.state == "stopped"
            assert run.result.stopped == "stopped"
            assert run.result.best.test is not None
            assert Path(run.result.export_path).exists()
        # A stopped run can go on to its end.
        assert work(tmp_path, run_id) == 0
        assert set(server.served.values()) == {1}
    assert shape(tmp_path, run_id)[0] == "finished"


def ends(process):
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)
    return process.poll() is not None


def test_a_second_sigterm_gives_up_at_once(tmp_path):
    with OpenAIServer(answer) as server:
        run_id = add_run(tmp_path, model=server_model(server.url))
        server.hold(after=8)
        process = start_worker(tmp_path, run_id)
        wait_for(lambda: server.held == 4, process=process)
        process.send_signal(signal.SIGTERM)
        wait_for_looks(tmp_path, run_id)
        assert process.poll() is None, "it waits for calls under way"
        assert server.held == 4
        # Two signals that come before the first is noticed are one, so there may have to be a third.
        wait_for(lambda: process.send_signal(signal.SIGTERM) or ends(process))
        process.communicate()
    with Store.open(tmp_path, read_only=True) as store:
        run = store.runs.get(run_id)
        assert run.state == "stopped"
        assert "not tested" in run.message


def test_pause_resume_and_stop_through_the_store(tmp_path):
    with OpenAIServer(answer, latency=0.02) as server, Store.open(tmp_path) as store:
        run_id = add_run(tmp_path, model=server_model(server.url), concurrency=2)
        server.hold(after=10)
        process = start_worker(tmp_path, run_id)
        wait_for(lambda: server.held == 2, process=process)
        store.runs.request_pause(run_id)
        wait_for_looks(tmp_path, run_id)
        server.release()
        wait_for(lambda: store.runs.get(run_id).state == "paused")
        wait_for(lambda: server.active == 0)  # the calls under way are finished first
        calls = server.calls
        wait_for_looks(tmp_path, run_id)
        assert server.calls == calls
        assert store.runs.get(run_id).state == "paused"
        server.hold(after=2)
        store.runs.request_resume(run_id, "")
        wait_for(lambda: server.held == 2, process=process)
        assert store.runs.get(run_id).state == "running"
        store.runs.request_pause(run_id)
        wait_for_looks(tmp_path, run_id)
        server.release()
        wait_for(lambda: store.runs.get(run_id).state == "paused")
        store.runs.request_stop(run_id)  # while paused
        process.communicate(timeout=300)
        assert process.returncode == 0
        assert store.runs.get(run_id).state == "stopped"
        assert store.runs.get(run_id).result.best.test is not None


def test_a_deleted_project_ends_its_worker(tmp_path):
    with OpenAIServer(answer, latency=0.05) as server, Store.open(tmp_path) as store:
        run_id = add_run(tmp_path, model=server_model(server.url), concurrency=1)
        server.hold(after=3)
        process = start_worker(tmp_path, run_id)
        wait_for(lambda: server.held == 1, process=process)
        store.projects.delete(store.projects.all()[0].id)
        process.communicate(timeout=300)
        assert process.returncode != 0
        assert store.runs.all() == []


def test_rows_show_up_while_a_trial_runs(tmp_path):
    with OpenAIServer(answer) as server, Store.open(tmp_path, read_only=True) as store:
        run_id = add_run(tmp_path, model=server_model(server.url), concurrency=1)
        server.hold(after=5)
        process = start_worker(tmp_path, run_id)
        trial = wait_for(
            lambda: next((t for t in store.trials.all(run_id) if 0 < t.rows_done < t.rows_total), None)
        )
        assert trial.state == "running"
        assert store.runs.get(run_id).phase == "Scoring the starting prompt"
        kill(process)


def completion(content, finish):
    message = {"role": "assistant", "content": content}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("misbehave", "expected"),
    [
        (lambda s: s.fail_with(401), "key"),
        (lambda s: s.fail_with(404), "test-model"),
        (lambda s: s.html(), "web page"),
        (lambda s: s.fail_with(200, completion("", "stop")), "without content"),
        (lambda s: s.fail_with(200, completion("", "length")), "shelf"),
    ],
    ids=["401", "404", "html", "blank", "cut off"],
)
def test_an_endpoint_that_does_not_work_is_one_sentence(home, monkeypatch, misbehave, expected):
    with OpenAIServer(answer) as server:
        misbehave(server)
        run_id = add_run(
            home, model=server_model(server.url), dataset=add_data(home, csv_bytes(12)), concurrency=16
        )
        assert work(home, run_id) == 1
        assert server.calls < 200
    with Store.open(home, read_only=True) as store:
        run = store.runs.get(run_id)
    assert run.state == "failed"
    assert expected.lower() in run.message.lower()
    assert "\n" not in run.message
    assert "Traceback" not in run.message
    log = (home / "logs" / f"{run_id}.log").read_text()
    assert "Traceback" in log


def test_an_endpoint_that_never_answers_ends_the_run_after_the_first_time_outs(home):
    with OpenAIServer(answer) as server:
        server.hang()
        model = server_model(server.url).model_copy(update={"timeout": 1.0})
        run_id = add_run(home, model=model, concurrency=8)
        assert work(home, run_id) == 1
        assert server.calls == 8
    with Store.open(home, read_only=True) as store:
        run = store.runs.get(run_id)
    assert "has answered none of the first 4 requests" in run.message
    assert "within 1 s" in run.message


def test_an_endpoint_that_has_answered_once_is_waited_for(home):
    with OpenAIServer(answer) as server:
        server.fail_with(500, headers={"Retry-After": "0"}, times=1)
        server.hang(times=7)
        model = server_model(server.url).model_copy(update={"timeout": 1.0})
        run_id = add_run(home, model=model, concurrency=8, optimizer=Named(name="LabeledFewShot"))
        assert work(home, run_id) == 0


def test_nothing_listens_there(home):
    url = f"http://127.0.0.1:{own_port()}/v1"
    run_id = add_run(home, model=server_model(url), dataset=add_data(home, csv_bytes(12)), concurrency=16)
    assert work(home, run_id) == 1
    with Store.open(home, read_only=True) as store:
        assert "127.0.0.1" in store.runs.get(run_id).message


def test_an_endpoint_that_goes_away_keeps_what_was_found_and_resumes(home):
    with OpenAIServer(answer) as server:
        run_id = add_run(home, model=server_model(server.url))
        original = server.answer
        state = {"n": 0}

        def failing(body):
            state["n"] += 1
            if state["n"] == 60:
                server.fail_with(401)
            return original(body)

        server.answer = failing
        assert work(home, run_id) == 1
        with Store.open(home, read_only=True) as store:
            assert store.runs.get(run_id).state == "failed"
            assert len(store.trials.all(run_id)) > 1
        server.recover()
        assert work(home, run_id) == 0
        assert set(server.served.values()) == {1}


@pytest.mark.parametrize("budget", [Budget(calls=70), Budget(tokens=12_000)], ids=["calls", "tokens"])
def test_a_budget_holds_and_the_best_is_tested(home, budget):
    run_id = add_run(home, budget=budget)
    assert work(home, run_id) == 0
    with Store.open(home, read_only=True) as store:
        run = store.runs.get(run_id)
    assert run.state == "finished"
    assert run.calls <= (budget.calls or run.calls)
    assert run.usage.tokens <= (budget.tokens or run.usage.tokens)
    assert run.result.best.test is not None
    if budget.tokens:
        assert run.result.stopped == "budget"
        assert "12,000 tokens" in run.message


def test_no_key_is_ever_written(home):
    with OpenAIServer(answer) as server:
        run_id = add_run(home, model={**server_model(server.url).model_dump(), "key_env": "OPENAI_API_KEY"})
        assert work(home, run_id) == 0
        assert server.headers[0]["Authorization"] == "Bearer sk-test-never-stored"
    for path in home.rglob("*"):
        if path.is_file():
            assert b"sk-test-never-stored" not in path.read_bytes(), path


def test_unknown_and_finished_runs_are_refused(home):
    with pytest.raises(NotFoundError, match="'nothing'"):
        work(home, "nothing")
    run_id = add_run(home, optimizer=Named(name="LabeledFewShot"))
    assert work(home, run_id) == 0
    with pytest.raises(RunError, match="finished already"):
        work(home, run_id)


def test_what_cannot_work_fails_in_a_sentence_before_anything_is_called(home, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    for changes, expected in (
        ({"dataset": "gone"}, "Upload the file again"),
        ({"dataset_hash": "other"}, "has changed"),
        ({"dataset": add_data(home, csv_bytes(5), "few.csv")}, "needs at least"),
        ({"mapping": {"text": "text", "shelf": "rack"}}, "'rack'"),
        ({"metric": Named(name="Bleu")}, "no metric 'Bleu'"),
        ({"optimizer": Named(name="Magic")}, "no optimizer 'Magic'"),
        ({"budget": Budget(calls=5)}, "too small"),
        ({"model": {"name": "openai/gpt-5-mini"}}, "OPENAI_API_KEY"),
    ):
        run_id = add_run(home, **changes)
        assert work(home, run_id) == 1
        with Store.open(home, read_only=True) as store:
            run = store.runs.get(run_id)
        assert (run.state, run.calls) == ("failed", 0)
        assert expected in run.message


def test_the_result_is_scored_on_rows_to_choose_by_without_their_own_answers(tmp_path):
    def answered(body):
        """Right where the very text is shown as an example; else for things that are shown, but for three texts in ten."""
        asked = str(body["messages"][-1]["content"])
        if "a " not in asked or "program_description" in str(body["messages"]):
            return default_answer(body)
        text = next((line for line in asked.splitlines() if line.startswith("a ")), "")
        shown = any(text in str(m["content"]) for m in body["messages"][1:-1])
        right = answer(body)
        wrong = {"red": "green", "green": "blue", "blue": "red"}
        if not text or shown or zlib.crc32(text.encode()) % 10 >= 3:
            return right
        return next((right.replace(shelf, other) for shelf, other in wrong.items() if shelf in right), right)

    with OpenAIServer(answered) as server:
        run_id = add_run(
            tmp_path,
            dataset=add_data(tmp_path, csv_bytes(300)),
            model=server_model(server.url),
            optimizer=Named(name="Autotune", options={"proposals": 0, "leave_out": ["readable"]}),
            budget=Budget(calls=600),
        )
        assert work(tmp_path, run_id) == 0
    with Store.open(tmp_path) as store:
        result = store.runs.get(run_id).result
        best = store.trials.candidate(run_id, result.best_candidate)
    assert any(state.nearest for state in best.steps.values()), result.reason
    assert result.best.validation < 0.9
    assert abs(result.best.validation - result.best.test) < 0.2
