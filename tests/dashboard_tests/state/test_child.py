"""The children that work for a page: they ask a model, or read documents."""

from __future__ import annotations

import json
import sys

import pytest
from support.run_setup import PIPELINE, answer, server_model
from support.servers.openai_server import OpenAIServer

from dashboard.state import launching
from dashboard.state.playground import answer_input
from engine.errors import RunError
from engine.pipeline.build import build_program
from engine.runs.child.playground import PlaygroundRequest, PreviewRequest
from engine.runs.child.request import ConnectionRequest
from engine.runs.drafting import ImportedDocuments, ImportRequest, ImportSource
from engine.runs.spec import ModelChoice, Named
from engine.store.store import Store

pytestmark = pytest.mark.usefixtures("home")


def request(**changes):
    start = build_program(PIPELINE).candidate().as_dict()
    values = {"pipeline": PIPELINE, "candidates": {"start": start}, "inputs": {"text": "a small lamp"}}
    return PlaygroundRequest(**{**values, **changes})


def test_pieces_are_heard_before_the_answer_is_whole():
    heard = []
    with OpenAIServer(answer=answer) as server:
        server.piece_seconds = 0.2

        def hear(piece):
            heard.append((piece.text, sum(server.served.values())))

        (found,) = answer_input(request(model=server_model(server.url)), hear=hear)
    assert "".join(text for text, _ in heard) == found.answer["shelf"]
    assert heard[0][1] == 0, "it is heard while the endpoint is still writing"


def test_without_a_listener_only_the_answer_comes():
    (found,) = answer_input(request())
    assert found.answer["shelf"]


def test_a_few_rows_are_previewed():
    rows = {1: {"text": "a small lamp", "shelf": "red"}}
    (found,) = launching.child_result(
        "preview", PreviewRequest(pipeline=PIPELINE, rows=rows, metric=Named(name="ExactMatch"))
    )
    assert found["row"] == 1
    assert found["score"] in (0.0, 1.0)


def test_what_goes_wrong_is_one_sentence(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(RunError, match="needs an API key"):
        answer_input(request(model=ModelChoice(name="openai/gpt-5-mini")))
    with pytest.raises(RunError, match="Give a value for 'text'"):
        answer_input(request(inputs={}))


def test_a_model_that_hangs_is_given_up():
    with OpenAIServer(answer=answer, latency=60) as server, pytest.raises(RunError, match="did not answer"):
        launching.child_result("playground", request(model=server_model(server.url)), timeout=3.0)


def test_a_key_reaches_the_child_in_its_environment_only():
    with OpenAIServer(answer=answer, api_key="sk-mine") as server:
        model = ModelChoice(name="openai/test-model", base_url=server.url, key_env="MY_KEY")
        (found,) = launching.child_result("playground", request(model=model), {"MY_KEY": "sk-mine"})
    assert found["answer"]["shelf"]
    assert "sk-mine" not in json.dumps(found)


def test_a_child_that_is_left_early_is_ended():
    with OpenAIServer(answer=answer) as server:
        server.piece_seconds = 0.5
        answers = launching.ask_child("playground", request(model=server_model(server.url), stream=True))
        assert not next(answers).final
        answers.close()
        served = sum(server.served.values())
    assert served <= 1


def spent():
    with Store.open() as store:
        return dict(store.connection.read("SELECT task, calls FROM spend WHERE user = ''"))


def test_what_pages_ask_counts_and_is_refused_at_the_limit():
    rows = {number: {"text": f"lamp {number}", "shelf": "red"} for number in range(6)}
    with Store.open() as store:
        store.queue.set_limit("calls", 8)
    with OpenAIServer(answer=answer, api_key="sk-mine") as server:
        model = server_model(server.url).model_copy(update={"key_env": "MY_KEY"})
        asked = PreviewRequest(pipeline=PIPELINE, rows=rows, metric=Named(name="ExactMatch"), model=model)
        connection("openai/test-model", server.url, "sk-mine")
        assert spent() == {"connection": 1}
        launching.child_result("preview", asked, {"MY_KEY": "sk-mine"})
        assert spent() == {"connection": 1, "preview": 6}
        fresh = {n: {"text": f"lamp {n} again", "shelf": "red"} for n in range(6)}
        found = launching.child_result(
            "preview", asked.model_copy(update={"rows": fresh}), {"MY_KEY": "sk-mine"}
        )
        assert sum("budget of 1 calls is used up" in str(row["error"]) for row in found) == 5
        with pytest.raises(
            RunError, match=r"The limit of 8 calls a month is used up. It begins again next month."
        ):
            launching.child_result("preview", asked, {"MY_KEY": "sk-mine"})
        assert spent() == {"connection": 1, "preview": 7}
        assert len(server.requests) == 8


def test_a_child_that_is_ended_counts_what_it_has_sent():
    with OpenAIServer(answer=answer) as server:
        server.piece_seconds = 0.5
        answers = launching.ask_child("playground", request(model=server_model(server.url), stream=True))
        next(answers)
        answers.close()
    assert spent() == {"playground": 1}


def connection(name, url, key=None, key_env=None):
    model = ModelChoice(name=name, base_url=url, key_env=key_env)
    return launching.child_result("connection", ConnectionRequest(model=model, api_key=key, timeout=120.0))


def test_a_provider_of_litellms_is_tested_without_loading_it_here():
    with OpenAIServer("OK") as server:
        report = connection("anthropic/claude-sonnet-4-5", server.url.removesuffix("/v1"), "sk-secret-0123")
        assert report[0] == "", report
        assert server.headers[0]["x-api-key"] == "sk-secret-0123"
    assert "sk-secret-0123" not in json.dumps(report)
    assert "litellm" not in sys.modules


def test_litellm_sends_no_usual_key_to_another_address(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-usual")
    monkeypatch.setenv("MY_SERVER_KEY", "mine")
    with OpenAIServer("OK") as server:
        base = server.url.removesuffix("/v1")
        for key_env in (None, "MY_SERVER_KEY"):
            assert connection("anthropic/claude-sonnet-4-5", base, key_env=key_env)[0] == ""
        assert [h["x-api-key"] for h in server.headers] == ["none", "mine"]


def pile(folder, **files):
    """Return a request to read some files."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sources = tuple(ImportSource(name=f"{name}.txt", path=str(folder / name)) for name in files)
    return ImportRequest(files=sources)


def test_a_pile_is_read_by_a_child_within_its_time(tmp_path):
    asked = pile(tmp_path, a=b"Bill 1", b=b"", c=b"Bill 3")
    found = ImportedDocuments.model_validate(launching.child_result("documents", asked))
    assert found.table.count("Bill") == 2
    assert [one.file for one in found.problems] == ["b.txt"]
    with pytest.raises(RunError, match=r"documents could not be read within 0 seconds. Give fewer"):
        launching.child_result("documents", asked, timeout=0.01)


def test_a_pile_that_takes_too_much_memory_is_one_sentence(tmp_path):
    asked = pile(tmp_path, a=b"word " * 4_000_000).model_copy(update={"memory": 60 * 2**20})
    with pytest.raises(RunError, match=r"take more than 0\.1 GB of memory to read. Give fewer"):
        launching.child_result("documents", asked)
