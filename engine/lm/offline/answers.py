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
from engine.lm.offline.labels import Answer, best_fits, choose, rules_for
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
    if kind.startswith(("list", "set", "tuple", "frozenset", "sequence")) and not _holds_records(field):
        return _list(field, prompt, known)
    if field.choices:
        return choose(field, prompt, field.choices)
    if kind == "bool":
        answer = choose(field, prompt, ("True", "False"))
        return answer._replace(value=answer.value == "True")
    if kind in ("int", "float", "decimal", "complex"):
        return _number(field, prompt, known)
    if kind.startswith("dict") or (field.schema and kind not in ("str", "any")):
        schema = json_value(field.schema) or {}
        value = _nearest(prompt, known) if known else ""
        smallest = _smallest(schema, schema.get("$defs", {}), prompt.text)
        return Answer(json_value(value) or value or smallest, NEAREST if known else UNKNOWN)
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
    question, passages = question_and_passages(prompt.inputs)
    text = "\n".join([question, *(sentence.text for sentence in best_sentences(question, passages)[:1])])
    solved = [(demo.text, float(value)) for demo, value in known]
    copied = copied_number(text, tuple((q, plain_number(value)) for q, value in solved))
    if copied is not None:
        return float(copied), "the examples copy the number that is placed like it"
    classes = len(solved) >= 4 and len({value for _, value in solved}) <= len(solved) / 2
    if not classes or sum(len(numbers_in(q)) >= 2 for q, _ in solved) > len(solved) / 2:
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
    named = _named_values(field, prompt)
    if not known:
        return choose(field, prompt, named) if named else _described_sentence(field, prompt)
    if all(_NUMERIC.fullmatch(value) for value in values):
        number = _number(field, prompt, known)
        return number._replace(value=plain_number(float(number.value)))
    few = len(values) < 4 and all(len(value) < 25 for value in values)
    if few or len(set(values)) <= max(1, 0.6 * len(values)):
        return choose(field, prompt, tuple(dict.fromkeys((*values, *named))))
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


def _named_values(field: PromptField, prompt: PromptContent) -> tuple[str, ...]:
    """Return the values that a prompt lists for a text field ("one of: a, b or c", "a" or "b")."""
    text = prompt.description(field)
    listed = re.search(
        r"\b(?:one of|either|choose from|values?|labels?)\b:?\s+([^.\n]+)", text, re.IGNORECASE
    )
    parts = (
        re.split(r"[,;/|]|\bor\b|\band\b", listed[1])
        if listed
        else re.findall(r"['\"]([\w -]{1,30})['\"]", text)
    )
    fields = {f.name for f in (*prompt.given, *prompt.wanted)}
    values = dict.fromkeys(value.strip(" '\"`()") for value in parts)
    short = tuple(value for value in values if value and len(value.split()) <= 3 and value not in fields)
    return short if len(short) > 1 else ()


def _from_passages(field: PromptField, prompt: PromptContent, known: Known) -> Answer | None:
    """Return the answer that the prompt's passages give; None where it holds none, or demos show a closed set."""
    question, passages = question_and_passages(prompt.inputs)
    best = best_sentences(question, passages)
    counts = Counter(value.strip() for _, value in known)
    if not best or (len(known) > 3 and len(counts) <= 0.5 * len(known)):
        return None
    if re.search(r"quer(?:y|ies)$|search", field.name, re.IGNORECASE):
        return Answer(next_query(question, best), "the passages name it, and it is not known yet")
    short = short_answer(question, best[0].text)
    absent = _ABSENT.search(prompt.description(field))
    repeated = (
        v for v, n in counts.most_common(1) if n > 1 and re.search(r"\b(?:not?|none|unknown)\b", v, re.I)
    )
    nothing = absent[1] if absent else next(repeated, "")
    if nothing:
        examples = [(question_of(demo.inputs), str(value.strip() == nothing)) for demo, value in known]
        alike = dict(zip(similarities(question, tuple(q for q, _ in examples)), examples, strict=True))
        without = any(label == "True" for _, label in examples)
        if alike[max(alike)][1] == "True" if without else short is None:
            return Answer(nothing, "no passage says it")
    because = f'a passage says "{first_sentence(best[0].text, 90)}"'
    taught = [(question_of(demo.inputs), value) for demo, value in known if value.strip() != nothing]
    if taught and sum(len(value.split()) for _, value in taught) <= 8 * len(taught):
        return Answer(taught_answer(question, best, taught) or best[0].text, because)
    return Answer(short if short and _SHORT.search(prompt.description(field)) else best[0].text, because)


def _list(field: PromptField, prompt: PromptContent, known: Known) -> Answer:
    listed = [(demo, _items(value)) for demo, value in known]
    every = Counter(item for _, items in listed for item in items)
    choices = field.choices or (tuple(every) if len(every) <= max(3, 0.6 * every.total()) else ())
    number = float if "[float" in field.kind else int if "[int" in field.kind else str
    if choices:
        fits = best_fits(prompt.text, rules_for(field, prompt, choices))
        fitting = []
        for choice in choices:
            examples = [(question_of(demo.inputs), str(choice in items)) for demo, items in listed]
            shares = vote(question_of(prompt.inputs), examples)
            if fits.get(choice, 0.0) + 0.6 * (shares.get("True", 0.0) > shares.get("False", 0.0)) >= 0.5:
                fitting.append(choice)
        if not fitting and all(items for _, items in listed):
            fitting = [choose(field, prompt, choices).value]
        return Answer([number(choice) for choice in fitting], "the rules and examples fit these")
    if number is not str:
        return Answer([number(value) for value in numbers_in(prompt.text)], "these are its numbers")
    copied = [(demo.text, item) for demo, items in listed for item in items if is_copy(demo.text, item)]
    span = copied_span(prompt.text, copied) if copied else "" if known else first_sentence(prompt.text, 80)
    return Answer([span] if span else [], "the examples copy a span like it" if copied else UNKNOWN)


def _items(text: str) -> list[str]:
    value = json_value(text)
    if value is None:
        value = [part.strip() for part in text.split(",") if part.strip()]
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def _holds_records(field: PromptField) -> bool:
    """Return whether a list's items are objects."""
    schema = json_value(field.schema) if field.schema else {}
    items = schema.get("items") if isinstance(schema, dict) else None
    return isinstance(items, dict) and ("$ref" in items or items.get("type") == "object")


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
_EMPTY = frozenset({"null", "none", ""})
_NUMERIC = re.compile(r"\s*-?\d+(?:\.\d+)?\s*")
_SHORT = re.compile(
    r"\b(?:short|brief|briefly|concise|few words|only the|just the|exact|phrase|copied from the)\b", re.I
)
_ABSENT = re.compile(
    r"\b(?:not (?:say|in|stated|mentioned|known|found)|no passage|otherwise|unknown)[^.\n]{0,60}?"
    r"['\"“]([^'\"”\n]{2,30})['\"”]",
    re.I,
)
