"""Files of the version before the redesign, opened by this one: what is read from them, as text."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from golden.internals import Store, import_project
from golden.machine import FROZEN, frozen_home, masked, same_machine

import engine

INPUTS: Mapping[str, Mapping[str, Any]] = {
    "one_step": {"message": "My invoice is wrong.", "plan": "Team", "channel": "mail"},
    "reasoning": {"question": "Tom has 3 apples and buys 4 more. How many apples has he?"},
    "several_steps": {"handover": "The pump in hall 2 was leaking. Anna replaced the seal at noon."},
    "retrieval": {"question": "What does a late day cost with the kayak?"},
    "agent": {"question": "What do 3 bags of lawn seed cost?"},
}
"""Exported program -> what it is asked."""
LONGEST = 80
"""Characters of an answer that are written out."""


def frozen_text(name: str) -> str:
    """Return what this version reads from one of `NAMES`, and what the offline model answers to it."""
    with same_machine() as home:
        return masked("\n".join([*READERS[name](home), ""]), home)


def _program(name: str) -> Callable[[Path], Iterator[str]]:
    def read(home: Path) -> Iterator[str]:
        program = engine.load(FROZEN / "programs" / f"{name}.json")
        yield from _tuned(program)
        yield from _answer(program(**INPUTS[name]))

    return read


def _module_state(home: Path) -> Iterator[str]:
    """Yield what a program in Python takes from the state saved by its like."""

    class Article(engine.Module):
        def __init__(self) -> None:
            super().__init__()
            self.outline = engine.ChainOfThought("topic -> outline")
            self.write = engine.Predict("topic, outline -> text: str, words: int")

        def forward(self, topic: str) -> engine.Prediction:
            return self.write(topic=topic, outline=self.outline(topic=topic).outline)

    program = Article()
    program.load(FROZEN / "programs" / "module_state.json")
    yield from _tuned(program)
    with engine.context(lm=engine.LM("offline/learner")):
        yield from _answer(program(topic="coffee"))


def _script(home: Path) -> Iterator[str]:
    """Yield what the exported script prints when it is asked as a command."""
    script = home / "program.py"
    shutil.copy(FROZEN / "programs" / "retrieval.py.txt", script)
    question = INPUTS["retrieval"]["question"]
    command = [sys.executable, "-W", "error", str(script), "--question", question]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home)
    yield from (done.stdout + done.stderr).splitlines()


def _project(home: Path) -> Iterator[str]:
    """Yield the project that is made from a project file."""
    project = import_project((FROZEN / "project.json").read_bytes())
    with Store.open() as store:
        (found,) = store.projects.all()
        assert found.id == project
        yield f"project: {found.name}"
        yield from _leaves("draft", {**found.draft, "dataset": None})
        dataset = store.datasets.get(found.draft["dataset"])
        yield f"dataset: {dataset.name}, {dataset.rows} rows, {dataset.source}, {dataset.hash}"
    assert dataset.content == (FROZEN / "lending_questions.csv").read_bytes()


def _store(home: Path) -> Iterator[str]:
    """Yield everything in the store, by the ways there are to read it."""
    frozen_home(home)
    with Store.open() as store:
        (project,) = store.projects.all()
        yield f"project: {project.name}, changed {project.updated_at:.0f}, archived {project.archived}"
        yield from _leaves("draft", project.draft)
        (info,) = store.datasets.all()
        yield f"dataset: {info.name}, {info.columns}, {info.rows} rows, {info.source}"
        assert store.datasets.get(info.id).content == (FROZEN / "lending_questions.csv").read_bytes()
        for said in store.feedback.all(project.id, info.id):
            yield f"feedback: row {said.row}, {said.thumbs:+d}, {said.reason!r} on {_short(said.answer)}"
        for (row, answer), grade in store.feedback.grades(project.id, info.id).items():
            yield f"grade: row {row}, {grade} for {_short(answer)}"
        for version in store.versions.all(project.id):
            steps = list(version.content["candidate"]["steps"])
            yield f"version {version.number}: {version.note!r}, in use {version.in_use}, steps {steps}"
        yield f"welcomed: {store.settings.get('welcomed')}"
        for run in reversed(store.runs.all()):
            yield from _run(store, run)


def _run(store: Any, run: Any) -> Iterator[str]:
    yield f"\n== run {run.title}: {run.state}, note {run.note!r}, tags {run.tags}, in use {run.in_use}"
    yield f"usage: {run.usage}"
    yield from _leaves("spec", run.spec)
    yield from _leaves("estimate", run.estimate)
    yield from _leaves("result", json.loads(json.dumps(run.require_result().to_json())))
    candidates = store.trials.candidates(run.id)
    numbers = {row.id: row.number for row in candidates}
    for row in candidates:
        yield f"candidate {row.number}: {row.candidate.reason}"
        for path, state in row.candidate.steps.items():
            yield f"  {path}: {state.instructions!r}, {len(state.demos)} demos"
    for trial in store.trials.all(run.id):
        yield f"trial {trial.number}: candidate {numbers[trial.candidate_id]}, {trial.split}, {trial.label}, {trial.score:.4f}"
        for outcome in store.trials.outcomes(run.id, trial.number):
            yield f"  row {outcome.row}: {outcome.score:.4f} {_short(outcome.prediction)} {outcome.feedback}"
    for event in store.events.all(run.id):
        yield f"event {event.kind}: {event.text}"


def _short(value: Any) -> str:
    """Return a value as text, without the middle of a long one."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_short(item)}" for name, item in value.items())
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


def _tuned(program: Any) -> Iterator[str]:
    for path, predictor in program.named_predictors():
        yield f"{path}: {predictor.signature.instructions!r}"
        for demo in predictor.demos:
            yield f"  demo {dict(demo)}"


def _answer(prediction: Any) -> Iterator[str]:
    for name, value in prediction.items():
        yield f"answer {name}: {value!r}"


def _leaves(name: str, value: Any) -> Iterator[str]:
    """Yield a line for each value in JSON data that is something."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _leaves(f"{name}.{key}", value[key])
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _leaves(f"{name}.{at}", item)
    elif value not in (None, "", False):
        yield f"{name}: {value}"


READERS: Mapping[str, Callable[[Path], Iterator[str]]] = {
    **{name: _program(name) for name in INPUTS},
    "module_state": _module_state,
    "project": _project,
    "script": _script,
    "store": _store,
}
NAMES = tuple(READERS)
