"""Answers a question from passages in the prompt: finds the sentence that says most about it, and the words that answer.

Passages are a list among the inputs, or what an agent has found so far. Knows text only; demonstrations come as
(question, answer) pairs and teach what an answer looks like.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import orjson

from engine.lm.offline.neighbours import remember, vote
from engine.lm.offline.spans import shape_of
from engine.lm.offline.words import COMMON, stem_set, stems

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A sentence of the passages: `score` is how much it says about the question, `covered` the share of its words it has."""

    text: str
    score: float
    covered: float


def evidence_in(inputs: Fields) -> tuple[str, tuple[str, ...]] | None:
    """Return (question, passages) where some inputs are passages; None where none is.

    >>> evidence_in((("question", "Who won?"), ("passages", '["Ada won the first prize.", "Bo came second in it."]')))
    ('Who won?', ('Ada won the first prize.', 'Bo came second in it.'))
    """
    passages: list[str] = []
    asked: list[str] = []
    for name, value in inputs:
        found = observations(value) if name == "trajectory" else _passages(value)
        if found is None:
            asked.append(value)
        passages += found or ()
    return ("\n".join(asked), tuple(dict.fromkeys(passages))) if passages else None


def observations(trajectory: str) -> list[str]:
    """Return what an agent's tools have answered, passages one by one."""
    found: list[str] = []
    for match in _OBSERVATION.finditer(trajectory):
        found += _passages(match[1].strip()) or [match[1].strip()]
    return found


def best_sentences(question: str, passages: tuple[str, ...], most: int = 4) -> list[Found]:
    """Return the sentences that share the rarest words with a question, the best first.

    >>> best_sentences("How long do refunds take?", ("Refunds take five days. Parcels go on Mondays.",))[0].text
    'Refunds take five days.'
    """
    return list(_ranked(question, passages)[:most])


@lru_cache(maxsize=512)
def _ranked(question: str, passages: tuple[str, ...]) -> tuple[Found, ...]:
    split = [(_content(p), _sentences(p)) for p in passages]
    every = [_content(s) for _, some in split for s in some]
    seen = Counter(w for words in every for w in words)
    rare = {w: math.log((len(every) + 1.5) / (n + 0.5)) for w, n in seen.items()}
    wanted = _content(question)
    unseen = math.log((len(every) + 1.5) / 0.5)
    whole = sum(rare.get(w, unseen) for w in wanted) or 1.0
    found = []
    for place, (around, some) in enumerate(split):
        for sentence in some:
            words = _content(sentence)
            here = sum(rare[w] for w in wanted & words)
            near = sum(rare.get(w, 0.0) for w in (wanted & around) - words)
            score = (here + 0.4 * near) / whole + 0.02 / (place + 1) - 0.001 * len(words)
            found.append(Found(sentence, score, (here + 0.6 * near) / whole))
    return tuple(sorted(found, key=lambda f: -f.score))


def taught_answer(question: str, found: list[Found], taught: tuple[tuple[str, str], ...]) -> str | None:
    """Return the words of the found sentences that look most like the answers taught, those of like questions first."""
    if not found or not taught:
        return None
    near = vote(
        (("question", question),),
        remember(tuple((("question", q),) for q, _ in taught), tuple(map(str, range(len(taught))))),
    ).nearest
    weights = [near[str(i)][1] ** 1.5 + 0.01 for i in range(len(taught))]
    longest = min(8, max(len(a.split()) for _, a in taught))
    known = _content(question)
    top = found[0].score or 1.0
    best, answer = 0.0, None
    for one in found[:2]:
        for span in _spans(one.text, longest):
            form = sum(w * _likeness(span, a) for w, (_, a) in zip(weights, taught, strict=True)) / sum(
                weights
            )
            words = [s for s in stems(span) if s not in COMMON]
            said = sum(1 for w in words if w in known) / max(len(words), 1)
            score = form * (one.score / top) ** 2 * (1.0 - 0.8 * said)
            if score > best:
                best, answer = score, span
    return answer


def short_answer(question: str, sentence: str) -> str | None:
    """Return the words of a sentence that a question's first words ask for, by their form alone.

    >>> short_answer("How long does a refund take?", "A refund takes five working days.")
    'five working days'
    """
    for cue, answers in _ASKED_FOR:
        if cue.search(question):
            for answer in answers:
                for match in answer.finditer(sentence):
                    if not _content(match[0]) <= _content(question) or not _content(match[0]):
                        return match[0].strip(_EDGE)
    return None


def new_names(question: str, found: list[Found]) -> list[str]:
    """Return the names in the best sentence that the question does not say: what to look up next."""
    known = _content(question)
    for one in found[:2]:
        names = [m[0] for m in _NAME.finditer(one.text) if not _content(m[0]) <= known]
        names += [
            first for first in one.text.split()[:1] if first[:1].isupper() and not _content(first) <= known
        ][: not names]
        if names:
            return list(dict.fromkeys(names))[:2]
    return []


def _likeness(span: str, answer: str) -> float:
    a, b = stems(span), stems(answer)
    if not a or not b:
        return 0.0
    like = (shape_of(span) == shape_of(answer)) * 1.0 + (a[-1] == b[-1]) * 1.2 + (a[0] == b[0]) * 0.4
    return like + 0.3 * (len(a) == len(b))


def _spans(sentence: str, longest: int) -> list[str]:
    pieces = list(re.finditer(r"\S+", sentence))
    found = []
    for i in range(len(pieces)):
        for j in range(i, min(i + longest, len(pieces))):
            span = sentence[pieces[i].start() : pieces[j].end()].strip(_EDGE)
            if (
                span
                and span.split()[-1].casefold() not in _LOOSE
                and span.split()[0].casefold() not in _LOOSE
            ):
                found.append(span)
    return found


def _passages(value: str) -> list[str] | None:
    """Return the passages a value lists, None where it lists none: a JSON list of texts, or numbered quotes."""
    text = value.strip()
    if text.startswith("["):
        try:
            data = orjson.loads(text)
        except orjson.JSONDecodeError:
            data = None
        flat = [p for one in data for p in (one if isinstance(one, list) else [one])] if data else []
        if flat and all(isinstance(p, str) for p in flat):
            return flat if sum(len(p.split()) for p in flat) >= 3 * len(flat) else None
    quoted = _QUOTED.findall(text)
    return [" ".join((a or b).split()) for a, b in quoted] if quoted else None


@lru_cache(maxsize=4096)
def _sentences(passage: str) -> tuple[str, ...]:
    title, bar, text = passage.partition(" | ")
    text = text if bar and len(title) < 120 else passage
    return tuple(s.strip() for s in re.split(r"(?<=[.!?])\s+(?=[A-Z0-9€£$\"'])|\n+", text) if s.strip())


@lru_cache(maxsize=8192)
def _content(text: str) -> frozenset[str]:
    return frozenset(w for w in stem_set(text) if w not in COMMON and len(w) > 1)


_EDGE = ".,;:!?()[]\"'“”«»"
_LOOSE = frozenset(
    [
        "the",
        "a",
        "an",
        "of",
        "in",
        "on",
        "at",
        "to",
        "by",
        "for",
        "from",
        "with",
        "and",
        "or",
        "but",
        "is",
        "are",
        "was",
        "were",
        "be",
        "as",
        "after",
        "before",
        "within",
        "until",
        "that",
        "which",
        "who",
        "it",
        "its",
        "their",
        "this",
        "than",
        "about",
    ]
)
_OBSERVATION = re.compile(r"^Observation: (.*?)(?=\n\nStep \d+\n|\Z)", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"^\[\d+\] (?:«««\n(.*?)\n»»»|«(.*?)»)\s*$", re.MULTILINE | re.DOTALL)
_NUMBER_WORDS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|ninety"
_NUMBER = rf"(?:\d[\d.,]*|\b(?:{_NUMBER_WORDS}))"
_AMOUNT = re.compile(
    rf"[€£$]\s?\d[\d.,]*|{_NUMBER}(?:\s?%| (?:euros?|pounds?|dollars?|per ?cent))", re.IGNORECASE
)
_QUANTITY = re.compile(
    rf"{_NUMBER}(?:\s?%|\s(?:(?:working|business|calendar|full|more|or)\s)*[a-z]+)?", re.IGNORECASE
)
_DAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_TIME = re.compile(
    rf"{_DAY}(?: (?:and|to) {_DAY})?|\d{{1,2}} {_MONTH}(?: \d{{4}})?|{_MONTH}(?: \d{{4}})?|\d{{1,2}}[:.]\d\d|\b\d{{1,2}} ?(?:am|pm)\b|\b(?:19|20)\d\d\b"
)
_NAME = re.compile(r"(?<=[a-z,;:(] )(?:[A-Z][\w'-]+)(?: (?:of |de |the )?[A-Z][\w'-]+)*")
_ANY_NAME = re.compile(r"(?:[A-Z][\w'-]+)(?: (?:of |de )?[A-Z][\w'-]+)+|(?<=[a-z,;:(] )[A-Z][\w'-]+")
_ASKED_FOR = (
    (
        re.compile(r"\bhow much\b|\bwhat (?:does|do|is|are)\b.*\b(?:cost|price|fee)", re.I),
        (_AMOUNT, _QUANTITY),
    ),
    (re.compile(r"\bhow (?:long|many|far|old|often|big|large|late|soon)\b", re.I), (_QUANTITY,)),
    (re.compile(r"\bwhen\b|\b(?:which|what) (?:day|month|year|time|date)\b", re.I), (_TIME, _QUANTITY)),
    (re.compile(r"\bwho|\bwhere\b|\bwhich\b|\bwhat\b", re.I), (_NAME, _ANY_NAME)),
)
