"""Rows a model writes: only those that fit and are new are taken; and cells that name pictures and PDFs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.servers.openai_server import OpenAIServer

from engine import loop
from engine.dataset import read_dataset
from engine.errors import DatasetError
from engine.pipeline.importers.attachments import attached_path, keep_file
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.runs.child.new_rows import NewRowsRequest, write_rows
from engine.runs.child.process import answer_request
from engine.runs.child.request import ChildRequest
from engine.runs.prepare import usable_examples
from engine.runs.spec import ModelChoice
from engine.store.store import Store

TASK = PipelineSpec(
    steps=(
        StepSpec(
            instructions="Choose the team.",
            inputs=(FieldSpec(name="mail"),),
            outputs=(FieldSpec(name="team", choices=("billing", "shipping")),),
        ),
    )
)
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def request(url, count=4):
    return NewRowsRequest(
        pipeline=TASK,
        examples=({"mail": "where is it", "team": "shipping"},),
        count=count,
        model=ModelChoice(name="openai/test-model", base_url=url),
    )


def in_envelope(asked):
    return ChildRequest(task="new_rows", content=asked.model_dump(mode="json")).model_dump_json().encode()


def writer():
    calls = []

    def answer(body):
        calls.append(body)
        n = len(calls)
        rows = [
            {"mail": f"letter {n}", "team": "BILLING"},
            {"mail": "Where  is it", "team": "shipping"},
            {"mail": f"note {n}", "team": "nowhere"},
            {"mail": "", "team": "billing"},
            {"mail": f"parcel {n}", "team": "shipping"},
        ]
        return f"[[ ## rows ## ]]\n{json.dumps(rows)}\n\n[[ ## completed ## ]]"

    return answer, calls


def test_rows_that_fit_are_taken_and_the_others_counted():
    answer, calls = writer()
    with OpenAIServer(answer=answer) as server:
        found = loop.run(write_rows(request(server.url)))
    assert [r["mail"] for r in found.rows] == ["letter 1", "parcel 1", "letter 2", "parcel 2"]
    assert {r["team"] for r in found.rows} == {"billing", "shipping"}
    assert found.left_out == {"there already": 2, "with a team that is not allowed": 2, "without mail": 2}
    assert len(calls) == 2
    assert "where is it" in str(calls[0]["messages"])


def test_it_stops_asking_when_nothing_new_comes():
    with OpenAIServer(answer=lambda _: '[[ ## rows ## ]]\n[{"mail": "same", "team": "billing"}]') as server:
        found = loop.run(write_rows(request(server.url, 5)))
        assert server.calls <= 4
    assert len(found.rows) == 1


def test_the_task_answers_and_problems_are_sentences():
    answer, _ = writer()
    with OpenAIServer(answer=answer) as server:
        assert len(answer_request(in_envelope(request(server.url))).content.rows) == 4
    offline = NewRowsRequest(pipeline=TASK, examples=({"mail": "a", "team": "b"},))
    assert "cannot make up" in answer_request(in_envelope(offline)).problem
    assert "cannot be read" in answer_request(b"{}").problem


def picture_task(kind="Image"):
    return PipelineSpec(
        steps=(StepSpec(inputs=(FieldSpec(name="photo", type=kind),), outputs=(FieldSpec(name="what"),)),)
    )


def test_a_picture_by_path_or_kept_becomes_an_image(home, tmp_path):
    kept = keep_file("../a cat.png", PNG)
    (tmp_path / "own.png").write_bytes(PNG)
    secret = tmp_path / "secret.png"
    secret.write_text("ssh-rsa AAAA")
    rows = f"photo,what\n{kept},cat\n{tmp_path / 'own.png'},dog\n{secret},x\nnowhere.png,y\n"
    found = usable_examples(
        picture_task(), read_dataset(rows.encode(), "x.csv"), {"photo": "photo", "what": "what"}
    )
    assert sorted(found.examples) == [0, 1]
    assert found.examples[0].photo.url.startswith("data:image/png;base64,")
    assert [p.row for p in found.problems] == [4, 5]
    assert "a picture: the path" in found.problems[0].message
    assert Path(kept).name == kept


def test_a_pdf_by_path(tmp_path):
    file = tmp_path / "bill.pdf"
    file.write_bytes(b"%PDF-1.4 hello")
    for kind in ("PDF", "File"):
        data = read_dataset(f"photo,what\n{file},bill\n".encode(), "x.csv")
        found = usable_examples(picture_task(kind), data, {"photo": "photo", "what": "what"})
        assert found.examples[0].photo.filename == "bill.pdf"


@pytest.mark.parametrize(
    "text", ["/etc/passwd", "../../etc/passwd", "", "a\0b", "x" * 5000, "https://a/b.png"]
)
def test_no_other_file_can_be_named(text):
    assert attached_path(text) is None


def test_what_is_no_picture_is_not_kept():
    with pytest.raises(DatasetError, match="no picture"):
        keep_file("x.png", b"MZ")


def test_a_version_that_nothing_uses_is_dropped(home):
    with Store.open() as store:
        one = store.datasets.add("a.csv", b"1", "h1", ["a"], 1)
        two = store.datasets.add("b.csv", b"2", "h2", ["a"], 1)
        three = store.datasets.add("c.csv", b"3", "h3", ["a"], 1)
        project = store.projects.create("P", {"dataset": one})
        store.runs.create(project, {"dataset": two}, "R")
        assert [store.datasets.drop_unused(d) for d in (one, two, three)] == [False, False, True]
