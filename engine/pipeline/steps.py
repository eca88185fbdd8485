"""Steps that ask no model: a search of a corpus, and a call of one tool.

They know a step's fields, and nothing of how steps are wired.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.adapters.values import UnreadableError, format_value, parse_value
from engine.errors import ToolError
from engine.modules.module import Module
from engine.modules.retrieve import Retrieve
from engine.modules.trajectory import OUTPUT_LIMIT
from engine.prediction import Prediction
from engine.runtime import current
from engine.signature import Signature
from engine.tools.function import Tool, shown


class Search(Module):
    """Finds the passages nearest to the first input: one output, a list of texts (as one text where its type is str).

    >>> from engine.pipeline.corpora import CorpusRetriever
    >>> from engine.pipeline.spec import CorpusSpec
    >>> corpus = CorpusSpec(passages=("Refunds take five days.", "Parcels go out on Mondays."))
    >>> Search(Signature("query -> passages: list[str]"), CorpusRetriever(corpus), k=1)(query="refunds").passages
    ['Refunds take five days.']
    """

    def __init__(self, signature: type[Signature], retriever: Any, k: int = 3) -> None:
        super().__init__()
        self.signature = signature
        self.retrieve = Retrieve(k, rm=retriever)

    async def aforward(self, **inputs: Any) -> Prediction:
        """Search once; nothing is found for an empty query."""
        name, output = next(iter(self.signature.input_fields)), next(iter(self.signature.output_fields))
        query = inputs.get(name)
        found = list((await self.retrieve.acall(_query(query))).passages) if query else []
        listed = self.signature.annotation(output) is not str
        return _noted(self, inputs, {output: found if listed else format_value(found, str)})


class ToolCall(Module):
    """Calls a tool with the step's inputs as its arguments; its result is the one output, read as that field's type.

    >>> def double(number: int) -> int:
    ...     return 2 * number
    >>> ToolCall(Signature("number: int -> twice: int"), Tool(double))(number=4).twice
    8
    """

    stand_in: Any = None
    """In an estimate arguments are invented, so the tool must not be called: this prediction is given instead."""

    def __init__(self, signature: type[Signature], tool: Tool) -> None:
        super().__init__()
        self.signature = signature
        self.tool = tool

    async def aforward(self, **inputs: Any) -> Prediction:
        """Call the tool once. Raises ToolError, also for a result that the output's type cannot hold."""
        output = next(iter(self.signature.output_fields))
        if self.stand_in is not None:
            return Prediction(self.stand_in)
        result = await self.tool.acall(**{n: v for n, v in inputs.items() if v is not None})
        annotation = self.signature.annotation(output)
        text = shown(result, OUTPUT_LIMIT)
        try:
            value = text if annotation is str else parse_value(text, annotation)
        except UnreadableError as error:
            raise ToolError(
                f"The tool {self.tool.name!r} gave {text[:80]!r}, which is no value of {output!r}: {error}"
            ) from error
        return _noted(self, inputs, {output: value})


def _noted(step: Module, inputs: Mapping[str, Any], values: dict[str, Any]) -> Prediction:
    """Return a step's answer, and note it in the trace among the steps that ask a model."""
    made = Prediction.of(values)
    if (trace := current().trace) is not None:
        trace.append((step, inputs, made))
    return made


def _query(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
