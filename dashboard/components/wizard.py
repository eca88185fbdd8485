"""Steps of a project: the side bar that shows their state, and the line at the top of each page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.components import ui
from dashboard.components.project_page import ProjectPage, chosen_project, current, open_page
from dashboard.components.runs import current_run, follow_ends, run_picker, shown_run, state_badge
from dashboard.components.share import share_button
from dashboard.services import PipelineSpec, ProjectDraft, RunRow, Sample, content_hash, counted
from dashboard.state import reading
from dashboard.state.history import run_names
from dashboard.state.live.figures import spent
from dashboard.state.session import PROJECT, SHOWN_RUN
from dashboard.text import distinct, escape_markdown

KINDS: dict[str, str] = {
    "choose": "Choose from a list",
    "extract": "Read out a record",
    "think": "Think and calculate",
    "search": "Answer from a corpus",
    "tools": "Use tools",
    "steps": "Several steps",
}


def kinds_of(spec: PipelineSpec) -> tuple[str, ...]:
    """Return which kinds of task a spec is, the most telling first.

    >>> from engine.pipeline.importers.task import import_task
    >>> kinds_of(PipelineSpec(steps=(import_task("mail -> team: Literal['a', 'b']").step,)))
    ('choose',)
    """
    ways = {s.strategy for s in spec.steps}
    kinds = []
    if "retrieve" in ways:
        kinds.append("search")
    if ways & {"react", "tool"}:
        kinds.append("tools")
    if sum(s.strategy not in ("retrieve", "tool") for s in spec.steps) > 1:
        kinds.append("steps")
    if ways & {"chain_of_thought", "program_of_thought"}:
        kinds.append("think")
    if len(spec.outputs) > 2:
        kinds.append("extract")
    elif any(f.choices for f in spec.outputs) and not kinds:
        kinds.append("choose")
    return tuple(kinds) or ("extract",)


def grouped(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """Return the samples by their first kind, in the order of `KINDS`."""
    groups: dict[str, list[Sample]] = {kind: [] for kind in KINDS}
    for sample in samples:
        groups[kinds_of(sample.pipeline)[0]].append(sample)
    return {kind: some for kind, some in groups.items() if some}


State = Literal["complete", "attention", "blocked"]

STEPS: tuple[tuple[str, str], ...] = (
    ("task", "Task"),
    ("examples", "Examples"),
    ("metric", "Metric"),
    ("tune", "Tune"),
    ("run", "Run"),
    ("results", "Results"),
    ("export", "Export"),
)
READY = "Everything is ready: start a run on the Tune page."
GOING_ON = "A run is going on."
SET_UP = ("task", "examples", "metric", "tune")


class WizardStep(NamedTuple):
    """One step: its state, and one sentence on what is to be done or was done."""

    name: str
    title: str
    state: State
    sentence: str


def steps(draft: ProjectDraft, runs: Sequence[RunRow]) -> tuple[WizardStep, ...]:
    """Return the steps of a project. `runs` are its runs, the newest first."""
    problems = draft.problems()
    set_up: list[WizardStep] = []
    for name, title in STEPS[:4]:
        sentences = [p.sentence for p in problems if p.step == name]
        if name == "examples" and not sentences and set_up[0].state != "complete":
            sentences = ["Make the task from these columns, or describe it on the Task page."]
        before = next((s for s in set_up if s.state != "complete"), None)
        if not sentences:
            set_up.append(WizardStep(name, title, "complete", "Done."))
        elif before is not None and name != "examples":
            set_up.append(
                WizardStep(name, title, "blocked", f"First finish {before.title}: {before.sentence}")
            )
        else:
            set_up.append(WizardStep(name, title, "attention", sentences[0]))
    return (*set_up, *_after(set_up, runs))


def _after(set_up: Sequence[WizardStep], runs: Sequence[RunRow]) -> tuple[WizardStep, WizardStep, WizardStep]:
    open_step = next((s for s in set_up if s.state != "complete"), None)
    newest = runs[0] if runs else None
    done = next((r for r in runs if r.result), None)
    if newest is not None and newest.state in ("lost", "failed"):
        run = WizardStep("run", "Run", "attention", newest.message or "The last run ended early.")
    elif newest is not None and not newest.is_over:
        run = WizardStep("run", "Run", "attention", GOING_ON)
    elif newest is not None:
        run = WizardStep("run", "Run", "complete", "The last run has ended.")
    elif open_step is not None:
        run = WizardStep("run", "Run", "blocked", f"First finish {open_step.title}: {open_step.sentence}")
    else:
        run = WizardStep("run", "Run", "attention", READY)
    if done is None:
        later = "Results appear here when a run has ended."
        return (
            run,
            WizardStep("results", "Results", "blocked", later),
            WizardStep("export", "Export", "blocked", later),
        )
    return (
        run,
        WizardStep("results", "Results", "complete", "Read the verdict and compare the prompts."),
        WizardStep("export", "Export", "complete", "The best program is ready to take away."),
    )


def next_step(found: Sequence[WizardStep], here: str) -> WizardStep | None:
    """Return the page after this one; None on the last page, and on one of the set-up that is not done."""
    at = [s.name for s in found].index(here)
    if here == "export" or (here in SET_UP and found[at].state != "complete"):
        return None
    return found[at + 1]


PURPOSE = {
    "task": "Say what goes in, what comes out, and how to decide.",
    "examples": "Rows with the inputs and the right answers, from a file.",
    "metric": "Every answer gets a score from 0 to 1. Choose how.",
    "tune": "Choose what may change and what it may cost. Nothing is spent before the start.",
    "run": "Close the tab whenever you like: the run goes on and nothing is lost.",
    "results": "The prompts that the run tried, and the verdict on rows that its search never saw.",
    "export": "The tuned program as a file, and a script that runs it.",
    "try_it": "An input of your own. After a run the starting prompt and the best one answer it side by side.",
}
TITLES = {**dict(STEPS), "try_it": "Try it"}
OF_A_RUN = ("run", "results", "try_it", "export")
"""Pages that show one run of the project."""

MARKS = {
    "complete": ("", ":material/check_circle:"),
    "attention": ("needs a look", ":material/error:"),
    "blocked": ("locked", ":material/lock:"),
}
NEXT = ("next", ":material/arrow_circle_right:")
UNDER_WAY = ("under way", ":material/play_circle:")
"""One word while a run goes on: the side bar is not drawn again each time that its state changes."""
OTHERS = (
    ("home", "Home", "home"),
    ("try_it", "Try it", "science"),
    ("history", "History", "history"),
    ("settings", "Settings", "settings"),
)
"""Pages below the steps: name, title, icon."""


def side_bar(hidden: Collection[str]) -> ProjectPage | None:
    """Draw the side bar: the project and its steps, then the other pages, without the hidden ones. Return the project."""
    page = chosen_project()
    with st.container(gap="xxsmall", key="side_pages"):
        if page is not None:
            _project_picker(page)
            _step_links(page, hidden)
        with st.container(gap="xxsmall", key="side_others"):
            for name, title, icon in OTHERS:
                if name not in hidden and not (page is None and name == "try_it"):
                    ui.link(name, title, icon, **(_address(page, name) if page else {}))
    return page


def _project_picker(page: ProjectPage) -> None:
    """Let the user open another project.

    A select box keeps the name that was picked, not the project. Its key holds all names, so that a project that
    takes over a name that another one had is not opened in its place.
    """
    names = distinct({p.id: p.name for p in reading.projects()})
    key = f"project_switch_{page.id}_{content_hash(names)}"
    ui.select("Project", names, page.id, label_visibility="collapsed", **ui.saved(key, _switch))


def _switch(chosen: str) -> None:
    PROJECT.set(chosen)
    SHOWN_RUN.pop()
    st.query_params.from_dict({"project": chosen})


def _step_links(page: ProjectPage, hidden: Collection[str]) -> None:
    """Link to each step with its state: done, next, needs a look, or locked; the reason is its help."""
    project_steps = steps(page.draft, reading.runs(page.id))
    first_open = next((s.name for s in project_steps if s.state != "complete"), "")
    for step in project_steps:
        if step.name in hidden:
            continue
        word, icon = MARKS[step.state]
        if step.sentence == GOING_ON:
            word, icon = UNDER_WAY
        elif step.state == "attention" and step.name == first_open:
            word, icon = NEXT
        label = f"{step.title} :gray[· {word}]" if word else step.title
        about = "" if step.state == "complete" else step.sentence
        ui.link(step.name, label, icon, about=about, **_address(page, step.name))


def _address(page: ProjectPage, name: str) -> dict[str, str]:
    """Return the parameters of a page's address: its project, and its run where it shows one."""
    if name not in OF_A_RUN and name not in SET_UP:
        return {}
    run = shown_run(page.id) if name in OF_A_RUN else None
    return {"project": page.id, **({"run": run.id} if run else {})}


def wizard_header(here: str) -> ProjectPage | None:
    """Draw the line at the top of a project's page; return the project, or None (with a way out drawn) without one."""
    ui.page_style()
    page = current()
    if page is None:
        no_project()
        return None
    with page_line(page, here, current_run() if here in OF_A_RUN else None):
        project_steps = share_and_next(page, here)
    follow_ends(reading.runs())
    step = next((s for s in project_steps if s.name == here), None)
    if step and here in SET_UP and step.state != "complete" and (here, step.state) != ("tune", "blocked"):
        st.markdown(ui.mark("pending", step.sentence))
    return page


def page_line(page: ProjectPage, here: str, run: RunRow | None = None) -> DeltaGenerator:
    """Draw the one line at the top of a page: project, page, run with its state and spend; return the place of actions."""
    title = f":gray[{escape_markdown(page.project.name, 28)} /] {TITLES.get(here, 'Review')}"
    left, actions = ui.page_row(title, PURPOSE.get(here, ""))
    with left:
        if run is None:
            runs = reading.runs(page.id)
            st.caption(f"{counted(len(runs), 'run')} · {spent(runs)}" if runs else "", width="content")
        else:
            if not run_picker(run.id):
                st.caption(escape_markdown(run_names([run])[run.id], 60), width="content")
            state_badge(run)
            st.caption(spent([run]), width="content")
    return actions


def share_and_next(page: ProjectPage, here: str) -> Sequence[WizardStep]:
    """Draw the buttons that share the project and lead to the next step; return the project's steps."""
    share_button(page.project)
    project_steps = steps(page.draft, reading.runs(page.id))
    names = [step.name for step in project_steps]
    after = next_step(project_steps, here) if here in names else None
    if here not in names or here == "tune":
        return project_steps  # the Tune page's own button starts the run
    if here not in SET_UP and (after is None or after.state == "blocked"):
        return project_steps
    at = names.index(here)
    pressed = ui.button(
        f"Next: {project_steps[at + 1].title}",
        "next_step",
        "" if after else project_steps[at].sentence,
        reason_shown=True,
        type="primary",
        icon="arrow_forward",
        icon_position="right",
    )
    if pressed and after is not None:
        open_page(after.name)  # the session knows the run that is shown
    return project_steps


def no_project() -> None:
    """Say that there is no project, and where to start one."""
    what = "A project holds a task, its examples and its runs. Start one from a sample or from nothing."
    with ui.nothing_here("no_project", "There is no project yet", what):
        ui.link("home", "Go to Home", "home")
