"""OfflineLM: the model a fresh install starts with. No key, no network, no cost, and the same answer every time.

It is a small in-context learner. It knows only the messages of one request.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson

from engine.basics.text import cut
from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.lm.choice import PACED
from engine.lm.exchange import text_tokens
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
from engine.lm.offline.labels import Answer, best_fits, choose, expression, rules_for, sign_scores, solve
from engine.lm.offline.reading import (
    Demo,
    Field,
    Prompt,
    Task,
    as_text,
    content_text,
    json_value,
    lines,
    read_messages,
    shown,
)
from engine.lm.offline.text import first_sentence, numbers_in, plain_number, similarities, vote
from engine.lm.offline.writing import described_sentence, wants_writing, write_fields
from engine.records import Usage

MODEL = "offline/learner"
LEAST_SECONDS, MOST_SECONDS = 0.5, 1.4
"""Time of an answer of the paced model."""


class OfflineLM(BaseLM):
    """Answers from the demos and the instruction it is shown, by similarity and by reading rules.

    Temperature 0 (or none) is deterministic; above 0 the answer varies with the request and its rollout id.

    >>> import asyncio
    >>> system = "Input:\\n1. `text` (str)\\nOutput:\\n1. `label` (Literal['post', 'login'])\\n\\n[[ ## label ## ]]\\n{label}"
    >>> messages = [{"role": "system", "content": system + "\\n\\nTask:\\n        Passwords go to login."},
    ...             {"role": "user", "content": "[[ ## text ## ]]\\nI forgot my password"}]
    >>> lm = OfflineLM()
    >>> print(asyncio.run(lm.complete(lm.request(messages))).text.splitlines()[1])
    login
    """

    def __init__(self, model: str = MODEL, **params: Any) -> None:
        super().__init__(model, **params)

    async def complete(self, request: Request) -> Reply:
        """Answer at once, or at the pace of a real model where it is the paced one; raises nothing."""
        due = time.monotonic()
        if self.model == PACED:
            due += LEAST_SECONDS + random.Random(request.key()).random() * (MOST_SECONDS - LEAST_SECONDS)
        count = max(int(request.params.get("n") or 1), 1)
        texts = [reply_text(request, position) for position in range(count)]
        if (left := due - time.monotonic()) > 0:  # on a slow machine the answer itself takes some of the time
            await asyncio.sleep(left)
        read = sum(text_tokens(content_text(m)) for m in request.messages)
        usage = Usage(calls=1, input_tokens=read, output_tokens=sum(map(text_tokens, texts)), cost=0.0)
        return Reply(tuple(Choice(t, "stop") for t in texts), usage, self.model)

    def price(self) -> tuple[float, float] | None:
        """Return zero dollars a token."""
        return 0.0, 0.0


def reply_text(request: Request, position: int = 0) -> str:
    """Return the text of a request's completion number `position`."""
    prompt = read_messages(request.messages)
    if prompt is None:
        users = (content_text(m) for m in reversed(request.messages) if m.get("role") == "user")
        return PLAIN.format(text=first_sentence(next(users, ""), 80))
    temperature = float(request.params.get("temperature") or 0.0)
    sampled = temperature > 0 or request.rollout_id is not None or position > 0
    rng = random.Random(f"{request.key()}/{position}" if sampled else 0)
    names = [f.name for f in prompt.task.outputs]
    answered = dict(lines(prompt.text, names))
    if len(answered) == len(names):
        # The input holds every output line by line: an answer in free form, from which they are to be taken.
        return _in_layout(prompt.task, answered)
    if wants_writing(prompt):
        return _in_layout(prompt.task, write_fields(prompt, rng if sampled else None))
    if temperature > 0:
        prompt = prompt._replace(noise=lambda: rng.gauss(0, 0.12 * min(temperature, 2.0)))
    answers = {f.name: answer_field(f, prompt) for f in prompt.task.outputs if f.name not in REASONING}
    if {"next_tool_name", "next_tool_args"} <= answers.keys():
        tool, args, reason = _next_action(prompt)
        values = {"next_tool_name": tool, "next_tool_args": args, "next_thought": reason}
        answers |= {name: Answer(value, reason) for name, value in values.items() if name in answers}
    why = " ".join(
        f"{name.replace('_', ' ').capitalize()} is {cut(as_text(a.value), 60)}: {a.why}."
        for name, a in answers.items()
    )
    return _in_layout(prompt.task, {name: answers[name].value if name in answers else why for name in names})


def _in_layout(task: Task, values: Mapping[str, object]) -> str:
    """Return the outputs in the layout that the prompt showed."""
    if task.layout == "json":
        return orjson.dumps(values, option=orjson.OPT_INDENT_2).decode()
    template, end = _LAYOUTS[task.layout]
    return "\n".join(template.format(name=name, value=as_text(v)) for name, v in values.items()) + end


# Agents


def _next_action(prompt: Prompt) -> tuple[str, dict[str, Any], str]:
    """Return an agent's next tool, its arguments and why: it looks something up, then computes, then ends, unless demos do otherwise."""
    done = _TOOL_CALLED.findall(dict(prompt.inputs).get("trajectory", ""))
    question = question_and_passages(prompt.inputs)[0]
    shares = vote(
        question,
        [
            (question_and_passages(demo.inputs)[0], tool)
            for demo, tool in shown(prompt.demos, "next_tool_name")
            if len(_TOOL_CALLED.findall(dict(demo.inputs).get("trajectory", ""))) == len(done)
        ],
    )
    expected = max(shares, key=lambda tool: shares[tool], default=None)
    for match in sorted(_TOOL.finditer(prompt.task.instruction), key=lambda m: not _LOOKS_UP.search(m[0])):
        tool, args = match["name"], list(json_value(match["args"]) or ())
        if tool in done or not args or expected not in (None, tool):
            continue
        if _LOOKS_UP.search(match[0]):
            return tool, {args[0]: question}, "nothing is known yet, so it is looked up"
        if _COMPUTES.search(match[0]) and (computation := _computation(prompt, question)):
            return tool, {args[0]: computation}, "what was found is put together"
    return "finish", {}, "what was found is enough" if done else "no tool fits"


def _computation(prompt: Prompt, question: str) -> str | None:
    """Return a sum of the question's first number and the one in what was found, by an operation named or shown."""
    found = best_sentences(question, tuple(observations(dict(prompt.inputs).get("trajectory", ""))))
    # Of the passage that says most, the sentence with a price in it.
    about = [one.text for one in found if one.passage == found[0].passage]
    price = next((m for text in about if (m := _MONEY.search(text))), None)
    known = numbers_in(price[0] if price else about[0] if about else "")
    numbers = (*numbers_in(question)[:1], *known)[:2]
    if not known or len(numbers) < 2:
        return None
    solved = ((demo, _SUM.search(args)) for demo, args in shown(prompt.demos, "next_tool_args"))
    taught = [(question_and_passages(demo.inputs)[0], sign[1]) for demo, sign in solved if sign]
    scores = sign_scores(question, taught, prompt.task.instruction)
    # Several things at a price are rather multiplied, unless words or demos say otherwise.
    scores["*"] += 0.2 if price and not _MONEY.search(question) else 0.0
    scores = {sign: score + 4 * prompt.noise() for sign, score in scores.items()}
    return expression(max(scores, key=lambda s: scores[s]), numbers)


PLAIN = "I am the offline learner: I answer prompts that declare output fields. You wrote: {text}"
_LAYOUTS = {
    "headers": ("[[ ## {name} ## ]]\n{value}\n", "\n[[ ## completed ## ]]"),
    "tags": ("<{name}>\n{value}\n</{name}>", ""),
    "lines": ("{name}: {value}\n", ""),
}
_MONEY = re.compile(r"[€£$]\s?\d[\d.,]*\b|\d[\d.,]* ?(?:euros?|pounds?|dollars?|[€£$])", re.IGNORECASE)
_TOOL = re.compile(r"^- `(?P<name>(?!finish\b)\w+)`: .*? Arguments: (?P<args>\{.*\})\s*$", re.MULTILINE)
_TOOL_CALLED = re.compile(r"^Tool name: (\w+)", re.MULTILINE)
_LOOKS_UP = re.compile(r"\b(?:search|find|look ?up|passages?|documents?|query|retriev)", re.IGNORECASE)
_COMPUTES = re.compile(r"\b(?:arithmetic|calculat|expression|comput)", re.IGNORECASE)
_SUM = re.compile(r'"expression":\s*"[\d. (]*\d\)?\s*([-+*/])\s*[\d(]')


Known = list[tuple[Demo, str]]
"""The demos that show a field, each with its value."""


def answer_field(field: Field, prompt: Prompt) -> Answer:
    """Return a value of the field's type for the inputs asked about."""
    known = shown(prompt.demos, field.name)
    kind = field.kind.casefold()
    if field.nullable and (found := _value_or_null(prompt, known)) is not None:
        return found
    if kind.startswith(("list", "set", "tuple", "frozenset", "sequence")):
        return _structure(field, prompt, known) if _holds_records(field) else _list(field, prompt, known)
    if field.choices:
        return choose(field, prompt, field.choices)
    if kind == "bool":
        picked = choose(field, prompt, ("True", "False"))
        return picked._replace(value=picked.value == "True")
    if kind in ("int", "float", "decimal", "complex"):
        return _number(field, prompt, known)
    if kind.startswith("dict") or (field.schema and kind not in ("str", "any")):
        return _structure(field, prompt, known)
    return _from_passages(field, prompt, known) or _text_answer(field, prompt, known)


def _value_or_null(prompt: Prompt, known: Known) -> Answer | None:
    """Return null, or the piece of the form that only the field's values have (a code); None where neither is sure."""
    values = [(d.text, v) for d, v in known if v.strip().casefold() not in _EMPTY]
    codes = tuple((text, v) for text, v in values if is_copy(text, v) and re.search(r"\d", v))
    if codes and len(codes) >= 0.8 * len(values):
        span = copied_span(prompt.text, codes)
        fits = span is not None and shape_of(span) in {shape_of(v) for _, v in codes}
        return Answer(span if fits else None, "the examples' values have another form")
    examples = [(question_of(d.inputs), str(v.strip().casefold() in _EMPTY)) for d, v in known]
    shares = vote(question_of(prompt.inputs), examples)
    null = shares.get("True", 0.0) > shares.get("False", 0.0)
    return Answer(None, "the examples most like it have no value") if null else None


def _nearest(prompt: Prompt, known: Known) -> str:
    """Return the value that the most similar demo shows."""
    alike = similarities(question_of(prompt.inputs), tuple(question_of(d.inputs) for d, _ in known))
    return known[alike.index(max(alike))][1]


# Numbers


def _number(field: Field, prompt: Prompt, known: Known) -> Answer:
    value, why = _any_number(field, prompt, known)
    value = max(value, field.low) if field.low is not None else value
    value = min(value, field.high) if field.high is not None else value
    return Answer(round(value) if field.kind.casefold() == "int" else round(value, 6), why)


def _any_number(field: Field, prompt: Prompt, known: Known) -> tuple[float, str]:
    pairs = [(d.text, float(v)) for d, v in known if _NUMERIC.fullmatch(v)]
    results = [o for o in observations(dict(prompt.inputs).get("trajectory", "")) if _NUMERIC.fullmatch(o)]
    if results:
        return float(results[-1]), "it is what a tool worked out"
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
        )
        return float(picked.value), picked.why
    return next(
        iter(numbers_in(text)), field.low or 0.0
    ), "it is the first number of the input, if there is one"


# Text


def _text_answer(field: Field, prompt: Prompt, known: Known) -> Answer:
    if not known:
        return _undemonstrated(field, prompt)
    values = [v for _, v in known]
    if all(_NUMERIC.fullmatch(v) for v in values):
        number = _number(field, prompt, known)
        return number._replace(value=plain_number(float(number.value)))
    few = len(values) < 4 and all(len(v) < 25 for v in values)
    if few or len(set(values)) <= max(1, 0.6 * len(values)):
        return choose(field, prompt, tuple(dict.fromkeys((*values, *_named_values(field, prompt)))))
    copied = tuple((d.text, v) for d, v in known if is_copy(d.text, v))
    if len(copied) >= len(known) / 2:
        piece = copied_sentence(question_of(prompt.inputs), copied) or copied_span(prompt.text, copied)
        if piece:
            return Answer(piece, "the examples copy a piece like it")
    return Answer(_nearest(prompt, known), "it is the answer of the most similar example")


def _undemonstrated(field: Field, prompt: Prompt) -> Answer:
    """Return text where no demo shows any: a value the instruction lists, or a part of the input."""
    if (sentence := described_sentence(field.name, prompt.description(field), prompt.inputs)) is not None:
        return Answer(sentence, "the instruction says which sentence it is")
    if values := _named_values(field, prompt):
        return choose(field, prompt, values)
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
    """Return the answer to give when the passages do not say: as the instruction puts it, or an answer given twice."""
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


def _list(field: Field, prompt: Prompt, known: Known) -> Answer:
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
            picked = [choose(field, prompt, choices).value]
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


def _holds_records(field: Field) -> bool:
    """Return whether a list's items are objects."""
    schema = json_value(field.schema) if field.schema else {}
    items = schema.get("items") if isinstance(schema, dict) else None
    return isinstance(items, dict) and ("$ref" in items or items.get("type") == "object")


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
