"""Asking the chosen model for new rows, in a short-lived process. No Streamlit in here."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from dashboard.state.models import is_offline
from dashboard.state.selection import check
from engine.errors import RunError
from engine.home import data_home
from engine.runs.spec import ModelChoice, ProjectDraft

if TYPE_CHECKING:
    from engine.dataset import Dataset

SECONDS = 180.0
SHOWN = 60


class Written(NamedTuple):
    """Rows a model wrote, as column -> text, and how many were left aside, by reason."""

    rows: tuple[dict[str, str], ...]
    left_out: dict[str, int]


def reason(draft: ProjectDraft) -> str:
    """Return why no rows can be asked for, "" where they can."""
    if draft.pipeline is None or any(p.step in ("task", "examples") for p in draft.problems()):
        return "First finish the task and its columns."
    if is_offline(draft.model or ModelChoice()):
        return "The offline model answers from the rows it is shown and cannot make up new ones. Choose a real model on the Tune page."
    return ""


def write(
    draft: ProjectDraft, table: Dataset, number: int, wish: str, api_keys: Mapping[str, str] | None = None
) -> Written:
    """Return new rows for a draft's table. Raises RunError with a sentence when nothing came back."""
    from engine.runs.new_rows import NewRows, RowsRequest

    check()
    why_not = reason(draft)
    if why_not or draft.pipeline is None:
        raise RunError(why_not)
    fields = [f.name for f in (*draft.pipeline.inputs, *draft.pipeline.outputs)]
    left = {*draft.excluded, *draft.synthetic}
    rows = [r for r in range(len(table)) if r not in left]
    chosen = random.Random(draft.seed).sample(rows, min(SHOWN, len(rows)))
    examples = []
    for row in sorted(chosen):
        (values,) = table.rows(row, row + 1)
        examples.append({name: values[draft.mapping[name]][:2000] for name in fields})
    request = RowsRequest(
        pipeline=draft.pipeline,
        examples=tuple(examples),
        count=number,
        wish=wish,
        model=draft.model or ModelChoice(),
        adapter=draft.adapter,
        seed=draft.seed,
    )
    found = NewRows.model_validate_json(_asked(request.model_dump_json().encode(), api_keys or {}))
    if found.problem:
        raise RunError(found.problem)
    named = tuple({draft.mapping[name]: row[name] for name in fields} for row in found.rows)
    return Written(named, found.left_out)


def _asked(request: bytes, api_keys: Mapping[str, str]) -> bytes:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "engine.runs.new_rows"],
            input=request,
            capture_output=True,
            check=False,
            timeout=SECONDS,
            env={**os.environ, **api_keys, "TUNEBOARD_HOME": str(data_home())},
        )
    except subprocess.TimeoutExpired as error:
        raise RunError(
            f"The model did not answer within {SECONDS:.0f} seconds. Ask for fewer rows, or test it on the Settings page."
        ) from error
    except OSError as error:
        raise RunError(f"The process that asks the model could not be started: {error}.") from error
    if done.returncode or not done.stdout:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise RunError(f"The process that asks the model ended early: {last or 'it said nothing'}")
    return done.stdout
