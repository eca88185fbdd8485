"""What somebody else's files may do here: a project's file and a run's spec with addresses, keys and files of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault_tests.check import Check, Finding
from support.servers.openai_server import OpenAIServer

from dashboard.state import launching
from dashboard.state.editing import drafts
from dashboard.state.editing.project_file import pack
from engine.errors import EngineError, RunError
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.runs.prepare import stored_dataset, usable_examples
from engine.runs.spec import ModelChoice, Named, ProjectDraft, RunSpec
from engine.store.rows import DatasetRow
from engine.store.store import Store

FAR = "http://tuneboard.invalid/v1"
"""An address that is not of this machine; there is no such one."""

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(64)
TASK = PipelineSpec(
    steps=(
        StepSpec(
            name="sort",
            instructions="Say what it shows.",
            inputs=(FieldSpec(name="picture", type="Image"),),
            outputs=(FieldSpec(name="kind", choices=("cat", "dog")),),
        ),
    )
)


def measure(folder: Path, small: bool) -> Finding:
    """Open what a stranger has sent, in every way there is, and count what reaches the stranger."""
    private = folder / "private.png"
    private.write_bytes(PICTURE)
    table = "picture,kind\n" + "".join(f"{private},{'cat' if i % 2 else 'dog'}\n" for i in range(12))
    with OpenAIServer() as stranger, home_of(folder / "home") as home:
        draft = ProjectDraft(
            pipeline=TASK,
            mapping={"picture": "picture", "kind": "kind"},
            metric=Named(name="ExactMatch"),
            optimizer=Named(name="LabeledFewShot"),
            model=ModelChoice(name="openai/theirs", base_url=stranger.url, key_env="A_SECRET_KEY"),
        )
        refused = [*specs(folder, draft, table, stranger), *projects(home, draft, table)]
        reached = stranger.calls
    open_doors = [name for name, was_refused in refused if not was_refused]
    figure = f"{len(refused)} ways tried, {len(open_doors)} open, {reached} requests got out"
    return Finding(
        f"{figure} ({', '.join(open_doors)})" if open_doors else figure, met=not open_doors and not reached
    )


def specs(
    folder: Path, draft: ProjectDraft, table: str, stranger: OpenAIServer
) -> Iterator[tuple[str, bool]]:
    """Carry out a stranger's specs without anybody at the keyboard."""
    inbox = folder / "inbox"
    inbox.mkdir()
    (inbox / "rows.csv").write_text(table)
    (folder / "private.csv").write_text(table)
    run = RunSpec.model_validate({**draft.model_dump(exclude_none=True), "dataset": "rows.csv"})
    far = run.model.model_copy(update={"base_url": FAR, "key_env": ""})
    cases = {
        "a key for their address": run,
        "their address": run.model_copy(update={"model": far}),
        "a picture of this machine": run.model_copy(update={"model": ModelChoice()}),
        "a table of this machine": run.model_copy(
            update={"dataset": "../private.csv", "model": ModelChoice()}
        ),
    }
    for name, spec in cases.items():
        (inbox / "spec.json").write_text(spec.model_dump_json())
        done = subprocess.run(
            [sys.executable, "-m", "engine", "run", str(inbox / "spec.json")],
            env={**os.environ, "A_SECRET_KEY": "sk-secret"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        yield f"spec: {name}", done.returncode != 0 and "Nothing was sent" in done.stderr


def projects(home: Path, draft: ProjectDraft, table: str) -> Iterator[tuple[str, bool]]:
    """Import a stranger's project, start it, and agree to its address."""
    examples = DatasetRow("d", "rows.csv", "", ("picture", "kind"), 12, "", 0.0, table.encode())
    far = draft.model_copy(update={"model": draft.model.model_copy(update={"base_url": FAR})})
    project = drafts.import_project(pack("Theirs", far, examples))
    with Store.open(home, read_only=True) as store:
        opened = ProjectDraft.model_validate(store.projects.get(project).draft)
    spec = opened.to_run()
    yield "project: the name of a key", not spec.model.key_env
    yield "project: their address", _refused(project, spec)
    drafts.add_model(ModelChoice(name="openai/theirs", base_url=spec.model.base_url))
    yield "project: asked about once only", not _refused(project, spec)
    with Store.open(home, read_only=True) as store:
        try:
            rows = usable_examples(spec.pipeline, stored_dataset(store, spec), spec.mapping)
        except EngineError:
            yield "project: a picture of this machine", True
        else:
            yield "project: a picture of this machine", not rows.examples


def _refused(project: str, spec: RunSpec) -> bool:
    try:
        launching.create(project, spec.model_dump(mode="json"), "Theirs")
    except RunError as error:
        return "came with a project's file" in str(error)
    return False


@contextmanager
def home_of(folder: Path, **variables: str) -> Iterator[Path]:
    """A data folder and other variables for this process and its children, as long as the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"TUNEBOARD_HOME": str(folder), **variables}.items():
            patch.setenv(name, value)
        yield folder


CHECK = Check(
    "strangers", "A project and a run's spec from a stranger", "nothing is sent or read unasked", measure
)
