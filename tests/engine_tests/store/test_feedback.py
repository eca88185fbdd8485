"""What people say of answers, in the store."""

from __future__ import annotations

import pytest

from engine.records import Candidate, Outcome, StepState
from engine.store.rows import FeedbackRow
from engine.store.store import Store


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as opened:
        yield opened


def remark(row=3, candidate="c1", thumbs=-1, reason="Too long.", at=1.0):
    return FeedbackRow(row, "r1", candidate, thumbs, reason, "an answer", at)


def test_a_remark_replaces_the_one_before_on_the_same_row_and_prompt(store):
    store.feedback.save("p", "d", remark())
    store.feedback.save("p", "d", remark(reason="Still too long.", at=2.0))
    store.feedback.save("p", "d", remark(candidate="c2", at=3.0))
    assert [(r.candidate_id, r.reason) for r in store.feedback.all("p", "d")] == [
        ("c1", "Still too long."),
        ("c2", "Too long."),
    ]
    assert store.feedback.all("p", "other") == store.feedback.all("other", "d") == []


def test_a_remark_that_says_nothing_is_taken_back(store):
    store.feedback.save("p", "d", remark())
    store.feedback.save("p", "d", remark(thumbs=0, reason=" "))
    assert store.feedback.all("p", "d") == []


def test_broken_emoji_and_long_text_are_kept(store):
    store.feedback.save("p", "d", remark(reason="\ud83d" + "x" * 100_000))
    assert len(store.feedback.all("p", "d")[0].reason) == 100_001


def test_a_grade_belongs_to_a_row_and_its_answer(store):
    store.feedback.save_grade("p", "d", 1, "billing", 1.0)
    store.feedback.save_grade("p", "d", 1, "shipping", 0.0)
    store.feedback.save_grade("p", "d", 1, "billing", 0.5)
    assert store.feedback.grades("p", "d") == {(1, "billing"): 0.5, (1, "shipping"): 0.0}
    store.feedback.save_grade("p", "d", 1, "billing", None)
    assert store.feedback.grades("p", "d") == {(1, "shipping"): 0.0}


def test_what_people_said_goes_with_the_project(store):
    project = store.projects.create("P", {})
    store.feedback.save(project, "d", remark())
    store.feedback.save_grade(project, "d", 1, "a", 1.0)
    store.projects.delete(project)
    assert store.feedback.all(project, "d") == []
    assert store.feedback.grades(project, "d") == {}


def test_candidates_are_listed_without_their_content(store):
    run = store.runs.create("p", {}, "r")
    made = [Candidate({"s": StepState(f"wording {i}")}) for i in range(3)]
    for number, candidate in enumerate(made):
        store.trials.add_candidate(run, candidate)
        store.trials.start(run, number, candidate.id, "validation", "", 2)
        store.trials.add_outcomes(run, number, [Outcome(0, 1.0), Outcome(1, number / 2)])
    store.trials.finish(run, 1)
    assert [(c.id, c.number, c.score, c.rows) for c in store.trials.candidate_index(run)] == [
        (c.id, c.number, c.score, c.rows) for c in store.trials.candidates(run)
    ]
    assert store.trials.candidate_index(run)[1].score == 0.75
