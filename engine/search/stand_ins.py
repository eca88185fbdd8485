"""Stand-ins for models in an estimate: steps that render their prompts for real and invent the answers.

They ask no model and know no search.
"""

from __future__ import annotations

import enum
import math
import types
import typing
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from engine.adapters.base import Adapter
from engine.adapters.chat import ChatAdapter
from engine.basics.data import JsonObject, Values
from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.lm.exchange import message_tokens, text_tokens
from engine.modules.react import ToolStep
from engine.pipeline.strategies import CallTool
from engine.records import Usage

if TYPE_CHECKING:
    from engine.modules.module import Module
    from engine.signature import Signature

# Typical lengths, in characters, of texts that are not known yet.
_LENGTHS = {
    "reasoning": 320,
    "rationale": 320,
    "proposed_instructions": 900,
    "observations": 700,
    "summary": 400,
    "rules": 900,
    "advice": 500,
}
_OTHER_TEXT = 60

# Outputs that are run in the sandbox.
_CODE = ("generated_code", "code")


class StandInLM(BaseLM):
    """A model with one prepared reply."""

    def __init__(self, reply: Reply | None = None) -> None:
        super().__init__("stand-in")
        self._reply = reply or Reply((Choice(""),))

    async def complete(self, request: Request) -> Reply:  # noqa: ARG002 - the answer is known
        """Return the reply."""
        return self._reply


class StandInAdapter:
    """Replacement of an adapter: formats with it, and invents the model's answers.

    `labels` are known values by field name; `number` makes invented texts different from each other.
    """

    def __init__(self, real: Adapter, labels: Mapping[str, Sequence[Any]], number: int = 0) -> None:
        self._real, self._labels, self._number = real, labels, number

    async def ask(
        self,
        call: Any,
        lm: BaseLM,
        params: Values,
        signature: type[Signature],
        demos: Sequence[Any],
        inputs: Values,
        rollout_id: int | None = None,
    ) -> list[JsonObject]:
        """Do what `Adapter.ask` does, without a model."""
        values = {name: self._value(name, signature) for name in signature.output_fields}
        self._number += 1
        for messages, answer, own in self._real.calls(signature, demos, inputs, values):
            read, written = message_tokens(messages), text_tokens(answer)
            usage = Usage(1, 0, read, written, price_of(own or lm, read, written))
            model = StandInLM(Reply((Choice(""),), usage))
            await call(model, lm.request(messages, rollout_id=rollout_id, **params))
        return [values]

    def _value(self, name: str, signature: type[Signature]) -> Any:
        known = self._labels.get(name)
        if known:
            return known[self._number % len(known)]
        if name in _CODE:
            return "0"  # runs at once, and is a result
        if name == "score" and signature.annotation(name) is float:
            return 0.0  # a judge that is never satisfied, so that every try it may ask for is counted
        return invent(signature.annotation(name), name, self._number)


def price_of(lm: BaseLM, input_tokens: float, output_tokens: float) -> float:
    """Return US dollars for tokens in and out; NaN, which stays in every sum, where the model's price is unknown."""
    price = lm.price()
    return math.nan if price is None else input_tokens * price[0] + output_tokens * price[1]


def with_stand_ins(
    program: Module,
    adapter: Adapter | None,
    labels: Mapping[str, Sequence[object]],
    *,
    number: int = 0,
    models: Mapping[str, BaseLM] = MappingProxyType({}),
) -> Module:
    """Return a copy of the program whose steps invent their answers, at the prices of the `models` they name."""
    copy = program.deepcopy()
    for step in copy.predictors():
        real = step.adapter or adapter or ChatAdapter()
        step.adapter = typing.cast(Adapter, StandInAdapter(real, labels, number))
        step.lm = models.get(step.weights or "", step.lm)
        step.weights = None  # a model that may not exist yet
        if isinstance(step, ToolStep):
            step.unplug()
    for _, part in copy.named_sub_modules():
        if isinstance(part, CallTool):
            outputs = part.signature.output_fields
            part.stand_in = {n: invent(part.signature.annotation(n), n, number) for n in outputs}
    return copy


def invent(annotation: object, name: str = "", number: int = 0) -> Any:
    """Return a value of a type.

    >>> invent(list[int]), invent(typing.Literal["yes", "no"]), invent(bool)
    ([1, 1], 'yes', True)
    """
    simple = {bool: True, int: 1, float: 1.0, type(None): None}
    if annotation in simple:
        return simple[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        # In turn, so that every branch of a pipeline is counted; an agent never stops early.
        return arguments[0 if name == "next_tool_name" else number % len(arguments)]
    if origin in (typing.Union, types.UnionType):
        return invent(arguments[0], name, number)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return next(iter(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        return annotation.model_construct(**{n: invent(f.annotation, n, number) for n, f in fields.items()})
    container = origin or annotation
    if container in (list, set, frozenset, tuple):
        inside = invent(arguments[0], name, number) if arguments else _invented_text(name, number)
        return container([inside, inside])
    if container is dict:
        return {"key": invent(arguments[1], name, number) if len(arguments) == 2 else 1}
    return _invented_text(name, number)


def _invented_text(name: str, number: int) -> str:
    length = _LENGTHS.get(name, _OTHER_TEXT)
    start = f"Text {number}. "
    return start + ("word " * (length // 5))[: max(0, length - len(start))]
