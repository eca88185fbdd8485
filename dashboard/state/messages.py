"""The messages a task sends to a model, as the adapter writes them. Knows no store and no Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.basics.data import JsonObject, Values
from engine.lm.exchange import message_tokens
from engine.pipeline.spec import PipelineSpec
from engine.records import Candidate


def messages(
    pipeline: PipelineSpec,
    values: Mapping[str, object],
    *,
    adapter: str = "chat",
    candidate: Candidate | None = None,
) -> list[tuple[str, list[JsonObject]]]:
    """Return (step path, messages) of every call that one row makes, with a candidate's wording if given.

    A value that is not known yet is written as «its name». Raises EngineError when the task cannot be built.
    """
    from engine.adapters import get_adapter
    from engine.pipeline.build import build_program

    program = build_program(pipeline)
    if candidate is not None:
        program = program.with_candidate(candidate)
    chosen = get_adapter(adapter)()
    calls = []
    for path, step in program.named_predictors():
        inputs = {name: values.get(name, f"«{name}»") for name in step.signature.input_fields}
        writer = step.adapter or chosen
        calls.append((path, writer.format(step.prompted(), step.demos_for(inputs), inputs)))
    return calls


def tokens_of(sent: Sequence[tuple[str, list[JsonObject]]]) -> int:
    """Return about how many tokens `messages` have together."""
    return sum(message_tokens(turns) for _, turns in sent)


def calls_a_row(pipeline: PipelineSpec, *, adapter: str = "chat") -> int:
    """Return the model calls that one row of a task usually takes. Raises EngineError when the task cannot be built."""
    from engine import runtime
    from engine.adapters import get_adapter
    from engine.pipeline.build import build_program

    with runtime.context(adapter=get_adapter(adapter)()):
        return build_program(pipeline).calls_a_row


def text_of(message: Values) -> str:
    """Return a message's content as text; parts that are not text are named in brackets."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return "\n".join(p["text"] if p.get("type") == "text" else f"[{p.get('type')}]" for p in content)


def sample_call(values: Mapping[str, object]) -> str:
    """Return values as the arguments of a Python call, long ones cut.

    >>> sample_call({"message": "hello"})
    "message='hello'"
    """
    return ", ".join(f"{name}={_cut(value)!r}" for name, value in values.items())


def _cut(value: object) -> object:
    return f"{value[:60]}…" if isinstance(value, str) and len(value) > 60 else value
