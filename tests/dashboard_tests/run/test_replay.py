"""The replay of a finished run: what it shows is what the chart shows, its captions can be read, its file asks for nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise

from dashboard.state import reading
from dashboard.state.live.replay import READING, SECONDS, VERDICT, replay, replay_file
from dashboard.state.live.score_chart import score_chart
from engine.basics.text import percent

MEGABYTE = 2**20


def test_a_replay_ends_as_the_chart_and_with_the_verdict(tuned):
    run = reading.run(tuned.run)
    story, seen = reading.run_replay(run), reading.snapshot(run)
    chart = score_chart(seen.trials, seen.parents, seen.leads, run.best)
    seconds = [dot[0] for dot in story["dots"]]
    assert seconds == sorted(seconds)
    assert seconds[-1] < VERDICT < SECONDS
    assert {dot[1]: dot[2] for dot in story["dots"]} == {p.number: p.score for p in chart.prompts}
    assert story["start"] == chart.baseline
    assert [lead[1:3] for lead in story["leads"]] == [
        [lead.place, round(100 * lead.score.mean, 1)] for lead in seen.leads
    ]
    shown = [lead[6] for lead in story["leads"]]
    assert shown == [percent(lead.score.mean, 0) for lead in seen.leads], "rounded once, as on every surface"
    verdict = run.require_result().verdict
    assert story["captions"][-1] == (VERDICT, verdict.sentence)
    assert story["result"][1].startswith(f"{verdict.baseline:.0%}".replace("%", " %"))


def test_captions_stay_long_enough_to_be_read_and_the_last_to_lead_is_not_left_out(tuned):
    seen = reading.snapshot(reading.run(tuned.run))
    trials = [replace(seen.trials[0], number=n, candidate_id=f"c{n}", finished_at=n) for n in range(60)]
    leads = [replace_lead(seen.leads[0], n) for n in range(60)]
    crowd = seen._replace(trials=trials, parents={f"c{n}": () for n in range(60)}, leads=leads)
    captions = replay(crowd, {"c59": "the last one; of all"})["captions"]
    assert min(later[0] - sooner[0] for sooner, later in pairwise(captions)) >= READING - 1e-6
    assert 8 <= len(captions) <= 16
    assert captions[-2][1].endswith("and took the lead: the last one.")


def replace_lead(lead, number):
    return lead._replace(trial=number, place=number, candidate=f"c{number}")


def test_the_file_is_small_asks_for_nothing_and_no_text_breaks_out_of_it(tuned):
    seen = reading.snapshot(reading.run(tuned.run))
    trials = [replace(seen.trials[0], number=n, candidate_id=f"c{n}", finished_at=n) for n in range(5_000)]
    run = replace(seen.run, title="</script><img src=x onerror=alert(1)>")
    many = seen._replace(run=run, trials=trials, parents={f"c{n}": () for n in range(5_000)}, leads=[])
    page = replay_file(replay(many, {}))
    assert len(page) < MEGABYTE
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|src=[\"']|@import|url\(", page)
    assert "<img" not in page
    stored = re.search(r'<script type="application/json" id="story">(.*?)</script>', page, re.DOTALL)
    assert stored is not None
    assert json.loads(stored[1])["title"] == run.title
