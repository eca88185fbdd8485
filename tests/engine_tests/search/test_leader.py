"""The leader of a search: what few rows are worth, what more rows change, and a past that never changes."""

from __future__ import annotations

from engine.search.judging.leader import LeaderPath, outlines

NUMBERS = {name: number for number, name in enumerate("sabcdefghij")}
START = {row: float(row % 2) for row in range(20)}


def path_of(*scored):
    """Return the path over (candidate, scores by row), each a trial that ended after the one before."""
    path = LeaderPath()
    for number, (candidate, rows) in enumerate(scored):
        path.add(number, candidate, NUMBERS[candidate], rows)
    return path


def right(rows, of=range(20)):
    return {row: float(row in rows) for row in of}


def test_a_leader_on_all_rows_has_its_validation_score_and_its_interval():
    (lead,) = path_of(("s", START)).leads
    assert (lead.candidate, lead.place, lead.total) == ("s", 0, 20)
    assert [round(x, 3) for x in lead.score] == [0.5, 0.299, 0.701, 20]


def test_all_right_on_few_rows_is_no_hundred_percent_and_its_interval_is_wide():
    lead = path_of(("s", START), ("a", right(range(8), range(8)))).leads[-1]
    assert lead.candidate == "a"
    assert 0.6 < lead.score.mean < 0.85, "drawn towards the start's 50 %"
    assert lead.score.high - lead.score.low > 0.4
    assert lead.score.rows == 8


def test_the_likely_score_is_between_what_it_scored_and_the_start_also_on_rows_that_were_hard_for_the_start():
    hard = right(range(0, 16, 2), range(0, 20, 2))
    lead = path_of(("s", START), ("a", hard)).leads[-1]
    assert (lead.candidate, lead.score.rows) == ("a", 10)
    assert 0.5 < lead.score.mean < 0.8


def test_few_lucky_rows_do_not_lead_unless_there_are_no_more():
    assert path_of(("s", START), ("a", {0: 1.0, 2: 1.0, 4: 1.0})).leads[-1].candidate == "s"
    assert path_of(("s", {0: 0.0, 1: 0.0}), ("a", {0: 1.0, 1: 1.0})).leads[-1].candidate == "a"


def test_prompts_are_compared_on_the_rows_that_both_answered():
    hard, easy = range(0, 20, 2), range(1, 20, 2)  # the start is right on the odd rows alone
    assert path_of(("s", START), ("a", right(easy, easy))).leads[-1].candidate == "s", (
        "no better than the start there"
    )
    assert path_of(("s", START), ("a", right(hard, hard))).leads[-1].candidate == "a"


def test_what_all_rows_say_of_a_leader_counts_also_where_it_is_less():
    lucky = right(range(8), range(8))
    path = path_of(("s", START), ("a", lucky), ("a", {**lucky, **right((), range(8, 20))}))
    assert [lead.candidate for lead in path.leads] == ["s", "a", "s"]
    assert path.leads[-1].score.mean == 0.5


def test_a_full_score_leads_unless_few_rows_are_better_by_a_standard_deviation():
    full = right(range(15))
    assert path_of(("s", START), ("a", full), ("b", right(range(8), range(8)))).leads[-1].candidate == "a"
    assert path_of(("s", START), ("b", right(range(8), range(8))), ("a", full)).leads[-1].candidate == "a"


def test_of_equal_full_scores_the_one_asked_first_leads_whichever_ended_first():
    assert (
        path_of(("s", START), ("a", right(range(15))), ("b", right(range(5, 20)))).leads[-1].candidate == "a"
    )
    path = path_of(("s", START))
    path.add(2, "b", NUMBERS["b"], right(range(5, 20)))
    path.add(1, "a", NUMBERS["a"], right(range(15)))
    assert [(lead.trial, lead.candidate) for lead in path.leads] == [(0, "s"), (2, "b"), (1, "a")]


def test_a_prompt_with_more_failed_rows_does_not_lead_and_one_row_that_always_fails_hides_nobody():
    failing = {**right(range(20)), 3: None}
    assert path_of(("s", START), ("a", failing)).leads[-1].candidate == "s"
    path = path_of(("s", {**START, 3: None}), ("a", failing))
    assert path.leads[-1].candidate == "a"
    assert path.leads[-1].score.mean == 1.0, "of the rows that were answered"
    assert path_of(("s", {**START, 3: None}), ("a", right(()))).leads[-1].candidate == "a", (
        "it answered them all"
    )
    assert path_of(("s", dict.fromkeys(range(20)))).leads == []


def test_trials_that_a_new_process_begins_again_begin_the_path_again():
    path = path_of(("s", START), ("a", right(range(20))))
    assert (path.advance([(1.0, 0)]), path.advance([(1.0, 0), (2.0, 1)])) == (0, 1)
    assert path.leads
    assert path.advance([(9.0, 0)]) == 0
    assert path.leads == []


def test_line_and_band_have_the_same_steps():
    leads = path_of(("s", START), ("a", right(range(15)))).leads
    line, band = outlines(leads, 3.4)
    assert line == [(0, 0.5), (1, 0.5), (1, 0.75), (3.4, 0.75)]
    assert [place for place, _ in band] == [0, 1, 1, 3.4, 3.4, 1, 1, 0]
