"""The best prompt so far is one thing: on the page while a run goes on and after it, in the terminal, the log and the report."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import pytest
from support.run_setup import add_data
from support.small_optimizers import PROMPT_OPTIMIZERS, SMALL

from dashboard.state.live.figures import LATEST
from dashboard.state.live.snapshot import Snapshot, SnapshotReader, parts
from engine.cli.tune import _detail
from engine.pipeline.templates import SAMPLES
from engine.runs.results.report import run_report
from engine.runs.spec import Named, sample_bytes, sample_draft
from engine.runs.worker import work
from engine.search.budget import Budget
from engine.search.judging.leader import LeaderPath
from engine.store.store import Store

MOMENTS = 10
MAY_CHOOSE_OTHERWISE = {
    "Autotune": "of prompts that score about as well it chooses the shortest, and the start unless one is surely better",
}


class Moment(NamedTuple):
    """A run as it was at a time: its state as the page reads it, the parts of the page, and how many leads it had."""

    seen: Snapshot
    parts: dict
    leads: int


class Replay(NamedTuple):
    """A finished run, with the moments on the way and its report."""

    end: Moment
    moments: list[Moment]
    report: str


@pytest.fixture(scope="module", params=PROMPT_OPTIMIZERS, ids=lambda o: o.name)
def replay(request, tmp_path_factory):
    """A run of one optimizer on a sample with the offline model. (Those that train a model find it by the same trials.)"""
    home, sample = tmp_path_factory.mktemp("home"), SAMPLES[0]
    dataset = add_data(home, sample_bytes(sample.file), sample.file)
    named = Named(name=request.param.name, options=SMALL.get(request.param.name, {}))
    draft = sample_draft(sample, dataset).model_copy(
        update={"optimizer": named, "budget": Budget(calls=1200)}
    )
    with Store.open(home) as store:
        spec = draft.to_run(store.datasets.get(dataset).hash).model_dump(mode="json")
        run = store.runs.create(store.projects.create("P", {}), spec, "A run")
    assert work(home, run) == 0
    with Store.open(home, read_only=True) as store:
        end = SnapshotReader(run).read(store)._replace(events=store.events.all(run))
        times = [e.at for e in end.events if e.kind == "trial_finished"]
        path = LeaderPath()  # the terminal's and the event stream's, which grows
        moments = [
            _at(store, end, times[(n * (len(times) - 1)) // (MOMENTS - 1)], path) for n in range(MOMENTS)
        ]
        return Replay(Moment(end, parts(end), len(end.leads)), moments, run_report(store, run))


def _at(store, end, time, path):
    """Return the run as it was: trials that had not ended go on, those that had not begun are not there yet."""
    trials = [
        t if t.finished_at <= time else replace(t, state="running", finished_at=None)
        for t in end.trials
        if t.started_at <= time
    ]
    run = replace(end.run, state="running", result=None)
    leads = list(store.trials.leader_path(run.id, trials, path).leads)
    events = [e for e in end.events if e.at <= time]
    seen = end._replace(run=run, trials=trials, events=events, leads=leads)
    return Moment(seen, parts(seen), len(leads))


def _line(moment):
    """Return where the steps of the best-so-far line on the page begin; the last one goes on to the chart's end."""
    traces = {t["name"]: t for t in moment.parts["chart"]["figure"]["traces"]}
    line = traces["Best so far"]
    return list(zip(line["x"], line["y"], strict=True))[::2]


def test_the_line_at_any_moment_is_the_finished_line_up_to_then(replay):
    for moment in replay.moments:
        assert _line(moment) == _line(replay.end)[: moment.leads]
        assert moment.seen.leads == list(replay.end.seen.leads)[: moment.leads]
    assert replay.moments[-1].leads == replay.end.leads > 0


def test_the_terminal_has_the_number_that_the_line_ends_at(replay):
    for moment in replay.moments:
        shown = re.search(
            r"best so far (\d+) %", _detail(moment.seen.run, moment.seen.trials, moment.seen.leads)
        )
        assert shown, "from the first validation on"
        assert float(shown[1]) == pytest.approx(_line(moment)[-1][1], abs=0.51)
        assert moment.parts["chart"]["label"].endswith(f"the best so far {shown[1]} %")


def test_the_star_and_the_log_show_the_leader_of_the_moment(replay):
    for moment in replay.moments:
        lead = moment.seen.leads[-1]
        number = list(moment.seen.parents).index(lead.candidate)
        star = next(t for t in moment.parts["chart"]["figure"]["traces"] if t["name"] == "Best prompt")
        assert (star["x"], star["customdata"], moment.parts["leader"]) == ([number], [number], number)
        assert star["y"] == [_line(moment)[-1][1]]
        new = [
            n
            for n, old in zip(moment.seen.leads, [None, *moment.seen.leads], strict=False)
            if old is None or n.candidate != old.candidate
        ]
        said = re.findall(
            r"Best so far: (?:prompt (\d+)|the starting prompt) with (?:about )?(\d+) %",
            " ".join(line[3] for line in moment.parts["feed"]["lines"]),
        )
        # The log has the latest events, so of a long run the last of the leaders.
        new = new[len(new) - len(said) :]
        assert said or len(moment.seen.events) > LATEST
        assert [int(number or 0) for number, _ in said] == [
            list(moment.seen.parents).index(n.candidate) for n in new
        ]
        assert [score for _, score in said] == [f"{100 * n.score.mean:.0f}" for n in new]


def test_the_report_draws_the_same_line(replay):
    corners = [
        tuple(map(float, c.split(",")))
        for c in re.search(r'class="sofar" d="M([^"]+)"', replay.report)[1].split()
    ]
    grid = re.findall(r'class="grid"[^>]* y1="([\d.]+)".*?<text[^>]*>(\d+) %', replay.report)
    (low, low_score), (high, high_score) = [(float(y), float(score)) for y, score in (grid[0], grid[-1])]
    scores = [low_score + (low - y) / (low - high) * (high_score - low_score) for _, y in corners]
    assert scores[::2] == pytest.approx([y for _, y in _line(replay.end)], abs=0.2)
    ticks = re.findall(r'x="([\d.]+)" y="276" text-anchor="middle">(\d+)<', replay.report)
    places = [x for x, _ in _line(replay.end)]
    at = {int(number): float(x) for x, number in ticks}
    step = (max(at.values()) - min(at.values())) / max(1, max(at) - min(at)) if len(at) > 1 else 0
    assert [x for x, _ in corners[::2]] == pytest.approx([at[0] + step * place for place in places], abs=0.3)


def test_what_the_search_chooses_by_validation_scores_is_the_leader_at_the_end(replay):
    run = replay.end.seen.run
    chosen = run.result.best_candidate
    if run.spec["optimizer"]["name"] in MAY_CHOOSE_OTHERWISE:
        marks = [t for t in replay.end.parts["chart"]["figure"]["traces"] if t["name"] == "Chosen at the end"]
        assert bool(marks) is (chosen != replay.end.seen.leads[-1].candidate), "a mark, not another past"
    else:
        assert chosen == replay.end.seen.leads[-1].candidate


def test_the_card_is_drawn_again_whenever_the_line_moves(replay):
    for before, after in pairwise(replay.moments):
        if before.leads != after.leads:
            assert before.parts["stage"] != after.parts["stage"]
