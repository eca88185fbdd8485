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
    """A sentence of the passages: `score` is how much it says about the question, `covered` the share of its other
    words, beside what the passage is about, that the passage has."""

    text: str
    score: float
    covered: float
    passage: str = ""


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


def best_sentences(question: str, passages: tuple[str, ...], most: int = 6) -> list[Found]:
    """Return the sentences that share the rarest words with a question, the best first.

    >>> best_sentences("How long do refunds take?", ("Refunds take five days. Parcels go on Mondays.",))[0].text
    'Refunds take five days.'
    """
    return list(_ranked(question, passages)[:most])


@lru_cache(maxsize=512)
def _ranked(question: str, passages: tuple[str, ...]) -> tuple[Found, ...]:
    if not passages:
        return ()
    split = [(_title(p), _content(p), _sentences(p)) for p in passages]
    every = [_content(s) | title for title, _, some in split for s in some]
    seen = Counter(w for words in every for w in words)
    rare = {w: math.log((len(every) + 1.5) / (n + 0.5)) + 0.3 for w, n in seen.items()}
    wanted = _content(question)
    whole = sum(rare.get(w, math.log((len(every) + 1.5) / 0.5)) for w in wanted) or 1.0
    # What a passage is about holds for each of its sentences; the question's other words tell them apart.
    about = [
        sum(rare[w] for w in wanted & (title or around)) * (1.0 if title else 0.4)
        for title, around, _ in split
    ]
    lead = max(range(len(split)), key=lambda i: about[i])
    named = [i for i, (title, _, _) in enumerate(split) if title and i != lead and title <= split[lead][1]]
    for i in named:  # the passage that says most names it, so the answer may stand there
        about[i] = max(about[i], 0.95 * about[lead])
    found = []
    for place, (title, around, some) in enumerate(split):
        known = split[lead][0] | title if place in named else title
        asked = wanted - known
        for sentence in some:
            words = _content(sentence)
            here = sum(rare[w] for w in asked & words)
            score = (about[place] + here) / whole + 0.02 / (place + 1) - 0.0005 * len(words)
            score += FITS if short_answer(question, sentence) else 0.0
            found.append(Found(sentence, score, len(asked & around) / max(len(asked), 1), passages[place]))
    return tuple(sorted(found, key=lambda f: -f.score))


def taught_answer(question: str, found: list[Found], taught: tuple[tuple[str, str], ...]) -> str | None:
    """Return the words of the found sentences that look most like the answers taught, those of like questions first."""
    if not found or not taught:
        return None
    near = vote(
        (("question", question),),
        remember(tuple((("question", q),) for q, _ in taught), tuple(map(str, range(len(taught))))),
    ).nearest
    kind = _kind(question)
    weights = [
        (near[str(i)][1] ** 1.5 + 0.01) * (5.0 if _kind(q) == kind else 1.0)
        for i, (q, _) in enumerate(taught)
    ]
    opening = frozenset(a.split()[0].casefold() for _, a in taught if a.strip())
    longest = min(8, max(len(a.split()) for _, a in taught))
    known = _content(question)
    top = found[0].score or 1.0
    best, answer = 0.0, None
    for one in found[:5]:
        for span in _spans(one.text, longest, opening):
            form = sum(w * _likeness(span, a) for w, (_, a) in zip(weights, taught, strict=True)) / sum(
                weights
            )
            words = [s for s in stems(span) if s not in COMMON]
            said = sum(1 for w in words if w in known) / max(len(words), 1)
            empty = sum(1 for w in stems(span) if w in COMMON) / max(len(stems(span)), 1)
            score = form * (one.score / top) ** 3 * (1.0 - 0.8 * said) * (1.0 - 0.5 * empty)
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


def next_query(question: str, found: list[Found]) -> str:
    """Return what to look up next: the names in the best passage that the question does not say, and what it asks of them."""
    if not found:
        return question
    passage = found[0].passage
    known = _content(question) | _title(passage)
    names = [m[0] for s in _sentences(passage) for m in _NAME.finditer(s) if not _content(m[0]) <= known]
    names = [n for n in dict.fromkeys(names) if not _TIME.fullmatch(n)][:3]
    rest = [w for w in re.findall(r"[\w'-]+", question) if not _content(w) <= _title(passage)]
    return " ".join([*names, *rest]) if names else question


def _kind(question: str) -> str:
    """The question's own word: who, where, how many ..."""
    match = _WH.search(question)
    return match[0].casefold() if match else ""


def _title(passage: str) -> frozenset[str]:
    """The words of a passage's title: what it is about."""
    head, bar, _ = passage.partition(" | ")
    return _content(head) if bar and len(head) < 120 else frozenset()


def _likeness(span: str, answer: str) -> float:
    a, b = stems(span), stems(answer)
    if not a or not b:
        return 0.0
    like = (shape_of(span) == shape_of(answer)) * 1.0 + (a[-1] == b[-1]) * 1.2 + (a[0] == b[0]) * 0.4
    return like + 0.3 * (len(a) == len(b))


def _spans(sentence: str, longest: int, opening: frozenset[str]) -> list[str]:
    pieces = list(re.finditer(r"\S+", sentence))
    found = []
    for i in range(len(pieces)):
        for j in range(i, min(i + longest, len(pieces))):
            span = sentence[pieces[i].start() : pieces[j].end()].strip(_EDGE)
            words = span.casefold().split()
            if words and words[-1] not in _LOOSE and (words[0] not in _LOOSE or words[0] in opening):
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


ABOUT = 2.0
"""How much more it counts that a passage is about what a question names than that a sentence has its other words."""
FITS = 0.1
"""What it counts that a sentence holds words of the kind that the question asks for."""
_WH = re.compile(r"\b(?:how \w+|whom?|whose|where|when|which|what)\b", re.IGNORECASE)
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
