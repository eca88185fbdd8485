"""Chooses one of a closed set of values, and says in one honest clause what decided.

Rules of the instruction, votes of the demonstrations and the labels' own names are weighed here. Knows what was
asked; writes no layout.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from engine.lm.offline.neighbours import Memory, Votes, remember, vote
from engine.lm.offline.reading import Asked, AskedField, Shown
from engine.lm.offline.rules import Rule, judge, read_rules, whole_lines
from engine.lm.offline.spans import first_sentence
from engine.lm.offline.words import stem_set, stems


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON value and why it was chosen."""

    value: Any
    why: str


@dataclass(frozen=True, slots=True)
class Mood:
    """How a request is sampled: noise added to scores (0: none), from a seeded generator."""

    noise: float
    random: random.Random


def choose(field: AskedField, asked: Asked, choices: tuple[str, ...], mood: Mood) -> Answer:
    """Return the choice that rules, demonstrations and names together favour."""
    text = asked.text
    rules = rules_for(field, asked, choices)
    verdict = judge(text, rules)
    votes = votes_for(field, asked, choices)
    scores = dict.fromkeys(choices, 0.0)
    for label, fit in verdict.scores.items():
        if label in scores:
            scores[label] += fit
    if votes is not None:
        best = max(votes.scores.values(), default=0.0) or 1.0
        trust = min(1.0, votes.closest[1] / 0.3)
        for label, share in votes.scores.items():
            if label in scores:
                scores[label] += EXAMPLES * trust * share / best
    present = stem_set(text)
    said = votes is not None and _said_in_examples(field, asked)
    for label in choices:
        words = stems(label.replace("_", " "))
        scores[label] += (
            (NAMED_ALONE if votes is None else SAID if said else NAMED)
            * sum(1 for w in words if w in present)
            / max(len(words), 1)
        )
    if verdict.default in scores:
        scores[str(verdict.default)] += 0.3
    if mood.noise:
        scores = {label: s + mood.random.gauss(0, mood.noise) for label, s in scores.items()}
    top = max(scores.values())
    tied = [label for label in choices if scores[label] >= top - 1e-9]
    picked = tied[0] if len(tied) == 1 else tied[_pick(text + field.name, len(tied))]
    return Answer(
        picked, _reason(picked, verdict.sentences.get(picked), verdict.scores.get(picked, 0.0), votes, asked)
    )


def _said_in_examples(field: AskedField, asked: Asked) -> bool:
    """Return whether the examples' labels mostly stand in their own texts: then a label in this text is the answer."""
    known = [(demo, v) for demo in asked.shown if (v := demo.output(field.name)) is not None]
    said = sum(1 for demo, v in known if set(stems(v.replace("_", " "))) <= stem_set(demo.text))
    return len(known) >= 2 and said >= 0.8 * len(known)


def _reason(label: str, sentence: str | None, fit: float, votes: Votes | None, asked: Asked) -> str:
    near = votes.nearest.get(label) if votes is not None else None
    if sentence and fit >= 0.5:
        return f'the instruction says "{first_sentence(sentence)}"'
    if near is not None and near[1] > 0:
        return f'the most similar example of {label} is "{first_sentence(asked.shown[near[0]].longest, 90)}"'
    return "nothing in the prompt says more, so this is a guess"


@lru_cache(maxsize=1024)
def _rules_of(
    text: str, choices: tuple[str, ...], names: tuple[str, ...], others: tuple[str, ...]
) -> tuple[Rule, ...]:
    kept = [s for s in whole_lines(text) if not _about_another(s, names[-1], others)]
    return read_rules("\n".join(kept), choices, names)


def _about_another(sentence: str, name: str, others: tuple[str, ...]) -> bool:
    """Return whether a sentence is about another output: it names that one's field and not this one's."""
    words = set(stems(sentence.replace("_", " ")))
    return (
        any(set(stems(o.replace("_", " "))) <= words for o in others)
        and not set(stems(name.replace("_", " "))) <= words
    )


def rules_for(field: AskedField, asked: Asked, choices: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules that the instruction and the field's description hold for these choices."""
    declared = asked.declared
    others = tuple(f.name for f in declared.outputs if f.name != field.name and f.name not in REASONING)
    names = tuple(f.name for f in (*declared.inputs, *declared.outputs) if f.name != field.name)
    text = f"{declared.instruction}\n{field.description}"
    return _rules_of(text, choices, (*names, field.name), others)


def votes_for(field: AskedField, asked: Asked, choices: tuple[str, ...] | None = None) -> Votes | None:
    """Return the demonstrations' votes on a field's value; None where none of them shows it."""
    memory = _memory(field.name, asked.shown, choices)
    return None if memory is None else vote(asked.inputs, memory)


@lru_cache(maxsize=512)
def _memory(name: str, shown: tuple[Shown, ...], choices: tuple[str, ...] | None) -> Memory | None:
    """Return the demonstrations as memory, labelled with their value of a field; None where there are none."""
    rows, labels = [], []
    for demo in shown:
        value = demo.output(name)
        value = None if value is None else _matching(value, choices)
        # A row without its label keeps its place, so that positions stay those of the demonstrations.
        rows.append(demo.inputs if value is not None else ())
        labels.append(value if value is not None else _UNLABELLED)
    if all(label == _UNLABELLED for label in labels):
        return None
    return remember(tuple(rows), tuple(labels))


def _matching(value: str, choices: tuple[str, ...] | None) -> str | None:
    if choices is None:
        return value
    plain = value.strip().strip("\"'").casefold()
    return next((c for c in choices if c.casefold() == plain), None)


def _pick(text: str, count: int) -> int:
    """Return a position that depends on the text alone, the same on every machine."""
    return random.Random(text).randrange(count)


# How much a label's own name in the text (without and with examples, SAID: where theirs hold it too) and its examples count beside a rule that fits (1.0).
NAMED_ALONE, NAMED, EXAMPLES, SAID = 0.4, 0.3, 0.4, 1.0
REASONING = frozenset({"reasoning", "rationale", "thought", "thoughts", "explanation"})
_UNLABELLED = "\0"
