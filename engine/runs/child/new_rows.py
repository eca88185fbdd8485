"""New rows like the given ones, written by a model, for the user to check before they are used.

A task of `engine.runs.child.process`. A row that does not fit the task, or is there already, is left out and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

from engine.basics.text import one_case
from engine.errors import EngineError, RunError
from engine.pipeline.spec import FieldSpec
from engine.runs.child.playground import ModelRequest

MOST = 100
A_CALL = 10
SHOWN = 12
LONGEST_SHOWN = 1500
NO_NEW_ROWS = "The offline model answers from the rows it is shown and cannot make up new ones. Choose a real model on the Tune page."


class NewRowsRequest(ModelRequest):
    """Rows wanted for a task: `count` of them, like the examples (field -> text), and a wish in plain words."""

    examples: tuple[dict[str, str], ...] = Field(min_length=1)
    count: int = Field(default=10, ge=1, le=MOST)
    wish: str = ""
    seed: int = 0


class NewRows(BaseModel):
    """Rows as field -> text, and how many were left out by reason."""

    rows: tuple[dict[str, str], ...] = ()
    left_out: dict[str, int] = Field(default_factory=dict)


async def write_rows(request: NewRowsRequest) -> NewRows:
    """Ask the model for rows, a few a call, until there are enough or it has been asked often enough.

    Raises an EngineError for a missing key, the offline model, or a call that fails.
    """
    from engine.lm.choice import is_offline
    from engine.lm.client import make_lm
    from engine.modules.predict import Predict
    from engine.runs.spec import check_key, make_adapter
    from engine.runtime import context
    from engine.signature import InputField, OutputField, make_signature

    if is_offline(request.model):
        raise RunError(NO_NEW_ROWS)
    check_key(request.model)
    program = Predict(
        make_signature(
            {
                "task": (str, InputField(desc="What is done with each row")),
                "fields": (list[str], InputField(desc="The fields of a row, with what each may hold")),
                "examples": (list[dict[str, str]], InputField(desc="Real rows")),
                "wish": (str, InputField(desc="What the user asks for")),
                "count": (int, InputField(desc="How many rows to write")),
                "rows": (list[dict[str, str]], OutputField(desc="The new rows, each with every field")),
            },
            WRITE,
        )
    )
    fields = (*request.pipeline.inputs, *request.pipeline.outputs)
    instructions = (s.instructions for s in request.pipeline.steps if s.instructions.strip())
    task = "\n".join(instructions) or "Give the answer to the inputs."
    rows: list[dict[str, str]] = []
    left_out: dict[str, int] = {}
    known = {_key(row, request.pipeline.inputs) for row in request.examples}
    with context(lm=make_lm(request.model), adapter=make_adapter(request.adapter)):
        for turn in range(2 + 2 * -(-request.count // A_CALL)):
            wanted = min(A_CALL, request.count - len(rows))
            if wanted <= 0:
                break
            # Others at each turn.
            start, total = (request.seed + turn) * SHOWN, len(request.examples)
            shown = [request.examples[(start + i) % total] for i in range(min(SHOWN, total))]
            answer = await program.acall(
                task=task,
                fields=[_described(f) for f in fields],
                examples=[{name: text[:LONGEST_SHOWN] for name, text in row.items()} for row in shown],
                wish=request.wish.strip() or "Rows as varied as the real ones, with every answer among them.",
                count=wanted,
            )
            for row in answer.rows:
                text, why = _fitting(row, fields)
                key = _key(text, request.pipeline.inputs)
                why = why or ("there already" if key in known else "")
                if why:
                    left_out[why] = left_out.get(why, 0) + 1
                elif len(rows) < request.count:
                    known.add(key)
                    rows.append(text)
    return NewRows(rows=tuple(rows), left_out=left_out)


def _described(field: FieldSpec) -> str:
    allowed = f": one of {', '.join(field.choices)}" if field.choices else f" ({field.type})"
    return f"{field.name}{allowed}{f'. {field.description}' if field.description else ''}"


def _fitting(row: object, fields: Sequence[FieldSpec]) -> tuple[dict[str, str], str]:
    """Return a row's texts, and why it does not fit the task ("" where it does)."""
    from engine.dataset.structured import cell_text
    from engine.pipeline.importers.attachments import parse_cell

    given = row if isinstance(row, Mapping) else {}
    texts = {f.name: cell_text(given.get(f.name)).strip() for f in fields}
    for f in fields:
        if not texts[f.name]:
            return texts, f"without {f.name}"
        if f.choices:
            folded = {c.casefold(): c for c in f.choices}
            if texts[f.name].casefold() not in folded:
                return texts, f"with a {f.name} that is not allowed"
            texts[f.name] = folded[texts[f.name].casefold()]
            continue
        try:
            parse_cell(texts[f.name], f.parsed_type.annotation)
        except (ValueError, TypeError, EngineError):
            return texts, f"with a {f.name} of another type"
    return texts, ""


def _key(row: Mapping[str, str], inputs: Sequence[FieldSpec]) -> tuple[str, ...]:
    return tuple(one_case(row.get(f.name, "")) for f in inputs)


WRITE = """\
Write new, made-up rows for a table of examples. Each row must be a case that could really come up, unlike the real rows in
its words, and its answer must be right by the same rules that the real rows follow. Vary length, tone and difficulty.
Write every value as a text. Invent names; repeat no real row."""
