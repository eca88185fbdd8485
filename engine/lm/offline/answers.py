"""A value of a field's type for the inputs asked about: chosen, worked out, copied, or that of the nearest demo."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from engine.basics.data import JsonObject
from engine.lm.offline.copying import (
    best_sentences,
    copied_number,
    copied_sentence,
    copied_span,
    is_copy,
    next_query,
    observations,
    question_and_passages,
    question_of,
    shape_of,
    short_answer,
    taught_answer,
)
from engine.lm.offline.labels import Answer, choose
from engine.lm.offline.reading import PromptContent, PromptField, ShownRow, json_value, shown
from engine.lm.offline.sums import solve
from engine.lm.offline.text import (
    first_sentence,
    numbers_in,
    plain_number,
    sentences,
    similarities,
    stems,
    vote,
)

Known = list[tuple[ShownRow, str]]
"""The demos that show a field, each with its value."""


def answer_field(field: PromptField, prompt: PromptContent) -> Answer:
    """Return a value of the field's type for the inputs asked about."""
    known = shown(prompt.demos, field.name)
    kind = field.kind.casefold()
    if field.nullable and (answer := _code_or_null(prompt, known)) is not None:
        return answer
    if kind.startswith(_NESTED) or (field.schema and kind not in ("str", "any")):
        return _nested(field, prompt, known)
    if field.choices:
        return choose(field, prompt, field.choices)
    if kind == "bool":
        answer = choose(field, prompt, ("True", "False"))
        return answer._replace(value=answer.value == "True")
    if kind in ("int", "float", "decimal", "complex"):
        return _number(field, prompt, known)
    return _from_passages(field, prompt, known) or _text(field, prompt, known)


def _code_or_null(prompt: PromptContent, known: Known) -> Answer | None:
    """Return null, or the piece of the form that only the field's values have (a code); None where neither is sure."""
    values = [(demo.text, value) for demo, value in known if value.strip().casefold() not in _EMPTY]
    codes = [(text, value) for text, value in values if is_copy(text, value) and re.search(r"\d", value)]
    if codes and len(codes) >= 0.8 * len(values):
        span = copied_span(prompt.text, codes)
        fits = span is not None and shape_of(span) in {shape_of(value) for _, value in codes}
        return Answer(span if fits else None, "the examples' values have another form")
    examples = [(question_of(demo.inputs), str(value.strip().casefold() in _EMPTY)) for demo, value in known]
    shares = vote(question_of(prompt.inputs), examples)
    null = shares.get("True", 0.0) > shares.get("False", 0.0)
    return Answer(None, "the examples most like it have no value") if null else None


def _nested(field: PromptField, prompt: PromptContent, known: Known) -> Answer:
    """Return the nearest demo's list or record, else the smallest one of the field's type."""
    if not known:
        schema = json_value(field.schema) or {"type": "object" if field.kind.startswith("dict") else "array"}
        return Answer(_smallest(schema, schema.get("$defs", {}), prompt.text), UNKNOWN)
    text = _nearest(prompt, known)
    value = json_value(text)
    return Answer([part.strip() for part in text.split(",")] if value is None else value, NEAREST)


def _nearest(prompt: PromptContent, known: Known) -> str:
    """Return the value that the most similar demo shows."""
    alike = similarities(question_of(prompt.inputs), tuple(question_of(demo.inputs) for demo, _ in known))
    return known[alike.index(max(alike))][1]


def _number(field: PromptField, prompt: PromptContent, known: Known) -> Answer:
    value, why = _any_number(field, prompt, [(d, v.strip()) for d, v in known if _NUMERIC.fullmatch(v)])
    value = max(value, field.low) if field.low is not None else value
    value = min(value, field.high) if field.high is not None else value
    return Answer(round(value) if field.kind.casefold() == "int" else round(value, 6), why)


def _any_number(field: PromptField, prompt: PromptContent, known: Known) -> tuple[float, str]:
    results = [o for o in observations(dict(prompt.inputs).get("trajectory", "")) if _NUMERIC.fullmatch(o)]
    if results:
        return float(results[-1]), "it is what a tool worked out"
    text = prompt.text
    solved = [(demo.text, float(value)) for demo, value in known]
    copied = copied_number(text, tuple((q, plain_number(value)) for q, value in solved))
    if copied is not None:
        return float(copied), "the examples copy the number that is placed like it"
    steps = any(f.name in REASONING for f in prompt.wanted)
    if solution := solve(text, solved, prompt.instruction, steps=steps):
        return solution[0], f"{solution[1]} = {plain_number(solution[0])}"
    if known:
        answer = choose(field, prompt, tuple(dict.fromkeys(value for _, value in known)))
        return float(answer.value), answer.why
    return next(
        iter(numbers_in(text)), field.low or 0.0
    ), "it is the first number of the input, if there is one"


def _text(field: PromptField, prompt: PromptContent, known: Known) -> Answer:
    values = [value for _, value in known]
    if not known:
        return _described_sentence(field, prompt)
    if len(set(values)) <= max(1, 0.6 * len(values)):
        return choose(field, prompt, tuple(dict.fromkeys(values)))
    copied = [(demo.text, value) for demo, value in known if is_copy(demo.text, value)]
    if len(copied) >= len(known) / 2:
        piece = copied_sentence(question_of(prompt.inputs), copied) or copied_span(prompt.text, copied)
        if piece:
            return Answer(piece, "the examples copy a piece like it")
    return Answer(_nearest(prompt, known), NEAREST)


def _described_sentence(field: PromptField, prompt: PromptContent) -> Answer:
    """Return the sentence of the input that fits what the instruction says of the field best, else the first."""
    text = max((value for _, value in prompt.inputs), key=len, default="")
    described = [
        line for line in sentences(prompt.description(field)) if field.name.replace("_", " ") in line
    ]
    wanted = frozenset(stems(described[-1])) if described else frozenset()
    fits = [len(wanted & set(stems(sentence))) for sentence in sentences(text)]
    if fits and max(fits) >= 1:
        return Answer(sentences(text)[fits.index(max(fits))], "the instruction says which sentence it is")
    return Answer(first_sentence(text), "no example shows what an answer looks like, so it repeats the input")


def _from_passages(field: PromptField, prompt: PromptContent, known: Known) -> Answer | None:
    """Return the answer that the prompt's passages give; None where it holds none, or demos show a closed set."""
    question, passages = question_and_passages(prompt.inputs)
    best = best_sentences(question, passages)
    counts = Counter(value.strip() for _, value in known)
    if not best or (len(known) > 3 and len(counts) <= 0.5 * len(known)):
        return None
    if re.search(r"quer(?:y|ies)$|search", field.name, re.IGNORECASE):
        return Answer(next_query(question, best), "the passages name it, and it is not known yet")
    because = f'a passage says "{first_sentence(best[0].text, 90)}"'
    taught = [(question_of(demo.inputs), value) for demo, value in known]
    if taught and sum(len(value.split()) for _, value in taught) <= 8 * len(taught):
        return Answer(taught_answer(question, best, taught) or best[0].text, because)
    short = short_answer(question, best[0].text)
    return Answer(short if short and _SHORT.search(prompt.description(field)) else best[0].text, because)


def _smallest(schema: JsonObject, shared: JsonObject, text: str, depth: int = 0) -> Any:
    """Return the smallest value that fits a JSON schema."""
    options = schema.get("anyOf") or schema.get("oneOf")
    if options or "$ref" in schema:
        inner = options[-1] if options else shared.get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        return _smallest(inner, shared, text, depth + 1) if depth < 8 else None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "object":
        fields = schema.get("properties", {})
        needed = (name for name in schema.get("required", ()) if name in fields)
        return {name: _smallest(fields[name], shared, text, depth + 1) for name in needed}
    plain = {"string": first_sentence(text, 80), "boolean": False, "array": [], "null": None}
    return plain.get(kind, schema.get("minimum", 0))


REASONING = frozenset({"reasoning", "rationale", "thought", "thoughts", "explanation"})
"""Outputs that are written from the reasons of the others."""
NEAREST, UNKNOWN = "it is the answer of the most similar example", "no example shows more"
_NESTED = ("list", "set", "tuple", "frozenset", "sequence", "dict")
_EMPTY = frozenset({"null", "none", ""})
_NUMERIC = re.compile(r"\s*-?\d+(?:\.\d+)?\s*")
_SHORT = re.compile(
    r"\b(?:short|brief|briefly|concise|few words|only the|just the|exact|phrase|copied from the)\b", re.I
)
