"""What the examples page works out of a draft's rows: how they are divided, and what is doubtful. Cached by content.

It reads through `dashboard.data` only. What is returned is shared between sessions: never change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard import data
from engine.errors import EngineError
from engine.pipeline.spec import PipelineSpec
from engine.runs.spec import ProjectDraft, SplitSpec

if TYPE_CHECKING:
    from engine.dataset import Split
    from engine.dataset.findings import Finding, Table

_Mapping = tuple[tuple[str, str], ...]


def split_of(draft: ProjectDraft) -> Split:
    """Return which rows a run would learn from, choose by and test on. Raises EngineError when it could not."""
    spec = draft.pipeline or PipelineSpec()
    return _split(
        draft.dataset or "",
        spec.model_dump_json(),
        tuple(sorted(draft.mapping.items())),
        draft.split.model_dump_json(),
        tuple(sorted(draft.excluded)),
        draft.synthetic,
        data.home_folder(),
    )


@st.cache_resource(max_entries=32, show_spinner=False)
def _split(
    dataset_id: str,
    pipeline: str,
    mapping: _Mapping,
    shares: str,
    excluded: tuple[int, ...],
    synthetic: tuple[int, ...],
    folder: str,  # noqa: ARG001 - part of the cache's key
) -> Split:
    from engine.dataset import split_rows
    from engine.runs.prepare import without_rows

    spec = PipelineSpec.model_validate_json(pipeline)
    usable = data.usable(dataset_id, spec, dict(mapping))
    return split_rows(
        without_rows(usable, frozenset(excluded)).examples,
        SplitSpec.model_validate_json(shares),
        outputs=[f.name for f in spec.outputs],
        synthetic=synthetic,
    )


def findings_of(draft: ProjectDraft) -> tuple[Finding, ...]:
    """Return what is doubtful in a draft's rows; nothing where the task does not fit its table yet."""
    if draft.dataset is None or draft.pipeline is None:
        return ()
    return _findings(
        draft.dataset,
        draft.pipeline.model_dump_json(),
        tuple(sorted(draft.mapping.items())),
        draft.split.model_dump_json(),
        tuple(sorted(draft.excluded)),
        draft.synthetic,
        data.home_folder(),
    )


@st.cache_resource(max_entries=16, show_spinner="Looking the rows over")
def _findings(
    dataset_id: str,
    pipeline: str,
    mapping: _Mapping,
    shares: str,
    excluded: tuple[int, ...],
    synthetic: tuple[int, ...],
    folder: str,
) -> tuple[Finding, ...]:
    from engine.dataset.preflight import preflight

    try:
        test = _split(dataset_id, pipeline, mapping, shares, excluded, synthetic, folder).test
    except EngineError:
        test = ()
    spec = PipelineSpec.model_validate_json(pipeline)
    return preflight(_table(dataset_id, spec, dict(mapping), frozenset(test), frozenset(excluded)))


def _table(
    dataset_id: str,
    spec: PipelineSpec,
    mapping: dict[str, str],
    test: frozenset[int],
    excluded: frozenset[int],
) -> Table:
    from engine.dataset.findings import Table

    rows = data.dataset(dataset_id)
    fields = (*spec.inputs, *spec.outputs)
    return Table(
        cells={f.name: rows.values(mapping[f.name]) for f in fields},
        inputs=[f.name for f in spec.inputs],
        outputs=[f.name for f in spec.outputs],
        choices={f.name: f.choices for f in spec.outputs if f.choices},
        optional={f.name for f in fields if f.type.startswith("Optional") or f.type.endswith("| None")},
        apart=test,
        left_out=excluded,
    )
