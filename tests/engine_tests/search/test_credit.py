"""Which step's change moved the score."""

from __future__ import annotations

from engine.records import Candidate, Demo, Evaluation, Outcome, StepState
from engine.search.judging.verdict import best_static, step_credit
from engine.search.result import Trial

START = Candidate({"find": StepState("Find."), "say": StepState("Say.")})
FOUND = START.with_step("find", instructions="Find all.").derived("more", START)
SHOWN = FOUND.with_step("say", demos=(Demo({"a": 1}),)).derived("shown", FOUND)
BOTH = START.with_step("find", instructions="x").with_step("say", instructions="y").derived("both", START)


def scores(**by_name):
    ids = {"start": START.id, "found": FOUND.id, "shown": SHOWN.id, "both": BOTH.id}
    return {ids[name]: dict(enumerate(values)) for name, values in by_name.items()}


def test_each_step_is_credited_with_the_changes_that_were_its_own():
    found = step_credit(
        [START, FOUND, SHOWN], scores(start=[0, 0, 0, 0], found=[1, 0, 0, 0], shown=[1, 1, 1, 0]), SHOWN.id
    )
    find, say = found.steps
    assert (find.step, find.kept, say.kept) == ("find", 0.25, 0.5)
    assert (find.changes[0].what, say.changes[0].what) == ("instructions", "solved examples")
    assert say.changes[0].low < 0.5 < say.changes[0].high
    assert "'say' moved the score most: +50 points" in found.sentence


def test_a_change_of_several_steps_credits_none():
    found = step_credit([START, BOTH], scores(start=[0], both=[1]), BOTH.id)
    assert [s.changes for s in found.steps] == [(), ()]
    assert found.together == 1
    assert "several steps at once" in found.sentence


def test_a_prompt_that_lacks_one_steps_change_credits_that_step():
    lacking = START.with_step("say", instructions="y").derived("one", START)
    known = {**scores(start=[0, 0], both=[1, 1]), lacking.id: {0: 0, 1: 1}}
    find, say = step_credit([START, BOTH, lacking], known, BOTH.id).steps
    assert (find.kept, say.mean) == (0.5, 0.5)


def test_the_best_static_prompt_is_judged_on_the_rows_of_the_best():
    demo = Demo({"a": "1", "b": "2"})
    best = START.with_step("say", demos=(demo,) * 9, nearest=4)
    fixed, lucky = START.with_step("say", demos=(demo,)), FOUND

    def trial(number, candidate, found):
        outcomes = tuple(Outcome(row, score) for row, score in enumerate(found))
        return Trial(number, candidate, "", "validation", Evaluation(candidate.id, outcomes), complete=True)

    trials = [
        trial(0, START, [0] * 30),
        trial(1, best, [1] * 30),
        trial(2, fixed, [1] * 28 + [0, 0]),
        trial(3, lucky, [1, 1]),
    ]
    assert best_static(trials, best) == fixed
    assert best_static(trials, fixed) is None


def test_a_change_off_the_way_to_the_best_is_told_and_not_kept():
    found = step_credit([START, FOUND], scores(start=[1, 1], found=[0, 1]), START.id)
    assert (found.steps[0].kept, found.steps[0].mean, found.steps[0].helped) == (None, -0.5, 0)
    assert "\u221250 points on average" in found.sentence


def test_rows_that_only_one_was_scored_on_are_left_out():
    half = {START.id: {0: 0.0, 1: 0.0}, FOUND.id: {1: 1.0, 2: 0.0}}
    (change,) = step_credit([START, FOUND], half, FOUND.id).steps[0].changes
    assert (change.rows, change.gain) == (1, 1.0)


def test_nothing_shared_is_said():
    assert "No change of a single step" in step_credit([START, FOUND], {}, FOUND.id).sentence
    assert step_credit([], {}, "").steps == ()


def test_a_circle_of_parents_ends():
    a = Candidate({"s": StepState("a")})
    b = Candidate({"s": StepState("b")}, (a.id,))
    a = Candidate({"s": StepState("a")}, (b.id,))
    assert step_credit([a, b], {a.id: {1: 0}, b.id: {1: 1}}, b.id).steps[0].kept is not None
