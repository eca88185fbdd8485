"""A small model made to do what a large one does, from the run's start to its exports, at a local provider."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from support.run_setup import PIPELINE, add_data, add_run, csv_bytes
from support.servers.fine_tuning_server import FineTuningServer
from support.servers.shelves import learned, untrained

from engine.export.formats import get_export
from engine.export.program import read_program
from engine.lm.tuned import get_tuned
from engine.pipeline.build import build_program
from engine.records import Candidate
from engine.runs.spec import ModelChoice, Named, TeacherPrompt
from engine.runs.worker import work
from engine.store.store import Store


@pytest.fixture
def server():
    with FineTuningServer(learned, untrained, steps=3) as running:
        running.hurried = True
        yield running


def options(url: str, **more: object) -> dict[str, object]:
    return {"trainer": "openai", "base_model": "small-base", "base_url": url, "licence": "mit", **more}


def add(
    home: Path, url: str, dataset: str = "", teacher_prompt: TeacherPrompt | None = None, **more: object
) -> str:
    return add_run(
        home,
        dataset=dataset or add_data(home, csv_bytes(80)),
        teacher_prompt=teacher_prompt,
        model=ModelChoice(name="openai/small-base", base_url=url),
        teacher_model=ModelChoice(name="openai/large-teacher", base_url=url),
        optimizer=Named(name="BootstrapFinetune", options=options(url, **more)),
    )


def test_a_small_model_learns_what_the_large_one_does(server, tmp_path):
    run = add(tmp_path, server.url)
    assert work(tmp_path, run) == 0
    with Store.open(tmp_path) as store:
        row = store.runs.get(run)
        events = store.events.all(run)
        trials = store.trials.all(run)
    result = row.result
    assert result.verdict.kind == "better"
    assert (result.best.test, result.teacher.test) == (1.0, 1.0)
    assert result.baseline.test < 0.6
    assert result.teacher.model == "openai/large-teacher"
    low, high = result.best.likely
    assert 0 < low < high <= 1
    (name,) = result.tuned_models
    record = get_tuned(name)
    assert (record.run, record.licence, record.finished) == (run, "mit", True)
    assert record.rows == 32
    losses = [e.data["loss"] for e in events if e.kind == "training_progress" and e.data["loss"]]
    assert losses
    (end,) = [e for e in events if e.kind == "training_ended"]
    assert (end.data["model"], end.data["rows"]) == (name, 32)
    assert [t.split for t in trials if t.split in ("test", "teacher")] == ["test", "test", "teacher"]
    assert all(p.holds for p in result.proof)
    program = read_program(Path(result.export_path))
    assert b"ft:small-base" in get_export("python").render(program)["program.json"]
    with zipfile.ZipFile(io.BytesIO(get_export("weights").content(program))) as made:
        assert json.loads(made.read(f"weights/models/{record.name}/model.json"))["run"] == run
    assert not list((tmp_path / "training").rglob("*.json"))  # orders that were started are needed no more
    # The same run again, as after a kill: nothing is trained or uploaded again.
    with Store.open(tmp_path) as store:
        store.runs.set_state(run, "stopped")
    assert work(tmp_path, run) == 0
    assert (len(server.jobs), len(server.files)) == (1, 1)


def test_a_provider_that_fails_half_way_leaves_the_start_and_says_so(server, tmp_path):
    server.fail_at = 2
    run = add(tmp_path, server.url)
    assert work(tmp_path, run) == 0
    with Store.open(tmp_path) as store:
        result = store.runs.get(run).result
        (end,) = [e for e in store.events.all(run) if e.kind == "training_ended"]
    assert result.best_candidate == result.seed_candidate
    assert result.teacher is None
    assert "It had trained 200 tokens" in end.data["problem"]
    assert "internal error" in result.reason


def test_only_a_file(server, tmp_path):
    run = add(tmp_path, server.url, trainer="file")
    assert work(tmp_path, run) == 0
    with Store.open(tmp_path) as store:
        (end,) = [e for e in store.events.all(run) if e.kind == "training_ended"]
    lines = Path(end.data["file"]).read_text().splitlines()
    assert len(lines) == end.data["rows"] == 32
    assert not server.jobs


def test_a_tuned_prompt_teaches(server, tmp_path):
    prompt = build_program(PIPELINE).candidate().with_step("sort", instructions="Think of the shelves.")
    run = add(tmp_path, server.url, teacher_prompt=TeacherPrompt(title="Version 2", prompt=prompt))
    assert work(tmp_path, run) == 0
    with Store.open(tmp_path) as store:
        result = store.runs.get(run).result
        assert store.runs.get(run).spec["teacher_prompt"]["title"] == "Version 2"
    assert (result.teacher.prompt, result.teacher.test) == ("Version 2", 1.0)
    asked = {
        model: [str(r["messages"][0]["content"]) for r in server.requests if r["model"].startswith(model)]
        for model in ("large", "ft:")
    }
    assert all("Think of the shelves." in text for text in asked["large"])
    assert asked["ft:"]
    assert not any("Think of the shelves." in text for text in asked["ft:"])
    other = Candidate({"elsewhere": prompt.steps["sort"]})
    refused = add(tmp_path, server.url, teacher_prompt=TeacherPrompt(title="Version 3", prompt=other))
    assert work(tmp_path, refused) != 0
    with Store.open(tmp_path) as store:
        assert "has the steps elsewhere, and the task now has sort" in store.runs.get(refused).message


@pytest.mark.parametrize(("unlabelled", "learned_rows"), [(True, 42), (False, 32)])
def test_rows_without_an_answer_are_answered_where_that_is_wanted(server, tmp_path, unlabelled, learned_rows):
    bare = b"\n".join(b"a new lamp number %d," % n for n in range(10))
    data = add_data(tmp_path, csv_bytes(80) + b"\n" + bare)
    run = add(tmp_path, server.url, dataset=data, unlabelled=unlabelled)
    assert work(tmp_path, run) == 0
    with Store.open(tmp_path) as store:
        (end,) = [e for e in store.events.all(run) if e.kind == "training_ended"]
        notes = [e.text for e in store.events.all(run) if e.kind == "note"]
    assert end.data["rows"] == learned_rows
    assert any("10 rows without an answer" in note for note in notes) == unlabelled
