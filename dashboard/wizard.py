"""The seven steps from a task to a tuned program, and how far a project is. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from engine.runs.spec import ProjectDraft
from engine.store.rows import RunRow

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
SET_UP = ("task", "examples", "metric", "tune")


class Step(NamedTuple):
    """One step: where it stands, and in one sentence what is to be done or was done."""

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
        run = Step("run", "Run", "attention", "A run is going on.")
    elif newest is not None:
        run = Step("run", "Run", "complete", "The last run has ended.")
    elif open_step is not None:
        run = Step("run", "Run", "blocked", f"First finish {open_step.title}: {open_step.sentence}")
    else:
        run = Step("run", "Run", "attention", "Everything is ready: start a run on the Tune page.")
    if done is None:
        later = "Results appear here when a run has ended."
        return run, Step("results", "Results", "blocked", later), Step("export", "Export", "blocked", later)
    return (
        run,
        Step("results", "Results", "complete", "Read the verdict and compare the prompts."),
        Step("export", "Export", "complete", "The best program is ready to take away."),
    )


def next_step(found: Sequence[Step], here: str) -> Step | None:
    """Return where to go from a page: the first open step, or the page after when this one is done.

    None on the last page, and where the open step is this very page.
    """
    names = [s.name for s in found]
    at = names.index(here)
    current = found[at]
    if current.state == "attention" and here in SET_UP:
        return None
    if here == "export":
        return None
    return found[at + 1]
