"""Figures of the server in Prometheus' text format, for administrators: runs, what users and projects have used, memory."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import get_args

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from dashboard.serving.stream import watcher
from dashboard.state import users
from engine.store.rows import RunState


def metrics(_: Request) -> Response:
    """Return the figures, one a line."""
    text = "".join(f"{line}\n" for line in _lines())
    return PlainTextResponse(text, headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})


def _lines() -> Iterator[str]:
    with users.opened(None) as store:
        states = Counter(run.state for run in store.runs.all())
        names = {project.id: project.name for project in store.projects.all()}
        yield from (f'tuneboard_runs{{state="{state}"}} {states[state]}' for state in get_args(RunState))
        for of, used in (("user", store.spend.by("user")), ("project", store.spend.by("project_id"))):
            for figure, key in product(("calls", "tokens", "cost"), used):
                label = f'{of}="{key}",name={json.dumps(names.get(key, key), ensure_ascii=False)}'
                yield f"tuneboard_{of}_{figure}{{{label}}} {getattr(used[key].usage, figure) or 0}"
    yield f"tuneboard_live_streams {watcher.tabs}"
    if (memory := Path("/proc/self/statm")).exists():  # on Linux
        yield f"process_resident_memory_bytes {int(memory.read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')}"
