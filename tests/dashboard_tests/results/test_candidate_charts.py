"""All prompts of a run as figures: the matrix, the family tree, quality against cost, and why rows go wrong."""

from __future__ import annotations

from dashboard.results.candidate_charts import (
    MOST_CANDIDATES,
    beaten,
    lineage,
    lineage_figure,
    matrix,
    matrix_figure,
    priced_prompts,
    variants_figure,
)
from engine.records import Candidate, Outcome, StepState, Usage, whole_trials
from engine.search.judging.recommendation import TOKENS, PricedPrompt, as_good, shared_unit
from engine.search.result import RowUse
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


def use(tokens, cost=0.0, seconds=0.01):
    return RowUse(tokens, cost, seconds)


def priced(candidates, trials, tokens):
    uses = {c.id: use(n) for c, n in zip(candidates, tokens, strict=True)}
    return priced_prompts(candidates, trials, uses, shared_unit(uses.values()), "own")


def test_a_prompt_that_is_dearer_and_no_better_is_beaten():
    found = priced([START, A, B], whole_trials(TRIALS), (100, 200, 300))
    assert [(p.number, p.name, p.use) for p in found] == [
        (0, "the starting prompt", 100),
        (1, "prompt 1", 200),
        (2, "prompt 2", 300),
    ]
    assert beaten(found) == {B.id}
    figure = variants_figure(found, A.id, TOKENS, 150, START.id)
    names = [t["name"] for t in figure["traces"]]
    assert names == ["Your limit", "Beaten by another", "Worth a look", "Chosen", "Best within it"]
    assert figure["traces"][0]["x"] == [150, 150]
    assert figure["traces"][-1]["x"] == [100], "the ring is round the best prompt within the limit"


def test_the_chosen_prompt_is_a_star_even_where_another_is_as_good_and_cheaper():
    found = priced([A, B], {A.id: TRIALS[1], B.id: TRIALS[1]}, (200, 300))
    assert beaten(found) == {B.id}
    assert as_good(found, B.id).number == 1
    star = variants_figure(found, B.id, TOKENS, 300, A.id)["traces"][-2]
    assert (star["name"], star["text"], star["x"]) == ("Chosen", ["2"], [300])


def test_a_prompt_on_several_models_is_named_by_its_model():
    small = A.candidate.with_step("s", weights="openai/small")
    other = CandidateRow(small.id, 4, 0.7, 4, None, small, 0.0)
    found = priced([A, other], {A.id: TRIALS[1], other.id: TRIALS[1]}, (200, 300))
    assert [p.name for p in found] == ["prompt 1 on own", "prompt 4 on openai/small"]
    texts = [
        text for t in variants_figure(found, A.id, TOKENS, 1, A.id)["traces"][1:-1] for text in t["text"]
    ]
    assert sorted(texts) == ["own", "small"]


def test_a_saving_that_cannot_be_seen_is_not_claimed():
    found = [PricedPrompt("a", 1, "prompt 1", 0.8, 753), PricedPrompt("b", 2, "prompt 2", 0.8, 751)]
    assert as_good(found, "a") is None
    assert as_good([*found, PricedPrompt("c", 3, "prompt 3", 0.8, 740)], "a").number == 3


def test_rows_a_run_has_in_its_memory_do_not_make_a_prompt_look_cheap(tmp_path):
    with Store(tmp_path / "tuneboard.db") as store:
        run = store.runs.create(store.projects.create("a", {}), {}, "a run")
        store.trials.add_candidate(run, A.candidate)
        for number, outcomes in enumerate(
            (
                [
                    Outcome(1, 1.0, usage=Usage(1, 0, 90, 10, 0.5), seconds=0.1),
                    Outcome(2, 1.0, usage=Usage(0, 1, 190, 10, None), seconds=0.4),
                ],
                [Outcome(1, 1.0, usage=Usage(cached=1)), Outcome(2, 1.0, usage=Usage(cached=1))],
            )
        ):
            store.trials.start(run, number, A.id, "validation", "", 2)
            store.trials.add_outcomes(run, number, outcomes)
        assert store.trials.row_use(run) == {A.id: RowUse(150.0, None, 0.25)}
