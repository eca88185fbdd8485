"""All prompts of a run as figures: the matrix, the family tree, quality against cost, and why rows go wrong."""

from __future__ import annotations

from dashboard.results.candidate_charts import (
    MOST_CANDIDATES,
    Variant,
    as_good,
    lineage,
    lineage_figure,
    matrix,
    matrix_figure,
    trade_off,
    variants,
    variants_figure,
)
from engine.records import Candidate, Outcome, StepState, Usage, whole_trials
from engine.store.rows import CandidateRow, TrialRow
from engine.store.store import Store


def candidate(number, *parents, score=0.5):
    made = Candidate({"s": StepState(f"wording {number}")}, tuple(p.id for p in parents), f"why {number}")
    return CandidateRow(made.id, number, score, 4, None, made, 0.0)


def trial(number, of, score, tokens=100, rows=4, split="validation"):
    usage = Usage(4, 0, tokens * rows, 0, None)
    return TrialRow(number, of.id, split, "", score, rows, rows, "finished", 0, 1, usage, 1.0)


START, A, B = (candidate(0), candidate(1), candidate(2))
CHILD = candidate(3, A)
TRIALS = [trial(0, START, 0.5), trial(1, A, 0.75, 200), trial(2, B, 0.5, 300), trial(3, A, 1.0, rows=2)]
SCORES = {0: {10: 1, 11: 0, 12: 1, 13: 0}, 1: {10: 1, 11: 0, 12: 1, 13: 1}, 2: {10: 1, 11: 0, 12: 0, 13: 1}}


def test_only_trials_on_all_validation_rows_count():
    assert {t.number for t in whole_trials(TRIALS).values()} == {0, 1, 2}


def test_the_matrix_stands_from_the_hardest_row_to_the_easiest():
    found = matrix([START, A, B, CHILD], whole_trials(TRIALS), SCORES)
    assert found.candidates == ("Start", "1", "2")
    assert found.rows == (11, 12, 13, 10)
    assert found.scores[0] == (0, 0, 0)
    assert (found.never, found.always) == (1, 1)


def test_with_many_candidates_the_start_and_the_best_stay():
    many = [candidate(i) for i in range(60)]
    trials = whole_trials([trial(i, c, i / 60) for i, c in enumerate(many)])
    found = matrix(many, trials, {i: {1: 1.0} for i in range(60)})
    assert len(found.candidates) == MOST_CANDIDATES
    assert found.candidates[0] == "Start"
    assert found.candidates[-1] == "59"
    assert found.left_out == 60 - MOST_CANDIDATES


def test_outside_text_is_escaped_on_hover():
    found = matrix([START], whole_trials(TRIALS[:1]), SCORES)
    figure = matrix_figure(found, {row: row for row in found.rows}, {11: "<img src=x>"})
    assert "<img" not in str(figure)


def test_the_family_tree_knows_generations_and_the_chosen_one():
    nodes = lineage([START, A, B, CHILD])
    assert [(n.row.number, n.depth) for n in nodes] == [(0, 0), (1, 0), (2, 0), (3, 1)]
    lines, tried, chosen = lineage_figure(nodes, CHILD.id)["traces"]
    assert lines["x"] == [0, 1, None]  # from prompt 1 to prompt 3
    assert [(t["name"], t["text"]) for t in (tried, chosen)] == [
        ("Tried", ["0", "1", "2"]),
        ("Chosen", ["3"]),
    ]


def test_a_prompt_that_is_dearer_and_no_better_is_beaten():
    found = variants([START, A, B], whole_trials(TRIALS), {START.id: 100, A.id: 200, B.id: 300}, A.id)
    assert [(v.number, v.beaten, v.best) for v in found] == [
        (0, False, False),
        (1, False, True),
        (2, True, False),
    ]
    assert (
        trade_off(found)
        == "Prompt 1 scores 25 points more than the starting prompt and reads 2.0 times the tokens."
    )
    assert [t["name"] for t in variants_figure(found)["traces"]] == [
        "Beaten by another",
        "Worth a look",
        "Chosen",
    ]


def test_the_chosen_prompt_is_a_star_even_where_another_is_as_good_and_cheaper():
    found = variants([A, B], {A.id: TRIALS[1], B.id: TRIALS[1]}, {A.id: 200, B.id: 300}, B.id)
    assert [(v.number, v.beaten) for v in found] == [(1, False), (2, True)]
    assert (
        trade_off(found) == "On these rows prompt 1 is as good as the best, prompt 2, with 33 % fewer tokens."
    )
    star = variants_figure(found)["traces"][-1]
    assert (star["name"], star["text"], star["x"]) == ("Chosen", ["2"], [300])


def test_a_saving_that_cannot_be_seen_is_not_claimed():
    found = [Variant(1, 0.8, 753, True, True), Variant(2, 0.8, 751, False, False)]
    assert as_good(found) is None
    assert trade_off(found) == ""
    assert as_good([*found, Variant(3, 0.8, 740, False, False)]).number == 3


def test_a_gain_of_less_than_a_point_shown_is_not_claimed():
    assert trade_off([Variant(0, 0.801, 100, False, False), Variant(1, 0.804, 400, False, True)]) == ""


def test_rows_a_run_has_in_its_memory_do_not_make_a_prompt_look_cheap(tmp_path):
    with Store(tmp_path / "tuneboard.db") as store:
        run = store.runs.create(store.projects.create("a", {}), {}, "a run")
        store.trials.add_candidate(run, A.candidate)
        for number, outcomes in enumerate(
            (
                [Outcome(1, 1.0, usage=Usage(1, 0, 90, 10)), Outcome(2, 1.0, usage=Usage(0, 1, 190, 10))],
                [Outcome(1, 1.0, usage=Usage(cached=1)), Outcome(2, 1.0, usage=Usage(cached=1))],
            )
        ):
            store.trials.start(run, number, A.id, "validation", "", 2)
            store.trials.add_outcomes(run, number, outcomes)
        assert store.trials.row_tokens(run) == {A.id: 150.0}
