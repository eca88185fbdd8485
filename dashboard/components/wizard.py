"""The head of every step's page: the project, its progress, the page's purpose and the next step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import ProjectPage, current, open_page
from dashboard.components.runs import STATES, follow_ends, shown_run
from dashboard.components.share import share_button
from dashboard.services import PipelineSpec, ProjectDraft, RunRow, Sample, content_hash, counted
from dashboard.state import reading
from dashboard.state.live.figures import spent
from dashboard.state.session import PROJECT, SHOWN_RUN
from dashboard.state.writing import read_only
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


def wizard_header(here: str, words: tuple[str, str] | None = None) -> ProjectPage | None:
    """Draw the head of a step's page; return the project, or None (with a way out drawn) without one.

    `words` are another title and purpose than the page's own. `here` is "" on a page that is no step.
    """
    ui.page_style()
    page = current()
    if page is None:
        no_project()
        return None
    runs = reading.runs(page.id)
    project_bar(page, runs, live=here == "run")
    project_steps = steps(page.draft, runs)
    step_bar(project_steps, here, page.id)
    title, purpose = words or PURPOSE[here]
    with ui.row("page_head", "bottom"):
        with st.container(gap="xxsmall", key="page_title"):
            st.title(title, anchor=False)
            st.caption(purpose)
        if here:
            _next_button(project_steps, here)
    step = next((s for s in project_steps if s.name == here), None)
    if step and here in SET_UP and step.state != "complete" and (here, step.state) != ("tune", "blocked"):
        st.markdown(ui.mark("pending", step.sentence))
    return page


def step_bar(found: tuple[WizardStep, ...], here: str, project_id: str) -> None:
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


def _next_button(found: tuple[WizardStep, ...], here: str) -> None:
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


def project_bar(page: ProjectPage, runs: Sequence[RunRow], *, live: bool = False) -> None:
    """Show the project, with the way to the others, the state of the run shown last, and what its runs have cost.

    `live`: the page itself follows the run that is shown.

    A select box keeps the name that was picked, not the project. Its key holds all names, so that a project that
    takes over a name that another one had is not opened in its place.
    """
    names, followed = distinct({p.id: p.name for p in reading.projects()}), ""
    key = f"project_switch_{page.id}_{content_hash(names)}"
    with ui.row("project_bar"):
        save = ui.saved(key, _switch)
        ui.select("Project", names, page.id, label_visibility="collapsed", width=300, **save)
        if run := shown_run(page.id):
            followed = run.id if live else ""
            # One word while it goes on: the head is not drawn again each time that the state changes.
            going = ("Under way", "blue", ":material/play_circle:")
            word, colour, icon = going if run.goes_on else STATES[run.state]
            ui.link("run", f":{colour}[{word}]", icon, project=page.id, run=run.id)
            st.caption(f"{counted(len(runs), 'run')} · {spent(runs)}", width="content")
        share_button(page.project)
    follow_ends(r for r in reading.runs() if r.id != followed)


def _switch(chosen: str) -> None:
    PROJECT.set(chosen)
    SHOWN_RUN.pop()
    st.query_params.from_dict({"project": chosen})


def no_project() -> None:
    """Say that there is no project, and where to start one."""
    what = "A project holds a task, its examples and its runs. Start one from a sample or from nothing."
    with ui.nothing_here("no_project", "There is no project yet", what):
        ui.link("home", "Go to Home", "home")
