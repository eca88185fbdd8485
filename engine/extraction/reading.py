"""The program behind a `Prompter`: one step from document to record; placeholders; the signature and its prompts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from engine.errors import ConfigurationError
from engine.extraction.examples import Example
from engine.modules.extract import Extract
from engine.records import Candidate, Demo, StepState
from engine.signature import InputField, OutputField, Signature, make_signature
from engine.signature.prediction import Prediction
from engine.signature.types.media import Image

RECORD, TEXT, DOCUMENT, PICTURES, PLACEHOLDERS = "record", "output", "document", "pictures", "placeholders"
STEP = "read"

PLACEHOLDER = re.compile(r"\{(\w+)\}")


class ReadRecord(Extract):
    """An `Extract` whose prompts have placeholders, shown only the inputs that the document has.

    >>> program = ReadRecord(signature_of(None, "", ""))
    >>> [path for path, _ in program.named_predictors()]
    ['read']
    """

    def __init__(self, signature: type[Signature]) -> None:
        super().__init__(signature, evidence=False)  # a Prompter looks for it where it is asked for

    async def _ask_step(self, values: Mapping[str, Any], shown: type[Signature] | None = None) -> Prediction:
        """Ask the step with its placeholders filled."""
        given = {name: value for name, value in values.items() if name != PLACEHOLDERS}
        filled = tuple(sorted((values.get(PLACEHOLDERS) or {}).items()))
        return await super()._ask_step(given, shown or asked(self.read.signature, frozenset(given), filled))


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
        texts = self._state.field_descriptions.items()
        return {
            name.partition(".")[2]: text for name, text in texts if name.startswith(f"{RECORD}.") and text
        }

    @property
    def optimized_system_prompt(self) -> str:
        """The task's words."""
        return self._state.instructions

    @property
    def optimized_instruction_prompt(self) -> str | None:
        """The words about the document."""
        return self._state.field_descriptions.get(DOCUMENT)

    @property
    def optimized_demos(self) -> list[dict[str, Any]]:
        """The solved examples that are shown."""
        return [dict(demo.values) for demo in self._state.demos]


def inputs_of(example: Example, program: ReadRecord) -> dict[str, Any]:
    """Return what the step reads of a document. Raises DatasetError, naming the file, also where the model cannot see it."""
    inputs = example.inputs()
    if PICTURES in inputs and program.is_blind:
        program.check_eyes(example.documents())
    return inputs


def signature_of(
    model: type[BaseModel] | None, system_prompt: str, instruction_prompt: str
) -> type[Signature]:
    """Return the signature of a model: the system prompt is its task, the instruction describes the document."""
    task = system_prompt or instruction_prompt or (TASK if model is not None else TEXT_TASK)
    lead = instruction_prompt if system_prompt else ""
    output = (RECORD, model) if model is not None else (TEXT, str)
    fields = {
        DOCUMENT: (str, InputField(desc=lead or "The document.")),
        PICTURES: (list[Image], InputField(desc="Pictures of the document, in order.")),
        output[0]: (output[1], OutputField()),
    }
    return make_signature(fields, task, model.__name__ if model is not None else "Answer")


def placeholders_in(text: str) -> frozenset[str]:
    """Return the names in braces in a text.

    >>> sorted(placeholders_in("Read the {kind} in {language}."))
    ['kind', 'language']
    """
    return frozenset(PLACEHOLDER.findall(text))


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with the placeholders filled that have a value.

    >>> fill("Read the {kind} {x}.", {"kind": "bill"})
    'Read the bill {x}.'
    """
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


@lru_cache(maxsize=256)
def asked(
    signature: type[Signature], given: frozenset[str], filled: tuple[tuple[str, str], ...]
) -> type[Signature]:
    """Return a signature without the inputs that a document does not have, its placeholders filled."""
    for name in (DOCUMENT, PICTURES):
        if name not in given:
            signature = signature.delete(name)
    if not filled:
        return signature
    values = dict(filled)
    if (text := fill(signature.instructions, values)) != signature.instructions:
        signature = signature.with_instructions(text)
    for path in signature.described_fields:
        before = signature.description(path)
        if before and (text := fill(before, values)) != before:
            signature = signature.with_updated_fields(path, desc=text)
    return signature


def tuned_candidate(
    program: ReadRecord,
    descriptions: Mapping[str, str] | None,
    system_prompt: str | None,
    instruction_prompt: str | None,
    demos: Any,
) -> Candidate:
    """Return a program's candidate with prompts, descriptions by path and demos as they are saved. Raises ConfigurationError."""
    state = program.candidate().steps[STEP]
    output = next(iter(program.read.signature.output_fields))
    texts = dict(state.field_descriptions)
    texts |= {
        f"{output}.{path}" if output == RECORD else output: text
        for path, text in (descriptions or {}).items()
    }
    known = set(program.read.signature.described_fields)
    if unknown := sorted(texts.keys() - known):
        raise ConfigurationError(
            f"The model has no field {unknown[0]!r} to describe. It has: {', '.join(sorted(known))}."
        )
    task = state.instructions
    if system_prompt:
        task = system_prompt
        if instruction_prompt:
            texts[DOCUMENT] = instruction_prompt
    elif instruction_prompt:
        task = instruction_prompt
    found = tuple(Demo(_demo_values(demo, output)) for demo in demos or ())
    return program.candidate().with_step(STEP, instructions=task, field_descriptions=texts, demos=found)


def _demo_values(demo: Mapping[str, Any], output: str) -> dict[str, Any]:
    """Return a demo's values by field; DSPydantic's has `input_data` and `expected_output`."""
    if "expected_output" not in demo:
        return dict(demo)
    given = demo.get("input_data") or {}
    text = given.get("text") if isinstance(given, Mapping) else str(given)
    right = demo["expected_output"]
    if output == TEXT and isinstance(right, Mapping):
        right = right.get(TEXT, right)
    pictures = given.get("images") if isinstance(given, Mapping) else None
    shown = {DOCUMENT: text} if text else {}
    if pictures:
        shown[PICTURES] = [
            p if str(p).startswith("data:") else f"data:image/png;base64,{p}" for p in pictures
        ]
    return {**shown, output: right}


TASK = "Read the document and fill in the record. Take every value from the document; where it has none, leave the field empty."
TEXT_TASK = "Read the document and answer."
