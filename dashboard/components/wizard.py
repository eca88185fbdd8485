"""The head of every step's page: the project, its progress, the page's purpose and the next step."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import Current, current, open_page
from dashboard.components.runs import SHOWN_RUN, STATES, follow_ends, shown_run
from dashboard.components.share import share_button
from dashboard.state import reading
from dashboard.state.live.figures import spent
from dashboard.state.wizard import SET_UP, Step, next_step, steps
from dashboard.state.writing import read_only
from dashboard.text import distinct, escape_markdown
from engine.basics.text import counted
from engine.records import content_hash
from engine.store.rows import RunRow

PURPOSE = {
    "task": ("What should the model do?", "Say what goes in, what comes out, and how to decide."),
    "examples": ("Which examples show it right?", "Rows with the inputs and the right answers, from a file."),
    "metric": ("What counts as a good answer?", "Every answer gets a score from 0 to 1. Choose how."),
    "tune": (
        "How should it be improved?",
        "Choose what may change and what it may cost. Nothing is spent yet.",
    ),
    "run": ("How is the run going?", "Close the tab whenever you like: the run goes on and nothing is lost."),
    "results": ("Did it get better?", "Measured on test rows that the search never saw."),
    "export": ("Take it with you", "The tuned program as a file, and a script that runs it."),
}
MARKS = {
    "complete": (":material/check_circle:", "green"),
    "attention": (":material/pending:", "orange"),
    "blocked": (":material/lock:", "gray"),
}


def wizard_header(here: str, words: tuple[str, str] | None = None) -> Current | None:
    """Draw the head of a step's page; return the project, or None (with a way out drawn) without one.

    `words` are another title and purpose than the page's own.
    """
    ui.page_style()
    now = current()
    if now is None:
        no_project()
        return None
    runs = reading.runs(now.id)
    project_bar(now, runs, live=here == "run")
    found = steps(now.draft, runs)
    step_bar(found, here, now.id)
    title, purpose = words or PURPOSE[here]
    with ui.row("page_head", "bottom"):
        with st.container(gap="xxsmall", key="page_title"):
            st.title(title, anchor=False)
            st.caption(purpose)
        _next_button(found, here)
    step = next(s for s in found if s.name == here)
    if here in SET_UP and step.state != "complete" and (here, step.state) != ("tune", "blocked"):
        st.markdown(ui.mark("pending", step.sentence))
    return now


def step_bar(found: tuple[Step, ...], here: str, project_id: str) -> None:
    """Show the steps with their state, as links; `here` is the name of the one that is open."""
    run = {"run": row.id} if (row := shown_run(project_id)) else {}
    with ui.row("stepper", gap="xxsmall"):
        shown = found[len(SET_UP) :] if read_only() else found
        for at, step in enumerate(shown):
            icon, colour = MARKS[step.state]
            bold = "**" if step.name == here else ""
            st.page_link(
                ui.page_path(step.name),
                label=f":{colour}[{icon}] {bold}{step.title}{bold}",
                help=escape_markdown(step.sentence),
                query_params={"project": project_id, **({} if step.name in SET_UP else run)},
            )
            if at < len(shown) - 1:
                st.markdown(":gray[:material/chevron_right:]", width="content")


def _next_button(found: tuple[Step, ...], here: str) -> None:
    after = next_step(found, here)
    at = [s.name for s in found].index(here)
    if here == "tune":
        return  # its own button starts the run
    if here in ("run", "results", "export") and (after is None or after.state == "blocked"):
        return
    pressed = ui.button(
        f"Next: {found[at + 1].title}",
        "next_step",
        "" if after else found[at].sentence,
        reason_shown=True,
        type="primary",
        icon="arrow_forward",
        icon_position="right",
    )
    if pressed and after is not None:
        open_page(after.name)  # the session knows the run that is shown


def project_bar(now: Current, runs: Sequence[RunRow], *, live: bool = False) -> None:
    """Show the project, with the way to the others, the state of the run shown last, and what its runs have cost.

    `live`: the page itself follows the run that is shown.

    A select box keeps the name that was picked, not the project. Its key holds all names, so that a project that
    takes over a name that another one had is not opened in its place.
    """
    found, followed = distinct({p.id: p.name for p in reading.projects()}), ""
    key = f"project_switch_{now.id}_{content_hash(found)}"
    with ui.row("project_bar"):
        save = ui.saved(key, _switch)
        ui.pick("Project", found, now.id, label_visibility="collapsed", width=300, **save)
        if run := shown_run(now.id):
            followed = run.id if live else ""
            # One word while it goes on: the head is not drawn again each time that the state changes.
            going = ("Under way", "blue", ":material/play_circle:")
            word, colour, icon = going if run.goes_on else STATES[run.state]
            ui.link("run", f":{colour}[{word}]", icon, project=now.id, run=run.id)
            st.caption(f"{counted(len(runs), 'run')} · {spent(runs)}", width="content")
        share_button(now.project)
    follow_ends(r for r in reading.runs() if r.id != followed)


def _switch(chosen: str) -> None:
    st.session_state["project"] = chosen
    st.session_state.pop(SHOWN_RUN, None)
    st.query_params.from_dict({"project": chosen})


def no_project() -> None:
    """Say that there is no project, and where to start one."""
    what = "A project holds a task, its examples and its runs. Start one from a sample or from nothing."
    with ui.nothing_here("no_project", "There is no project yet", what):
        ui.link("home", "Go to Home", "home")
