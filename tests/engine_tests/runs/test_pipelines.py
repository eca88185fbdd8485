"""Runs of pipelines: every sample ends offline, a corpus that changes is said, served and tried programs search too."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.program_files import save_program
from support.run_setup import add_data, add_run

import engine
from engine.errors import PipelineError, RunError
from engine.export.program import load_program, program_file, read_program
from engine.pipeline.build import build_program
from engine.pipeline.spec import Condition, CorpusSpec, Each, FieldSpec, PipelineSpec, StepOptions, StepSpec
from engine.pipeline.templates import SAMPLES, Sample, get_sample
from engine.runs.child.playground import PlaygroundRequest, answer_input
from engine.runs.prepare import estimate_run, prepare
from engine.runs.spec import Named, RunSpec, sample_bytes, sample_draft
from engine.runs.worker import work
from engine.search.budget import Budget
from engine.serve.app import make_app
from engine.serve.contract import contract_of
from engine.store.store import Store

LABELLED = Named(name="LabeledFewShot", options={"k": 8})


def run_of(sample: Sample, home: Path, **changes: Any) -> RunSpec:
    dataset = add_data(home, sample_bytes(sample.file), sample.file)
    return sample_draft(sample, dataset).to_run().model_copy(update=changes)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_a_sample_runs_to_an_honest_end(sample: Sample, tmp_path: Path):
    run = run_of(sample, tmp_path, optimizer=LABELLED, budget=Budget(calls=2000))
    with Store.open(tmp_path) as store:
        expected = estimate_run(store, run)
        run_id = store.runs.create(store.projects.create("P", {}), run.model_dump(mode="json"), "A run")
    assert work(tmp_path, run_id) == 0
    with Store.open(tmp_path) as store:
        row = store.runs.get(run_id)
    assert row.state == "finished", row.message
    result = row.result
    assert result.verdict.sentence
    assert result.best.failed == 0
    assert expected.calls.low <= result.usage.calls + result.usage.cached <= 2 * expected.calls.high
    exported = load_program(result.export_path)
    assert exported.candidate().steps.keys() == build_program(sample.pipeline).candidate().steps.keys()
    assert (tmp_path / "exports" / run_id / "program_dspy.py").exists()


def test_a_draft_with_a_corpus_is_tied_to_its_passages(tmp_path: Path):
    passages = tmp_path / "rules.csv"
    passages.write_text("text\nRefunds take five days.\nParcels go out on Mondays.\n")
    sample = get_sample("lending_questions")
    find = sample.pipeline.steps[0]
    corpus = CorpusSpec(file=str(passages), column="text")
    step = find.model_copy(update={"options": StepOptions(corpus=corpus)})
    pipeline = PipelineSpec(steps=(step, *sample.pipeline.steps[1:]))
    dataset = add_data(tmp_path, sample_bytes(sample.file), sample.file)
    draft = sample_draft(sample, dataset).model_copy(update={"pipeline": pipeline})
    run = draft.to_run()
    assert len(run.pipeline.steps[0].options.corpus.hash) == 64
    with Store.open(tmp_path) as store:
        assert prepare(store, run).settings.program.find.retrieve.k == 3
        passages.write_text("text\nRefunds take nine days.\n")
        with pytest.raises(PipelineError, match="they have changed since"):
            prepare(store, run)
        again = draft.model_copy(
            update={"pipeline": run.pipeline}
        ).to_run()  # a new run takes them as they are
        assert again.pipeline.steps[0].options.corpus.hash != run.pipeline.steps[0].options.corpus.hash
        passages.unlink()
        with pytest.raises(PipelineError, match="There is no file or folder"):
            prepare(store, run)
        with pytest.raises(RunError, match="There is no file or folder"):
            draft.to_run()


def test_a_pipeline_that_asks_no_model_is_not_tuned(tmp_path: Path):
    step = StepSpec(
        name="work",
        strategy="tool",
        inputs=(FieldSpec(name="expression"),),
        outputs=(FieldSpec(name="shelf"),),
        options=StepOptions(tools=("calculator",)),
    )
    run_id = add_run(
        tmp_path, pipeline=PipelineSpec(steps=(step,)), mapping={"expression": "text", "shelf": "shelf"}
    )
    with Store.open(tmp_path) as store:
        run = RunSpec.model_validate(store.runs.get(run_id).spec)
        with pytest.raises(RunError, match="No step of the task asks a model"):
            prepare(store, run)


RULES = CorpusSpec(
    passages=("Refunds take five days.", "Parcels go out on Mondays.", "Phones answer until six.")
)
LISTED = PipelineSpec(
    steps=(
        StepSpec(
            name="find",
            strategy="retrieve",
            inputs=(FieldSpec(name="question"),),
            options=StepOptions(corpus=RULES, k=1),
            each=Each(field="questions", item="question"),
            outputs=(FieldSpec(name="found", type="str"),),
        ),
        StepSpec(
            name="sort",
            inputs=(FieldSpec(name="found", type="list[str]"),),
            outputs=(FieldSpec(name="kind", choices=("money", "time")),),
        ),
        StepSpec(
            name="work",
            strategy="tool",
            inputs=(FieldSpec(name="expression"),),
            outputs=(FieldSpec(name="total", type="Optional[float]"),),
            options=StepOptions(tools=("calculator",)),
            when=Condition(field="kind", values=("money", "time")),
        ),
    )
)
GIVEN = {"questions": ["refund?", "parcels?"], "expression": "2 * 21"}


def test_a_served_pipeline_takes_lists_and_answers_by_its_tool(tmp_path: Path):
    path = tmp_path / "program.json"
    save_program(LISTED, build_program(LISTED).candidate(), path, model={"name": "offline/learner"})
    contract = contract_of(read_program(path))
    with TestClient(make_app(contract), base_url="http://127.0.0.1") as client:
        assert client.post("/predict", json=GIVEN).json() == {"total": 42.0}
        assert client.post("/predict", json={**GIVEN, "expression": "2 *"}).status_code >= 400
        wrong = client.post("/predict", json={"questions": "one", "expression": "1"})
        assert wrong.status_code == 422
        fields = client.get("/openapi.json").json()["components"]["schemas"]
        question = next(v for v in fields.values() if "questions" in v.get("properties", {}))
        assert question["properties"]["questions"]["type"] == "array"


def test_try_it_shows_searches_and_tools_among_the_steps():
    start = build_program(LISTED).candidate()
    request = PlaygroundRequest(pipeline=LISTED, candidates={"start": start.as_dict()}, inputs=GIVEN)
    (attempt,) = asyncio.run(answer_input(request))
    assert attempt.error == ""
    assert attempt.answer["total"] == 42.0
    assert [s.path for s in attempt.steps] == ["find", "find", "sort", "work"]
    assert attempt.steps[0].outputs == {"found": "[1] «Refunds take five days.»"}
    assert len(attempt.calls) == 1


def test_state_files_of_pipelines_are_read_and_damage_is_named(tmp_path: Path):
    program = build_program(LISTED)
    program.save(tmp_path / "state.json")
    text = (tmp_path / "state.json").read_text()
    other = build_program(LISTED)
    other.load(tmp_path / "state.json")
    assert other.candidate().steps == program.candidate().steps
    (tmp_path / "cut.json").write_text(text[: len(text) // 2])
    with pytest.raises(engine.EngineError, match="line"):
        other.load(tmp_path / "cut.json")
    (tmp_path / "else.json").write_text(text.replace('"sort"', '"sorted"'))
    with pytest.raises(engine.EngineError, match="sort"):
        other.load(tmp_path / "else.json")
    assert program_file(LISTED, program.candidate()).build().candidate().steps == program.candidate().steps
