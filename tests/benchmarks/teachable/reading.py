"""Reading of requests by the teachable model: their layout, the rules they teach, the evidence they give.

It reads any prompt in the chat layout, and plain text; it knows no optimizer's prompts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, zip_longest
from typing import Any

from teachable.worlds import Rule, World, applying, final_value

_HEADER = re.compile(r"\[\[ ## (\w+) ## \]\]\n?")
_ROW = re.compile(r"Ticket \d+: [^\"'\n\\]*")
_QUOTED = re.compile(r"Ticket \d")
_SENTENCE = re.compile(r"[.\n;]|\\n")
_WORD = re.compile(r"[a-z]+")
_PLAIN_AMOUNT = re.compile(r"(?<![\d,.])\d{4,}\.\d\d\b")


@dataclass(frozen=True)
class Request:
    """A chat request, taken apart. `asked` maps output fields to their types as the prompt names them."""

    system: str
    asked: Mapping[str, str]
    inputs: Mapping[str, str]
    shown: tuple[tuple[Mapping[str, str], Mapping[str, str]], ...]
    text: str


def read(messages: Sequence[Mapping[str, Any]]) -> Request:
    """Take a request's messages apart."""
    system = "\n".join(_content(m) for m in messages if m["role"] == "system")
    rest = [m for m in messages if m["role"] != "system"]
    inputs = sections(_content(rest[-1])) if rest else {}
    shown = tuple(
        (sections(_content(a)), sections(_content(b)))
        for a, b in pairwise(rest)
        if a["role"] == "user" and b["role"] == "assistant"
    )
    return Request(system, _asked(system), inputs, shown, "\n".join(_content(m) for m in rest))


def sections(content: str) -> dict[str, str]:
    """Return the chat layout's sections of a message by field name."""
    parts = _HEADER.split(content)
    return {
        name: value.split("\n\nRespond with")[0].split("\n\nNow write")[0].strip()
        for name, value in zip(parts[1::2], parts[2::2], strict=True)
    }


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(str(p.get("text", "")) for p in content)


@lru_cache(maxsize=512)
def _asked(system: str) -> Mapping[str, str]:
    """The output fields that the system message lists, with their types."""
    _, found, after = system.partition("output fields")
    if not found:
        return {}
    listed = re.split(r"All interactions|Every message|\[\[ ##", after)[0]
    return {m[1]: m[2] for m in re.finditer(r"^\d+\. `(\w+)` \((.*?)\)(?::|$)", listed, re.MULTILINE)}


def sentences(text: str) -> list[frozenset[str]]:
    """Return the words of each sentence that quotes no row."""
    parts = (s for s in _SENTENCE.split(text) if s and not _QUOTED.search(s))
    return [frozenset(_WORD.findall(s.lower())) for s in parts]


@lru_cache(maxsize=4096)
def stated(made: World, text: str) -> Mapping[Rule, frozenset[str]]:
    """Return the rules a text speaks of, with the values it gives them."""
    found: dict[Rule, set[str]] = {}
    index = _by_word(made)
    for words in sentences(text):
        for word in words & index.keys():
            for rule in index[word]:
                if words.issuperset(rule.words):
                    said = words.intersection(made.values[rule.field])
                    longer = any(
                        len(o.words) > len(rule.words) and words.issuperset(o.words) for o in index[word]
                    )
                    if said and not longer:
                        found.setdefault(rule, set()).update(said)
        if {"plain", "number"} <= words:
            found.update({r: {"plain"} for r in made.rules if not r.words})
    return {rule: frozenset(values) for rule, values in found.items()}


@lru_cache(maxsize=64)
def _by_word(made: World) -> Mapping[str, tuple[Rule, ...]]:
    index: dict[str, tuple[Rule, ...]] = {}
    for rule in made.rules:
        for word in rule.words:
            index[word] = (*index.get(word, ()), rule)
    return index


def evidence(made: World, text: str) -> dict[Rule, float]:
    """Return, for each rule some row in a text shows with its right value, the chance that a reader misses it.

    A row that shows a wrong answer next to the right one is noticed more easily.
    """
    missed: dict[Rule, float] = {}
    starts = list(_ROW.finditer(text))
    for match, following in zip_longest(starts, starts[1:]):
        end = match.end() + 1500 if following is None else following.start()
        tail = text[match.end() : end]
        after = frozenset(_WORD.findall(tail.lower()))
        words = frozenset(match[0].split())
        for step in made.steps:
            for name in step.decides:
                inner = {v for n in step.reads if n in made.values for v in made.values[n]}
                rule = applying(made, name, words if step is made.steps[0] else after & inner)
                if rule is None:
                    continue
                share = _share(made, rule, after, tail)
                if share:
                    missed[rule] = missed.get(rule, 1.0) * (1.0 - share)
    return missed


def _share(made: World, rule: Rule, after: frozenset[str], tail: str) -> float:
    """Return how easily a rule is noticed in the text after a row."""
    if not rule.words:
        return 0.35 if _PLAIN_AMOUNT.search(tail) else 0.0
    if rule.value in after:
        return 0.6 if len(after.intersection(made.values[rule.field])) > 1 else 0.35
    if made.labels and rule.field not in made.labels:
        # An inner step is not labelled: the right final output is a weaker hint at what it must write.
        return 0.2 if final_value(made, rule.field, rule.value) in after else 0.0
    return 0.0


def names_in(inputs: Mapping[str, str]) -> list[str]:
    """Return the module names that a request lists, for outputs that are a dict by module."""
    for name, value in inputs.items():
        if "module_names" in name:
            try:
                return [str(n) for n in json.loads(value)]
            except ValueError:
                return re.findall(r"[\w.\[\]]+", value)
    return ["self"]
