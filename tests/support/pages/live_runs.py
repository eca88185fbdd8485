"""Runs that last as long as a test looks at them: on a model that never has enough, or made by the test's own process."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page
from support.servers.openai_server import Answer, default_answer

from dashboard.state import launching
from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES
from engine.records import Candidate, Outcome, StepState
from engine.runs.recorder import RunControl
from engine.runs.spec import ModelChoice, Named
from engine.search.budget import Budget
from engine.store.store import Store

CANDIDATE = Candidate({"route": StepState("Choose.")}, reason="The starting prompt.")


def tireless() -> Answer:
    """Return an answerer that never says the same thing twice, but for the label."""
    said = itertools.count(1)

    def answer(body: dict[str, Any]) -> str:
        asked = re.findall(r"\[\[ ## (\w+) ## \]\]", default_answer(body))
        filled = [
            f"[[ ## {name} ## ]]\n{'billing' if name == 'queue' else f'Choose with care, take {next(said)}.'}"
            for name in asked
        ]
        return "\n\n".join(filled)

    return answer


def tireless_project(url: str) -> str:
    """Make a project of the sample task on the model at an address, tuned by a search that does not see that this is in vain."""
    project = drafts.project_from_sample(SAMPLES[0])
    drafts.update(
        project,
        model=ModelChoice(name="openai/slow", base_url=url),
        optimizer=Named(name="MIPROv2", options={"auto": "heavy"}),
        concurrency=3,
        budget=Budget(calls=2000),
    )
    return project


@contextmanager
def own_run(home: Path, project: str, title: str) -> Iterator[tuple[str, Store]]:
    """A run that this process has claimed, and says so as a worker would, until the block ends."""
    with Store.open(home) as store:
        draft = drafts.edit(project, lambda d: d)
        dataset = next(d for d in store.datasets.all() if d.id == draft.dataset)
        run = launching.create(project, draft.to_run(dataset.hash).model_dump(mode="json"), title)
        store.runs.claim(run, os.getpid())
        store.trials.add_candidate(run, CANDIDATE)
        with RunControl(store, run, os.getpid(), lambda: None):
            yield run, store
        store.runs.set_state(run, "stopped")


def trial(store: Store, run: str, number: int, score: float = 1.0) -> float:
    """Store a trial of a prompt that is new; return when."""
    candidate = Candidate({"route": StepState(f"Choose, try {number}.")}, (CANDIDATE.id,), "Another wording.")
    store.trials.add_candidate(run, candidate)
    store.trials.start(run, number, candidate.id, "validation", "full validation", 1)
    store.trials.add_outcomes(run, number, [Outcome(0, score, {"queue": "billing"})])
    store.trials.finish(run, number)
    return time.monotonic()


def on_chart(page: Page, number: int) -> None:
    """Wait until a trial is on the page's chart."""
    page.wait_for_function(f"document.querySelector('.plot')?.dataset.stamp === '{number}'", polling=20)
