"""Rows run concurrently; failures are records; the result knows how sure it is."""

from __future__ import annotations

import asyncio
import csv
import json
import math
import threading
import time

import pytest
from support.slow_model import SlowModel

import engine
from engine import Evaluate, ExactMatch, Example, Grade, Module, Predict, Prediction, context
from engine.errors import ConfigurationError, LMError, RunError
from engine.evaluate import run_rows
from engine.lm.base import BaseLM, Choice, Reply
from engine.records import Usage
from engine.testing import ScriptedLM, chat_answer

ROWS = [Example(question=f"q{i}", answer=f"a{i}").with_inputs("question") for i in range(12)]


def right(request):
    """Answer every question right."""
    asked = request.messages[-1]["content"].split("q")[-1].split()[0].split("\n")[0]
    number = "".join(c for c in asked if c.isdigit())
    return {"answer": f"a{number}"}


def right_text(request):
    return chat_answer(right(request))


def some_wrong(request):
    answer = right(request)["answer"]
    if answer == "a3":
        return LMError("The endpoint is gone.")
    return {"answer": "wrong" if answer in ("a1", "a2") else answer}


PROGRAM = Predict("question -> answer")


def test_outcomes_are_in_order_and_a_failed_row_is_a_record():
    heard = []
    with context(lm=ScriptedLM(some_wrong)):
        outcomes = engine.loop.run(
            run_rows(PROGRAM, list(enumerate(ROWS)), ExactMatch(), limit=4, on_outcome=heard.append)
        )
    assert [o.row for o in outcomes] == list(range(12))
    assert sorted(o.row for o in heard) == list(range(12))
    assert [o.score for o in outcomes[:5]] == [1, 0, 0, 0, 1]
    assert outcomes[3].error == "The endpoint is gone."
    assert outcomes[3].prediction == {}
    assert outcomes[1].feedback == "Expected 'a1', got 'wrong'."
    assert outcomes[1].prediction == {"answer": "wrong"}
    assert outcomes[1].usage.calls == 1
    assert outcomes[1].trace == ()


@pytest.mark.parametrize("shared", [False, True])
def test_no_more_rows_run_at_once_than_the_limit(shared):
    lm = SlowModel(right_text, 5)

    async def both():
        limit = asyncio.Semaphore(5) if shared else 5
        rows = list(enumerate(ROWS))
        return await asyncio.gather(
            *(run_rows(PROGRAM, rows, ExactMatch(), limit=limit) for _ in range(2 if shared else 1))
        )

    with context(lm=lm):
        found = engine.loop.run(both())
    assert lm.most == 5
    assert all(o.score == 1 for outcomes in found for o in outcomes)


def test_a_trace_names_each_step_and_holds_json_values():
    class Two(Module):
        def __init__(self):
            self.first = Predict("question -> tags: list[str]")
            self.second = Predict("tags: list[str] -> answer")

        def forward(self, question):
            return self.second(tags=self.first(question=question).tags)

    lm = ScriptedLM(
        lambda r: {"tags": ["x", "y"]} if "`tags`." in r.messages[0]["content"] else {"answer": "a0"}
    )
    with context(lm=lm):
        (outcome,) = engine.loop.run(run_rows(Two(), [(7, ROWS[0])], ExactMatch(), trace=True))
    assert outcome.error is None, outcome.error
    assert [(s.path, s.inputs, s.outputs) for s in outcome.trace] == [
        ("first", {"question": "q0"}, {"tags": ["x", "y"]}),
        ("second", {"tags": ["x", "y"]}, {"answer": "a0"}),
    ]
    assert (outcome.row, outcome.usage.calls) == (7, 2)


def test_what_the_listener_raises_ends_it_after_the_rows_under_way():
    def stop(outcome):
        heard.append(outcome.row)
        if len(heard) == 3:
            raise RunError("Enough.")

    heard = []
    with context(lm=SlowModel(right_text)), pytest.raises(RunError, match="Enough"):
        engine.loop.run(run_rows(PROGRAM, list(enumerate(ROWS)), ExactMatch(), limit=2, on_outcome=stop))
    assert len(heard) <= 4


def test_a_cached_reply_counts_as_cached():
    reply = Reply((Choice(chat_answer({"answer": "a0"})),), Usage(1, 0, 10, 2, 0.5), cached=True)
    with context(lm=ScriptedLM([reply])):
        (outcome,) = engine.loop.run(run_rows(PROGRAM, [(0, ROWS[0])], ExactMatch()))
    assert outcome.usage == Usage(0, 1, 10, 2, 0.5)


def test_evaluate_reports_percent_results_and_interval():
    with context(lm=ScriptedLM(some_wrong)):
        result = Evaluate(devset=ROWS, metric=lambda row, answer: row.answer == answer.answer, num_threads=4)(
            PROGRAM
        )
    assert result.score == 75.0
    assert [score for _, _, score in result.results[:5]] == [True, False, False, 0.0, True]
    assert result.results[0][0] is ROWS[0]
    assert result.results[0][1].answer == "a0"
    assert dict(result.results[3][1]) == {}
    assert [o.error for o in result.failures] == ["The endpoint is gone."]
    assert result.interval.low < 75 < result.interval.high
    assert result.interval.rows == 12
    assert repr(result) == "EvaluationResult(score=75.0, results=<list of 12 results>)"
    assert float(result) == 75.0


def test_evaluate_arguments_can_come_with_the_call():
    evaluate = Evaluate(devset=[], failure_score=0.5, provide_traceback=True)
    with context(lm=ScriptedLM(some_wrong)):
        result = evaluate(PROGRAM, metric=ExactMatch(), devset=ROWS, num_threads=1)
        assert result.score == round(100 * 9.5 / 12, 2)
        assert asyncio.run(evaluate.acall(PROGRAM, ExactMatch(), devset=ROWS)).score == result.score
        with pytest.raises(ValueError, match="devset is empty"):
            evaluate(PROGRAM, metric=ExactMatch())
        with pytest.raises(ConfigurationError, match="needs a metric"):
            evaluate(PROGRAM, devset=ROWS)
        with pytest.raises(ConfigurationError, match="'treads'"):
            evaluate(PROGRAM, treads=3)
        with pytest.raises(ConfigurationError, match="Example 0 does not know its inputs"):
            evaluate(PROGRAM, metric=ExactMatch(), devset=[Example(a=1)])


def test_max_errors_gives_up_only_when_asked():
    with context(lm=ScriptedLM(lambda request: LMError("Gone."))):
        assert Evaluate(devset=ROWS, metric=ExactMatch())(PROGRAM).score == 0.0
        with pytest.raises(RunError, match=r"Gave up after 2 failed rows of 2\. The last: Gone\."):
            Evaluate(devset=ROWS, metric=ExactMatch(), max_errors=2, num_threads=1)(PROGRAM)


def test_a_formula_in_an_answer_is_text_in_the_csv_file(tmp_path):
    rows = [Example(question="=1+1", answer="-5").with_inputs("question")]
    with context(lm=ScriptedLM(lambda _: {"answer": "@SUM(A1)"})):
        Evaluate(devset=rows, metric=ExactMatch(), save_as_csv=tmp_path / "r.csv")(PROGRAM)
    with (tmp_path / "r.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["question"], row["example_answer"], row["pred_answer"]) == ("'=1+1", "-5", "'@SUM(A1)")


def test_files_survive_failed_rows(tmp_path):
    paths = {"save_as_csv": tmp_path / "r.csv", "save_as_json": str(tmp_path / "r.json")}
    order = [ROWS[3], *ROWS[:3]]
    with context(lm=ScriptedLM(some_wrong)):
        Evaluate(devset=order, metric=ExactMatch(), **paths)(PROGRAM)
    with paths["save_as_csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["error"] == "The endpoint is gone."
    assert rows[1] == {
        "question": "q0",
        "example_answer": "a0",
        "pred_answer": "a0",
        "ExactMatch": "1.0",
        "error": "",
    }
    assert json.loads((tmp_path / "r.json").read_text())[2]["ExactMatch"] == 0.0


def test_table_and_progress_are_shown_on_request(capsys):
    with context(lm=ScriptedLM(some_wrong)):
        Evaluate(devset=ROWS, metric=ExactMatch(), display_table=2, display_progress=True)(PROGRAM)
    shown = capsys.readouterr()
    assert "2 of 12 rows" in shown.out
    assert "12 of 12 rows" in shown.err


def test_metrics_of_every_kind():
    def broken(row, answer):
        return math.nan if row.answer == "a0" else 1 / 0

    async def waits(row, answer):
        await asyncio.sleep(0)
        return Grade(0.5, "Half.")

    def judged(row, answer, trace=None):
        return Prediction(score=0.25, feedback="Weak.")

    with context(lm=ScriptedLM(right)):
        result = Evaluate(devset=ROWS[:2], metric=broken)(PROGRAM)
        assert result.outcomes[0].feedback.startswith("The metric returned no usable number")
        assert result.outcomes[1].error == "ZeroDivisionError: division by zero"
        assert result.outcomes[1].prediction == {"answer": "a1"}
        assert Evaluate(devset=ROWS, metric=waits)(PROGRAM).score == 50.0
        judged_result = Evaluate(devset=ROWS, metric=judged)(PROGRAM)
        assert (judged_result.score, judged_result.outcomes[0].feedback) == (25.0, "Weak.")


def test_a_metric_may_call_a_program_even_late_and_hide_the_refusal():
    judge = Predict("said -> good: bool")

    def metric(row, answer, trace=None):
        if int(row.answer[1:]) < 6:
            return 1.0
        try:
            return judge(said=answer.answer).good
        except Exception:  # noqa: BLE001 - as careless metrics do
            return 0.0

    lm = ScriptedLM(lambda r: {"good": True} if "`good`" in r.messages[0]["content"] else right(r))
    with context(lm=lm):
        result = Evaluate(devset=ROWS, metric=metric, num_threads=1)(PROGRAM)
    assert result.score == 100.0
    assert [o.usage.calls for o in result.outcomes] == [1] * 6 + [2] * 6


def test_a_blocking_metric_does_not_stop_the_others():
    names, four = set(), threading.Barrier(4, timeout=60)

    def metric(row, answer):
        names.add(threading.current_thread().name)
        time.sleep(0.03)  # no quick metric
        four.wait()  # returns when four are here at once
        return 1

    with context(lm=ScriptedLM(right)):
        result = Evaluate(devset=ROWS * 4, metric=metric, num_threads=24)(PROGRAM)
    assert result.failures == []
    assert "engine-loop" not in names


def test_a_quick_metric_moves_to_the_loop():
    names = []
    with context(lm=ScriptedLM(right)):
        Evaluate(
            devset=ROWS, metric=lambda r, a: names.append(threading.current_thread().name) or 1, num_threads=1
        )(PROGRAM)
    assert names[0] != "engine-loop"
    assert names[-1] == "engine-loop"


def test_a_program_that_returns_no_prediction_is_still_recorded():
    class Plain(Module):
        def forward(self, question):
            return question.upper()

    (outcome,) = Evaluate(devset=ROWS[:1], metric=lambda row, answer: answer == "Q0")(Plain()).outcomes
    assert (outcome.score, outcome.prediction) == (1.0, {"output": "Q0"})


def test_rows_that_never_wait_leave_room_for_others():
    class Busy(BaseLM):
        async def complete(self, request):
            time.sleep(0.004)
            return Reply((Choice(chat_answer(right(request))),))

    async def both():
        ticks = 0
        rows = asyncio.ensure_future(run_rows(PROGRAM, list(enumerate(ROWS * 2)), ExactMatch(), limit=4))
        while not rows.done():
            await asyncio.sleep(0)
            ticks += 1
        return ticks

    with context(lm=Busy("busy")):
        assert engine.loop.run(both()) >= 5
