"""The children that ask a model for a page."""

from __future__ import annotations

import pytest
from openai_server import OpenAIServer
from run_setup import PIPELINE, answer, server_model

from dashboard.state import asking
from engine.errors import RunError
from engine.pipeline.build import build_program
from engine.runs.rehearsal import RehearsalRequest
from engine.runs.spec import ModelChoice, Named
from engine.runs.trying import TryRequest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path))


def request(**changes):
    start = build_program(PIPELINE).candidate().as_dict()
    values = {"pipeline": PIPELINE, "candidates": {"start": start}, "inputs": {"text": "a small lamp"}}
    return TryRequest(**{**values, **changes})


def test_pieces_are_heard_before_the_answer_is_whole():
    heard = []
    with OpenAIServer(answer=answer) as server:
        server.piece_seconds = 0.2

        def hear(piece):
            heard.append((piece.text, sum(server.served.values())))

        (found,) = asking.try_out(request(model=server_model(server.url)), hear=hear)
    assert "".join(text for text, _ in heard) == found.answer["shelf"]
    assert heard[0][1] == 0, "it is heard while the endpoint is still writing"


def test_without_a_listener_only_the_answer_comes():
    (found,) = asking.try_out(request())
    assert found.answer["shelf"]


def test_a_few_rows_are_rehearsed():
    rows = {1: {"text": "a small lamp", "shelf": "red"}}
    found = asking.rehearse(RehearsalRequest(pipeline=PIPELINE, rows=rows, metric=Named(name="ExactMatch")))
    assert found.rows[0].row == 1
    assert found.mean in (0.0, 1.0)


def test_what_goes_wrong_is_one_sentence(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(RunError, match="needs an API key"):
        asking.try_out(request(model=ModelChoice(name="openai/gpt-5-mini")))
    with pytest.raises(RunError, match="Give a value for 'text'"):
        asking.try_out(request(inputs={}))


def test_a_model_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(asking, "LONGEST", 3.0)
    with OpenAIServer(answer=answer, latency=60) as server, pytest.raises(RunError, match="did not answer"):
        asking.try_out(request(model=server_model(server.url)))


def test_a_key_reaches_the_child_in_its_environment_only():
    with OpenAIServer(answer=answer, api_key="sk-mine") as server:
        model = ModelChoice(name="openai/test-model", base_url=server.url, key_env="MY_KEY")
        (found,) = asking.try_out(request(model=model), {"MY_KEY": "sk-mine"})
    assert found.answer["shelf"]
    assert "sk-mine" not in found.model_dump_json()
