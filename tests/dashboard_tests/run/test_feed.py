"""The feed of a run: prompts by number, rows as in the file, repeats folded into one line."""

from __future__ import annotations

from dataclasses import replace

from dashboard.state.live.figures import feed, narration
from engine.basics.statistics import Interval
from engine.records import Usage
from engine.search.judging.leader import Lead
from engine.store.rows import EventRow, TrialRow

PARENTS = {"a": (), "b": ("a",), "c": ("a",)}


def trial(number, candidate, split, score, rows, state="finished", failed=0):
    return TrialRow(number, candidate, split, "", score, 24, rows, state, 0, 1, Usage(), 1.0, failed)


TRIALS = [
    trial(1, "a", "validation", 0.25, 24, failed=4),
    trial(2, "b", "train", 1.0, 3),
    trial(3, "c", "train", 1 / 3, 3),
    trial(4, "b", "test", 0.8, 20, "stopped"),
    trial(5, "c", "validation", None, 0, "stopped"),
    trial(6, "b", "validation", None, 0, "stopped"),
    trial(7, "b", "validation", 0.0, 24, failed=24),
    replace(trial(8, "a", "train", 0.5, 24), label="looking for solved rows"),
    trial(9, "a", "teacher", 0.9, 20),
]


def said(*events, leads=()):
    rows = [EventRow(i, 1.0, kind, text, data) for i, (kind, text, data) in enumerate(events, 10)]
    return [(line[0], line[3]) for line in feed(rows, TRIALS, PARENTS, leads)["lines"]]


def lead(trial, candidate, score, rows=20):
    return Lead(trial, 1, candidate, Interval(score, 0.2, 0.9, rows), 20)


def test_prompts_are_called_by_their_number_and_rows_by_what_they_are_for():
    found = ("candidate_found", "Candidate 1: asks for reasons first.", {"candidate": "b", "number": 1})
    finished = ("trial_finished", "Trial 1 scored 25 % over 24 rows, 4 rows failed.", {"trial": 1})
    assert [text for _, text in said(found, finished)] == [
        "New: prompt 1. Asks for reasons first.",
        "The starting prompt scored 30 % on 20 validation rows, 4 rows failed.",
    ]


def test_the_narration_is_the_last_step_and_after_the_verdict_the_one_that_won():
    story = [
        ("candidate_found", "Candidate 1: adds 3 rules; reasons first.", {"candidate": "b", "number": 1}),
        ("trial_finished", "Trial scored.", {"trial": 1}),
        ("proposed", "Asked the prompt model.", {"asked": 1, "received": 1}),
        ("trial_finished", "Trial scored.", {"trial": 2}),
        ("trial_finished", "Trial scored.", {"trial": 10}),
        ("trial_finished", "Trial scored.", {"trial": 4}),
        ("verdict", "Better: 80 % against 30 %.", {}),
    ]
    events = [EventRow(i, 1.0, kind, text, data) for i, (kind, text, data) in enumerate(story)]
    trials = [*TRIALS, trial(10, "b", "validation", 0.75, 20)]
    leads = [lead(1, "a", 0.3), lead(10, "b", 0.7)]
    told = [narration(events[:n], trials, PARENTS, leads) for n in range(1, len(events) + 1)]
    start = "The starting prompt scored 30 % on 20 validation rows, 4 rows failed and took the lead."
    won = "Prompt 1 scored 75 % on 20 validation rows and took the lead: adds 3 rules."
    tested = "Prompt 1 scored 80 % on 20 test rows, cut short: 24 were planned."
    assert told == ["", start, start, start, won, tested, won]
    more = [*trials, trial(11, "b", "validation", 0.5, 24)]
    after = narration(events, more, PARENTS, leads)
    assert after.startswith("Prompt 1 scored 50 % on 24"), (
        "what is known at the end, not the score that took the lead"
    )


def test_a_trial_after_which_another_prompt_leads_names_it_with_its_likely_score():
    ended = [("trial_finished", "Trial scored.", {"trial": number}) for number in (1, 7, 4)]
    leads = [lead(1, "a", 0.3), lead(7, "a", 0.31), lead(4, "b", 0.744, rows=8)]
    assert [text for _, text in said(*ended, leads=leads)] == [
        "The starting prompt scored 30 % on 20 validation rows, 4 rows failed. Best so far: the starting prompt with 30 %.",
        "Prompt 1: all 24 validation rows failed.",
        "Prompt 1 scored 80 % on 20 test rows, cut short: 24 were planned. Best so far: prompt 1 with about 74 %.",
    ]


def test_a_prompt_that_the_search_keeps_meanwhile_is_no_second_best_so_far():
    text = "Best so far, 80 % on the validation rows: asks first."
    assert said(("new_best", text, {"candidate": "b", "score": 0.8}), ("note", "Hello.", {})) == [
        (11, "Hello.")
    ]


def test_a_failed_row_has_the_number_it_has_in_the_file_and_a_cut_trial_says_so():
    failed = ("row_scored", "Trial 1, row 3 failed: No answer: none.", {"trial": 1, "row": 2, "number": 3})
    cut = ("trial_finished", "Trial 4 scored 80 % over 20 rows, cut short.", {"trial": 4})
    again = ("row_scored", "Trial 1, row 8 failed: No answer: none.", {"trial": 1, "row": 7, "number": 8})
    all_failed = ("trial_finished", "Trial 7 scored 0 % over 24 rows, 24 rows failed.", {"trial": 7})
    never = [("trial_finished", "Trial cut short.", {"trial": number}) for number in (5, 6, 5)]
    assert [text for _, text in said(failed, again, *never, cut, all_failed)] == [
        "Rows 3, 8 failed with the starting prompt: No answer: none.",
        "Cut short before the first row: prompt 2, prompt 1.",
        "Prompt 1 scored 80 % on 20 test rows, cut short: 24 were planned.",
        "Prompt 1: all 24 validation rows failed.",
    ]


def test_what_a_teacher_answers_is_not_called_the_starting_prompt():
    solved, tested = (("trial_finished", "Trial scored.", {"trial": number}) for number in (8, 9))
    assert [text for _, text in said(solved, tested)] == [
        "Looking for solved rows: 50 % on 24 training rows.",
        "The teacher scored 90 % on 20 test rows.",
    ]


def test_what_repeats_is_one_line_under_the_first_ones_id():
    asked = ("proposed", "Asked the prompt model.", {"label": "rules for route", "asked": 1, "received": 1})
    nothing = ("proposed", "Asked the prompt model.", {"label": "rules for route", "asked": 1, "received": 0})
    other = ("proposed", "Asked the prompt model.", {"label": "", "asked": 2, "received": 2})
    looks = [("trial_finished", "Trial scored.", {"trial": number}) for number in (2, 3)]
    assert said(asked, asked, nothing, other, *looks) == [
        (10, "Asked the model that writes prompts for rules for route: 3 answers, 2 usable."),
        (13, "Asked the model that writes prompts for new prompts: 2 answers, all usable."),
        (14, "Looked at 6 training rows in 2 trials of 2 prompts: 33 to 100 %."),
    ]


def test_an_event_that_is_not_known_says_itself():
    assert said(
        ("note", "<b>Something</b> happened.", {}), ("trial_finished", "Trial 99 scored.", {"trial": 99})
    ) == [
        (10, "<b>Something</b> happened."),
        (11, "Trial 99 scored."),
    ]
