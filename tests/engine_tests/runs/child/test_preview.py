"""A few rows answered and scored before a run, and answers graded again."""

from __future__ import annotations

import pytest
from support.run_setup import PIPELINE, answer, server_model
from support.servers.openai_server import OpenAIServer

from engine import loop
from engine.runs.child.playground import PreviewRequest, answer_rows, error_line
from engine.runs.child.process import answer_request
from engine.runs.child.request import ChildRequest
from engine.runs.spec import ModelChoice, Named

ROWS = {
    4: {"text": "a small lamp number 1", "shelf": "red"},
    7: {"text": "an old chair number 2", "shelf": "green"},
    9: {"text": "a cheap cup number 3", "shelf": "blue"},
}


def request(**changes):
    values = {"pipeline": PIPELINE, "rows": ROWS, "metric": Named(name="ExactMatch")}
    return PreviewRequest(**{**values, **changes})


def in_envelope(asked):
    return ChildRequest(task="preview", content=asked.model_dump(mode="json")).model_dump_json().encode()


def test_rows_are_answered_by_the_task_as_it_stands_and_scored():
    rows = loop.run(answer_rows(request()))
    assert [r.row for r in rows] == [4, 7, 9]
    for row in rows:
        assert row.score == float(row.prediction["shelf"] == ROWS[row.row]["shelf"])
        assert row.usage.calls == 1
        assert row.feedback


def test_given_answers_are_graded_and_no_model_is_asked():
    answers = {4: {"shelf": "red"}, 7: {"shelf": "red"}}
    with OpenAIServer(answer=answer) as server:
        rows = loop.run(answer_rows(request(answers=answers, model=server_model(server.url))))
        assert len(server.requests) == 1
    assert [r.score for r in rows[:2]] == [1.0, 0.0]
    assert rows[1].prediction == {"shelf": "red"}


def test_a_judge_grades_given_answers():
    def judged(body):
        good = "red" in str(body["messages"][-1]["content"]).split("[[ ## answer ## ]]")[1][:20]
        return f"[[ ## reasoning ## ]]\nSo.\n\n[[ ## marks ## ]]\n[{int(good)}]\n\n[[ ## completed ## ]]"

    with OpenAIServer(answer=judged) as server:
        rows = loop.run(
            answer_rows(
                request(
                    metric=Named(name="Rubric", options={"criteria": "It is red."}),
                    answers={4: {"shelf": "red"}, 7: {"shelf": "green"}, 9: {"shelf": "blue"}},
                    model=server_model(server.url),
                )
            )
        )
    assert [r.score for r in rows] == [1.0, 0.0, 0.0]


def test_code_that_fails_names_its_line():
    code = "wanted = expected\nwanted.nothing\n1.0"
    rows = loop.run(
        answer_rows(
            request(metric=Named(name="PythonMetric", options={"code": code}), answers={4: {"shelf": "red"}})
        )
    )
    assert error_line(rows[0].error) == 2
    assert "nothing" in rows[0].error


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metric": Named(name="Nothing")}, "Nothing"),
        ({"metric": Named(name="PythonMetric", options={"code": "def f(:\n 1"})}, "line 1"),
        ({"rows": {1: {"text": "", "shelf": "red"}}}, "Give a value for 'text'"),
        ({"model": ModelChoice(name="openai/gpt-5-mini")}, "needs an API key"),
    ],
)
def test_what_cannot_be_is_one_sentence(monkeypatch, changes, said):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert said in answer_request(in_envelope(request(**changes))).problem
