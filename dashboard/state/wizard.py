"""The sample projects by what they show, and the steps of a project. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from engine.pipeline.spec import PipelineSpec
from engine.pipeline.templates import Sample
from engine.runs.spec import ProjectDraft
from engine.store.rows import RunRow

KINDS: dict[str, str] = {
    "choose": "Choose from a list",
    "extract": "Read out a record",
    "think": "Think and calculate",
    "search": "Answer from a corpus",
    "tools": "Use tools",
    "steps": "Several steps",
}
SECONDS = 60


def kinds_of(spec: PipelineSpec) -> tuple[str, ...]:
    """Return which kinds of task a spec is, the most telling first.

    >>> from engine.pipeline.importers.task import import_task
    >>> kinds_of(PipelineSpec(steps=(import_task("mail -> team: Literal['a', 'b']").step,)))
    ('choose',)
    """
    ways = {s.strategy for s in spec.steps}
    found = []
    if "retrieve" in ways:
        found.append("search")
    if ways & {"react", "tool"}:
        found.append("tools")
    if sum(s.strategy not in ("retrieve", "tool") for s in spec.steps) > 1:
        found.append("steps")
    if ways & {"chain_of_thought", "program_of_thought"}:
        found.append("think")
    if len(spec.outputs) > 2:
        found.append("extract")
    elif any(f.choices for f in spec.outputs) and not found:
        found.append("choose")
    return tuple(found) or ("extract",)


def grouped(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """Return the samples by their first kind, in the order of `KINDS`."""
    found: dict[str, list[Sample]] = {kind: [] for kind in KINDS}
    for sample in samples:
        found[kinds_of(sample.pipeline)[0]].append(sample)
    return {kind: some for kind, some in found.items() if some}


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


class Step(NamedTuple):
    """One step: its state, and one sentence on what is to be done or was done."""

    name: str
    title: str
    state: State
    sentence: str


def steps(draft: ProjectDraft, runs: Sequence[RunRow]) -> tuple[Step, ...]:
    """Return the steps of a project. `runs` are its runs, the newest first."""
    problems = draft.problems()
    found: list[Step] = []
    for name, title in STEPS[:4]:
        own = [p.sentence for p in problems if p.step == name]
        if name == "examples" and not own and found[0].state != "complete":
            own = ["Make the task from these columns, or describe it on the Task page."]
        before = next((s for s in found if s.state != "complete"), None)
        if not own:
            found.append(Step(name, title, "complete", "Done."))
        elif before is not None and name != "examples":
            found.append(Step(name, title, "blocked", f"First finish {before.title}: {before.sentence}"))
        else:
            found.append(Step(name, title, "attention", own[0]))
    return (*found, *_after(found, runs))


def _after(set_up: Sequence[Step], runs: Sequence[RunRow]) -> tuple[Step, Step, Step]:
    open_step = next((s for s in set_up if s.state != "complete"), None)
    newest = runs[0] if runs else None
    done = next((r for r in runs if r.result), None)
    if newest is not None and newest.state in ("lost", "failed"):
        run = Step("run", "Run", "attention", newest.message or "The last run ended early.")
    elif newest is not None and not newest.is_over:
        run = Step("run", "Run", "attention", GOING_ON)
    elif newest is not None:
        run = Step("run", "Run", "complete", "The last run has ended.")
    elif open_step is not None:
        run = Step("run", "Run", "blocked", f"First finish {open_step.title}: {open_step.sentence}")
    else:
        run = Step("run", "Run", "attention", READY)
    if done is None:
        later = "Results appear here when a run has ended."
        return run, Step("results", "Results", "blocked", later), Step("export", "Export", "blocked", later)
    return (
        run,
        Step("results", "Results", "complete", "Read the verdict and compare the prompts."),
        Step("export", "Export", "complete", "The best program is ready to take away."),
    )


def next_step(found: Sequence[Step], here: str) -> Step | None:
    """Return the page after this one; None on the last page, and on one of the set-up that is not done."""
    at = [s.name for s in found].index(here)
    if here == "export" or (here in SET_UP and found[at].state != "complete"):
        return None
    return found[at + 1]
