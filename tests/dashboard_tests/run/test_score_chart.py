import json
from dataclasses import replace

import pytest

from dashboard.state.live.score_chart import MOST_DRAWN, score_chart, score_figure
from engine.basics.statistics import Interval
from engine.records import Usage
from engine.search.judging.leader import Lead
from engine.store.rows import TrialRow


def trial(
    number, score, *, label="full validation", split="validation", rows=50, done=None, state="finished"
):
    done = rows if done is None else done
    return TrialRow(number, f"c{number}", split, label, score, rows, done, state, 0.0, 1.0, Usage(), 1.0)


TRIALS = [
    trial(0, 0.4, label="baseline"),
    trial(1, 0.5, rows=20, label="minibatch"),
    trial(2, 0.9, split="train", rows=4),
    trial(3, 0.6),
    trial(4, 0.55),
    trial(5, 0.3, state="running", done=10),
    trial(6, 0.99, split="test"),
]


def test_a_prompt_is_one_dot_and_training_rows_have_a_strip():
    chart = score_chart(TRIALS)
    assert chart.baseline == 40
    assert [p.number for p in chart.prompts] == [0, 1, 3, 4, 5]
    assert [p.number for p in chart.training] == [2]
    assert [p.number for p in chart.running] == [5]
    assert [p.share for p in chart.prompts] == [1, 0.4, 1, 1, 0.2]


def test_a_prompt_that_is_scored_on_more_rows_keeps_its_number_and_grows():
    race = [trial(0, 0.3, label="baseline"), trial(1, 0.8, rows=16), trial(2, 0.6, rows=16)]
    more = replace(trial(3, 0.7, rows=40), candidate_id="c1")
    chart = score_chart([*race, more])
    assert [(p.number, p.score, p.rows) for p in chart.prompts] == [
        (0, 30, 50),
        (1, 70, 40),
        (2, 60, 16),
    ]
    sizes = next(t for t in score_figure(chart)["traces"] if t["name"] == "Prompts")["marker"]["size"]
    assert sizes[0] > sizes[1] > sizes[2]
    again = replace(trial(4, None, done=0, state="running"), candidate_id="c2")
    assert [(p.number, p.score) for p in score_chart([*race, more, again]).running] == [(2, 60)]


def lead(trial, place, score, low, high, candidate="c3"):
    return Lead(trial, place, candidate, Interval(score, low, high, 50), 50)


LEADS = [lead(0, 0, 0.4, 0.3, 0.5, "c0"), lead(1, 1, 0.45, 0.2, 0.7, "c1"), lead(3, 3, 0.6, 0.5, 0.7)]


def test_the_best_so_far_is_a_line_with_a_band_that_later_leads_leave_as_they_are():
    figures = [score_figure(score_chart(TRIALS, leads=LEADS[:n])) for n in (1, 2, 3)]
    lines = [{t["name"]: t for t in figure["traces"]} for figure in figures]
    corners = [list(zip(t["Best so far"]["x"], t["Best so far"]["y"], strict=True)) for t in lines]
    assert corners == [
        [(0, 40), (5.4, 40)],
        [(0, 40), (1, 40), (1, 45), (5.4, 45)],
        [(0, 40), (1, 40), (1, 45), (3, 45), (3, 60), (5.4, 60)],
    ]
    band = lines[1]["95 % interval"]
    assert band["x"] == [0, 1, 1, 5.4, 5.4, 1, 1, 0]
    assert band["y"] == [50, 50, 70, 70, 20, 20, 30, 30]
    assert band["fill"] == "toself"


def test_the_star_is_at_the_number_of_the_leader_and_where_the_line_ends():
    chart = score_chart(TRIALS, leads=LEADS[:2])
    assert (chart.leader.number, chart.leader.score, chart.leader.candidate) == (1, 45, "c1")
    assert "Best so far: 45.0 %" in chart.leader.text
    assert "95 % interval 20.0 % to 70.0 %" in chart.leader.text
    assert "50.0 %</b> on 20 of 50 validation rows" in chart.leader.text, "and what it scored there"


def test_a_chosen_prompt_that_is_not_the_leader_is_a_mark_and_no_other_past():
    chart = score_chart(TRIALS, leads=LEADS, chosen="c4")
    assert (chart.best, chart.leader.number, chart.chosen.number) == (tuple(LEADS), 3, 4)
    assert score_chart(TRIALS, leads=LEADS, chosen="c3").chosen is None
    marks = [t for t in score_figure(chart)["traces"] if t["name"] == "Chosen at the end"]
    assert [(t["x"], t["y"]) for t in marks] == [([4], [55])]


def test_a_prompt_is_at_its_own_number_also_where_it_only_ran_training_rows():
    parents = {"c0": (), "c1": ("c0",), "c2": ("c0",), "c5": ("c0",), "c3": ("c0",), "c4": ("c3",)}
    chart = score_chart(TRIALS, parents)
    numbers = {p.candidate: p.number for series in (chart.prompts, chart.training) for p in series}
    assert numbers == {"c0": 0, "c1": 1, "c2": 2, "c5": 3, "c3": 4, "c4": 5}, "as in tables and in the log"
    traces = {t["name"]: t for t in score_figure(chart)["traces"]}
    assert traces["Prompts"]["x"] == traces["Prompts"]["customdata"] == [0, 1, 4, 5, 3]
    assert traces["Tries on training rows"]["x"] == [2]
    assert "Trial" not in json.dumps(score_figure(chart))


def test_the_search_never_shows_test_rows():
    chart = score_chart(TRIALS)
    assert "c6" not in {p.candidate for some in (chart.prompts, chart.training, chart.running) for p in some}


def test_an_empty_run_has_an_empty_chart():
    chart = score_chart([])
    assert chart.baseline is None
    assert not any(chart[1:])


def test_the_figure_is_plain_data_and_clickable():
    figure = score_figure(score_chart(TRIALS))
    json.dumps(figure)
    traces = {t["name"]: t for t in figure["traces"]}
    assert traces["Start"]["y"] == [40, 40]
    assert figure["layout"]["yaxis"]["range"] == [-2, 103], "the whole scale, whatever the scores are"
    assert traces["Prompts"]["customdata"] == [0, 1, 3, 4, 5]
    assert traces["Tries on training rows"]["yaxis"] == "y2"
    assert len({t["uid"] for t in figure["traces"]}) == len(figure["traces"]), (
        "hidden series stay hidden by uid"
    )


PARENTS = {"c0": (), "c1": ("c0",), "c3": ("c0",), "c4": ("c3", "c1"), "c5": ("c3",), "c2": ("c0",)}


def test_a_prompt_knows_the_ones_it_came_from_and_no_line_is_drawn_before_it_is_pointed_at():
    chart = score_chart(TRIALS, PARENTS)
    assert chart.origins == {1: [0], 2: [0], 3: [2, 1], 4: [2]}
    names = {t["name"] for t in score_figure(chart)["traces"]}
    assert names == {"Start", "Prompts", "Being scored", "Tries on training rows"}
    assert score_figure(chart)["lineage"] == {"1": [0], "2": [0], "3": [2, 1], "4": [2]}
    assert "Prompt 3, from 1 and 2" in chart.prompts[3].text
    assert "Prompt 5, from the start" in chart.training[0].text


def test_what_has_no_row_yet_is_where_its_parent_is():
    pending = trial(7, None, state="running", done=0)
    chart = score_chart([*TRIALS, pending], {"c7": ("c3",)})
    assert chart.running[-1].score == 60
    assert chart.prompts[-1].candidate == "c5", "not a dot yet"
    assert score_chart([pending]).running[0].score == 0


def test_many_points_are_thinned_for_drawing_and_never_for_figures():
    many = [trial(n, (n * 37 % 1000) / 1000) for n in range(10_000)]
    many[4321] = trial(4321, 0.9999)
    parents = {f"c{n}": (f"c{n - 1}",) if n else () for n in range(10_000)}
    chart = score_chart(many, parents)
    assert len(chart.prompts) == 10_000
    figure = score_figure(chart)
    dots = next(t for t in figure["traces"] if t["name"] == "Prompts")
    assert len(dots["x"]) <= MOST_DRAWN + 3
    assert 4321 in dots["customdata"]
    assert dots["customdata"][-1] == 9999
    assert len(json.dumps(figure)) < 200_000


def test_labels_are_text():
    chart = score_chart([trial(0, 0.4, label="<img src=x>")])
    assert "<img" not in chart.prompts[0].text


def test_the_baseline_is_the_latest_whole_evaluation_and_failed_rows_are_no_zeros():
    down = replace(trial(0, 0.0, label="baseline"), failed=50)
    chart = score_chart([down])
    assert (chart.baseline, chart.prompts) == (None, ())
    assert "50 failed" in chart.failing[0].text
    again = replace(trial(3, 0.29, label="on all rows"), candidate_id="c0")
    chart = score_chart([down, trial(1, 0.2), trial(2, 0.4), again])
    assert chart.baseline == pytest.approx(29)
    assert not chart.failing, "the start was scored again"
    lost = replace(trial(5, 0.0), failed=50)
    chart = score_chart([again, lost], {"c0": (), "c5": ("c0",)})
    assert [p.candidate for p in chart.failing] == ["c5"]
    assert chart.failing[0].text.startswith("<b>no score</b>")
    partly = replace(trial(4, 0.48), failed=10)
    assert score_chart([down, again, partly]).failing[-1].score == 60, "40 rows answered, 24 right"


def test_a_row_that_fails_for_every_prompt_hides_no_score():
    chart = score_chart([replace(trial(n, 0.49), failed=1) for n in range(3)])
    assert [p.score for p in chart.prompts] == [50, 50, 50]


def test_the_figure_has_only_the_series_that_there_are():
    figure = score_figure(score_chart([TRIALS[0], TRIALS[3]], leads=LEADS[:1]))
    names = ["95 % interval", "Start", "Best so far", "Prompts", "Best prompt"]
    assert [t["name"] for t in figure["traces"]] == names
    assert "yaxis2" not in figure["layout"]
