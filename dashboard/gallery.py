"""The sample projects by what they show, and one next step for whoever starts. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dashboard.wizard import Step
from engine.pipeline.spec import PipelineSpec
from engine.pipeline.templates import Sample

KINDS: dict[str, str] = {
    "choose": "Choose from a list",
    "extract": "Read out a record",
    "think": "Think and calculate",
    "search": "Answer from a corpus",
    "tools": "Use tools",
    "steps": "Several steps",
}
SECONDS = 60


class Hint(NamedTuple):
    """What to do next: one sentence, and the page where it is done."""

    sentence: str
    page: str


def kinds_of(spec: PipelineSpec) -> tuple[str, ...]:
    """Return which kinds of task a spec is, the most telling first.

    >>> from engine.pipeline.importing import import_task
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


def next_hint(found: Sequence[Step]) -> Hint | None:
    """Return what to do next in a project, by its steps; None when everything was done once."""
    by_name = {s.name: s for s in found}
    for name in ("task", "examples", "metric", "tune"):
        step = by_name[name]
        if step.state != "complete":
            return Hint(f"{step.sentence[0].lower()}{step.sentence[1:]}", name)
    run, results = by_name["run"], by_name["results"]
    if run.state == "attention" and run.sentence.startswith("Everything is ready"):
        return Hint(
            "read what it will take, and press Start tuning. The samples take about a minute.", "tune"
        )
    if run.state == "attention" and run.sentence != "A run is going on.":
        return Hint("read why the run ended early, then let it go on: nothing is paid for twice.", "run")
    if run.state == "attention":
        return Hint("watch the run; the verdict comes when it has ended.", "run")
    if results.state == "complete":
        return Hint("read the verdict, then try the best prompt on an input of your own.", "results")
    return None
