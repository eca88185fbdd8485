"""The driver: order, concurrency, budget, stop, pause, failures, events."""

import asyncio
import re
from dataclasses import replace

import pytest

from engine import loop
from engine.errors import (
    ConfigurationError,
    InvalidRequestError,
    ProviderFailureError,
    RunError,
)
from engine.metrics import ExactMatch
from engine.modules.predict import Predict
from engine.records import Candidate, Demo, Usage
from engine.search.budget import Budget
from engine.search.contract import Keep, Propose, Score, together
from engine.search.driver import Driver
from engine.search.events import (
    BudgetSpent,
    CandidateFound,
    NewBest,
    Note,
    RowScored,
    TrialFinished,
    TrialStarted,
)
from engine.search.judging.verdict import verdict
from engine.testing.contract import RecordedEvents, StopAfter, ToyLM, toy_rows, toy_settings


class SlowLM(ToyLM):
    """Takes its time; keeps what it was sent."""

    def __init__(self, seconds=lambda request: 0.0, fail=lambda n, request: None, **changes):
        super().__init__(**changes)
        self.seconds, self.fail, self.requests, self.now, self.most = seconds, fail, [], 0, 0

    async def complete(self, request):
        self.requests.append(request)
        n = len(self.requests)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.seconds(request))
        self.now -= 1
        error = self.fail(n, request)
        if error is not None:
            raise error
        return await super().complete(request)


def run(search, settings, events=None, control=None, test_rows=0):
    return loop.run(Driver(settings, events, control).search(search, test_rows=test_rows))


def variant(problem, text):
    return problem.seed.with_step("self", instructions=text).derived(text, problem.seed)


def test_answers_come_in_the_order_asked_whatever_finishes_first():
    lm = SlowLM(lambda request: 0.02 if "apple" in request.messages[-1]["content"] else 0.0)
    seen = []

    def search(problem):
        answers = yield [
            Score(problem.seed, (24, 25, 26)),
            Score(variant(problem, "leaf is green"), (26, 25)),
            Keep(problem.seed),
        ]
        seen.extend(answers)

    run(search, toy_settings(lm))
    assert [o.row for o in seen[0].outcomes] == [24, 25, 26]
    assert [o.row for o in seen[1].outcomes] == [26, 25]
    assert [o.score for o in seen[1].outcomes] == [0.0, 1.0]
    assert seen[2] is None


def test_no_more_rows_at_once_than_allowed():
    lm = SlowLM(lambda request: 0.005)

    def search(problem):
        yield [Score(variant(problem, f"Variant {i}."), problem.validation) for i in range(4)]

    run(search, toy_settings(lm, concurrency=5))
    assert lm.most == 5


def test_a_row_is_never_run_twice():
    lm = SlowLM()

    def search(problem):
        yield [Score(problem.seed, (18, 19)), Score(problem.seed, (19, 20))]
        (again,) = yield [Score(problem.seed, (18, 19, 20))]
        assert again.usage == Usage(cached=3)

    result = run(search, toy_settings(lm))
    assert result.stopped == "finished", result.reason
    assert len(lm.requests) == 3


def test_a_prompt_kept_on_some_of_the_validation_rows_is_not_called_the_best_on_all():
    def search(problem):
        answers = yield [Score(variant(problem, f"Variant {i}."), problem.validation) for i in range(3)]
        yield [Keep(variant(problem, "Variant 2."), answers[2].score)]
        yield [Score(problem.seed, (18,))]

    result = run(search, toy_settings(ToyLM(), budget=Budget(calls=40)))
    assert "the search did not score it on all validation rows" in result.reason
    assert "The best of" not in result.reason


def test_a_budget_that_ends_inside_a_batch_finishes_candidates_in_turn():
    told = []

    def search(problem):
        answers = yield [Score(variant(problem, f"Variant {i}."), problem.validation) for i in range(4)]
        told.extend(len(a.outcomes) for a in answers)
        yield [Keep(variant(problem, "Variant 1."), answers[1].score)]
        yield [Score(problem.seed, (18,))]
        raise AssertionError("nothing more is answered")

    events = RecordedEvents()
    result = run(search, toy_settings(ToyLM(), budget=Budget(calls=40)), events)
    assert told == [18, 18, 4, 0]
    assert result.stopped == "budget"
    assert result.reason.startswith("The budget of 40 calls is used up. The best of 2 prompts scored 33 %")
    assert result.best.steps["self"].instructions == "Variant 1."
    ended = sorted(events.of(TrialFinished), key=lambda event: event.trial)
    assert [event.partial for event in ended] == [False, False, True, True]


def test_the_budget_keeps_back_what_the_final_comparison_needs():
    lm = ToyLM()
    settings = toy_settings(lm, rows=toy_rows(48), budget=Budget(calls=70))
    driver = Driver(settings)
    test = tuple(range(36, 48))

    def search(problem):
        assert problem.meter.calls_left == 70 - 18 - 24
        for i in range(9):
            yield [
                Score(variant(problem, f"sky is blue {i}"), problem.validation),
                Keep(variant(problem, "sky is blue")),
            ]

    async def work():
        await driver.score(driver.seed, settings.validation)
        result = await driver.search(search, test_rows=len(test))
        return result, await driver.compare(result.seed, result.best, test)

    result, (before, after) = loop.run(work())
    assert result.stopped == "budget"
    assert len(before.outcomes) == len(after.outcomes) == 12
    assert lm.paid == 70
    assert verdict(before, after).rows == 12


def test_a_comparison_the_budget_cannot_pay_stays_paired():
    settings = toy_settings(ToyLM(), rows=toy_rows(60), budget=Budget(calls=15))
    driver = Driver(settings)

    async def work():
        other = driver.seed.with_step("self", instructions="leaf is green")
        return await driver.compare(driver.seed, other, range(36, 60))

    before, after = loop.run(work())
    assert [o.row for o in before.outcomes] == [o.row for o in after.outcomes] == list(range(36, 43))


def test_stop_lets_calls_finish_keeps_the_best_and_still_compares():
    lm = SlowLM(lambda request: 0.002)
    settings = toy_settings(lm, rows=toy_rows(48), concurrency=4)
    driver = Driver(settings, None, StopAfter(30))

    def search(problem):
        yield [Keep(variant(problem, "sky is blue"))]
        yield [Score(problem.seed, problem.validation)]
        yield [Score(variant(problem, "sea is blue"), problem.validation)]
        yield [Score(problem.seed, problem.train)]
        raise AssertionError("nothing more is answered")

    async def work():
        result = await driver.search(search)
        return result, await driver.compare(result.seed, result.best, range(36, 48))

    result, (before, after) = loop.run(work())
    assert result.stopped == "stopped"
    assert result.reason.startswith("The run was stopped. ")
    assert result.best.steps["self"].instructions == "sky is blue"
    assert len(result.trials[1].evaluation.outcomes) == 12
    assert len(before.outcomes) == len(after.outcomes) == 12


def test_pause_holds_rows_back_and_stops_the_clock():
    class Pause:
        def __init__(self):
            self.door = asyncio.Event()

        async def checkpoint(self):
            await self.door.wait()

    lm = SlowLM()
    control = Pause()
    driver = Driver(toy_settings(lm), None, control)

    def search(problem):
        yield [Score(problem.seed, problem.validation)]

    async def work():
        run = asyncio.ensure_future(driver.search(search))
        await asyncio.sleep(0.05)
        assert not lm.requests
        paused = driver.ledger.seconds
        await asyncio.sleep(0.05)
        assert driver.ledger.seconds == paused
        control.door.set()
        return await run

    async def on_engine_loop():
        return await work()

    assert loop.run(on_engine_loop()).stopped == "finished"
    assert len(lm.requests) == 18


def test_no_model_at_all_is_an_error_in_one_sentence():
    with pytest.raises(RunError, match="No model is set"):
        loop.run(
            Driver(replace(toy_settings(ToyLM()), lm=None)).score(
                Predict("text -> label").candidate(), (1, 2)
            )
        )


def test_an_endpoint_that_dies_on_the_way_keeps_the_best():
    lm = SlowLM(fail=lambda n, request: ProviderFailureError("It is down.") if n > 40 else None)

    def search(problem):
        for i in range(20):
            (evaluation,) = yield [Score(variant(problem, f"Variant {i}."), problem.validation)]
            yield [Keep(variant(problem, f"Variant {i}."), evaluation.score)]

    result = run(search, toy_settings(lm))
    assert result.stopped == "failed"
    assert result.reason.startswith("It is down. ")
    assert result.best.steps["self"].instructions.startswith("Variant")


def test_a_search_that_breaks_keeps_the_best():
    def search(problem):
        yield [Keep(variant(problem, "sky is blue"), 0.5)]
        raise ZeroDivisionError("oops")

    result = run(search, toy_settings(ToyLM()))
    assert result.stopped == "failed"
    assert result.reason.startswith("The search failed: oops. ")
    assert result.score == 0.5


def test_money_without_a_price_is_refused_before_anything_is_paid():
    with pytest.raises(ConfigurationError, match="price"):
        Driver(toy_settings(ToyLM(), budget=Budget(usd=1)))


def test_a_row_does_not_see_a_demonstration_made_from_itself():
    lm = SlowLM()

    def search(problem):
        demos = tuple(Demo(dict(problem.rows[i])) for i in (0, 1, 2))
        candidate = problem.seed.with_step("self", demos=demos)
        yield [Score(candidate, (0, 1, 5), hide_own_row=True)]

    run(search, toy_settings(lm))
    shown = {request.messages[-1]["content"].split("\n")[1]: len(request.messages) for request in lm.requests}
    assert shown == {"apple 0": 6, "leaf 1": 6, "sea 5": 8}


def test_a_row_does_not_find_itself_among_the_nearest_examples():
    lm = SlowLM()

    def search(problem):
        demos = tuple(Demo(dict(problem.rows[i])) for i in range(9))
        candidate = problem.seed.with_step("self", demos=demos, nearest=1)
        yield [Score(candidate, (0, 3), hide_own_row=True)]
        yield [Score(candidate, (0, 3))]

    run(search, toy_settings(lm))
    pairs = [(r.messages[-1]["content"].split("\n")[1], r.messages[1]["content"]) for r in lm.requests]
    assert [own in shown for own, shown in pairs] == [False, False, True, True]


def test_a_rollout_is_a_fresh_sample_at_temperature_1():
    lm = SlowLM()

    def search(problem):
        yield [Score(problem.seed, (0,)), Score(problem.seed, (0,), rollout=2)]

    run(search, toy_settings(lm))
    plain, fresh = lm.requests
    assert (plain.rollout_id, "temperature" in plain.params) == (None, False)
    assert (fresh.rollout_id, fresh.params["temperature"]) == (2, 1.0)


def test_proposals_are_independent_samples_and_failures_are_left_out():
    lm = SlowLM(fail=lambda n, request: ProviderFailureError("down") if n == 2 else None)
    got = []

    def search(problem):
        (proposal,) = yield [
            Propose(Predict("text -> summary").signature, {"text": "x"}, n=3, temperature=0.9)
        ]
        got.extend(proposal.outputs)

    events = RecordedEvents()
    run(search, toy_settings(ToyLM(), prompt_lm=lm), events)
    assert len(got) == 2
    assert len({request.rollout_id for request in lm.requests}) == 3
    assert {request.params["temperature"] for request in lm.requests} == {0.9}
    assert next(e.text for e in events.of(Note)) == "A proposal failed: down"


def test_teacher_model_and_program_are_used_where_asked():
    teacher_lm, lm = SlowLM(), SlowLM()
    teacher = Predict("text -> label")
    teacher.signature = teacher.signature.with_instructions("sky is blue, leaf is green")

    def search(problem):
        assert problem.teacher.steps["self"].instructions == "sky is blue, leaf is green"
        (taught,) = yield [Score(problem.teacher, (0, 1, 2), teacher=True, trace=True)]
        assert taught.score == 1.0
        assert taught.outcomes[1].trace[0].outputs == {"label": "green"}

    result = run(search, toy_settings(lm, teacher=teacher, teacher_lm=teacher_lm))
    assert result.stopped == "finished", result.reason
    assert (len(lm.requests), len(teacher_lm.requests)) == (0, 3)


def test_a_strict_metric_sees_the_trace_when_rows_become_examples():
    def metric(example, prediction, trace=None):
        return 0.0 if trace else 1.0

    def search(problem):
        strict, plain = yield [Score(problem.seed, (0, 1), trace=True), Score(problem.seed, (0, 1))]
        assert (strict.score, plain.score) == (0.0, 1.0)

    result = run(search, toy_settings(ToyLM(), metric=metric))
    assert result.stopped == "finished", result.reason


def test_events_tell_the_story_in_sentences():
    events = RecordedEvents()

    def search(problem):
        candidate = variant(problem, "leaf is green, sky is blue")
        yield [Score(problem.seed, (24, 25), label="try")]
        (evaluation,) = yield [Score(candidate, (24, 25), label="try")]
        yield [Keep(candidate, evaluation.score)]

    run(search, toy_settings(ToyLM(), concurrency=1, metric=ExactMatch()), events)
    assert [e.text for e in events if not isinstance(e, BudgetSpent)] == [
        "Candidate 0: The starting prompt.",
        "Trial 1 (try) starts on 2 validation rows.",
        "Trial 1, row 24 scored 100 %.",
        "Trial 1, row 25 scored 0 %.",
        "Trial 1 scored 50 % over 2 rows.",
        "Candidate 1: leaf is green, sky is blue",
        "Trial 2 (try) starts on 2 validation rows.",
        "Trial 2, row 24 scored 100 %.",
        "Trial 2, row 25 scored 100 %.",
        "Trial 2 scored 100 % over 2 rows.",
        "Best so far, 100 % on the validation rows: leaf is green, sky is blue",
        "The best of 2 prompts scored 100 % on validation rows, the starting prompt 50 %.",
    ]
    assert events.of(BudgetSpent)[-1].text.startswith("Spent so far: 4 calls, ")
    assert [e.trial for e in events.of(TrialStarted)] == [1, 2]
    assert events.of(RowScored)[1].score == 0.5
    assert events.of(CandidateFound)[1].candidate.parents == (events.of(CandidateFound)[0].candidate.id,)
    assert events.of(NewBest)[0].score == 1.0


def test_a_candidate_for_another_program_is_a_failed_search_not_a_crash():
    def search(problem):
        yield [Score(Candidate({"nowhere": problem.seed.steps["self"]}), (0,))]

    result = run(search, toy_settings(ToyLM()))
    assert result.stopped == "failed"
    assert "nowhere" in result.reason


def test_validated_ranks_complete_trials_on_the_most_rows():
    def search(problem):
        yield [
            Score(problem.seed, problem.validation),
            Score(variant(problem, "leaf is green"), problem.validation),
            Score(variant(problem, "sky is blue"), problem.validation[:3]),
        ]

    result = loop.run(Driver(toy_settings(ToyLM())).search(search))
    assert [c.reason for _, c in result.validated()] == ["leaf is green", "The starting prompt."]


def test_together_runs_searches_in_lockstep():
    def count(n, name):
        total = 0
        for i in range(n):
            (answer,) = yield [f"{name}{i}"]
            total += answer
        return total

    search = together([count(2, "a"), count(0, "b"), count(3, "c")])
    assert next(search) == ["a0", "c0"]
    assert search.send([1, 10]) == ["a1", "c1"]
    assert search.send([2, 20]) == ["c2"]
    with pytest.raises(StopIteration) as end:
        search.send([30])
    assert end.value.value == [3, 0, 60]


def test_a_memory_of_replies_keeps_no_reply_of_a_failed_row():
    calls = []

    def fail(n, request):
        calls.append(n)
        return ProviderFailureError("hiccup") if n == 1 else None

    lm = SlowLM(fail=fail)

    def search(problem):
        (first,) = yield [Score(problem.seed, (24, 25))]
        (second,) = yield [Score(problem.seed, (24, 25))]
        assert [o.error for o in first.outcomes] == ["hiccup", None]
        assert [o.error for o in second.outcomes] == [None, None]

    result = run(search, toy_settings(lm, concurrency=1))
    assert result.stopped == "finished", result.reason
    assert len(calls) == 3


def test_a_candidate_tried_again_while_it_runs_ends_its_own_rows_only():
    """A row that fails at once is asked again by a second ask; the first one's end must not take it away."""

    class Failing(ToyLM):
        failed = 0

        async def complete(self, request):
            if re.search(r"\b18\b", str(request.messages[-1]["content"])):
                self.failed += 1
                await asyncio.sleep(0 if self.failed == 1 else 0.6)
                raise InvalidRequestError("Not this row.")
            await asyncio.sleep(0.3)
            return await super().complete(request)

    async def both(driver):
        first = asyncio.ensure_future(driver.score(driver.seed, range(18, 24)))
        await asyncio.sleep(0.1)
        return await asyncio.gather(first, driver.score(driver.seed, range(18, 24)))

    for found in loop.run(both(Driver(toy_settings(Failing())))):
        assert [bool(o.error) for o in found.outcomes] == [True] + 5 * [False]
