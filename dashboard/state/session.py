"""Values that the session of a page holds between redraws, each with its key and its type.

The key of a widget is written where the widget is drawn. What is to survive a closed tab is stored, not held here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from engine.basics.data import Values

if TYPE_CHECKING:
    from engine.pipeline.importers.document_batch import ImportProblem

_Value = TypeVar("_Value")


def _session() -> MutableMapping[Any, Any]:
    import streamlit as st  # here: starting a run imports this module, and no Streamlit

    return st.session_state


@dataclass(frozen=True)
class SessionValue(Generic[_Value]):
    """A value of the session, one for each id it belongs to, such as a project or a run."""

    name: str
    default: _Value

    def key(self, *ids: object) -> str:
        """Return the key of the value in `st.session_state`."""
        return "_".join((self.name, *map(str, ids)))

    def get(self, *ids: object) -> _Value:
        """Return the value, the default before it is set."""
        value: _Value = _session().get(self.key(*ids), self.default)
        return value

    def set(self, value: _Value, *ids: object) -> None:
        """Hold a value."""
        _session()[self.key(*ids)] = value

    def pop(self, *ids: object) -> _Value:
        """Return the value and forget it."""
        value: _Value = _session().pop(self.key(*ids), self.default)
        return value


class SessionCount(SessionValue[int]):
    """Number in the key of a widget: the next one draws it again, empty."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 0)

    def add_one(self, *ids: object) -> None:
        """Give the widget its next key."""
        self.set(self.get(*ids) + 1, *ids)


SIGNED_IN = SessionValue("signed_in", False)
PROJECT = SessionValue("project", "")
"""Id of the project opened last."""
SHOWN_RUN = SessionValue("shown_run", "")
"""Id of the run shown last."""
API_KEYS: SessionValue[Mapping[str, str]] = SessionValue("page_keys", {})
"""Environment variable -> key typed on the Settings page, for this session alone."""

# Two tabs on one project (`components.tab_conflict`); ids: part, project.
SHOWN_PART = SessionValue("part_shown", "")
SEEN_STATE: SessionValue[str | None] = SessionValue("seen", None)
WAITING_EDIT: SessionValue[Callable[[str], object] | None] = SessionValue("waiting", None)
FIELDS_REVISION = SessionCount("fields_revision")

# Start box, review
BOX_EMPTIED = SessionCount("box_emptied")
DOCUMENT_PROBLEMS: SessionValue[list[ImportProblem]] = SessionValue("import_problems", [])

# Task
CHOSEN_STEP: SessionValue[int | None] = SessionValue("step_at", None)
CORPORA_TAKEN = SessionCount("corpora_taken")

# Examples
NEXT_TAB = SessionValue("example_tab_next", "")
"""Tab of the rows to open at the next drawing of the page: its widget may be drawn already."""
GRID_ROWS: SessionValue[tuple[int, ...]] = SessionValue("grid_rows", ())
"""Rows that the grid shows alone."""
GRID_CHANGED = SessionValue("grid_changed", False)
ROWS_ADDED = SessionCount("rows_added")
LABEL_ANSWERS: SessionValue[Mapping[int, Collection[str]]] = SessionValue("label_answers", {})
"""Row -> what prompts answered."""
LABEL_SKIPPED: SessionValue[Sequence[int]] = SessionValue("label_skipped", ())

# Run
OWN_PROMPT = SessionValue("own_prompt_of", "")
"""Id of the run whose dialog for the user's prompt is open."""

# Results
COMPARED_VERSION = SessionCount("compared_version")
COMPARED_NAMES: SessionValue[Sequence[str] | None] = SessionValue("compared_names", None)
TABLE_ROWS: SessionValue[Sequence[int]] = SessionValue("row_table_rows", ())
"""Numbers of the rows in the table, as drawn."""
LINK_TOKEN = SessionValue("shared_link", "")

# Try it
TRY_INPUTS: SessionValue[Values] = SessionValue("try_inputs", {})

# History
RUNS_SHOWN: SessionValue[int | None] = SessionValue("history_shown", None)
PICKED_RUNS: SessionValue[tuple[str, ...]] = SessionValue("history_picked", ())
"""Ids of the runs clicked in the chart, at most two."""
ARCHIVES_READ = SessionCount("unarchives")

# Settings
MODEL_ADDED = SessionValue("model_added", False)
KEY_NOTE = SessionValue("key_note", "")
