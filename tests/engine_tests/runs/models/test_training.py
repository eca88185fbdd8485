"""The training file of a run: right answers only, no test row, in the form that fine-tuning takes."""

from __future__ import annotations

import json

import pytest
from support.results import result_of
from support.run_setup import PIPELINE, add_run, csv_bytes
from typer.testing import CliRunner

from engine.adapters import ChatAdapter
from engine.cli.app import app
from engine.errors import RunError
from engine.pipeline.build import build_program
from engine.records import Outcome
from engine.runs.results.report import right_rows, training_file
from engine.runs.spec import Named
from engine.runs.worker import work
from engine.store.store import Store


@pytest.mark.parametrize("strategy", ["predict", "chain_of_thought"])
def test_every_line_is_a_row_that_was_answered_rightly(tmp_path, strategy):
    step = PIPELINE.steps[0].model_copy(update={"strategy": strategy})
    pipeline = PIPELINE.model_copy(update={"steps": (step,)})
    run_id = add_run(tmp_path, pipeline=pipeline, optimizer=Named(name="LabeledFewShot"))
    assert work(tmp_path, run_id) == 0
    with Store.open(tmp_path) as store:
        content = training_file(store, run_id)
        right = right_rows(store, store.runs.get(run_id))
        tested = {row for rows in store.trials.row_scores(run_id, "test").values() for row in rows}
    texts = dict(line.split(",") for line in csv_bytes().decode().splitlines()[1:])
    unseen = {text for row, text in enumerate(texts) if row in tested}
    lines = [json.loads(line)["messages"] for line in content.splitlines()]
    assert lines
    assert len(lines) == len(right)
    signature = build_program(pipeline).named_predictors()[0][1].signature
    for messages in lines:
        assert [m["role"] for m in messages] == ["system", "user", "assistant"]
        (text,) = [t for t in texts if f"{t}\n" in messages[1]["content"]]
        assert text not in unseen
        assert ChatAdapter().parse(signature, messages[2]["content"])["shelf"] == texts[text]
    target = tmp_path / "out" / "train.jsonl"
    given = ["export", run_id, "--home", str(tmp_path), "--format", "training", "--output", str(target)]
    assert CliRunner().invoke(app, given).exit_code == 0
    assert target.read_bytes() == content


def test_a_run_without_a_right_answer_has_nothing_to_train_with(tmp_path):
    run_id = add_run(tmp_path)
    with Store.open(tmp_path) as store:
        with pytest.raises(RunError, match="no result yet"):
            training_file(store, run_id)
        wrong = build_program(PIPELINE).candidate()
        store.trials.add_candidate(run_id, wrong)
        store.trials.start(run_id, 1, wrong.id, "validation", "", 1)
        store.trials.add_outcomes(run_id, 1, [Outcome(3, 0.0, {"shelf": "red"})])
        store.runs.save_result(run_id, result_of(wrong.id))
        with pytest.raises(RunError, match="no row right"):
            training_file(store, run_id)
