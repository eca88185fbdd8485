"""What can be tried: a run's prompts on its task, or a draft's task as it stands. No Streamlit in here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dashboard.comparison import as_text
from engine.pipeline.spec import FieldSpec, PipelineSpec
from engine.records import Candidate
from engine.runs.spec import ModelChoice, Named, ProjectDraft, RunSpec
from engine.runs.trying import Attempt, TryRequest
from engine.store.rows import CandidateRow

WHOLE, NUMBER, FLAG, CHOICE, TEXT, JSON = "whole", "number", "flag", "choice", "text", "json"
_KINDS = {"int": WHOLE, "float": NUMBER, "bool": FLAG, "str": TEXT}


class Prompt(NamedTuple):
    """One prompt to try: its id, its name in words, what was tuned."""

    id: str
    name: str
    candidate: Candidate


class Trial(NamedTuple):
    """Everything a try needs but the input. `run` is "" when a draft is tried that has no results yet."""

    pipeline: PipelineSpec
    prompts: tuple[Prompt, ...]
    first: str
    second: str
    metric: Named | None
    model: ModelChoice
    adapter: Any
    run: str = ""

    def request(
        self, chosen: Sequence[str], inputs: Mapping[str, Any], expected: Mapping[str, Any]
    ) -> TryRequest:
        """Return what to ask: the chosen prompts, each once, on an input."""
        by_id = {p.id: p.candidate.as_dict() for p in self.prompts}
        return TryRequest(
            pipeline=self.pipeline,
            candidates={prompt: by_id[prompt] for prompt in dict.fromkeys(chosen)},
            inputs=dict(inputs),
            expected=dict(expected),
            metric=self.metric,
            model=self.model,
            adapter=self.adapter,
        )


def of_run(run: str, spec: RunSpec, candidates: Sequence[CandidateRow], best: str, seed: str) -> Trial:
    """Return a run's prompts to try: the starting one against the best, the others at hand."""
    prompts = tuple(
        Prompt(c.id, _name(c, best), c.candidate) for c in sorted(candidates, key=lambda c: c.number)
    )
    known = {p.id for p in prompts}
    first = seed if seed in known else prompts[0].id
    second = best if best in known else prompts[-1].id
    return Trial(spec.pipeline, prompts, first, second, spec.metric, spec.model, spec.adapter, run)


def of_draft(draft: ProjectDraft) -> Trial:
    """Return a draft's task as it stands. Raises EngineError when it cannot be built."""
    from engine.pipeline.build import build_program

    pipeline = draft.pipeline or PipelineSpec()
    start = build_program(pipeline).candidate()
    prompt = Prompt(start.id, "The task as it stands", start)
    model = draft.model or ModelChoice()
    return Trial(pipeline, (prompt,), start.id, start.id, draft.metric, model, draft.adapter)


def kind_of(field: FieldSpec) -> str:
    """Return which widget a field needs.

    >>> kind_of(FieldSpec(name="n", type="int")), kind_of(FieldSpec(name="tags", type="list[str]"))
    ('whole', 'json')
    """
    if field.choices:
        return CHOICE
    return _KINDS.get(field.type.strip(), JSON)


def widget_value(field: FieldSpec, value: Any) -> Any:
    """Return a row's value as its widget holds it.

    >>> widget_value(FieldSpec(name="tags", type="list[str]"), ["a", "b"])
    '["a", "b"]'
    """
    kind = kind_of(field)
    if value is None:
        return {FLAG: False, TEXT: "", JSON: ""}.get(kind)
    if kind == JSON:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if kind in (TEXT, CHOICE):
        return as_text(getattr(value, "value", value))
    return value


def missing(fields: Sequence[FieldSpec], values: Mapping[str, Any]) -> str:
    """Return why an input cannot be tried yet, or "".

    >>> missing([FieldSpec(name="question")], {"question": " "})
    "Fill in 'question' first."
    """
    empty = [f.name for f in fields if values.get(f.name) is None or not str(values[f.name]).strip()]
    return f"Fill in {empty[0]!r} first." if empty else ""


def same_answer(attempts: Sequence[Attempt], outputs: Sequence[FieldSpec]) -> bool:
    """Return whether all attempts gave the same answer in every output."""
    return len({json.dumps([a.answer.get(f.name) for f in outputs], default=str) for a in attempts}) == 1


def extras(attempt: Attempt, outputs: Sequence[FieldSpec]) -> list[tuple[str, str]]:
    """Return what else the steps wrote on the way (reasoning, answers of earlier steps), as (name, text)."""
    final = {f.name for f in outputs}
    several = len(attempt.steps) > 1
    found: list[tuple[str, str]] = []
    for at, step in enumerate(attempt.steps, 1):
        last = at == len(attempt.steps)
        for name, value in step.outputs.items():
            if last and name in final:
                continue
            found.append((f"{step.path}: {name}" if several else name, as_text(value)))
    return found


def _name(candidate: CandidateRow, best: str) -> str:
    what = "Starting prompt" if candidate.number == 0 else f"Candidate {candidate.number}"
    score = "" if candidate.score is None else f" · {100 * candidate.score:.0f} %"
    return f"{what}{score}{' · best' if candidate.id == best else ''}"
