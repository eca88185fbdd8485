"""One output field -> a value of its type, by rules, demos and passages.

Knows what was asked; writes no layout.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

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
from engine.lm.offline.labels import Answer, Sampling, best_fits, choose, rules_for, solve
from engine.lm.offline.reading import Demo, Field, Prompt, json_value, shown
from engine.lm.offline.text import content_words, first_sentence, numbers_in, plain_number, similarities, vote
from engine.lm.offline.writing import described_sentence

Known = list[tuple[Demo, str]]
"""The demos that show a field, each with its value."""


def answer_field(field: Field, prompt: Prompt, sampling: Sampling) -> Answer:
    """Return a value of the field's type for the inputs asked about."""
    known = shown(prompt.demos, field.name)
    kind = field.kind.casefold()
    if field.nullable and (found := _value_or_null(prompt, known)) is not None:
        return found
    if kind.startswith(("list", "set", "tuple", "frozenset", "sequence")):
        return _list(field, prompt, known, sampling)
    if field.choices:
        return choose(field, prompt, field.choices, sampling)
    if kind == "bool":
        picked = choose(field, prompt, ("True", "False"), sampling)
        return picked._replace(value=picked.value == "True")
    if kind in ("int", "float", "decimal", "complex"):
        return _number(field, prompt, known, sampling)
    if kind.startswith("dict") or (field.schema and kind not in ("str", "any")):
        return _structure(field, prompt, known)
    return _from_passages(field, prompt, known) or _text(field, prompt, known, sampling)


def _value_or_null(prompt: Prompt, known: Known) -> Answer | None:
    """Return null, or the piece of the form that only the field's values have (a code); None where neither is sure."""
    values = [(d.text, v) for d, v in known if v.strip().casefold() not in _EMPTY]
    codes = tuple((text, v) for text, v in values if is_copy(text, v) and re.search(r"\d", v))
    if codes and len(codes) >= 0.8 * len(values):
        span = copied_span(prompt.text, codes)
        fits = span is not None and shape_of(span) in {shape_of(v) for _, v in codes}
        return Answer(span if fits else None, "the examples' values have a form of their own")
    examples = [(question_of(d.inputs), str(v.strip().casefold() in _EMPTY)) for d, v in known]
    shares = vote(question_of(prompt.inputs), examples)
    null = shares.get("True", 0.0) > shares.get("False", 0.0)
    return Answer(None, "the examples most like it have no value") if null else None


def _nearest(prompt: Prompt, known: Known) -> str:
    """Return the value that the most similar demo shows."""
    alike = similarities(question_of(prompt.inputs), tuple(question_of(d.inputs) for d, _ in known))
    return known[alike.index(max(alike))][1]


# Numbers


def _number(field: Field, prompt: Prompt, known: Known, sampling: Sampling) -> Answer:
    value, why = _any_number(field, prompt, known, sampling)
    value = max(value, field.low) if field.low is not None else value
    value = min(value, field.high) if field.high is not None else value
    return Answer(round(value) if field.kind.casefold() == "int" else round(value, 6), why)


def _any_number(field: Field, prompt: Prompt, known: Known, sampling: Sampling) -> tuple[float, str]:
    pairs = [(d.text, float(v)) for d, v in known if _NUMERIC.fullmatch(v)]
    results = [o for o in observations(dict(prompt.inputs).get("trajectory", "")) if _NUMERIC.fullmatch(o)]
    if results:
        return float(results[-1]), "it is what a tool worked out"
    if (field.low, field.high) == (0, 1) and not pairs:
        return _supported(prompt), "so much of it is supported by the rest of the prompt"
    question, passages = question_and_passages(prompt.inputs)
    text = "\n".join([question, *(one.text for one in best_sentences(question, passages)[:1])])
    copied = copied_number(text, tuple((q, plain_number(v)) for q, v in pairs))
    if copied is not None:
        return float(copied), "the examples copy the number that is placed like it"
    classes = len(pairs) >= 4 and len({v for _, v in pairs}) <= len(pairs) / 2
    if not classes or sum(len(numbers_in(q)) >= 2 for q, _ in pairs) > len(pairs) / 2:
        steps = any(f.name in REASONING for f in prompt.task.outputs)
        if solution := solve(text, pairs, prompt.task.instruction, steps=steps):
            return solution[0], f"{solution[1]} = {plain_number(solution[0])}"
    if pairs:
        picked = choose(
            field,
            prompt,
            tuple(dict.fromkeys(v.strip() for _, v in known if _NUMERIC.fullmatch(v))),
            sampling,
        )
        return float(picked.value), picked.why
    return next(
        iter(numbers_in(text)), field.low or 0.0
    ), "it is the first number of the input, if there is one"


def _supported(prompt: Prompt) -> float:
    """Return the share of the last input's words that the inputs before it have: a rough judge."""
    *before, last = [content_words(v) for _, v in prompt.inputs] or [frozenset()]
    return round(len(last.intersection(*[frozenset().union(*before)])) / len(last), 2) if last else 0.0


# Text


def _text(field: Field, prompt: Prompt, known: Known, sampling: Sampling) -> Answer:
    if not known:
        return _undemonstrated(field, prompt, sampling)
    values = [v for _, v in known]
    if all(_NUMERIC.fullmatch(v) for v in values):
        number = _number(field, prompt, known, sampling)
        return number._replace(value=plain_number(float(number.value)))
    few = len(values) < 4 and all(len(v) < 25 for v in values)
    if few or len(set(values)) <= max(1, 0.6 * len(values)):
        return choose(field, prompt, tuple(dict.fromkeys((*values, *_named_values(field, prompt)))), sampling)
    copied = tuple((d.text, v) for d, v in known if is_copy(d.text, v))
    if len(copied) >= len(known) / 2:
        piece = copied_sentence(question_of(prompt.inputs), copied) or copied_span(prompt.text, copied)
        if piece:
            return Answer(piece, "the examples copy a piece like it")
    return Answer(_nearest(prompt, known), "it is the answer of the most similar example")


def _undemonstrated(field: Field, prompt: Prompt, sampling: Sampling) -> Answer:
    """Return text where no demo shows any: a value the instruction lists, a computed number, or a part of the input."""
    if (sentence := described_sentence(field.name, prompt.description(field), prompt.inputs)) is not None:
        return Answer(sentence, "the instruction says which sentence it is")
    if values := _named_values(field, prompt):
        return choose(field, prompt, values, sampling)
    if re.search(r"\bhow (?!do)\w+\b|\bwhat is\b", prompt.text, re.I) and len(numbers_in(prompt.text)) > 1:
        number = _number(field, prompt, [], sampling)
        return number._replace(value=plain_number(float(number.value)))
    longest = max((v for _, v in prompt.inputs), key=len, default="")
    return Answer(
        first_sentence(longest), "no example shows what an answer looks like, so it repeats the input"
    )


def _named_values(field: Field, prompt: Prompt) -> tuple[str, ...]:
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
    fields = {f.name for f in (*prompt.task.inputs, *prompt.task.outputs)}
    values = dict.fromkeys(v.strip(" '\"`()") for v in parts)
    short = tuple(v for v in values if v and len(v.split()) <= 3 and v not in fields)
    return short if len(short) > 1 else ()


def _from_passages(field: Field, prompt: Prompt, known: Known) -> Answer | None:
    """Return the answer that the prompt's passages give; None where it holds none, or demos show a closed set."""
    question, passages = question_and_passages(prompt.inputs)
    found = best_sentences(question, passages)
    counts = Counter(v.strip() for _, v in known)
    if not found or (len(known) > 3 and len(counts) <= 0.5 * len(known)):
        return None
    if re.search(r"quer(?:y|ies)$|search", field.name, re.IGNORECASE):
        return Answer(next_query(question, found), "the passages name it, and it is not known yet")
    short = short_answer(question, found[0].text)
    nothing = _when_nothing(prompt.description(field), counts)
    if nothing and _unanswered(question, nothing, known, short):
        return Answer(nothing, "no passage says it")
    because = f'a passage says "{first_sentence(found[0].text, 90)}"'
    taught = [(question_of(d.inputs), v) for d, v in known if v.strip() != nothing]
    if taught and sum(len(v.split()) for _, v in taught) <= 8 * len(taught):
        return Answer(taught_answer(question, found, taught) or found[0].text, because)
    return Answer(short if short and _SHORT.search(prompt.description(field)) else found[0].text, because)


def _when_nothing(text: str, counts: Counter[str]) -> str:
    """Return what is answered when the passages do not say: as the instruction puts it, or an answer given twice."""
    if otherwise := _OTHERWISE.search(text):
        return otherwise[1]
    return next(
        (v for v, n in counts.most_common(1) if n > 1 and re.search(r"\b(?:not?|none|unknown)\b", v, re.I)),
        "",
    )


def _unanswered(question: str, nothing: str, known: Known, short: str | None) -> bool:
    """Return whether a question is most like one without an answer; without such demos, whether no words fit it."""
    near = similarities(question, tuple(question_of(d.inputs) for d, _ in known))
    without = [n for n, (_, v) in zip(near, known, strict=True) if v.strip() == nothing]
    return max(without) >= max(near) if without else short is None


# Lists and structures


def _list(field: Field, prompt: Prompt, known: Known, sampling: Sampling) -> Answer:
    listed = [(question_of(d.inputs), _items(v)) for d, v in known]
    every = Counter(item for _, items in listed for item in items)
    choices = field.choices or (tuple(every) if len(every) <= max(3, 0.6 * every.total()) else ())
    number = float if "[float" in field.kind else int if "[int" in field.kind else str
    if choices:
        fits = best_fits(prompt.text, rules_for(field, prompt, choices))
        picked = []
        for choice in choices:
            shares = vote(question_of(prompt.inputs), [(q, str(choice in items)) for q, items in listed])
            if fits.get(choice, 0.0) + 0.6 * (shares.get("True", 0.0) > shares.get("False", 0.0)) >= 0.5:
                picked.append(choice)
        if not picked and all(items for _, items in listed):
            picked = [choose(field, prompt, choices, sampling).value]
        return Answer([number(p) for p in picked], "the rules and examples fit these")
    if number is not str:
        return Answer([number(n) for n in numbers_in(prompt.text)], "these are its numbers")
    copied = tuple((d.text, i) for d, v in known for i in _items(v) if is_copy(d.text, i))
    span = (
        copied_span(prompt.text, copied) if copied else first_sentence(prompt.text, 80) if not known else None
    )
    return Answer(
        [span] if span else [], "the examples copy a span like it" if copied else "no example shows more"
    )


def _items(text: str) -> list[str]:
    value = json_value(text)
    if value is None:
        value = [part.strip() for part in text.split(",") if part.strip()]
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def _structure(field: Field, prompt: Prompt, known: Known) -> Answer:
    """Return the nearest demo's structure, else the smallest value that fits the schema."""
    if known:
        value = _nearest(prompt, known)
        return Answer(json_value(value) or value, "it is the answer of the most similar example")
    schema = json_value(field.schema) or {}
    return Answer(_smallest(schema, schema.get("$defs", {}), prompt.text), "no example shows more")


def _smallest(schema: dict[str, Any], shared: dict[str, Any], text: str, depth: int = 0) -> Any:
    """Return the smallest value that fits a JSON schema."""
    options = schema.get("anyOf") or schema.get("oneOf")
    if options or "$ref" in schema:
        one = options[-1] if options else shared.get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        return _smallest(one, shared, text, depth + 1) if depth < 8 else None
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema or "default" in schema:
        return schema.get("const", schema.get("default"))
    kind = schema.get("type", "object")
    if kind == "object":
        fields = schema.get("properties", {})
        return {
            k: _smallest(fields[k], shared, text, depth + 1)
            for k in schema.get("required", ())
            if k in fields
        }
    plain: dict[str, Any] = {"string": first_sentence(text, 80), "boolean": False, "array": [], "null": None}
    return plain.get(kind, schema.get("minimum", 0))


REASONING = frozenset({"reasoning", "rationale", "thought", "thoughts", "explanation"})
"""Outputs that are written from the reasons of the others."""
_EMPTY = frozenset({"null", "none", ""})
_NUMERIC = re.compile(r"\s*-?\d+(?:\.\d+)?\s*")
_SHORT = re.compile(
    r"\b(?:short|brief|briefly|concise|few words|only the|just the|exact|phrase|copied from the)\b", re.I
)
_OTHERWISE = re.compile(
    r"\b(?:not (?:say|in|stated|mentioned|known|found)|no passage|otherwise|unknown)[^.\n]{0,60}?['\"“]([^'\"”\n]{2,30})['\"”]",
    re.I,
)
