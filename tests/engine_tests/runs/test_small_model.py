"""A small model made to do what a large one does, from the run's start to its exports, at a local provider."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from fine_tuning_server import FineTuningServer
from run_setup import add_data, add_run, csv_bytes
from shelves import learned, untrained

from engine.export.formats import get_export
from engine.export.program import read_program
from engine.lm.tuned import get_tuned
from engine.runs.spec import ModelChoice, Named
from engine.runs.worker import work
from engine.store.store import Store


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path))
    with FineTuningServer(learned, untrained, steps=3) as running:
        running.hurried = True
        yield running


def options(url: str, **more: object) -> dict[str, object]:
    return {"trainer": "openai", "base_model": "small-base", "base_url": url, "licence": "mit", **more}


def add(home: Path, url: str, **more: object) -> str:
    return add_run(
        home,
        dataset=add_data(home, csv_bytes(80)),
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
    assert result["verdict"]["kind"] == "better"
    assert (result["best"]["test"], result["teacher"]["test"]) == (1.0, 1.0)
    assert result["baseline"]["test"] < 0.6
    assert result["teacher"]["model"] == "openai/large-teacher"
    low, high = result["best"]["likely"]
    assert 0 < low < high <= 1
    (name,) = result["tuned_models"]
    record = get_tuned(name)
    assert (record.run, record.licence, record.finished) == (run, "mit", True)
    assert record.rows == 32
    losses = [e.data["loss"] for e in events if e.kind == "training_progress" and e.data["loss"]]
    assert losses
    (end,) = [e for e in events if e.kind == "training_ended"]
    assert (end.data["model"], end.data["rows"]) == (name, 32)
    assert [t.split for t in trials if t.split in ("test", "teacher")] == ["test", "test", "teacher"]
    assert all(p["holds"] for p in result["proof"])
    program = read_program(Path(result["export_path"]))
    assert b"ft:small-base" in get_export("python").content(program)
    with zipfile.ZipFile(io.BytesIO(get_export("weights").content(program))) as made:
        assert json.loads(made.read(f"weights/models/{record.name}/model.json"))["run"] == run
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
    assert result["best_candidate"] == result["seed_candidate"]
    assert result["teacher"] is None
    assert "It had trained 200 tokens" in end.data["problem"]
    assert "internal error" in result["reason"]


def test_only_a_file(server, tmp_path):
    run = add(tmp_path, server.url, trainer="file")
    assert work(tmp_path, run) == 0
    with Store.open(tmp_path) as store:
        (end,) = [e for e in store.events.all(run) if e.kind == "training_ended"]
    lines = Path(end.data["file"]).read_text().splitlines()
    assert len(lines) == end.data["rows"] == 32
    assert not server.jobs
