import json

from dashboard.charts import score_chart, score_figure
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
    assert all(p.trial != 6 for series in score_chart(TRIALS)[1:] for p in series)


def test_an_empty_run_has_an_empty_chart():
    chart = score_chart([])
    assert chart.baseline is None
    assert not any(chart[1:])


def test_the_figure_is_plain_data_and_clickable():
    figure = score_figure(score_chart(TRIALS))
    json.dumps(figure)
    names = [t["name"] for t in figure["traces"]]
    assert names[:2] == ["Baseline", "Best so far"]
    assert figure["traces"][2]["customdata"] == [0, 3, 4]
