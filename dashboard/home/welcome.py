"""Home for newcomers and returning users: first steps, samples, words, running and past runs, and the demonstration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import TERMS
from dashboard.components.project_page import open_page
from dashboard.components.runs import EVERY, STATES, open_presenter, run_table
from dashboard.components.tables import data_table
from dashboard.components.wizard import KINDS, grouped
from dashboard.services import (
    PACED_MODEL,
    SAMPLES,
    ModelChoice,
    Named,
    ProjectRow,
    RunRow,
    Sample,
    counted,
    sample_draft,
    short,
)
from dashboard.state import launching, models, reading
from dashboard.state.editing import drafts
from dashboard.state.live.figures import progress
from dashboard.text import escape_markdown

ALL = "All"
WAYS = {
    "retrieve": "searches",
    "react": "uses tools",
    "tool": "uses a tool",
    "chain_of_thought": "thinks first",
    "extract": "reads a record",
    "program_of_thought": "writes programs",
    "best_of_n": "best of several",
    "refine": "improves itself",
}


def sample_gallery() -> None:
    """Show a card for each sample; starting one makes a project that is ready to run."""
    groups = grouped(SAMPLES)
    picked = st.pills(
        "What it shows",
        [ALL, *groups],
        default=ALL,
        format_func=lambda kind: KINDS.get(kind, kind),
        key="sample_kind",
        wrap=True,
        required=True,
        label_visibility="collapsed",
    )
    shown = [(kind, s) for kind, some in groups.items() for s in some if picked in (ALL, None, kind)]
    with st.grid(4, min_column_width=250, key="sample_gallery"):
        for kind, sample in shown:
            with ui.tile(f"sample_{sample.name}"):
                with st.container(gap="xsmall", key=f"sample_body_{sample.name}"):
                    st.caption(KINDS[kind])
                    st.markdown(f"**{escape_markdown(sample.title)}**")
                    st.caption(escape_markdown(sample.plain, 220))
                    _badges(sample)
                if ui.button("Start with this", f"start_{sample.name}", icon="add"):
                    open_page("tune", project=drafts.project_from_sample(sample))


def _badges(sample: Sample) -> None:
    spec = sample.pipeline
    with ui.row(f"sample_badges_{sample.name}", "top", gap="xxsmall"):
        several = len(spec.steps) > 1
        st.badge(counted(len(spec.steps), "step") if several else counted(len(spec.inputs), "input"))
        st.badge(counted(len(spec.outputs), "answer"), color="orange")
        for way in dict.fromkeys(WAYS[s.strategy] for s in spec.steps if s.strategy in WAYS):
            st.badge(way, color="gray")


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


STEPS = (
    ("play_arrow", "Start the sample", "It is set up, needs no key, and costs nothing."),
    ("monitoring", "Watch it improve", "Every prompt it tries is a dot; it takes about a minute."),
    ("verified", "Read the verdict", "One sentence: is it better, on rows it never saw?"),
)


def first_steps(ready: ProjectRow | None) -> None:
    """Lead through a first run; `ready` is the sample project, None where it was deleted."""
    with ui.card("first_steps", "Your first result in three minutes"):
        with st.grid(3, min_column_width=220, key="first_steps_grid"):
            for at, (icon, title, what) in enumerate(STEPS, 1):
                with st.container(gap="xxsmall", key=f"first_step_{at}"):
                    st.markdown(f":material/{icon}: **{at}. {title}**")
                    st.caption(what)
        if ui.button(
            "Open the sample" if ready else f"Start with: {SAMPLES[0].title}",
            "first_run",
            type="primary",
            icon="arrow_forward",
            icon_position="right",
        ):
            open_page("tune", project=ready.id if ready else drafts.project_from_sample(SAMPLES[0]))


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


SHOWN = 50


def run_list(runs: Sequence[RunRow], names: Mapping[str, str]) -> None:
    """Show the runs; selecting one opens it. `names` is project id -> name."""
    shown = runs[:SHOWN]
    order = ("State", "Run", "Started", "Before", "After", "Calls", "Cost", "Took")
    for run in run_table(shown, names, "run_list", 300, column_order=order, selection_mode="single-row"):
        page = "results" if run.result else "run"
        st.switch_page(ui.page_path(page), query_params={"project": run.project_id, "run": run.id})
    st.caption("Select a run to open it.")


CARDS_SHOWN = 6


def running_now(runs: Sequence[RunRow], names: Mapping[str, str]) -> None:
    """Show the runs that go on, kept up to date. `names` is project id -> name."""
    going = [r.id for r in runs if r.goes_on]
    if not going:
        return
    st.markdown("##### Running now")
    st.fragment(_cards, run_every=EVERY)(going[:CARDS_SHOWN], dict(names))


def _cards(ids: list[str], names: Mapping[str, str]) -> None:
    runs = [r for r in reading.runs() if r.id in ids]
    with st.grid(3, min_column_width=270, key="running_now"):
        for run in runs:
            word, colour, icon = STATES[run.state]
            with ui.card(f"going_{run.id}", height="stretch", gap="xsmall"):
                st.markdown(
                    f"**{escape_markdown(names.get(run.project_id, run.title), 60)}** :{colour}[{icon} {word}]"
                )
                st.progress(min(1.0, progress(run)))
                waits = run.phase if run.state == "queued" else ""
                st.caption(waits or f"{short(run.calls)} calls so far")
                ui.link("run", "Look at it", "monitoring", project=run.project_id, run=run.id)
    if not all(run.goes_on for run in runs):
        st.rerun()


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
