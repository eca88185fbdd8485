"""Repeats with their spread, progress for a listener, and files that hold failed rows too."""

import asyncio
import csv
import json
import pickle

import pytest
from support.servers.openai_server import OpenAIServer

import engine
from engine.errors import ConfigurationError, RunError
from engine.lm.calls.cache import Cache
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


def test_a_number_of_the_whole_set_has_an_interval_of_its_own():
    labels = ["a"] * 16 + ["b"] * 4
    rows = [engine.Example(question=str(i), answer=x).with_inputs("question") for i, x in enumerate(labels)]
    lm = ScriptedLM(lambda request: {"answer": "a"})
    with engine.context(lm=lm):
        found = engine.Evaluate(devset=rows, metric=engine.MacroF1())(engine.Predict("question -> answer"))
    # Four of five are right, but one label is never found: the mean of the rows says 80 %, macro F1 44 %.
    assert found.score == 44.44
    assert found.interval.low <= 44.44 <= found.interval.high
    assert found.interval.high < 55 or found.interval.high == 100.0  # no draw without a b scores in between
    assert found.interval.rows == 20
    again = pickle.loads(pickle.dumps(found))
    assert again.interval == pytest.approx(found.interval)


def test_what_is_in_the_cache_is_not_bought_again(tmp_path):
    """An evaluation that ended in the middle is begun again: only the rows that are missing are asked."""
    rows = [engine.Example(question=f"{i}?", answer="4").with_inputs("question") for i in range(10)]
    reply = "[[ ## answer ## ]]\n4\n\n[[ ## completed ## ]]"
    program = engine.Predict("question -> answer")

    def stop(example, prediction):
        if example.question == "6?":
            raise OSError("the machine goes down")
        return example.answer == prediction.answer

    with OpenAIServer(answer=reply) as server:
        lm = engine.LM("openai/m", api_base=server.url, api_key="k", cache=Cache(tmp_path / "calls.db"))
        with engine.context(lm=lm):
            with pytest.raises(RunError, match="goes down"):
                engine.Evaluate(devset=rows, metric=stop, num_threads=1, max_errors=1)(program)
            asked = len(server.requests)
            assert asked < 10
            found = engine.Evaluate(devset=rows, metric=engine.ExactMatch(), num_threads=1)(program)
        assert len(server.requests) == 10
    assert found.score == 100.0
    assert sum(o.usage.cached for o in found.outcomes) == asked
    assert sum(o.usage.calls for o in found.outcomes) == 10 - asked


def test_several_evaluations_are_awaited_at_once():
    async def both():
        evaluate = engine.Evaluate(devset=ROWS, metric=engine.ExactMatch())
        program = engine.Predict("question -> answer")
        return await asyncio.gather(evaluate.acall(program), evaluate.acall(program, repeats=2))

    with engine.context(lm=lm({(1, "0")})):
        once, twice = asyncio.run(both())
    assert (once.score, twice.score, twice.repeats) == (100.0, 87.5, (100.0, 75.0))
