"""What the pages of the project at hand would work out when they are first opened, worked out beforehand.

Of a table of 100,000 rows it takes seconds to say which are usable, how they are divided and what is doubtful. All of
it is cached by content; here it is only asked for, when the first page is out and nobody waits. Nothing is shown here.
"""

from __future__ import annotations

import logging
import sys
import threading

from dashboard.state import examples, reading
from engine.errors import EngineError
from engine.runs.spec import ModelChoice, ProjectDraft

TURN_SECONDS = 0.0005
"""How long this may keep a page's code waiting, each time that it has something to do."""

_NO_PAGE = "streamlit.runtime.scriptrunner_utils.script_run_context"


class _OtherThreads(logging.Filter):
    """Leaves out what Streamlit says of a thread that draws no page: here it is meant to draw none."""

    def __init__(self) -> None:
        super().__init__()
        self._own = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread != self._own


def warm() -> None:
    """Ask for what the pages of the project changed last will ask for; what cannot be had is for them to say."""
    others = _OtherThreads()
    usual = sys.getswitchinterval()
    logging.getLogger(_NO_PAGE).addFilter(others)
    sys.setswitchinterval(TURN_SECONDS)
    try:
        projects = reading.projects()
        if projects:
            _ask_for(reading.draft_of(projects[0]))
    except EngineError:
        return
    finally:
        sys.setswitchinterval(usual)
        logging.getLogger(_NO_PAGE).removeFilter(others)


def _ask_for(draft: ProjectDraft) -> None:
    if draft.dataset is None:
        return
    reading.profiles(draft.dataset)
    if draft.pipeline is None:
        return
    reading.usable(draft.dataset, draft.pipeline, draft.mapping)
    examples.split_of(draft)
    examples.findings_of(draft)
    stored = next((d for d in reading.datasets() if d.id == draft.dataset), None)
    if stored is not None and not draft.problems():
        # As the card of the Tune page asks, where nobody has said anything of earlier answers.
        plain = draft.model_copy(update={"model": draft.model or ModelChoice(), "feedback": ()})
        reading.estimate(plain.to_run(stored.hash))
