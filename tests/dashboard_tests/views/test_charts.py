import json
from dataclasses import replace

import pytest

from dashboard.views.score_chart import MOST_DRAWN, score_chart, score_figure
from engine.records import Usage
from engine.store.rows import TrialRow


def trial(
    number, score, *, label="full validation", split="validation", rows=50, done=None, state="finished"
):
    done = rows if done is None else done
    return TrialRow(
        number, f"c{number}", split, label, score, rows, done, state, 0.0, 1.0, Usage(), 1.0, False
    )


TRIALS = [
    trial(0, 0.4, label="baseline"),
    trial(1, 0.5, rows=20, label="minibatch"),
    trial(2, 0.9, split="train", rows=4),
    trial(3, 0.6),
    trial(4, 0.55),
    trial(5, 0.3, state="running", done=10),
    trial(6, 0.99, split="test"),
]


def test_trials_are_sorted_into_series():
    chart = score_chart(TRIALS)
    assert chart.baseline == 40
    assert [p.trial for p in chart.full] == [0, 3, 4]
    assert [p.trial for p in chart.partial] == [1]
    assert [p.trial for p in chart.train] == [2]
    assert [p.trial for p in chart.running] == [5]


def test_best_so_far_follows_full_validations_only_and_never_falls():
    assert [p.score for p in score_chart(TRIALS).best] == [40, 60, 60]


def test_validation_trials_stand_in_order_and_training_trials_between_them():
    places = {p.trial: p.place for series in score_chart(TRIALS)[1:5] for p in series}
    assert places == {0: 1, 1: 2, 2: 2.5, 3: 3, 4: 4, 5: 5}


def test_the_search_never_shows_test_rows():
    assert all(p.trial != 6 for series in score_chart(TRIALS)[1:7] for p in series)


def test_an_empty_run_has_an_empty_chart():
    chart = score_chart([])
    assert chart.baseline is None
    assert not any(chart[1:])


def test_the_figure_is_plain_data_and_clickable():
    figure = score_figure(score_chart(TRIALS))
    json.dumps(figure)
    traces = {t["name"]: t for t in figure["traces"]}
    assert traces["Baseline"]["y"] == [40, 40]
    assert traces["All rows"]["customdata"] == [0, 3, 4]
    assert traces["Solving examples"]["visible"] == "legendonly"
    assert len({t["uid"] for t in figure["traces"]}) == len(figure["traces"]), (
        "hidden series stay hidden by uid"
    )


PARENTS = {"c3": ("c0",), "c4": ("c3",), "c5": ("c3",), "c2": ("c0",)}


def test_a_candidate_is_joined_to_its_parents_and_one_being_tried_is_pending():
    links = score_chart(TRIALS, PARENTS).links
    assert [(x.parent.trial, x.child.trial, x.pending) for x in links] == [
        (0, 2, False),
        (0, 3, False),
        (3, 4, False),
        (3, 5, True),
    ]


def test_a_candidate_that_never_got_past_training_rows_is_shown_as_such():
    chart = score_chart(TRIALS, PARENTS)
    assert [p.trial for p in chart.rejected] == [2]
    assert chart.train == ()


def test_a_ghost_without_a_row_stands_where_its_parent_is():
    pending = trial(7, None, state="running", done=0)
    chart = score_chart([*TRIALS, pending], {"c7": ("c3",)})
    assert chart.running[-1].score == 60
    assert score_chart([pending]).running[0].score == 0


def test_many_points_are_thinned_for_drawing_and_never_for_figures():
    many = [trial(n, (n * 37 % 1000) / 1000) for n in range(10_000)]
    many[4321] = trial(4321, 0.9999)
    parents = {f"c{n}": (f"c{n - 1}",) for n in range(1, 10_000)}
    chart = score_chart(many, parents)
    assert len(chart.full) == 10_000
    assert chart.best[-1].score == 100.0
    figure = score_figure(chart)
    dots = next(t for t in figure["traces"] if t["name"] == "All rows")
    assert len(dots["x"]) <= MOST_DRAWN + 3
    assert 4321 in dots["customdata"]
    assert dots["customdata"][-1] == 9999
    assert len(json.dumps(figure)) < 200_000


def test_labels_are_text():
    chart = score_chart([trial(0, 0.4, label="<img src=x>")])
    assert "<img" not in chart.full[0].text


def test_the_baseline_is_the_latest_whole_evaluation_and_failed_rows_are_no_zeros():
    down = replace(trial(0, 0.0, label="baseline"), failed=50)
    chart = score_chart([down])
    assert (chart.baseline, chart.full, chart.best, chart.leader) == (None, (), (), None)
    assert "50 failed" in chart.failing[0].text
    again = replace(trial(3, 0.29, label="on all rows"), candidate_id="c0")
    chart = score_chart([down, trial(1, 0.2), trial(2, 0.4), again])
    assert chart.baseline == pytest.approx(29)
    assert [p.trial for p in chart.failing] == [0]
    lost = replace(trial(5, 0.0, split="train"), failed=50)
    chart = score_chart([again, lost], {"c5": ("c0",)})
    assert [p.trial for p in chart.failing] == [5]
    assert chart.failing[0].text.startswith("Trial 5: <b>no score</b>")
    partly = replace(trial(4, 0.48), failed=10)
    assert score_chart([down, again, partly]).failing[-1].score == 60, "40 rows answered, 24 right"


def test_a_row_that_fails_for_every_prompt_hides_no_score():
    chart = score_chart([replace(trial(n, 0.49), failed=1) for n in range(3)])
    assert [p.score for p in chart.full] == [50, 50, 50]
    assert chart.leader is not None


def test_the_star_is_where_the_best_line_ends():
    trials = [trial(0, 0.4, label="baseline"), trial(1, 0.75), trial(2, 0.6)]
    for number in range(1, 4):
        chart = score_chart([replace(t, is_best=t.number == 0) for t in trials[:number]])
        assert chart.leader is not None
        assert chart.leader.score == chart.best[-1].score == max(40, 75 * (number > 1))
    over = score_chart([replace(t, is_best=t.number == 2) for t in trials], over=True)
    assert over.leader is not None
    assert (over.leader.trial, over.best[-1].score) == (2, 60), "the prompt that was chosen"


def test_the_best_prompt_is_a_star_and_a_run_that_is_over_names_only_what_there_is():
    trials = [TRIALS[0], replace(TRIALS[3], is_best=True), TRIALS[4]]
    chart = score_chart(trials)
    assert chart.leader is not None
    assert chart.leader.trial == 3
    names = [t["name"] for t in score_figure(chart, over=True)["traces"]]
    assert names == ["Baseline", "Best on all rows", "All rows", "Best prompt"]
    assert "In progress" in [t["name"] for t in score_figure(chart)["traces"]]
