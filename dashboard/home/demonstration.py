"""The demonstration: the first sample tuned at the pace of a real model, so that an audience sees its dots come. No widgets."""

from __future__ import annotations

from collections.abc import Mapping

from dashboard.services import PACED_MODEL, SAMPLES, ModelChoice, Named, sample_draft
from dashboard.state import launching, reading
from dashboard.state.editing import drafts

TITLE = "How it works"
MODEL = ModelChoice(name=PACED_MODEL)
# Rules alone, without rows looked up: the winner is a short prompt that reads as if a person had written it.
OPTIMIZER = Named(name="Autotune", options={"leave_out": ["examples", "nearest"]})


def start_show(keys: Mapping[str, str]) -> tuple[str, str]:
    """Start the demonstration; return the ids of its project, which is kept for the next time, and of the run.

    Raises RunError, StoreError.
    """
    project = _project()
    draft = reading.draft(project)
    stored = next(d.hash for d in reading.datasets() if d.id == draft.dataset)
    spec = draft.to_run(stored)
    run = launching.create(project, spec.model_dump(mode="json"), TITLE, reading.estimate(spec).as_dict())
    launching.start(run, keys)
    return project, run


def _project() -> str:
    known = (p for p in reading.projects() if p.name.startswith(TITLE) and reading.draft_of(p).model == MODEL)
    if (found := next(known, None)) is not None:
        return found.id
    sample = SAMPLES[0]
    draft = sample_draft(sample, drafts.add_sample_file(sample.file))
    return drafts.create_project(TITLE, draft.model_copy(update={"model": MODEL, "optimizer": OPTIMIZER}))
