"""The program of a `Prompter`: one step from document to record, its prompts and their placeholders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from pydantic import BaseModel

from engine.basics.data import JsonObject, Values
from engine.compat.prompter.documents import DOCUMENT, PICTURES, PLACEHOLDERS, LabelledDocument
from engine.errors import ConfigurationError
from engine.modules.extract import Extract
from engine.records import Candidate, Demo, StepState
from engine.signature import InputField, OutputField, Signature, make_signature
from engine.signature.prediction import Prediction
from engine.signature.types.media import Image

RECORD, TEXT = "record", "output"
STEP = "read"

OPTIMIZED = (
    "optimized_descriptions",
    "optimized_system_prompt",
    "optimized_instruction_prompt",
    "optimized_demos",
)
"""Arguments of a Prompter that take over the result of an earlier optimization."""

PLACEHOLDER = re.compile(r"\{(\w+)\}")


class ReadRecord(Extract):
    """An `Extract` whose prompts have placeholders, shown only the inputs that the document has.

    >>> [path for path, _ in ReadRecord(None).named_predictors()]
    ['read']
    """

    def __init__(
        self, model: type[BaseModel] | None, system_prompt: str = "", instruction_prompt: str = ""
    ) -> None:
        # A Prompter looks for evidence only when it is asked to.
        super().__init__(_signature(model, system_prompt, instruction_prompt), evidence=False)

    @property
    def output(self) -> str:
        """The output's name: "record", of a text answer "output"."""
        return next(iter(self.read.signature.output_fields))

    def inputs(self, document: LabelledDocument) -> JsonObject:
        """Return the values that the step reads of a document.

        Raises DatasetError for an unusable file, naming it, also for a picture and a model that sees none.
        """
        files = document.files()
        self.check_eyes(files)
        inputs = document.inputs(files)
        if PLACEHOLDERS not in inputs and any(map(placeholders_in, _prompts(self.read.signature))):
            inputs[PLACEHOLDERS] = document.placeholders
        return inputs

    async def _ask_step(self, values: Values, shown: type[Signature] | None = None) -> Prediction:
        """Ask the step with its placeholders filled."""
        inputs = {name: value for name, value in values.items() if name != PLACEHOLDERS}
        filled = tuple(sorted((values.get(PLACEHOLDERS) or {}).items()))
        return await super()._ask_step(
            inputs, shown or _filled(self.read.signature, frozenset(inputs), filled)
        )

    def tuned(
        self,
        optimized_descriptions: Mapping[str, str] | None = None,
        optimized_system_prompt: str | None = None,
        optimized_instruction_prompt: str | None = None,
        optimized_demos: Sequence[Values] | None = None,
    ) -> Candidate:
        """Return the candidate with the result of an earlier optimization. Raises ConfigurationError."""
        system_prompt, instruction_prompt = optimized_system_prompt, optimized_instruction_prompt
        state, output = self.candidate().steps[STEP], self.output
        described = dict(state.field_descriptions)
        for path, text in (optimized_descriptions or {}).items():
            described[f"{output}.{path}" if output == RECORD else output] = text
        known = set(self.read.signature.described_fields)
        if unknown := sorted(described.keys() - known):
            raise ConfigurationError(
                f"The model has no field {unknown[0]!r} to describe. It has: {', '.join(sorted(known))}."
            )
        if system_prompt and instruction_prompt:
            described[DOCUMENT] = instruction_prompt
        return self.candidate().with_step(
            STEP,
            instructions=system_prompt or instruction_prompt or state.instructions,
            field_descriptions=described,
            demos=tuple(Demo(_demo_values(demo, output)) for demo in optimized_demos or ()),
        )


class TunedPrompts:
    """Texts and demos of a candidate, under DSPydantic's names."""

    def _tuned(self) -> Candidate:
        raise NotImplementedError

    @property
    def _state(self) -> StepState:
        return self._tuned().steps[STEP]

    @property
    def optimized_descriptions(self) -> dict[str, str]:
        """The descriptions by path."""
        texts, lead = self._state.field_descriptions, f"{RECORD}."
        return {
            name.removeprefix(lead): text for name, text in texts.items() if name.startswith(lead) and text
        }

    @property
    def optimized_system_prompt(self) -> str:
        """The instructions of the task."""
        return self._state.instructions

    @property
    def optimized_instruction_prompt(self) -> str | None:
        """The description of the document."""
        return self._state.field_descriptions.get(DOCUMENT)

    @property
    def optimized_demos(self) -> list[JsonObject]:
        """The solved examples in the prompt."""
        return [dict(demo.values) for demo in self._state.demos]


def placeholders_in(text: str) -> frozenset[str]:
    """Return the names in braces in a text.

    >>> sorted(placeholders_in("Read the {kind} in {language}."))
    ['kind', 'language']
    """
    return frozenset(PLACEHOLDER.findall(text)) if "{" in text else frozenset()


def _signature(model: type[BaseModel] | None, system_prompt: str, instruction_prompt: str) -> type[Signature]:
    """Return a model's signature: the system prompt is the task, the instruction prompt describes the document."""
    task = system_prompt or instruction_prompt or (TASK if model is not None else TEXT_TASK)
    lead = instruction_prompt if system_prompt else ""
    output = (RECORD, model) if model is not None else (TEXT, str)
    fields = {
        DOCUMENT: (str, InputField(desc=lead or "The document.")),
        PICTURES: (list[Image], InputField(desc="Pictures of the document, in order.")),
        output[0]: (output[1], OutputField()),
    }
    return make_signature(fields, task, model.__name__ if model is not None else "Answer")


def _prompts(signature: type[Signature]) -> list[str]:
    return [signature.instructions, *map(signature.description, signature.described_fields)]


@lru_cache(maxsize=256)
def _filled(
    signature: type[Signature], inputs: frozenset[str], values: tuple[tuple[str, str], ...]
) -> type[Signature]:
    """Return a signature without the inputs that a document lacks, its placeholders filled."""
    for name in {DOCUMENT, PICTURES} - inputs:
        signature = signature.delete(name)
    by_name = dict(values)

    def fill(text: str) -> str:
        return PLACEHOLDER.sub(lambda name: by_name.get(name[1], name[0]), text)

    if (text := fill(signature.instructions)) != signature.instructions:
        signature = signature.with_instructions(text)
    for path in signature.described_fields:
        before = signature.description(path)
        if before and (text := fill(before)) != before:
            signature = signature.with_updated_fields(path, desc=text)
    return signature


def _demo_values(demo: Values, output: str) -> JsonObject:
    """Return a demo's values by field; DSPydantic's has `input_data` and `expected_output`."""
    if "expected_output" not in demo:
        return dict(demo)
    given, label = demo.get("input_data") or {}, demo["expected_output"]
    inputs = given if isinstance(given, Mapping) else {"text": str(given)}
    if output == TEXT and isinstance(label, Mapping):
        label = label.get(TEXT, label)
    values: JsonObject = {DOCUMENT: inputs["text"]} if inputs.get("text") else {}
    if inputs.get("images"):
        pictures = map(str, inputs["images"])
        values[PICTURES] = [p if p.startswith("data:") else f"data:image/png;base64,{p}" for p in pictures]
    return {**values, output: label}


TASK = "Read the document and fill in the record. Take every value from the document; where it has none, leave the field empty."
TEXT_TASK = "Read the document and answer."
