from dataclasses import replace

import pytest

from dashboard.state.live.figures import calls_left, meters, progress, seconds_left, time_left
from engine.records import Usage
from engine.store.rows import RunRow, TrialRow


def run(**changes):
    values = {
        "id": "r", "project_id": "p", "title": "t", "spec": {"budget": {"calls": 100}}, "state": "running", "message": "",
        "pid": 1, "heartbeat_at": 0.0, "created_at": 0.0, "started_at": 0.0, "finished_at": None,
        "estimate": {"calls": {"low": 50, "high": 150}}, "result": None, "calls": 40, "cached": 10, "input_tokens": 1500,
        "output_tokens": 500, "cost": 0.02, "seconds": 10.0, "stop_requested": False, "pause_requested": False, "phase": "",
        "revision": 1,
    }  # fmt: skip
    return RunRow(**{**values, **changes})


def trial(of, split, rows, done):
    return TrialRow(1, of, split, "", 0.5, rows, done, "running", 0, None, Usage(), 1.0)


def test_meters_show_use_against_the_limit():
    calls, tokens, money, time = meters(run())
    assert (calls["text"], calls["share"]) == ("40 of 100", 0.4)
    assert (tokens["text"], tokens["share"]) == ("2.0k", None)
    assert (money["text"], time["text"]) == ("$0.02", "10 s")


def test_unknown_and_free_prices_are_said():
    assert meters(run(cost=None))[2]["text"] == "price not known"
    assert meters(run(cost=0.0))[2]["text"] == "free"


def test_time_left_comes_from_the_estimate():
    assert time_left(run()) == "about 10 s left"
    assert time_left(run(estimate=None)) == ""
    assert time_left(run(state="finished")) == ""


def test_time_left_goes_over_from_the_pace_of_the_estimate_to_that_of_the_run():
    span = {"low": 100, "typical": 100, "high": 100}
    slow_search = {"calls": span, "seconds": {"low": 100, "typical": 100, "high": 100}}
    begun, later = (run(calls=n, cached=0, seconds=n / 10, estimate=slow_search) for n in (10, 90))
    assert seconds_left(begun) == pytest.approx(95 * (0.1 * 0.1 + 0.9 * 1.0), rel=0.1)
    assert seconds_left(later) == pytest.approx(10 * (0.9 * 0.1 + 0.1 * 1.0), rel=0.1)
    assert seconds_left(run(calls=4, cached=0, estimate=slow_search)) is None


def test_past_the_least_expected_there_is_at_least_the_final_test_before_a_run():
    late = run(calls=100, cached=0, estimate={"calls": {"low": 50, "high": 150}, "final_calls": 40})
    assert calls_left(late) == (140 + 150) / 2 - 100
    assert calls_left(replace(late, calls=300)) == 40
    assert calls_left(replace(late, calls=300, estimate={"calls": {"low": 50, "high": 150}})) == 15


def test_in_the_final_test_what_is_left_is_known():
    late = run(calls=100, cached=0, estimate={"calls": {"low": 50, "high": 150}, "final_calls": 40})
    tests = [trial("a", "test", 20, 20), trial("b", "test", 20, 5)]
    assert calls_left(late, tests) == 40 * 15 / 40
    assert calls_left(late, tests[:1]) == 20


def test_progress_reaches_one_only_at_the_end():
    assert progress(run()) == 0.5
    assert 0.9 < progress(run(calls=5000)) <= 0.99
    assert progress(run(state="finished")) == 1.0
