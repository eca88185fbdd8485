"""A run whose endpoint, or one of them, goes away: it says so, and can be paused, stopped and gone on with meanwhile."""

import pytest
from support.run_setup import (
    add_data,
    add_run,
    answer,
    csv_bytes,
    server_model,
    start_worker,
    wait_for,
    wait_for_looks,
)
from support.servers.openai_server import OpenAIServer

from engine.runs.spec import Named
from engine.store.store import Store

COPRO = Named(name="COPRO", options={"breadth": 3, "depth": 1})


@pytest.fixture
def away(tmp_path):
    """A run that waits for an endpoint, with a long gap, its process, server and store."""
    with OpenAIServer(answer) as server, Store.open(tmp_path) as store:
        run_id = add_run(tmp_path, model=server_model(server.url), concurrency=4)
        process = start_worker(tmp_path, run_id)
        wait_for(lambda: server.calls >= 30, process=process)
        server.fail_with(429, headers={"Retry-After": "600"})
        wait_for(lambda: "No answer from 127" in store.runs.get(run_id).message, process=process)
        yield run_id, process, server, store
        process.kill()
        process.communicate()


def test_stop_at_once_does_not_wait_for_the_gap(away):
    run_id, process, _, store = away
    assert "one call in 10 min 0 s" in store.runs.get(run_id).message
    assert store.runs.get(run_id).state == "paused"
    assert any("No answer" in event.text for event in store.events.all(run_id))
    store.runs.request_stop(run_id, untested=True)
    process.communicate(timeout=60)
    assert store.runs.get(run_id).state == "stopped"


def test_no_call_is_made_while_it_is_also_paused(away):
    run_id, process, server, store = away
    store.runs.request_pause(run_id)
    wait_for(lambda: store.runs.get(run_id).message.startswith("Paused"), process=process)
    calls = server.calls
    store.runs.request_resume(run_id, "")
    wait_for(lambda: "No answer from 127" in store.runs.get(run_id).message, process=process)
    wait_for_looks(store.connection.path.parent, run_id)
    assert server.calls == calls


def test_a_prompt_model_that_is_away_is_waited_for(tmp_path):
    with OpenAIServer(answer) as task, OpenAIServer() as writer, Store.open(tmp_path) as store:
        writer.fail_with(200, {"choices": [{"message": {"content": answer_of_writer()}}]}, times=1)
        writer.fail_with(503)
        changes = {"optimizer": COPRO, "longest_gap": 0.2, "prompt_model": server_model(writer.url)}
        run_id = add_run(tmp_path, model=server_model(task.url), **changes)
        process = start_worker(tmp_path, run_id)
        wait_for(lambda: store.runs.get(run_id).state == "paused", process=process)
        writer.recover()
        process.communicate(timeout=120)
        assert store.runs.get(run_id).state == "finished"
        notes = [event.text for event in store.events.all(run_id)]
        assert not [note for note in notes if "proposal failed" in note]


def answer_of_writer():
    return "[[ ## proposed_instruction ## ]]\nSort.\n\n[[ ## completed ## ]]"


def test_a_call_that_cannot_be_answered_fails_its_row_alone(tmp_path):
    def answer_or_fail(body):
        if "number 7" in str(body["messages"][-1]["content"]):
            raise ValueError("a request that the server cannot take")
        return answer(body)

    with OpenAIServer(answer_or_fail) as server, Store.open(tmp_path) as store:
        changes = {"optimizer": Named(name="LabeledFewShot"), "concurrency": 1, "longest_gap": 0.1}
        changes["dataset"] = add_data(tmp_path, csv_bytes(15))
        run_id = add_run(tmp_path, model=server_model(server.url), **changes)
        start_worker(tmp_path, run_id).communicate(timeout=120)
        assert store.runs.get(run_id).state == "finished"
