"""The final test: its price while a run goes on, a run stopped without it, and the test finished later."""

import signal
from dataclasses import astuple, replace

import pytest
from support.run_setup import (
    add_run,
    answer,
    held_run,
    kill,
    let_end,
    served,
    server_model,
    start_worker,
    wait_for,
    wait_for_looks,
)
from support.servers.openai_server import OpenAIServer

from engine import load
from engine.cli.tune import run_target
from engine.export.hero import result_sentences
from engine.records import Usage
from engine.runs.results.exports import take_prompt
from engine.runs.results.more_scores import ask_final_test
from engine.runs.results.report import run_report
from engine.runs.worker import work
from engine.search.budget import Budget
from engine.store.store import Store

ESTIMATE = {
    "calls": {"low": 50, "high": 100},
    "usd": {"low": 0.5, "high": 1.0},
    "seconds": {"low": 5.0, "high": 10.0},
}


def price_of(store, run_id):
    """What the run's page says of its final test."""
    return store.runs.get(run_id).test_cost


def figures(store, run_id):
    """A run's result but for what depends on the moment: times, meters, paths, and how the search ended."""
    result = store.runs.get(run_id).result
    prompts = {name: getattr(result, name) for name in ("baseline", "best", "static")}
    timeless = {name: figures and replace(figures, seconds_per_row=None) for name, figures in prompts.items()}
    moment = {"usage": Usage(), "seconds": 0.0, "export_path": "", "script_path": "", "reason": ""}
    return replace(result, stopped="finished", **moment, **timeless)


@pytest.mark.parametrize("at", [3, 45, 70])
def test_a_stop_makes_the_calls_that_its_price_says(home, at):
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id, process = held_run(home, server, at)
        said = wait_for(lambda: price_of(store, run_id))
        store.runs.request_stop(run_id)
        wait_for_looks(home, run_id)
        assert let_end(server, process) == said.calls > 0
        run = store.runs.get(run_id)
        assert run.state == "stopped"
        assert run.result.final_test is None
        assert "final_test" not in (run.estimate or {}), "it is over"


def test_answers_in_the_cache_are_not_in_the_price(home):
    with OpenAIServer(answer) as server, Store.open(home) as store:
        first = add_run(home, model=server_model(server.url))
        assert work(home, first) == 0
        rows = store.runs.get(first).result.verdict.rows
        changed = {
            "name": "BootstrapFewShotWithRandomSearch",
            "options": {"num_candidate_programs": 4, "max_bootstrapped_demos": 1, "max_labeled_demos": 5},
        }  # other prompts than the first run's, but for the start
        run_id, process = held_run(home, server, 14, optimizer=changed)
        said = wait_for(lambda: price_of(store, run_id))
        store.runs.request_stop(run_id)
        wait_for_looks(home, run_id)
        assert said.words == "0 calls, every answer is known", "the start is still the best"
        assert let_end(server, process) == 0
        assert store.runs.get(run_id).result.verdict.rows == rows


def test_before_a_row_is_measured_the_price_is_the_estimates_and_then_its_own(home):
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id, process = held_run(home, server, 0)
        with store.transaction():
            pass
        kill(process)
        rows = price_of(store, run_id).calls
        assert astuple(price_of(store, run_id)) == (rows, None, None), "no estimate, nothing measured"
        server.release()
    with OpenAIServer(answer) as server, Store.open(home) as store:
        spec = store.runs.get(run_id).spec | {"model": server_model(server.url).model_dump(mode="json")}
        other = store.runs.create(store.runs.get(run_id).project_id, spec, "Estimated", ESTIMATE)
        server.hold()
        process = start_worker(home, other)
        said = wait_for(lambda: price_of(store, other))
        assert astuple(said) == pytest.approx((rows, rows * 0.01, rows * 0.1))
        assert store.runs.get(other).estimate.keys() == {*ESTIMATE, "final_test"}
        kill(process)


def test_stopped_without_the_test_nothing_is_called_and_nothing_is_proven(home):
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id, process = held_run(home, server, 70)
        said = price_of(store, run_id)
        store.runs.request_stop(run_id, untested=True)
        wait_for_looks(home, run_id)
        assert let_end(server, process) == 0
        run = store.runs.get(run_id)
        assert (run.state, run.result.stopped) == ("stopped", "stopped")
        assert "without the final test" in run.message
        verdict, left = run.result.verdict, run.result.final_test
        assert verdict.kind == "not_tested"
        assert verdict.sentence.startswith("Not tested yet: prompt ")
        assert " of 12 validation rows against " in verdict.sentence
        assert run.result.taken_candidate == run.result.seed_candidate != run.result.best_candidate
        assert run.result.proof == ()
        assert run.result.best.test is None
        assert (left.calls, left.scored, left.why) == (said.calls, 0, "")
        assert not [t for t in store.trials.all(run_id) if t.split == "test"]
        assert f"The final test takes {said.calls} calls" in " ".join(result_sentences(run.result))
        assert "Not tested yet" in run_report(store, run_id)
        before = served(server)
        assert ask_final_test(store, run_id)
        assert work(home, run_id) == 0
        run = store.runs.get(run_id)
        assert served(server) - before == said.calls
        assert set(server.served.values()) == {1}
        assert (run.state, run.result.final_test) == ("stopped", None)
        assert run.result.verdict.kind != "not_tested"
        assert run.result.proof
        assert run.result.usage.calls == run.calls == served(server)
        # A stopped run can still go on to the end of its search.
        again = start_worker(home, run_id)
        again.communicate(timeout=300)
        assert again.returncode == 0
        assert store.runs.get(run_id).state == "finished"
        assert set(server.served.values()) == {1}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run: how many calls it makes, and its figures."""
    home = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch, OpenAIServer(answer) as server, Store.open(home) as store:
        patch.setenv("TUNEBOARD_HOME", str(home))
        patch.setenv("OPENAI_API_KEY", "sk-test-never-stored")
        run_id = add_run(home, model=server_model(server.url), concurrency=2)
        assert work(home, run_id) == 0
        return served(server), figures(store, run_id)


@pytest.mark.parametrize("how", ["page", "signal"])
def test_a_stop_in_the_final_test_leaves_it_whole(home, whole, how):
    calls, expected = whole
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id, process = held_run(home, server, calls - 6)
        assert store.runs.get(run_id).phase.startswith("Testing")
        assert 4 <= wait_for(lambda: price_of(store, run_id)).calls <= 24
        if how == "page":
            store.runs.request_stop(run_id)
        else:
            process.send_signal(signal.SIGTERM)
        wait_for_looks(home, run_id)
        let_end(server, process)
        assert store.runs.get(run_id).state == "finished"
        assert figures(store, run_id) == expected


def test_a_test_that_was_stopped_gives_no_verdict_and_is_finished_later(home, whole):
    calls, expected = whole
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id, process = held_run(home, server, calls - 6)
        store.runs.request_stop(run_id, untested=True)
        wait_for_looks(home, run_id)
        assert let_end(server, process) == 0
        run = store.runs.get(run_id)
        assert (run.state, run.result.verdict.kind) == ("stopped", "not_tested")
        assert run.result.final_test.calls == calls - served(server) == 4
        ask_final_test(store, run_id)
        server.hold(after=2)  # killed in the middle of it, it goes on
        process = start_worker(home, run_id)
        wait_for(lambda: server.held == 2, process=process)
        kill(process)
        server.release()
        assert work(home, run_id) == 0
        assert set(server.served.values()) <= {1, 2}
        assert sum(n - 1 for n in server.served.values()) <= 2, "the two under way when it was killed"
        run = store.runs.get(run_id)
        assert (run.state, run.message) == ("finished", "")
        assert figures(store, run_id) == expected


def test_finishing_that_is_stopped_leaves_the_result_as_it_was(home):
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id, process = held_run(home, server, 45)
        store.runs.request_stop(run_id, untested=True)
        wait_for_looks(home, run_id)
        let_end(server, process)
        before = store.runs.get(run_id).result
        ask_final_test(store, run_id)
        server.hold(after=4)
        process = start_worker(home, run_id)
        wait_for(lambda: server.held == 2, process=process)
        store.runs.request_stop(run_id)
        wait_for_looks(home, run_id)
        let_end(server, process)
        run = store.runs.get(run_id)
        assert (run.state, run.result) == ("stopped", before)
        assert store.requests.all(run_id)[-1].refused
        ask_final_test(store, run_id)
        assert work(home, run_id) == 0
        assert store.runs.get(run_id).result.final_test is None
        assert set(server.served.values()) == {1}


def test_rows_that_a_limit_leaves_out_are_said_and_can_be_scored(home):
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id = add_run(home, model=server_model(server.url), budget=Budget(calls=45))
        assert work(home, run_id) == 0
        result = store.runs.get(run_id).result
        left, rows = result.final_test, result.verdict.rows
        assert 0 < rows == left.scored < left.rows
        said = next(s for s in result_sentences(result) if "test rows" in s and "were scored" in s)
        assert said.startswith(f"{rows} of {left.rows} test rows were scored: The ")
        assert said.endswith(f"The missing rows take {left.cost.words}.")
        assert said.split(":")[0] in run_report(store, run_id)
        before = served(server)
        assert run_target(run_id, finish_test=True) == 0
        assert served(server) - before == left.calls > 0
        result = store.runs.get(run_id).result
        assert result.final_test is None
        assert result.verdict.rows == left.rows
        assert result.best.tokens_per_row > 0.8 * result.baseline.tokens_per_row > 0


def test_a_second_signal_says_what_the_test_would_take(home):
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id, process = held_run(home, server, 45)
        said = price_of(store, run_id)
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            wait_for_looks(home, run_id) if process.poll() is None and _ == 0 else None
        process.communicate(timeout=300)
        run = store.runs.get(run_id)
        assert run.state == "stopped"
        assert f"it was not tested. The final test takes {said.calls} calls" in run.message


def test_a_prompt_that_the_user_took_before_the_test_stays_taken(home):
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id, process = held_run(home, server, 70)
        store.runs.request_stop(run_id, untested=True)
        wait_for_looks(home, run_id)
        let_end(server, process)
        other = store.trials.candidates(run_id)[1].id
        assert other not in (store.runs.get(run_id).taken, store.runs.get(run_id).result.best_candidate)
        take_prompt(home, store, run_id, other)
        ask_final_test(store, run_id)
        assert work(home, run_id) == 0
        run = store.runs.get(run_id)
        assert run.result.final_test is None
        assert run.taken == other
        assert load(run.result.export_path).candidate().id == other
