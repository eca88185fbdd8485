"""Scores asked for after a run's end: written as a trial, counted on the run, stopped, killed, refused; the result stays."""

import sqlite3
from contextlib import closing

import pytest
from support.results import result_of
from support.run_setup import (
    add_run,
    answer,
    answers_kept,
    kill,
    server_model,
    start_worker,
    wait_for,
)
from support.servers.openai_server import OpenAIServer

from engine.errors import RunError
from engine.records import Candidate, StepState
from engine.runs.results.more_scores import LABEL, ScoreRequest, ask_score, state_of
from engine.runs.worker import work
from engine.search.result import UnfinishedTest
from engine.store.rows import SCORE
from engine.store.store import FILE_NAME, Store


def finished_run(home, server):
    run_id = add_run(home, model=server_model(server.url), concurrency=2)
    assert work(home, run_id) == 0
    return run_id


def untested(store, run_id):
    """A prompt of the run that was not tested."""
    return next(c.candidate for c in store.trials.candidates(run_id) if c.tested is None)


def wanted(candidate, split="test", **more):
    return ScoreRequest(candidate=candidate.as_dict(), split=split, **more)


def last_request(store, run_id):
    return [r for r in store.requests.all(run_id) if r.kind == SCORE][-1]


def test_a_prompt_is_tested_after_the_end_and_the_verdict_stays(home):
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id = finished_run(home, server)
        before, prompt = store.runs.get(run_id), untested(store, run_id)
        trials, kept = store.trials.all(run_id), answers_kept(home)
        assert ask_score(store, run_id, wanted(prompt))
        assert store.runs.get(run_id).state == "queued"
        assert work(home, run_id) == 0
        run = store.runs.get(run_id)
        assert (run.state, run.message, run.phase) == ("finished", "", "")
        assert run.result == before.result
        *earlier, new = store.trials.all(run_id)
        assert earlier == trials
        assert (new.number, new.candidate_id, new.split) == (len(trials) + 1, prompt.id, "test")
        assert (new.label, new.state, new.rows_done) == (LABEL, "finished", new.rows_total)
        paid = answers_kept(home) - kept
        assert run.calls - before.calls == paid == new.rows_total
        assert last_request(store, run_id).answer.startswith("Done: it scores ")
        assert next(c for c in store.trials.candidates(run_id) if c.id == prompt.id).tested == new.score


def test_a_new_version_of_a_prompt_is_scored_like_any_other(home):
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id = finished_run(home, server)
        seed = store.trials.candidates(run_id)[0].candidate
        child = seed.with_step("sort", instructions="Say on which shelf.").derived("Shorter.", seed)
        assert ask_score(store, run_id, wanted(child, "validation"))
        assert not ask_score(store, run_id, wanted(child, "test")), "one process answers both"
        assert work(home, run_id) == 0
        found = store.trials.candidates(run_id)[-1]
        assert (found.id, found.candidate.reason, found.candidate.parents) == (
            child.id,
            "Shorter.",
            (seed.id,),
        )
        assert found.rows == 12
        assert found.tested is not None
        assert all(r.answer.startswith("Done") for r in store.requests.all(run_id))


def test_rows_that_have_an_answer_are_not_asked_again(home):
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id = finished_run(home, server)
        best = store.trials.candidate(run_id, store.runs.get(run_id).result.best_candidate)
        (home / "cache.sqlite3").unlink()
        asked = sum(server.served.values())
        ask_score(store, run_id, wanted(best))
        assert work(home, run_id) == 0
        assert sum(server.served.values()) == asked
        assert store.trials.all(run_id)[-1].score == store.runs.get(run_id).result.best.test


def test_a_limit_of_calls_ends_it_and_keeps_the_rows(home):
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id = finished_run(home, server)
        prompt = untested(store, run_id)
        ask_score(store, run_id, wanted(prompt, calls=3))
        assert work(home, run_id) == 0
        cut = store.trials.all(run_id)[-1]
        assert (cut.state, cut.rows_done) == ("stopped", 3)
        assert last_request(store, run_id).answer.startswith(
            f"Not done: 3 of {cut.rows_total} rows are scored"
        )
        calls = store.runs.get(run_id).calls
        ask_score(store, run_id, wanted(prompt))
        assert work(home, run_id) == 0
        assert store.runs.get(run_id).calls - calls == cut.rows_total - 3


def test_a_killed_process_is_followed_by_one_that_pays_for_the_rest_only(home):
    with OpenAIServer(answer, latency=0.02) as server, Store.open(home) as store:
        run_id = finished_run(home, server)
        before, prompt = store.runs.get(run_id), untested(store, run_id)
        trials = len(store.trials.all(run_id))
        ask_score(store, run_id, wanted(prompt))
        server.hold(after=4)
        process = start_worker(home, run_id)
        wait_for(lambda: len(store.trials.all(run_id)) > trials and server.held, process=process)
        kill(process)
        server.release()
        assert store.runs.get(run_id).result == before.result
        assert work(home, run_id) == 0
        run, found = store.runs.get(run_id), store.trials.all(run_id)
        assert run.state == "finished"
        assert run.result == before.result
        assert len(found) == trials + 1
        assert found[-1].state == "finished"
        assert last_request(store, run_id).answer.startswith("Done")


def test_a_stop_keeps_what_was_scored_and_the_run_is_over_as_it_was(home):
    with OpenAIServer(answer, latency=0.02) as server, Store.open(home) as store:
        run_id = finished_run(home, server)
        prompt = untested(store, run_id)
        ask_score(store, run_id, wanted(prompt))
        server.hold(after=4)
        process = start_worker(home, run_id)
        wait_for(lambda: server.held, process=process)
        store.runs.request_stop(run_id)
        wait_for(lambda: store.runs.get(run_id).stop_requested)
        server.release()
        process.communicate(timeout=300)
        run = store.runs.get(run_id)
        assert run.state == "finished"
        assert run.result is not None
        assert last_request(store, run_id).answer


def test_a_model_that_is_gone_leaves_the_prompt_unscored_and_the_result_as_it_was(home):
    with Store.open(home) as store:
        with OpenAIServer(answer) as server:
            run_id = finished_run(home, server)
            prompt = untested(store, run_id)
        before = store.runs.get(run_id)
        ask_score(store, run_id, wanted(prompt))
        work(home, run_id)
        run = store.runs.get(run_id)
        assert (run.state, run.result) == ("finished", before.result)
        assert last_request(store, run_id).refused
        assert next(c for c in store.trials.candidates(run_id) if c.id == prompt.id).tested is None


def test_rows_that_are_gone_are_the_answer(home):
    with OpenAIServer(answer) as server, Store.open(home) as store:
        run_id = finished_run(home, server)
        ask_score(store, run_id, wanted(untested(store, run_id)))
        with closing(sqlite3.connect(home / FILE_NAME)) as other, other:
            other.execute("DELETE FROM datasets")
        work(home, run_id)
        assert "data" in last_request(store, run_id).answer
        assert store.runs.get(run_id).state == "finished"


def test_a_run_without_a_result_refuses(home):
    run_id = add_run(home)
    prompt = Candidate({"sort": StepState("Sort.")})
    with Store.open(home) as store, pytest.raises(RunError, match="no result yet"):
        ask_score(store, run_id, wanted(prompt))


def test_a_test_that_a_limit_cut_short_leaves_the_run_stopped():
    result = result_of(final_test=UnfinishedTest(60, 16, "The budget is used up.", calls=44))
    assert state_of(result) == ("stopped", "The final test lacks rows. The budget is used up.")
