"""Answers a text field from passages among the inputs, or writes a query for the next search.

Knows what was asked; what passages say is `evidence`'s.
"""

from __future__ import annotations

import re
from collections import Counter

from engine.lm.offline.choosing import Answer
from engine.lm.offline.evidence import best_sentences, evidence_in, next_query, short_answer, taught_answer
from engine.lm.offline.neighbours import remember, vote
from engine.lm.offline.reading import Asked, AskedField, Shown
from engine.lm.offline.spans import first_sentence


def answer_from_passages(field: AskedField, asked: Asked, known: list[tuple[Shown, str]]) -> Answer | None:
    """Return the answer that the prompt's passages give; None where it holds none, or examples show a closed set.

    `known` are the demonstrations that show the field, with its value.
    """
    evidence = evidence_in(asked.inputs)
    if evidence is None:
        return None
    question, passages = evidence
    found = best_sentences(question, passages)
    if _QUERY.search(field.name):
        return Answer(next_query(question, found), "the passages name it, and it is not known yet")
    counts = Counter(v.strip() for _, v in known)
    if known and len(counts) <= 0.5 * len(known) and len(known) > 3:
        return None
    if not found:
        return Answer(question, "no passage says anything")
    nothing = _when_nothing(field, asked, counts)
    fits = short_answer(question, found[0].text) is not None
    uncovered = found[0].covered < UNCOVERED if known else found[0].covered == 0 and not fits
    if nothing and uncovered and _like_those(question, nothing, known):
        return Answer(nothing, "no passage says it")
    because = f'a passage says "{first_sentence(found[0].text, 90)}"'
    taught = tuple((_asked_by(d), v) for d, v in known if v.strip() != nothing)
    if taught and sum(len(v.split()) for _, v in taught) <= 8 * len(taught):
        span = taught_answer(question, found, taught)
        if span is not None:
            return Answer(span, because)
    if _SHORT.search(f"{field.description}\n{asked.declared.instruction}"):
        return Answer(short_answer(question, found[0].text) or found[0].text, because)
    return Answer(found[0].text, because)


def _like_those(question: str, value: str, known: list[tuple[Shown, str]]) -> bool:
    """Return whether a question is more like those answered with a value than like the others (no example: yes)."""
    labels = tuple("same" if v.strip() == value else "other" for _, v in known)
    if "same" not in labels:
        return True
    rows = tuple((("question", _asked_by(d)),) for d, _ in known)
    scores = vote((("question", question),), remember(rows, labels)).nearest
    return scores["same"][1] >= scores.get("other", (0, 0.0))[1]


def _asked_by(demo: Shown) -> str:
    evidence = evidence_in(demo.inputs)
    return evidence[0] if evidence is not None else demo.text


def _when_nothing(field: AskedField, asked: Asked, counts: Counter[str]) -> str:
    """Return what is answered when the passages do not say: as the instruction puts it, or an answer given twice."""
    told = _OTHERWISE.search(f"{field.description}\n{asked.declared.instruction}")
    if told:
        return told[1]
    value, times = counts.most_common(1)[0] if counts else ("", 0)
    return value if times > 1 and re.search(r"\b(?:not?|none|unknown)\b", value, re.IGNORECASE) else ""


UNCOVERED = 0.42
_QUERY = re.compile(r"quer(?:y|ies)$|search", re.IGNORECASE)
_SHORT = re.compile(
    r"\b(?:short|brief|briefly|concise|few words|only the|just the|exact|phrase|nothing else|copied from the)\b",
    re.IGNORECASE,
)
_OTHERWISE = re.compile(
    r"\b(?:not (?:say|in|stated|mentioned|known|found)|no passage|otherwise|unknown)[^.\n]{0,60}?['\"“]([^'\"”\n]{2,30})['\"”]",
    re.IGNORECASE,
)
