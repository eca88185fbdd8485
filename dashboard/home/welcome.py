"""Home for newcomers: the film of a finished run, samples, words, and the demonstration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import TERMS
from dashboard.components.plot import own_element
from dashboard.components.project_page import open_page
from dashboard.components.run_elements import DOT
from dashboard.components.runs import open_presenter
from dashboard.components.tables import data_table
from dashboard.components.wizard import KINDS, grouped
from dashboard.services import PACED_MODEL, SAMPLES, ModelChoice, Named, counted, percent, sample_draft
from dashboard.state import launching, models, reading
from dashboard.state.editing import drafts
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown

FILM = Path(__file__).parent / "film.json"
_film = own_element("film", "<div class='tb-film'></div>")


def film() -> None:
    """Play a finished run of the first sample: a stored one of this version, which `make film` writes."""
    seen = json.loads(FILM.read_text(encoding="utf-8"))
    rows = counted(len(seen["rows"]), "test row")
    words = (
        DOT,
        f"Now the test, on {rows} that the search never saw. Filled: answered right. Hollow: wrong.",
        f"{seen['turned']} of {rows}. {' and without a key, in '.join(seen['spent']).capitalize()}.",
    )
    prompts, start = counted(len(seen["dots"]), "prompt"), seen["dots"][0][1]
    texts = {
        "of": f"Right answers on {rows}",
        "label": f"Scores of {prompts} by number, {percent(start / 100, 0)} at the start. {seen['sentence']}",
        "words": words,
        "winner": "The prompt that it found",
        "reason": f"What it is made of: {seen['reason']}",
    }
    with ui.card("film", f"{escape_markdown(seen['title'])}: a finished run"):
        _film(key="film_player", data={**seen, **texts})
        if not read_only("") and ui.button("Run this sample yourself", "first_run", icon="play_arrow"):
            open_page("tune", project=_sample_project())


def _sample_project() -> str:
    """Return the first sample's project as it was made at the start, or a new one where it was deleted or changed its name."""
    sample = SAMPLES[0]
    known = (p.id for p in reading.projects() if p.name == sample.title)
    return next(known, None) or drafts.project_from_sample(sample)


def show_button() -> None:
    """Offer the demonstration: a run that an audience can follow, in the presenter's view."""
    if ui.button(
        "Show how it works (1 minute)",
        "show",
        icon="present_to_all",
        help="Tunes the first sample at the pace of a real model, free, in large type for an audience.",
    ):
        with ui.errors_shown():
            open_presenter(*start_show(models.for_process()))


def samples() -> None:
    """Show the samples by their job, folded away; starting one makes a project that is ready to run."""
    title = f"Start from one of {counted(len(SAMPLES), 'sample')}"
    with st.expander(title, icon=":material/category:", key="samples", on_change="rerun") as box:
        if not box.open:
            return
        for kind, some in grouped(SAMPLES).items():
            for sample in some:
                with ui.row(f"sample_{sample.name}", side="distribute", wrap=False):
                    title, plain = escape_markdown(sample.title), escape_markdown(sample.plain, 220)
                    st.markdown(f"**{title}** :gray-badge[{KINDS[kind]}]  \n:small[{plain}]", width="stretch")
                    if ui.button("Start", f"start_{sample.name}", icon="add"):
                        open_page("tune", project=drafts.project_from_sample(sample))


def glossary_list() -> None:
    """Show every term in plain words, folded away."""
    with st.expander(
        "The words used here", icon=":material/menu_book:", key="glossary", on_change="rerun"
    ) as box:
        if not box.open:
            return
        find = st.text_input("Find a word", key="glossary_find", placeholder="For example: validation")
        wanted = find.strip().casefold()
        lines = [
            {"Word": t.name, "In papers and code": t.other, "What it is": t.sentence}
            for t in TERMS
            if wanted in f"{t.name} {t.other} {t.sentence}".casefold()
        ]
        if lines:
            data_table(lines, "glossary_table", most=8, height=320)
        else:
            st.caption(f"There is no such word here: {escape_markdown(find, 60)}.")


SHOW_TITLE = "How it works"
SHOW_MODEL = ModelChoice(name=PACED_MODEL)
# Rules alone, without rows looked up: the winner is a short prompt that reads as if a person had written it.
SHOW_OPTIMIZER = Named(name="Autotune", options={"leave_out": ["examples", "nearest"]})


def start_show(keys: Mapping[str, str]) -> tuple[str, str]:
    """Start the demonstration; return the ids of its project, which is kept for the next time, and of the run.

    Raises RunError, StoreError.
    """
    project = _show_project()
    draft = reading.draft(project)
    stored = next(d.hash for d in reading.datasets() if d.id == draft.dataset)
    spec = draft.to_run(stored)
    run = launching.create(
        project, spec.model_dump(mode="json"), SHOW_TITLE, reading.estimate(spec).as_dict()
    )
    launching.start(run, keys)
    return project, run


def _show_project() -> str:
    known = (
        p
        for p in reading.projects()
        if p.name.startswith(SHOW_TITLE) and reading.draft_of(p).model == SHOW_MODEL
    )
    if (project := next(known, None)) is not None:
        return project.id
    sample = SAMPLES[0]
    draft = sample_draft(sample, drafts.add_sample_file(sample.file))
    return drafts.create_project(
        SHOW_TITLE, draft.model_copy(update={"model": SHOW_MODEL, "optimizer": SHOW_OPTIMIZER})
    )
