"""JSONAdapter: inputs as sections, outputs as one JSON object; a schema goes with the request where it is understood."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import orjson

from engine.adapters.base import NOT_SUPPLIED, Adapter
from engine.adapters.notes import form_in_words, json_schema
from engine.adapters.plan import FieldPlan, Plan, plan_of, typed
from engine.adapters.scalars import loose_object
from engine.adapters.values import jsonable
from engine.basics.data import JsonObject, Values
from engine.errors import AdapterParseError, InvalidRequestError

if TYPE_CHECKING:
    from engine.lm.base import BaseLM
    from engine.signature import Signature


JSON_MODE: JsonObject = {"type": "json_object"}


def response_format(signature: type[Signature]) -> JsonObject:
    """Return the response_format of a signature's outputs."""
    properties: dict[str, object] = {}
    definitions: dict[str, object] = {}
    for field in plan_of(signature).outputs:
        schema = json_schema(field.annotation, field.nested, decimals_as_numbers=True)
        if not schema:
            return JSON_MODE
        definitions.update(schema.pop("$defs", {}))
        properties[field.name] = _described(schema, field.rules)
    try:
        closed = _closed({"type": "object", "properties": properties})
        if definitions:
            closed["$defs"] = {name: _closed(schema) for name, schema in definitions.items()}
    except ValueError:
        return JSON_MODE
    return {
        "type": "json_schema",
        "json_schema": {"name": signature.__name__[:64], "strict": True, "schema": closed},
    }


def _closed(schema: object) -> Any:
    """Return a schema with every object closed; what a strict one cannot hold is in the descriptions.

    Raises ValueError for an object with free keys.
    """
    if not isinstance(schema, dict):
        return schema
    schema = _described(schema, form_in_words(schema))
    closed = {k: v for k, v in schema.items() if k not in _UNSUPPORTED}
    if closed.get("type") == "object" or "properties" in closed:
        if "properties" not in closed:
            raise ValueError("an object with free keys")
        closed["properties"] = {name: _closed(part) for name, part in closed["properties"].items()}
        closed["required"] = list(closed["properties"])
        closed["additionalProperties"] = False
    for key in ("items", "not"):
        if key in closed:
            closed[key] = _closed(closed[key])
    if "prefixItems" in closed:
        raise ValueError("a tuple of fixed length")
    for key in ("anyOf", "oneOf", "allOf"):
        if key in closed:
            closed[key] = [_closed(part) for part in closed[key]]
    return closed


def _described(schema: JsonObject, words: str) -> JsonObject:
    """Return a schema whose description also says this."""
    if not words:
        return schema
    known = schema.get("description", "").strip()
    lead = f"{known}{'' if known.endswith(('.', '!', '?')) else '.'} " if known else ""
    return {**schema, "description": f"{lead}{words[0].upper()}{words[1:]}."}


_UNSUPPORTED = frozenset(
    "default minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength minItems maxItems "
    "uniqueItems pattern format title".split()
)


def json_values(_outputs: Sequence[FieldPlan], text: str, /) -> tuple[dict[str, object], bool]:
    """Return the values of the JSON object in a reply, and True. Raises AdapterParseError if there is none."""
    try:
        return loose_object(text), True
    except ValueError:
        raise AdapterParseError(
            "The reply is empty." if not text.strip() else "The reply holds no JSON object.", reply=text
        ) from None


class JSONAdapter(Adapter):
    """Asks for one JSON object; reads it typed, repairing damaged JSON; unknown keys are ignored.

    Native function calling is on, other than in `ChatAdapter`; the settings are those of `Adapter`.

    >>> from engine.signature import Signature
    >>> JSONAdapter().parse(Signature("text -> label, score: float"), 'Sure! {"label": "ok", "score": "0.5",}')
    {'label': 'ok', 'score': 0.5}
    """

    name = "json"
    find = staticmethod(json_values)

    def __init__(
        self,
        callbacks: Sequence[object] | None = None,
        use_native_function_calling: bool = True,
        parallel_tool_calls: bool | None = None,
        **options: Any,
    ) -> None:
        options["parallel_tool_calls"] = parallel_tool_calls
        super().__init__(callbacks, use_native_function_calling, **options)

    def structure(self, plan: Plan) -> str:
        """Return the layout: the inputs' headers, then the object with what each value must be."""
        inputs = self.marked((f.name, f"{{{f.name}}}") for f in plan.inputs)
        shape = {f.name: self.placeholder(f) for f in plan.outputs}
        return "\n\n".join(filter(None, [INPUT_LEAD, inputs, OUTPUT_LEAD, _object(shape)]))

    def reminder(self, plan: Plan) -> str:
        """Return the closing sentence: the keys in order."""
        return REMINDER.format(keys=", then ".join(f"`{f.name}`{typed(f)}" for f in plan.outputs))

    def write(self, plan: Plan, values: Values) -> str:
        """Return the outputs as a JSON object, indented by two spaces."""
        return _object(
            {
                f.name: jsonable(f.keyed(values[f.name])) if f.present(values) else NOT_SUPPLIED
                for f in plan.outputs
            }
        )

    def params(self, signature: type[Signature], lm: BaseLM) -> JsonObject:
        """Return response_format: the outputs' schema, where the model's endpoint is known to take one."""
        if not lm.supports_response_format or not signature.output_fields or lm in _refusing:
            return {}
        form = _formats.get(signature)
        if form is None:
            form = _formats[signature] = response_format(signature)
        return {"response_format": form}

    def gives_way(self, lm: BaseLM, params: dict[str, object], refusal: InvalidRequestError) -> bool:
        """Take response_format out where the endpoint does not take it after all, from then on."""
        if "response_format" not in params or not ABOUT_THE_FORMAT.search(str(refusal)):
            return False
        del params["response_format"]
        _refusing.add(lm)
        return True


ABOUT_THE_FORMAT = re.compile(r"response_?format|json_?\s?schema|structured output", re.IGNORECASE)
_refusing: WeakSet[BaseLM] = WeakSet()
"""Models that turned out to refuse a schema."""

_formats: WeakKeyDictionary[type[Signature], JsonObject] = WeakKeyDictionary()


def _object(values: Values) -> str:
    return orjson.dumps(values, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()


INPUT_LEAD = "Inputs are laid out like this, with the words in braces replaced by values:"
OUTPUT_LEAD = "Answer with one JSON object of this form:"
REMINDER = "Now answer with one JSON object whose keys are, in this order: {keys}."
