"""Writing what users make: projects, their drafts, files of examples and settings.

A project's draft in the store is the source of truth: every edit is saved at once, as a change of the
draft as it is *now*, so that nothing is lost on a refresh and two tabs do not undo each other's other edits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Literal

from dashboard.state import users
from dashboard.state.writing import check, check_endpoints, read_only, writing
from engine.errors import StoreError
from engine.runs.spec import ModelChoice, ProjectDraft, sample_bytes, sample_draft
from engine.runs.trust import ADDRESSES, note_addresses
from engine.search.backend import BackendChoice
from engine.store.rows import FROM_ELSEWHERE, ProjectRow
from engine.store.store import Store

if TYPE_CHECKING:
    from engine.dataset import Dataset
    from engine.pipeline.templates import Sample


Change = Callable[[ProjectDraft], ProjectDraft]
Then = Callable[[Store, ProjectDraft, ProjectDraft], None]
UNTITLED = "Untitled project"


def create_project(name: str, draft: ProjectDraft | None = None) -> str:
    """Store a new project; return its id."""
    with writing() as store:
        content = (draft or ProjectDraft()).model_dump(mode="json")
        project_id = store.projects.create(_free(store, name), content)
        store.noted = ("created project", f"{project_id} ({name})")
    return project_id


def _free(store: Store, name: str) -> str:
    """Return a name with a number behind it where another project has it already."""
    names_in_use = {p.name for p in store.projects.all()} - {UNTITLED}
    return next(
        free_name for n in count(1) if (free_name := name if n == 1 else f"{name} ({n})") not in names_in_use
    )


def rename_project(project_id: str, name: str) -> None:
    """Give a project another name."""
    with writing("renamed project", f"{project_id} to {name}") as store:
        store.projects.save_draft(
            project_id, store.projects.get(project_id).draft, name=name.strip() or UNTITLED
        )


def name_after(project_id: str, file_name: str) -> None:
    """Name a project without a name after the file its examples come from."""
    stem = " ".join(file_name.rpartition(".")[0].replace("_", " ").split())
    name_untitled(project_id, stem[:1].upper() + stem[1:60])


def name_untitled(project_id: str, name: str) -> None:
    """Give a name to a project that has none yet."""
    with writing() as store, store.transaction():
        project = store.projects.get(project_id)
        if name and project.name == UNTITLED:
            store.projects.save_draft(project_id, project.draft, name=_free(store, name))


def duplicate_project(project: ProjectRow) -> None:
    """Store a copy of a project's set-up, without its runs."""
    with writing("copied project", project.id) as store:
        store.projects.create(_free(store, f"{project.name} (copy)"), project.draft)


def delete_project(project_id: str) -> None:
    """Delete a project and its runs."""
    with writing("deleted project", project_id) as store:
        store.projects.delete(project_id)


def import_project(content: bytes) -> str:
    """Store the project in a file, with its examples and their files; return its id. Raises EngineError."""
    from dashboard.state.editing.project_file import unpack
    from engine.dataset import read_dataset
    from engine.pipeline.importers.attachments import keep_file

    check()
    packed = unpack(content)
    dataset = None
    if packed.examples is not None:
        rows = read_dataset(packed.examples.content, packed.examples.name)
        for file in packed.files:
            keep_file(file.name, file.content)
        dataset = add_file(rows, packed.examples.content, FROM_ELSEWHERE)
    with writing() as store:
        note_addresses(store, packed.draft.model_dump(mode="json"))
    return create_project(packed.name, packed.draft.model_copy(update={"dataset": dataset}))


def set_archived(project_id: str, archived: bool = True) -> None:
    """Put a project away, or take it back."""
    with writing("put away project" if archived else "took back project", project_id) as store:
        store.projects.set_archived(project_id, archived)


def set_note(run_id: str, note: str) -> None:
    """Keep the user's note on a run."""
    with writing() as store:
        store.runs.set_note(run_id, note)


def set_tags(run_id: str, tags: Sequence[str]) -> None:
    """Give a run other tags."""
    with writing() as store:
        store.runs.set_tags(run_id, tags)


def edit(project_id: str, change: Change, then: Then | None = None) -> ProjectDraft:
    """Change a project's draft: `change` gets it as it is stored now and returns the new one.

    Where they differ, `then` is called in the same transaction with the store, the draft before and the new one.
    """
    with writing() as store, store.transaction():
        before = ProjectDraft.model_validate(store.projects.get(project_id).draft)
        after = change(before)
        if after != before:
            known = [before.model_dump(mode="json"), store.settings.get("models", [])]
            check_endpoints(store, after.model_dump(mode="json"), known)
            store.projects.save_draft(project_id, after.model_dump(mode="json"))
            store.noted = ("changed project", project_id)
            if then is not None:
                then(store, before, after)
    return after


def update(project_id: str, **changes: object) -> ProjectDraft:
    """Set some parts of a project's draft."""
    return edit(project_id, lambda draft: draft.model_copy(update=changes))


def add_file(dataset: Dataset, content: bytes, source: str) -> str:
    """Store a file of examples; return the dataset's id. The same file again gives the same id."""
    if not users.is_administrator():
        source = FROM_ELSEWHERE  # its cells must not name files of the server
    with writing("added file", dataset.name) as store:
        return store.datasets.add(
            dataset.name, content, dataset.content_hash, dataset.columns, len(dataset), source
        )


def add_sample_file(file: str) -> str:
    """Store a file that comes with Tuneboard, a plain CSV; return the dataset's id."""
    import csv

    # Not by the reader of uploads: it loads pandas, half a second of the very first page.
    content = sample_bytes(file)
    columns, *rows = csv.reader(content.decode().splitlines(keepends=True))
    with writing() as store:
        digest = hashlib.sha256(content).hexdigest()
        return store.datasets.add(file, content, digest, columns, len(rows), "sample")


def project_from_sample(sample: Sample) -> str:
    """Store a project that is ready to run, made from a sample; return its id."""
    return create_project(sample.title, sample_draft(sample, add_sample_file(sample.file)))


def first_project() -> str | None:
    """Make the ready sample project of a fresh install, once; return its id, or None when it was made before."""
    from engine.pipeline.templates import SAMPLES

    if read_only("") or not users.is_administrator():
        return None
    with writing() as store, store.transaction():
        if store.settings.get("welcomed") or store.projects.all():
            return None
        store.settings.set("welcomed", True)
    return project_from_sample(SAMPLES[0])


def add_model(choice: ModelChoice) -> None:
    """Add a model to those that can be chosen, or replace the one of that name and address."""
    _change_models(choice, [choice.model_dump(mode="json")])


def remove_model(choice: ModelChoice) -> None:
    """Take a model from those that can be chosen. Projects that use it keep it."""
    _change_models(choice, [])


def _change_models(choice: ModelChoice, instead: list[dict[str, object]]) -> None:
    with writing("set model" if instead else "removed model", choice.name) as store, store.transaction():
        models, gone = store.settings.get("models", []), (choice.name, choice.base_url)
        other_models = [m for m in models if (m["name"], m.get("base_url")) != gone]
        store.settings.set("models", [*other_models, *instead])
        agreed = {model.get("base_url") for model in instead}
        asked = store.settings.get(ADDRESSES, [])
        if agreed & set(asked):
            store.settings.set(ADDRESSES, [address for address in asked if address not in agreed])


def set_backend(field: str, value: str) -> None:
    """Change where the rows of new runs are answered: its "name" or its "address"; without an address it is "auto"."""
    with writing("set backend", f"{field}: {value}") as store, store.transaction():
        now = store.settings.get("backend", {})
        changed = BackendChoice.model_validate({**now, field: value.strip() or "auto"})
        store.settings.set("backend", changed.model_dump())


def set_limit(name: str, value: float | None) -> None:
    """Change a limit of the data folder (see `engine.store.queue.Limits`); None is no limit."""
    with writing("set limit", f"{name}: {value}") as store, store.transaction():
        store.queue.set_limit(name, value)


def clear_answers() -> int:
    """Forget every answer kept for reuse; return how many there were."""
    from engine.lm.calls.cache import default_cache

    check()
    users.check_administrator()
    return default_cache().clear()


Part = Literal["task", "examples", "answers", "metric", "tuning"]
PARTS: dict[Part, set[str]] = {
    "task": {"pipeline"},
    "examples": {"dataset", "mapping", "split", "excluded", "synthetic"},
    "answers": {"pipeline", "dataset", "mapping", "model", "adapter"},
    "metric": {"metric"},
    "tuning": {"optimizer", "budget", "objective", "frozen", "models", "teacher_prompt"}
    | {"model", "prompt_model", "teacher_model"},
}


class ChangedElsewhereError(StoreError):
    """An edit was made on a state of the draft that is no longer the stored one; it was not saved."""


def state_of(draft: ProjectDraft, part: Part) -> str:
    """Return a stamp of a part of a draft, to compare two states. No model chosen is the offline one."""
    draft = draft.model_copy(update={"model": draft.model or ModelChoice()})
    return hashlib.sha256(draft.model_dump_json(include=PARTS[part]).encode()).hexdigest()


def edit_seen(
    project_id: str, change: Change, part: Part, seen: str, then: Then | None = None
) -> ProjectDraft:
    """Change a draft whose part is still as it was `seen` ("": whatever it is); return the new one.

    Raises ChangedElsewhereError where another tab has changed the part since; nothing is saved then.
    """

    def checked(draft: ProjectDraft) -> ProjectDraft:
        if seen and state_of(draft, part) != seen:
            raise ChangedElsewhereError("This was changed in another tab or window in the meantime.")
        return change(draft)

    return edit(project_id, checked, then)
