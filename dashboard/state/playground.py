"""Answers outside a run: prompts on one input (the playground), and a few rows of a project before a run (the preview).

A preview's rows are some that a search learns from, never those kept for the final test. No Streamlit in here.
"""

from __future__ import annotations

import json
import mimetypes
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from dashboard.state import launching, models, reading
from dashboard.state.candidates import name_of
from dashboard.state.editing.examples import split_of
from engine.basics.data import JsonObject, Values
from engine.pipeline.spec import FieldSpec, PipelineSpec
from engine.records import Candidate, Outcome, json_value, value_text
from engine.runs.child.playground import Piece, PlaygroundAnswer, PlaygroundRequest, PreviewRequest
from engine.runs.spec import ModelChoice, Named, ProjectDraft, RunSpec
from engine.signature.types import Audio, Code, Document, File, History, Image
from engine.store.rows import CandidateRow

Kind = Literal[
    "whole", "number", "flag", "choice", "text", "json", "list", "image", "audio", "file", "code", "talk"
]
"""Kinds of widgets."""

MEDIA: dict[Kind, tuple[str, ...]] = {
    "image": ("png", "jpg", "jpeg", "gif", "webp", "bmp", "tiff"),
    "audio": ("wav", "mp3", "ogg", "flac", "m4a"),
    "file": (),
}
"""Kind of upload -> the endings of such files (none: any)."""

_KINDS: dict[Any, Kind] = {
    int: "whole",
    float: "number",
    bool: "flag",
    str: "text",
    list[str]: "list",
    Image: "image",
    Audio: "audio",
    File: "file",
    Document: "file",
    Code: "code",
    History: "talk",
}


class PlaygroundPrompt(NamedTuple):
    """One prompt to try: its id, its name in words, what was tuned."""

    id: str
    name: str
    candidate: Candidate


class Playground(NamedTuple):
    """Everything but the input. `run` is "" for a draft that has no results yet; `models` are others that prompts may name."""

    pipeline: PipelineSpec
    prompts: tuple[PlaygroundPrompt, ...]
    first: str
    second: str
    metric: Named | None
    model: ModelChoice
    adapter: Any
    run: str = ""
    models: tuple[ModelChoice, ...] = ()

    def request(
        self,
        chosen: Sequence[str],
        inputs: Values,
        expected: Values,
        own_inputs: Mapping[str, Values] | None = None,
    ) -> PlaygroundRequest:
        """Return what to ask: the chosen prompts, each once, on an input; `own_inputs` are one prompt's alone."""
        by_id = {p.id: p.candidate.as_dict() for p in self.prompts}
        return PlaygroundRequest(
            pipeline=self.pipeline,
            candidates={prompt: by_id[prompt] for prompt in dict.fromkeys(chosen)},
            inputs=dict(inputs),
            expected=dict(expected),
            metric=self.metric,
            model=self.model,
            models=self.models,
            adapter=self.adapter,
            own_inputs={prompt: dict(inputs_of_one) for prompt, inputs_of_one in (own_inputs or {}).items()},
        )


def of_run(
    run: str, spec: RunSpec, candidates: Sequence[CandidateRow], best: str, seed: str, taken: str = ""
) -> Playground:
    """Return a run's prompts to try: the starting one against the one taken or the best, the others at hand."""
    prompts = tuple(
        PlaygroundPrompt(c.id, name_of(c, best), c.candidate)
        for c in sorted(candidates, key=lambda c: c.number)
    )
    known = {p.id for p in prompts}
    first = seed if seed in known else prompts[0].id
    wanted = (id_ for id_ in (taken, best) if id_ in known and id_ != seed)
    second = next(wanted, best if best in known else prompts[-1].id)
    return Playground(
        spec.pipeline, prompts, first, second, spec.metric, spec.model, spec.adapter, run, spec.models
    )


def of_draft(draft: ProjectDraft) -> Playground:
    """Return a draft's task. Raises EngineError when it cannot be built."""
    from engine.pipeline.build import build_program

    pipeline = draft.pipeline or PipelineSpec()
    start = build_program(pipeline).candidate()
    prompt = PlaygroundPrompt(start.id, "The task as it is now", start)
    model = draft.model or ModelChoice()
    return Playground(pipeline, (prompt,), start.id, start.id, draft.metric, model, draft.adapter)


def answer_input(
    request: PlaygroundRequest, hear: Callable[[Piece], None] | None = None
) -> tuple[PlaygroundAnswer, ...]:
    """Answer one input with some prompts; `hear` takes each piece as it is written. Raises RunError."""
    asked = request.model_copy(update={"stream": hear is not None})
    content: list[object] = []
    for part in launching.ask_child("playground", asked, models.for_process()):
        if part.final:
            content = part.content
        elif hear is not None:
            hear(Piece.model_validate(part.content))
    return tuple(PlaygroundAnswer.model_validate(answer) for answer in content)


def kind_of(field: FieldSpec) -> Kind:
    """Return which widget a field needs.

    >>> kind_of(FieldSpec(name="n", type="int")), kind_of(FieldSpec(name="tags", type="list[str]"))
    ('whole', 'list')
    """
    if field.choices:
        return "choice"
    return _KINDS.get(field.parsed_type.annotation, "json")


def widget_value(field: FieldSpec, value: object) -> object:
    """Return a row's value as its widget holds it.

    >>> widget_value(FieldSpec(name="sizes", type="list[int]"), [1, 2])
    '[1, 2]'
    """
    kind = kind_of(field)
    if kind == "list":
        return [value_text(item) for item in value] if isinstance(value, list | tuple) else []
    if kind in MEDIA:
        return None if value is None else json_value(value)
    if value is None:
        return {"flag": False, "text": "", "json": "", "code": ""}.get(kind)
    if kind == "code":
        return str(getattr(value, "code", value))
    if kind == "json":
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if kind in ("text", "choice"):
        return value_text(getattr(value, "value", value))
    return value


def missing(fields: Sequence[FieldSpec], values: Mapping[str, object]) -> str:
    """Return why an input cannot be tried yet, or "".

    >>> missing([FieldSpec(name="question")], {"question": " "})
    "Fill in 'question' first."
    """
    asked = (f for f in fields if kind_of(f) != "talk")
    empty = [f.name for f in asked if values.get(f.name) in (None, [], {}) or not str(values[f.name]).strip()]
    return f"Fill in {empty[0]!r} first." if empty else ""


def uploaded(kind: str, name: str, media_type: str, content: bytes) -> Any:
    """Return an uploaded file as its field takes it: a data URI, with the name where the field keeps one.

    >>> uploaded("image", "dot.gif", "image/gif", b"GIF89a")
    'data:image/gif;base64,R0lGODlh'
    """
    guessed = media_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    uri = f"data:{guessed};base64,{b64encode(content).decode()}"
    return {"filename": name, "file_data": uri} if kind == "file" else uri


class ChatInputs(NamedTuple):
    """Inputs of a conversation: the one a message goes into, and the one for the turns before ("": none)."""

    message: str
    history: str = ""


def talk_of(pipeline: PipelineSpec) -> ChatInputs | None:
    """Return how a task is talked with, or None where it is no conversation: it needs a history, or tools to use."""
    history = next((f.name for f in pipeline.inputs if kind_of(f) == "talk"), "")
    texts = [f.name for f in pipeline.inputs if kind_of(f) == "text"]
    agent = any(step.strategy == "react" for step in pipeline.steps)
    if not texts or not (history or (agent and len(pipeline.inputs) == 1)):
        return None
    return ChatInputs(texts[-1], history)


def turns_of(
    turns: Sequence[tuple[Mapping[str, object], Sequence[PlaygroundAnswer]]], prompt: str, history: str
) -> list[dict[str, object]]:
    """Return the earlier turns that one prompt has had, as its history: inputs and its own answers.

    >>> turns_of([({"q": "Who?"}, [PlaygroundAnswer(name="a", answer={"answer": "Ada"})])], "a", "history")
    [{'q': 'Who?', 'answer': 'Ada'}]
    """
    messages = []
    for inputs, attempts in turns:
        mine = next((a for a in attempts if a.name == prompt and not a.error), None)
        if mine is not None:
            messages.append({**{k: v for k, v in inputs.items() if k != history}, **mine.answer})
    return messages


def same_answer(attempts: Sequence[PlaygroundAnswer], outputs: Sequence[FieldSpec]) -> bool:
    """Return whether all attempts gave the same answer in every output."""
    return len({json.dumps([a.answer.get(f.name) for f in outputs], default=str) for a in attempts}) == 1


def extras(attempt: PlaygroundAnswer, outputs: Sequence[FieldSpec]) -> list[tuple[str, str]]:
    """Return what else the steps wrote on the way (reasoning, answers of earlier steps), as (name, text)."""
    final = {f.name for f in outputs}
    several = len(attempt.steps) > 1
    texts: list[tuple[str, str]] = []
    for at, step in enumerate(attempt.steps, 1):
        last = at == len(attempt.steps)
        for name, value in step.outputs.items():
            if last and name in final:
                continue
            texts.append((f"{name}, from {step.path}" if several else name, value_text(value)))
    return texts


TRIED = 10
GRADED = 20


class Preview(NamedTuple):
    """The outcomes, the rows as asked, and the states of the settings, to tell when it is out of date."""

    outcomes: tuple[Outcome, ...]
    rows: Mapping[int, Values]
    task: str
    metric: str

    @property
    def answers(self) -> dict[int, Values]:
        """The answers there are, by row."""
        return {o.row: o.prediction for o in self.outcomes if o.prediction}


def mean_score(outcomes: Sequence[Outcome]) -> float | None:
    """Return the mean score of the rows that did not fail; None where all did."""
    scores = [o.score for o in outcomes if o.error is None]
    return sum(scores) / len(scores) if scores else None


def why_not(draft: ProjectDraft) -> str:
    """Return why no row can be tried yet, or "".

    >>> why_not(ProjectDraft())
    'Describe the task first: what goes in, and what should come out.'
    """
    steps = ("task", "examples", "metric")
    return next((p.sentence for p in draft.problems() if p.step in steps), "")


def some_rows(draft: ProjectDraft, count: int) -> dict[int, JsonObject]:
    """Return rows to try as field -> JSON value by row id, spread over the training rows. Raises EngineError."""
    if draft.pipeline is None or draft.dataset is None:
        return {}
    rows = spread(split_of(draft).train, count)
    return {row: json_value(dict(example)) for row, example in reading.examples_at(draft, rows).items()}


def spread(rows: Sequence[int], count: int) -> list[int]:
    """Return this number of rows, evenly spread, so that a sorted file is not previewed at its head alone.

    >>> spread(range(100), 4), spread([5, 6], 4)
    ([0, 25, 50, 75], [5, 6])
    """
    if len(rows) <= count:
        return list(rows)
    return [rows[i * len(rows) // count] for i in range(count)]


def answer_rows(
    draft: ProjectDraft,
    rows: Mapping[int, Mapping[str, object]],
    answers: Mapping[int, Mapping[str, object]] | None = None,
    candidate: Candidate | None = None,
) -> tuple[Outcome, ...]:
    """Answer and score some rows, with a candidate or the task as it is; those with answers are only scored. Raises RunError."""
    assert draft.pipeline is not None  # noqa: S101 - `why_not` has been asked
    request = PreviewRequest(
        pipeline=draft.pipeline,
        rows={row: dict(values) for row, values in rows.items()},
        metric=draft.metric,
        candidate=candidate.as_dict() if candidate is not None else None,
        answers={row: dict(answer) for row, answer in (answers or {}).items()},
        model=draft.model or ModelChoice(),
        adapter=draft.adapter,
    )
    reply = launching.child_result("preview", request, models.for_process())
    numbers = reading.row_numbers(draft.dataset, rows)
    return tuple(Outcome.from_json({**outcome, "number": numbers[outcome["row"]]}) for outcome in reply)
