"""Repeats with their spread, progress for a listener, and files that hold failed rows too."""

import csv
import json

import pytest

import engine
from engine.errors import ConfigurationError
from engine.testing import ScriptedLM

ROWS = [engine.Example(question=str(i), answer="yes").with_inputs("question") for i in range(4)]


def lm(wrong=()):
    """Answers yes, but no to some (repeat, question); fails for question 3 in repeat 2."""

    def answer(request):
        question = request.messages[-1]["content"].split("\n")[1]
        time = request.rollout_id or 0
        if (time, question) in wrong:
            return {"answer": "no"}
        return {"answer": "yes"}

    return ScriptedLM(answer)


def run(model, **options):
    with engine.context(lm=model):
        return engine.Evaluate(devset=ROWS, metric=engine.ExactMatch(), **options)(
            engine.Predict("question -> answer")
        )


def test_repeats_are_fresh_samples_with_a_spread():
    result = run(lm({(1, "0"), (2, "0"), (2, "1")}), repeats=3)
    assert result.repeats == (100.0, 75.0, 50.0)
    assert (result.score, result.spread) == (75.0, 25.0)
    assert len(result.results) == len(result.outcomes) == 12
    assert [o.row for o in result.outcomes] == [0, 1, 2, 3] * 3
    # Four rows, not twelve: the interval is as wide as four rows make it.
    assert result.interval.rows == 4


def test_once_is_as_ever():
    result = run(lm())
    assert (result.score, result.repeats, result.spread) == (100.0, (100.0,), 0.0)
    with pytest.raises(ConfigurationError, match="repeats"):
        run(lm(), repeats=0)


def test_progress_is_told_and_may_fail(caplog):
    told = []
    run(lm({(0, "0")}), repeats=2, on_progress=lambda *said: told.append(said))
    assert [said[:2] for said in told] == [(i, 8) for i in range(1, 9)]
    assert told[-1][2] == pytest.approx(7 / 8)

    def broken(done, total, mean):
        raise RuntimeError("oops")

    assert run(lm(), on_progress=broken).score == 100.0
    assert "progress callback failed" in caplog.text


def test_files_hold_failed_rows_and_the_repeat(tmp_path):
    def answer(request):
        if "\n0\n" in request.messages[-1]["content"]:
            raise ValueError("no such thing")
        return {"answer": "yes"}

    run(
        ScriptedLM(answer),
        repeats=2,
        save_as_csv=str(tmp_path / "r.csv"),
        save_as_json=str(tmp_path / "r.json"),
    )
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["repeat"] for r in rows] == ["1"] * 4 + ["2"] * 4
    assert rows[0]["error"] == "ValueError: no such thing"
    assert [r["pred_answer"] for r in rows] == ["", "yes", "yes", "yes"] * 2
    assert len(json.loads((tmp_path / "r.json").read_text())) == 8
