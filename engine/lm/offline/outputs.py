"""One output field -> a value of its type: numbers, text, lists and structures here, closed sets in `choosing`.

Knows what was asked; writes no layout.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from engine.lm.offline.acting import computed
from engine.lm.offline.answering import answer_from_passages
from engine.lm.offline.arithmetic import copied_number, numbers_in, plain_number, solve
from engine.lm.offline.choosing import REASONING, Answer, Mood, choose, rules_for, votes_for
from engine.lm.offline.evidence import best_sentences, evidence_in
from engine.lm.offline.forms import told_sentence
from engine.lm.offline.neighbours import remember, vote
from engine.lm.offline.reading import Asked, AskedField, Shown
from engine.lm.offline.rules import judge
from engine.lm.offline.spans import copy_sentence, copy_span, first_sentence, is_copy, shape_of
from engine.lm.offline.words import COMMON, stem_set


def answer_field(field: AskedField, asked: Asked, mood: Mood) -> Answer:
    """Return a value of the field's type for the inputs asked about."""
    if field.nullable and (found := _marked(field, asked)) is not None:
        return found
    if field.nullable and _mostly_null(field, asked):
        return Answer(None, "the examples most like it have no value")
    kind = field.kind.casefold()
    if kind.startswith(("list", "set", "tuple", "frozenset", "sequence")):
        return _several(field, asked, mood)
    if field.choices:
        return choose(field, asked, field.choices, mood)
    if kind == "bool":
        picked = choose(field, asked, ("True", "False"), mood)
        return Answer(picked.value == "True", picked.why)
    if kind in ("int", "float", "decimal", "complex"):
        return _number(field, asked, mood)
    if kind in ("str", "any", "") or not (field.schema or kind.startswith("dict")):
        return _text(field, asked, mood)
    return _structure(field, asked)


# Numbers


def _number(field: AskedField, asked: Asked, mood: Mood) -> Answer:
    text = asked.text
    known = [(demo, demo.output(field.name)) for demo in asked.shown]
    pairs = tuple((demo.text, float(n)) for demo, n in known if n and _NUMERIC.fullmatch(n.strip()))
    values = [v for _, v in pairs]
    repeated = len(values) >= 4 and len(set(values)) <= len(values) / 2
    if (made := _value_of(asked, "trajectory")) and (result := computed(made)) is not None:
        return Answer(_bounded(field, result), "it is what a tool worked out")
    if field.low == 0 and field.high == 1 and not values:
        return Answer(_supported(asked), "so much of it is borne out by the rest of the prompt")
    found_in = evidence_in(asked.inputs)
    if found_in is not None:
        sentences = best_sentences(*found_in)
        text = f"{found_in[0]}\n{sentences[0].text}" if sentences else found_in[0]
    if (number := copied_number(text, pairs)) is not None:
        return Answer(_bounded(field, number), "the examples copy the number that stands in its place")
    if not repeated or sum(len(numbers_in(q)) >= 2 for q, _ in pairs) > len(pairs) / 2:
        steps = any(f.name in REASONING for f in asked.declared.outputs)
        solution = solve(text, pairs, asked.declared.instruction, steps=steps)
        if solution is not None:
            return Answer(
                _bounded(field, solution.value),
                f"{solution.expression} = {plain_number(solution.value)}, by {solution.because}",
            )
    votes = votes_for(field, asked)
    if votes is not None and values:
        labels = {k: v for k, v in votes.scores.items() if _NUMERIC.fullmatch(k.strip())}
        if labels:
            best = max(
                labels,
                key=lambda k: labels[k] + mood.random.gauss(0, mood.noise) if mood.noise else labels[k],
            )
            return Answer(_bounded(field, float(best)), "the examples most like it have this number")
    found = numbers_in(text)
    return Answer(
        _bounded(field, found[0] if found else field.low or 0.0),
        "it is the first number of the input" if found else "nothing in the prompt says more",
    )


def _bounded(field: AskedField, value: float) -> int | float:
    value = max(value, field.low) if field.low is not None else value
    value = min(value, field.high) if field.high is not None else value
    return round(value) if field.kind.casefold() == "int" else round(value, 6)


# Text


def _text(field: AskedField, asked: Asked, mood: Mood) -> Answer:
    known = [(demo, v) for demo in asked.shown if (v := demo.output(field.name)) is not None]
    values = [v for _, v in known]
    if (answer := answer_from_passages(field, asked, known)) is not None:
        return answer
    if not known:
        return _unshown(field, asked, mood)
    if len(set(values)) <= max(1, 0.6 * len(values)) or (
        len(values) < 4
        and all(len(v) < 25 for v in values)
        and not any(_NUMERIC.fullmatch(v) for v in values)
    ):
        return choose(field, asked, tuple(dict.fromkeys((*values, *_named_values(field, asked)))), mood)
    if all(_NUMERIC.fullmatch(v.strip()) for v in values):
        number = _number(field, asked, mood)
        return Answer(plain_number(float(number.value)), number.why)
    copied = tuple((d.text, v) for d, v in known if is_copy(d.text, v))
    if len(copied) >= len(known) / 2:
        if (sentence := copy_sentence(asked.text, copied)) is not None:
            return Answer(sentence, "the examples copy a sentence like it")
        span = copy_span(asked.text, copied)
        if span:
            return Answer(span, "the examples copy a span of this form")
    votes = votes_for(field, asked)
    nearest = votes.closest[0] if votes is not None else -1
    value = asked.shown[nearest].output(field.name) if nearest >= 0 else None
    return Answer(value if value is not None else values[0], "it is the answer of the most similar example")


def _unshown(field: AskedField, asked: Asked, mood: Mood) -> Answer:
    """Answer text without any example: a value the instruction lists, a computed number, or a span of the input."""
    if (sentence := told_sentence(field, asked)) is not None:
        return Answer(sentence, "the instruction says which sentence it is")
    values = _named_values(field, asked)
    if len(values) > 1:
        return choose(field, asked, values, mood)
    text = asked.text
    if (
        re.search(r"\bhow (?:many|much|far|long|old)\b|\bwhat is\b", text, re.IGNORECASE)
        and len(numbers_in(text)) >= 2
    ):
        number = _number(field, asked, mood)
        return Answer(plain_number(float(number.value)), number.why)
    longest = max((v for _, v in asked.inputs), key=len, default="")
    return Answer(
        first_sentence(longest), "no example shows what an answer looks like, so it repeats the input"
    )


def _named_values(field: AskedField, asked: Asked) -> tuple[str, ...]:
    """Return the values an instruction or description lists for a text field ("one of: a, b or c", "a" or "b")."""
    text = f"{field.description}\n{asked.declared.instruction}"
    listed = re.search(
        r"\b(?:one of|either|choose from|values?|labels?)\b:?\s+([^.\n;]+(?:;[^.\n;]+)*)", text, re.IGNORECASE
    )
    if listed:
        parts = re.split(r"[,;/|]|\bor\b|\band\b", listed[1])
        values = tuple(v.strip(" '\"`()") for v in parts)
        short = tuple(dict.fromkeys(v for v in values if v and len(v.split()) <= 3))
        if len(short) > 1:
            return short
    fields = {f.name for f in (*asked.declared.inputs, *asked.declared.outputs)}
    found = re.findall(r"['\"]([\w -]{1,30})['\"]", text)
    quoted = tuple(dict.fromkeys(v for v in found if v not in fields))
    return quoted if len(quoted) > 1 else ()


# Lists and structures


def _several(field: AskedField, asked: Asked, mood: Mood) -> Answer:
    known = [(demo, _items(v)) for demo in asked.shown if (v := demo.output(field.name)) is not None]
    every = tuple(dict.fromkeys(item for _, items in known for item in items))
    choices = field.choices or (every if len(every) <= max(3, 0.6 * sum(len(i) for _, i in known)) else ())
    numeric = bool(re.search(r"\[(?:int|float)", field.kind))
    text = asked.text
    if choices:
        picked = [c for c in choices if _applies(c, field, asked, known, choices)]
        if not picked and not any(not items for _, items in known):
            picked = [choose(field, asked, choices, mood).value]
        return Answer(
            [_numbered(p) for p in picked] if numeric else picked, "the rules and examples fit these"
        )
    if numeric:
        return Answer(
            [n if "float" in field.kind else round(n) for n in numbers_in(text)], "these are its numbers"
        )
    copied = tuple((d.text, i) for d, items in known for i in items if is_copy(d.text, i))
    found = copy_span(text, copied) if copied else None
    if found:
        return Answer([found], "the examples copy a span of this form")
    return Answer([first_sentence(text, 80)] if not known and text else [], "no example shows more")


def _applies(
    choice: str,
    field: AskedField,
    asked: Asked,
    known: list[tuple[Shown, list[str]]],
    choices: tuple[str, ...],
) -> bool:
    fit = judge(asked.text, rules_for(field, asked, choices)).scores.get(choice, 0.0)
    if known:
        memory = remember(
            tuple(d.inputs for d, _ in known), tuple("yes" if choice in items else "no" for _, items in known)
        )
        votes = vote(asked.inputs, memory).scores
        fit += 0.6 if votes.get("yes", 0.0) > votes.get("no", 0.0) else 0.0
    return fit >= 0.5


def _items(text: str) -> list[str]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = [part.strip() for part in text.split(",") if part.strip()]
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def _numbered(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _structure(field: AskedField, asked: Asked) -> Answer:
    """Return the nearest demonstration's structure, else the smallest value that fits the schema."""
    votes = votes_for(field, asked)
    if votes is not None and votes.closest[0] >= 0:
        value = asked.shown[votes.closest[0]].output(field.name)
        if value is not None:
            try:
                return Answer(orjson.loads(value), "it is the answer of the most similar example")
            except orjson.JSONDecodeError:
                return Answer(value, "it is the answer of the most similar example")
    try:
        schema = orjson.loads(field.schema) if field.schema else {}
    except orjson.JSONDecodeError:
        schema = {}
    return Answer(_smallest(schema, schema.get("$defs", {}), asked.text), "no example shows more")


def _smallest(schema: dict[str, Any], shared: dict[str, Any], text: str, depth: int = 0) -> Any:
    if "$ref" in schema and depth < 8:
        return _smallest(shared.get(str(schema["$ref"]).rsplit("/", 1)[-1], {}), shared, text, depth + 1)
    if schema.get("enum"):
        return schema["enum"][0]
    if "const" in schema or "default" in schema:
        return schema.get("const", schema.get("default"))
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return _smallest(
            options[-1] if options[0].get("type") != "object" else options[0], shared, text, depth + 1
        )
    kind = schema.get("type", "object")
    if kind == "object":
        required = schema.get("required", ())
        return {
            k: _smallest(v, shared, text, depth + 1)
            for k, v in schema.get("properties", {}).items()
            if k in required
        }
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    plain: dict[str, Any] = {"string": first_sentence(text, 80), "boolean": False, "array": [], "null": None}
    return plain.get(kind)


# Inputs


def _value_of(asked: Asked, name: str) -> str:
    return next((v for k, v in asked.inputs if k == name), "")


def _supported(asked: Asked) -> float:
    """Return the share of the last input's words that stand in the inputs before it: a rough judge."""
    if len(asked.inputs) < 2:
        return 0.5
    *before, (_, last) = asked.inputs
    words = stem_set(last) - COMMON
    known = stem_set("\n".join(v for _, v in before))
    return round(len(words & known) / len(words), 2) if words else 0.0


def _marked(field: AskedField, asked: Asked) -> Answer | None:
    """Return the span of a form that only the field's values have (a code, a number), or null; None where they have no form."""
    values = [
        (d, v) for d in asked.shown if (v := d.output(field.name)) and v.strip().casefold() not in _EMPTY
    ]
    taught = tuple((d.text, v) for d, v in values if is_copy(d.text, v) and _NUMBERED.search(v))
    if not taught or len(taught) < 0.8 * len(values):
        return None
    span = copy_span(asked.text, taught)
    if span is None or shape_of(span) not in {shape_of(v) for _, v in taught}:
        return Answer(None, "nothing in it has the form of the examples' values")
    return Answer(span, "it has the form of the examples' values")


def _mostly_null(field: AskedField, asked: Asked) -> bool:
    known = [v for demo in asked.shown if (v := demo.output(field.name)) is not None]
    empty = sum(1 for v in known if v.strip().casefold() in _EMPTY)
    if not empty:
        return False
    memory = remember(
        tuple(d.inputs for d in asked.shown),
        tuple(
            "null" if (d.output(field.name) or "").strip().casefold() in _EMPTY else "value"
            for d in asked.shown
        ),
    )
    votes = vote(asked.inputs, memory).scores
    return votes.get("null", 0.0) > votes.get("value", 0.0)


_EMPTY = frozenset({"null", "none", ""})
_NUMBERED = re.compile(r"\d")
_NUMERIC = re.compile(r"-?\d+(?:\.\d+)?")
