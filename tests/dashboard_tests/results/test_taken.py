"""A prompt taken on the Results page: every page of the run shows it, its figures, and copies a text that was scored."""

from __future__ import annotations

import json
import re

import pytest
from support.fixed_prompt_run import fixed_prompt_run
from support.pages.page_frame import html, open_page, said

from dashboard.state import reading
from engine.basics.text import in_points, percent, points_gained
from engine.runs.results.report import run_report

pytestmark = pytest.mark.usefixtures("home")


def page(name, ids, **params):
    return open_page(name, project=ids.project, run=ids.run, **params)


def copied(app):
    """The text that the copy button copies; "" where there is no such button."""
    found = [json.loads(e.proto.json) for e in app.get("bidi_component") if "Copy the prompt" in e.proto.json]
    return found[0]["text"] if found else ""


def test_after_another_prompt_is_taken_every_surface_shows_its_figures_and_interval(home):
    ids = fixed_prompt_run(home)
    app = page("results", ids)
    assert "On the test rows the fixed prompt was better: 98 against 88 %, surely (+4 to +15)." in said(app)
    before = reading.run(ids.run).result.verdict.sentence
    app.button(key=f"take_{ids.fixed}").click().run()
    assert not app.exception
    run = reading.run(ids.run)
    own = run.result.shown
    verdict, score = own.verdict.sentence, percent(own.best.test)
    gain = in_points(points_gained(own.verdict.baseline, own.verdict.best))
    assert re.search(r"95 % interval \d+ to \d+", verdict)
    surfaces = {
        "hero": said(app) + html(app),
        "presenter": html(page("run", ids, present="1")),
        "run": said(page("run", ids)),
        "report": reading.read_store(run_report, ids.run),
        "try it": said(page("try_it", ids)),
        "export": said(page("export", ids)),
    }
    for name, text in surfaces.items():
        assert verdict in text or name == "presenter", name
        assert before not in text, name
    for name in ("hero", "presenter", "report"):
        assert f">{score}</b><span>the prompt taken<" in surfaces[name], name
        assert f">{gain}</b>" in surfaces[name], name
    assert page("try_it", ids).selectbox(key=f"try_second_{ids.run}").value == ids.fixed
    assert f"{score} on the test rows" in surfaces["export"]
    (line,) = [d.value for d in page("history", ids).dataframe if "Gain" in d.value.columns]
    assert (f"{line['After'][0]:.0f} %", in_points(line["Gain"][0])) == (score, gain)
    assert f"→ {score}" in html(open_page("home"))
    assert copied(app) == reading.prompt_text(run, ids.fixed)
    assert f"The prompt to copy: {score} on the test rows." in said(app)


def test_of_a_prompt_that_looks_examples_up_the_fixed_one_that_was_scored_is_copied(home):
    ids = fixed_prompt_run(home)
    app = page("results", ids)
    text, words = copied(app), said(app)
    assert text == reading.prompt_text(reading.run(ids.run), ids.fixed)
    assert "The prompt taken looks examples up for each input, which only a program can do." in words
    assert "The prompt to copy is the best fixed one: 98 % on the test rows." in words
    assert "Take it as a program" in [e.proto.label for e in app.get("page_link")]


def test_where_no_fixed_prompt_was_scored_there_is_nothing_to_copy(home):
    ids = fixed_prompt_run(home, fixed=False)
    app = page("results", ids)
    assert copied(app) == ""
    assert "No fixed prompt to copy was scored." in said(app)
    assert "Take it as a program" in [e.proto.label for e in app.get("page_link")]


def test_the_fixed_prompt_says_how_it_did_on_the_rows_that_choose_and_how_sure_that_is(home):
    ids = fixed_prompt_run(home)
    assert re.search(
        r"On the rows to choose by: \d+ against \d+ %, no sure difference \(\S+ to \S+\)\.",
        said(page("results", ids)),
    )
