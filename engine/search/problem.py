"""What a search is told: the program and the data as a `Problem`, with descriptions for prompts.

It knows no model and no budget's enforcement; everything here is computed, nothing is called.
"""

from __future__ import annotations

import inspect
import random
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.adapters.chat import ChatAdapter
from engine.modules.trajectory import ToolStep
from engine.records import Candidate, Example, json_value
from engine.runtime import current
from engine.search.contract import Meter, Problem

if TYPE_CHECKING:
    from engine.modules.module import Module
    from engine.modules.predict import Predict
    from engine.search.settings import Settings
    from engine.signature import Signature


def make_problem(settings: Settings, *, calls: int | None = None) -> Problem:
    """Return what a search over these settings may know; `calls` are those it may make, None without a limit."""
    program = settings.program
    signatures = {path: predictor.signature for path, predictor in program.named_predictors()}
    ids = dict.fromkeys((*settings.train, *settings.validation))
    inputs = _input_names(settings.rows, ids)
    rows = {i: {n: json_value(v) for n, v in settings.rows[i].items()} for i in ids}
    return Problem(
        seed=seed_of(program),
        train=settings.train,
        validation=settings.validation,
        rows=rows,
        signatures=signatures,
        input_fields=inputs,
        output_fields=_output_names(signatures, rows, inputs),
        program=describe_program(program, signatures),
        data=describe_data(rows, inputs),
        rng=random.Random(settings.seed),
        teacher=None if settings.teacher is None else settings.teacher.candidate(),
        meter=Meter(calls, settings.calls_a_row),
        calls_per_row=settings.program_calls,
        frozen=settings.frozen,
        layouts={
            path: LAYOUTS for path, step in program.named_predictors() if _default_layout(step, settings)
        },
        remarks={row: said for row, said in settings.remarks.items() if row in ids},
    )


def _default_layout(step: Predict, settings: Settings) -> bool:
    """Whether a step answers in the layout that all steps do unless somebody says otherwise."""
    if isinstance(step, ToolStep) or (step.adapter is not None and step.tuned_adapter is None):
        return False
    return type(settings.adapter or current().adapter or ChatAdapter()) is ChatAdapter


LAYOUTS = ("json", "xml")
"""The adapters that may do better than the default one, where a model does not keep to that."""


def seed_of(program: Module) -> Candidate:
    """Return the candidate a program is now."""
    return program.candidate(reason="The starting prompt.")


def _input_names(rows: Mapping[int, Example], ids: Mapping[int, None]) -> tuple[str, ...]:
    for i in ids:
        keys = rows[i].input_keys
        return tuple(name for name in rows[i] if name in keys)
    return ()


def _output_names(
    signatures: Mapping[str, type[Signature]], rows: Mapping[int, Mapping[str, Any]], inputs: tuple[str, ...]
) -> tuple[str, ...]:
    """The program's labelled outputs: fields that some step writes and the rows know."""
    written = {name for signature in signatures.values() for name in signature.output_fields}
    known = dict.fromkeys(name for row in rows.values() for name in row if name not in inputs)
    return tuple(n for n in known if n in written) or tuple(known)


def describe_program(program: Module, signatures: Mapping[str, type[Signature]]) -> str:
    """Return a plain-text description of a program: its steps, their fields and, for own classes, the code."""
    lines = []
    for number, (path, signature) in enumerate(signatures.items(), 1):
        reads = ", ".join(signature.input_fields)
        writes = ", ".join(signature.output_fields)
        lines.append(f"Step {number}, {path}: reads {reads}; writes {writes}.")
    source = _own_source(type(program))
    return "\n".join(lines) + (f"\n\n{source}" if source else "")


def _own_source(cls: type) -> str:
    """The source of a class written outside the engine, at most 4,000 characters ("" where there is none)."""
    if cls.__module__.split(".", 1)[0] == "engine":
        return ""
    try:
        return inspect.cleandoc(inspect.getsource(cls))[:4000]
    except (OSError, TypeError):
        return ""


def describe_data(rows: Mapping[int, Mapping[str, Any]], inputs: tuple[str, ...]) -> str:
    """Return a plain-text profile of the rows: how many, which fields, and the values of short labels.

    >>> print(describe_data({0: {"q": "1+1?", "a": "2"}, 1: {"q": "2-1?", "a": "1"}}, ("q",)))
    2 rows.
    q (input): text of about 4 characters.
    a (label): 2 different values: 2 (1 row), 1 (1 row).
    """
    lines = [f"{len(rows)} row{'' if len(rows) == 1 else 's'}."]
    names = dict.fromkeys(name for row in rows.values() for name in row)
    for name in names:
        texts = [str(row[name]) for row in rows.values() if row.get(name) is not None]
        role = "input" if name in inputs else "label"
        counts = Counter(texts)
        mean = sum(map(len, texts)) // max(1, len(texts))
        if role == "label" and len(counts) <= 20 and mean <= 60:
            shown = ", ".join(f"{v} ({n} row{'' if n == 1 else 's'})" for v, n in counts.most_common())
            lines.append(f"{name} ({role}): {len(counts)} different values: {shown}.")
        else:
            lines.append(f"{name} ({role}): text of about {mean} characters.")
    return "\n".join(lines)
