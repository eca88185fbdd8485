"""Documents that were brought, and the right answers to them: taken in, and corrected in place."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.state import drafts, examples, reading
from engine.dataset import read_dataset
from engine.runs.intake import PileFile, PileProblem, read_pile, record_project
from engine.runs.spec import ProjectDraft

LARGEST_PILE = 500 * 2**20
"""Bytes of files taken in at once."""


def take_pile(
    project_id: str, files: Sequence[tuple[str, bytes]], written: str, *, inferred: bool
) -> ProjectDraft:
    """Make a project's task and examples of documents. `written` gives the record; `inferred`: else the answers do.

    What could not be used is kept for `problems_of`. Raises EngineError where nothing can be.
    """
    pile = read_pile([PileFile(name, content) for name, content in files])
    if not (inferred or written):
        pile.answers.clear()
    made = record_project(pile, written)
    table = read_dataset(made.table, "documents.csv")
    dataset_id = drafts.add_file(table, made.table, "upload")
    reading.dataset(dataset_id, table)
    examples.use_table(project_id, dataset_id, made.draft.mapping)
    after = drafts.update(
        project_id, pipeline=made.draft.pipeline, mapping=made.draft.mapping, metric=made.draft.metric
    )
    drafts.name_after(project_id, files[0][0] if len(files) == 1 else "Records from documents.zip")
    found = [*pile.problems, *(PileProblem("the record", note) for note in made.notes)]
    st.session_state[_key(project_id)] = found
    st.session_state["piles_taken"] = taken_piles() + 1
    return after


def taken_piles() -> int:
    """Return how many piles were taken: a part of the key of the box for files, which is empty after each."""
    return int(st.session_state.get("piles_taken", 0))


def problems_of(project_id: str) -> list[PileProblem]:
    """Return what could not be used of the documents that this tab took last."""
    found: list[PileProblem] = st.session_state.get(_key(project_id), [])
    return found


def forget(project_id: str) -> None:
    """Forget what could not be used."""
    st.session_state.pop(_key(project_id), None)


def _key(project_id: str) -> str:
    return f"pile_problems_{project_id}"
