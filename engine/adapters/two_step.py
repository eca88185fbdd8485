"""TwoStepAdapter: the model answers in free text, and a second call takes the fields out of it.

For models that reason well and keep to layouts badly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from engine.adapters.base import Adapter, Exchange
from engine.adapters.chat import ChatAdapter
from engine.adapters.json import JSONAdapter
from engine.adapters.plan import Demos, Plan, typed
from engine.basics.data import JsonObject, Values
from engine.errors import AdapterParseError
from engine.signature import InputField, make_signature

if TYPE_CHECKING:
    from engine.adapters.base import ExpectedCall
    from engine.lm.base import BaseLM, Choice
    from engine.signature import Signature


class TwoStepAdapter(Adapter):
    """Asks the step's model for a free answer, then `extraction_model` for the fields in it: two calls.

    Without an `extraction_model` the step's model does both. An extraction that cannot be read is retried once with the
    error; then the step's model is asked for JSON. Demonstrations stand in the first call.

    >>> import asyncio
    >>> from engine import Predict, context
    >>> from engine.testing import ScriptedLM
    >>> adapter = TwoStepAdapter(ScriptedLM([{"sum": 4}]))
    >>> with context(lm=ScriptedLM(["Two and two are four."]), adapter=adapter):
    ...     Predict("a: int, b: int -> sum: int")(a=2, b=2).sum
    4
    """

    name = "two_step"
    calls_an_answer = 2
    marks = ("{name}: ", "\n\n")

    def __init__(self, extraction_model: BaseLM | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.extraction_model = extraction_model
        self._extraction = ChatAdapter(retries=self.retries, use_json_adapter_fallback=False)

    def structure(self, plan: Plan) -> str:
        """Return how to answer: freely, but saying what every output must be."""
        notes = [f"- `{f.name}` {f.note}" for f in plan.outputs if f.note]
        return "\n".join([STYLE, *([NOTES, *notes] if notes else [])])

    def reminder(self, plan: Plan) -> str:
        """Return the closing sentence: what must be in the answer."""
        return REMINDER.format(names=", ".join(f"`{f.name}`{typed(f)}" for f in plan.outputs))

    def parse(self, signature: type[Signature], completion: str) -> dict[str, object]:
        """Return the typed outputs of the second call's reply, which is in ChatAdapter's layout."""
        return self._extraction.parse(signature, completion)

    def fallback(self) -> Adapter | None:
        """Return a JSONAdapter that does not retry, for the step's model."""
        return JSONAdapter(retries=0)

    def worth_repeating(self, error: AdapterParseError) -> bool:
        """Return whether the first call failed: what the second cannot read is asked for as JSON at once."""
        return not isinstance(error, _ExtractionError)

    def calls(
        self, signature: type[Signature], demos: Demos, inputs: Values, values: Values
    ) -> list[ExpectedCall]:
        """Return both calls."""
        free_answer = self.answer(signature, values)
        asked = extraction_of(signature)
        again, fields = (
            self._extraction.format(asked, (), {ANSWER: free_answer}),
            self._extraction.answer(asked, values),
        )
        return [
            (self.format(signature, demos, inputs), free_answer, None),
            (again, fields, self.extraction_model),
        ]

    async def values(self, exchange: Exchange, choice: Choice) -> JsonObject:
        """Return the typed outputs that the second call finds in one completion. Raises AdapterParseError."""
        text = choice.text or ""
        outputs: dict[str, object] = {}
        if exchange.asked.output_fields and (text.strip() or not choice.tool_calls):
            if not text.strip():
                raise AdapterParseError("The reply is empty.", reply=text)
            lm = self.extraction_model or exchange.lm
            asked = extraction_of(exchange.asked)
            given = {ANSWER: text}
            try:
                (outputs,) = await self._extraction.ask(
                    exchange.call, lm, {}, asked, (), given, exchange.rollout_id
                )
            except AdapterParseError as error:
                raise _ExtractionError(str(error), reply=error.reply, found=error.found) from None
        native = exchange.native
        return outputs if native is None else native.filled(exchange.signature, choice, lambda _text: outputs)


class _ExtractionError(AdapterParseError):
    """The second call's reply cannot be read, nor its repair."""


def extraction_of(signature: type[Signature]) -> type[Signature]:
    """Return the second call's signature: a free answer in, the same outputs out."""
    extraction = _extractions.get(signature)
    if extraction is None or signature.instructions not in extraction.instructions:
        outputs = {
            name: (signature.annotation(name), field) for name, field in signature.output_fields.items()
        }
        fields = {ANSWER: (str, InputField(desc="What was answered, in free words.")), **outputs}
        task = EXTRACT.format(names=", ".join(f"`{name}`" for name in outputs), task=signature.instructions)
        extraction = _extractions[signature] = make_signature(fields, task, "Extraction")
    return extraction


_extractions: WeakKeyDictionary[type[Signature], type[Signature]] = WeakKeyDictionary()

ANSWER = "free_answer"
STYLE = """\
Answer in your own words, in any form, with every detail that matters. No layout is needed, but another reader must be \
able to fill in the output fields from your answer."""
NOTES = "What they will write there:"
REMINDER = "Now answer, and state explicitly what these are: {names}."
EXTRACT = """\
A task was given and answered in free words. Take {names} out of the answer, exactly as it states them. \
Do not do the task again and do not correct the answer.

The task was: {task}"""
