"""Copies a piece of the input: a span, a number or a sentence like those that demos copied, or the answer in passages.

A span is known by its form (digits, capitals), its first and last word, and the words next to it; a sentence by the
words it has and its neighbours lack. Passages are a list among the inputs, or what an agent has found so far.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from engine.lm.offline.reading import Values, json_value
from engine.lm.offline.text import (
    COMMON,
    NUMBER,
    content_words,
    number_places,
    plain_number,
    sentences,
    similarities,
    stems,
)

Lessons = tuple[tuple[str, str], ...]
"""Texts, each with the piece that was copied from it."""

Signs = tuple[str, ...]
"""Features of a piece: its form, first word, last word and length, and the words before and after it."""

Pieces = tuple[tuple[str, Signs], ...]


def is_copy(source: str, piece: str) -> bool:
    """Return whether an answer is in the text word for word."""
    return bool(piece.strip()) and piece.casefold().strip() in source.casefold()


def copied_span(text: str, lessons: Lessons) -> str | None:
    """Return the span of a text that is most like the spans copied in lessons.

    >>> copied_span("Order QM-77 is late", (("Where is order QM-12 now?", "QM-12"), ("QM-5 broke", "QM-5")))
    'QM-77'
    """
    longest = max((len(span.split()) for _, span in lessons), default=1)
    known = [_signs_of(span, _spans(source, longest)) for source, span in lessons]
    return _likest(_spans(text, longest), [signs for signs in known if signs])


def copied_number(text: str, lessons: Lessons) -> str | None:
    """Return the number of a text that is placed like those copied in lessons; None where these are mostly not in theirs.

    >>> copied_number("A table for six, at 19:30", (("A table for 4 on Monday", "4"), ("Table for 2, please", "2")))
    '6'
    """
    known = [signs for source, number in lessons if (signs := _signs_of(number, _numbers(source)))]
    return _likest(_numbers(text), known) if known and len(known) >= 0.6 * len(lessons) else None


def _signs_of(piece: str, pieces: Pieces) -> Signs | None:
    plain = piece.strip(EDGE + " ").casefold()
    return next((signs for value, signs in pieces if value.casefold() == plain), None)


def _likest(pieces: Pieces, lessons: Sequence[Signs]) -> str | None:
    weights = _sign_weights((lesson, 1.0) for lesson in lessons)
    best = max(pieces, key=lambda piece: _likeness(piece[1], weights), default=None)
    return best[0] if best and _likeness(best[1], weights) else None


def _sign_weights(lessons: Iterable[tuple[Signs, float]]) -> Counter[tuple[int, str]]:
    """Return how much each sign counts after weighted lessons."""
    weights: Counter[tuple[int, str]] = Counter()
    for signs, weight in lessons:
        for i, sign in enumerate(signs):
            weights[i, sign] += weight * _WEIGHTS[i]  # type: ignore[assignment]
    return weights


def _likeness(signs: Signs, weights: Mapping[tuple[int, str], float]) -> float:
    """Return how much a piece's signs agree with those of lessons."""
    return sum(weights[pair] for pair in enumerate(signs))


@lru_cache(maxsize=4096)
def _spans(text: str, longest: int) -> Pieces:
    """Return the runs of at most `longest` words of a text."""
    words = list(re.finditer(r"\S+", text))
    around = ["^", *(w[0].casefold().strip(EDGE) for w in words), "$"]
    found = []
    for i in range(len(words)):
        for j in range(i, min(i + longest, len(words))):
            span = text[words[i].start() : words[j].end()].strip(EDGE)
            if stems(span):
                found.append((span, _span_signs(span, around[i], around[j + 2])))
    return tuple(found)


def _span_signs(span: str, before: str = "", after: str = "") -> Signs:
    words = stems(span) or ("",)
    return shape_of(span), words[0], words[-1], str(len(words)), before, after


@lru_cache(maxsize=4096)
def _numbers(text: str) -> Pieces:
    """Return the numbers of a text; those that are part of a code, a time or a date are left out."""
    found = []
    for start, end, value in number_places(text):
        if not re.search(r"[-:./]$", text[:start]) and text[end : end + 1] != ":":
            before = ["^", "^", *stems(text[:start])]
            signs = ("", before[-2], "", "", before[-1], (*stems(text[end:]), "$")[0])
            found.append((plain_number(value), signs))
    return tuple(found)


@lru_cache(maxsize=16384)
def shape_of(span: str) -> str:
    """Return a span's form: "QM-12 Leeds" -> "A-9 Aa"."""
    shape = re.sub(r"[^\W\d_A-Z]+", "a", re.sub(r"[A-Z]+", "A", span))
    return re.sub(r"\d+", "9", shape)


# Sentences


def copied_sentence(text: str, lessons: Lessons) -> str | None:
    """Return the sentence of a text most like the sentences copied in lessons; None where those are mere spans.

    >>> copied_sentence("It rained. We agreed to wait.", (("Ann came. We agreed to go.", "We agreed to go."),))
    'We agreed to wait.'
    """
    whole = [
        (sentences(source), span.strip()) for source, span in lessons if span.strip() in sentences(source)
    ]
    some = sentences(text)
    if len(whole) < 0.6 * len(lessons) or not some:
        return None
    weights = word_weights(whole)
    return max(some, key=lambda s: math.fsum(weights.get(word, 0.0) for word in set(_words(s))))


def word_weights(whole: Sequence[tuple[Sequence[str], str]]) -> dict[str, float]:
    """Return how much a word speaks for its sentence being copied; `whole` are (sentences, the one copied)."""
    kept: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for every, copied in whole:
        for sentence in every:
            (kept if sentence == copied else left).update(set(_words(sentence)))
    rows, others = len(whole) + 2, sum(len(every) - 1 for every, _ in whole) + 2
    shares = {w: (kept[w] / rows, left[w] / others) for w in kept | left}
    return {word: (own - other) / math.sqrt(own + other) for word, (own, other) in shares.items()}


def _words(sentence: str) -> list[str]:
    return [word.strip(EDGE) for word in sentence.casefold().split()]


# Passages


class Found(NamedTuple):
    """A sentence, how much it says about the question, and its passage."""

    text: str
    score: float
    passage: str


@lru_cache(maxsize=8192)
def question_and_passages(inputs: Values) -> tuple[str, tuple[str, ...]]:
    """Return the inputs that ask as one text, and the passages among the inputs.

    >>> question_and_passages((("question", "Who won?"), ("passages", '["Ada won the first prize.", "Bo came next to her."]')))
    ('Who won?', ('Ada won the first prize.', 'Bo came next to her.'))
    """
    passages: dict[str, None] = {}
    asked: list[str] = []
    for name, value in inputs:
        found = observations(value) if name == "trajectory" else _listed_passages(value)
        passages |= dict.fromkeys(found)
        asked += [value] if not found and name != "trajectory" else []
    return "\n".join(asked), tuple(passages)


def question_of(inputs: Values) -> str:
    """Return the text by which rows are compared: the longest input, or the question where the others are passages."""
    question, passages = question_and_passages(inputs)
    return question if passages else max((v for n, v in inputs if n != "trajectory"), key=len, default="")


def observations(trajectory: str) -> list[str]:
    """Return what an agent's tools have answered, passages one by one."""
    found = (match[1].strip() for match in _OBSERVATION.finditer(trajectory))
    return [passage for text in found for passage in _listed_passages(text) or [text]]


def _listed_passages(value: str) -> list[str]:
    """Return the passages that a value lists, if it lists some: a JSON list of texts, or numbered quotes."""
    data = json_value(value) if value.strip().startswith("[") else None
    if isinstance(data, list):
        flat = [p for one in data for p in (one if isinstance(one, list) else [one])]
        texts = [p for p in flat if isinstance(p, str)]
        return (
            texts if len(texts) == len(flat) and sum(len(p.split()) for p in texts) >= 3 * len(flat) else []
        )
    return [" ".join((a or b).split()) for a, b in _QUOTED.findall(value.strip())]


@lru_cache(maxsize=512)
def best_sentences(question: str, passages: tuple[str, ...]) -> tuple[Found, ...]:
    """Return the sentences of passages, those first that share the rarest words with a question.

    >>> best_sentences("How long do refunds take?", ("Refunds take five days. Parcels go on Mondays.",))[0].text
    'Refunds take five days.'
    """
    split = [(_title(p), content_words(p), sentences(_body(p))) for p in passages]
    every = [content_words(s) | title for title, _, some in split for s in some]
    seen = Counter(w for words in every for w in words)
    wanted = content_words(question)
    rare = {w: math.log((len(every) + 1.5) / (seen[w] + 0.5)) + 0.3 for w in wanted}
    whole = math.fsum(rare.values()) or 1.0
    # What a passage is about holds for each of its sentences; the question's other words tell them apart.
    about = [
        math.fsum(rare[w] for w in wanted & (title or words)) * (1.0 if title else 0.4)
        for title, words, _ in split
    ]
    lead = max(range(len(split)), key=lambda i: about[i], default=0)
    found = []
    for place, (title, _, some) in enumerate(split):
        asked = wanted - title
        # The passage that says most names it, so the answer may be there.
        if title and place != lead and title <= split[lead][1]:
            about[place] = max(about[place], 0.95 * about[lead])
            asked -= split[lead][0]
        for sentence in some:
            here = math.fsum(rare[w] for w in asked & content_words(sentence))
            fits = FITS if short_answer(question, sentence) else 0.0
            found.append(Found(sentence, (1.5 * about[place] + here) / whole + fits, passages[place]))
    return tuple(sorted(found, key=lambda f: -f.score))


def taught_answer(question: str, found: Sequence[Found], taught: Sequence[tuple[str, str]]) -> str | None:
    """Return the words of the found sentences that look most like the answers taught, those of like questions first."""
    kind = _question_word(question)
    lessons = [
        (_span_signs(answer), (likeness**1.5 + 0.01) * (5.0 if _question_word(asked) == kind else 1.0))
        for likeness, (asked, answer) in zip(
            similarities(question, tuple(q for q, _ in taught)), taught, strict=True
        )
    ]
    weights = _sign_weights(lessons)
    longest = min(8, max(len(answer.split()) for _, answer in taught))
    known = content_words(question)
    best, found_answer = 0.0, None
    for one in found[:5]:
        expected = short_answer(question, one.text)
        for span, signs in _spans(one.text, longest):
            words = stems(span)
            common, repeated = (sum(w in some for w in words) / len(words) for some in (COMMON, known))
            score = _likeness(signs, weights) * (1 - 0.5 * common) * (1 - 0.8 * repeated) * one.score**3
            score *= 1.5 if span == expected else 1.0
            if score > best:
                best, found_answer = score, span
    return found_answer


def short_answer(question: str, sentence: str) -> str | None:
    """Return the words of a sentence that a question's first words ask for, by their form alone.

    >>> short_answer("How long does a refund take?", "A refund takes five working days.")
    'five working days'
    """
    known = set(stems(question))
    forms = (form for cue, form in _ASKED_FOR if re.search(cue, question, re.IGNORECASE))
    matches = (match[0] for form in forms for match in re.finditer(form, sentence))
    return next((m.strip(EDGE) for m in matches if not set(stems(m)) <= known), None)


def next_query(question: str, found: Sequence[Found]) -> str:
    """Return what to look up next: the question, and the names in the best passage that it lacks."""
    known = content_words(question)
    names = [m[0] for one in found[:1] for m in re.finditer(_NAME, _body(one.passage))]
    new = dict.fromkeys(name for name in names if not content_words(name) <= known)
    return " ".join([*list(new)[:3], question])


def _question_word(question: str) -> str:
    match = re.search(r"\b(?:how \w+|whom?|whose|where|when|which|what)\b", question, re.IGNORECASE)
    return match[0].casefold() if match else ""


def _title(passage: str) -> frozenset[str]:
    """Return the words of a passage's title: what it is about."""
    head, bar, _ = passage.partition(" | ")
    return content_words(head) if bar and len(head) < 120 else frozenset()


def _body(passage: str) -> str:
    """Return a passage without its title."""
    return passage.partition(" | ")[2] or passage


EDGE = ".,;:!?()[]\"'“”«»"
_WEIGHTS = (1.0, 0.4, 1.2, 0.3, 0.8, 0.5)
FITS = 0.1
"""Weight of a sentence that holds words of the kind that the question asks for."""
_OBSERVATION = re.compile(r"^Observation: (.*?)(?=\n\nStep \d+\n|\Z)", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"^\[\d+\] (?:«««\n(.*?)\n»»»|«(.*?)»)\s*$", re.MULTILINE | re.DOTALL)
_NAME = r"[A-Z][\w'-]+(?: (?:of |de |the )?[A-Z][\w'-]+)+|(?<=[a-z,;:(] )[A-Z][\w'-]+"
_AMOUNT = (
    rf"[€£$]\s?\d[\d.,]*|\d\d?[:.]\d\d|(?:{NUMBER})(?:\s?%|(?: (?:working|business|full|more|or))* [a-z]+)?"
)
_ASKED_FOR = (
    (
        r"\bhow (?:much|long|many|far|old|often|big|large|high)\b|\bwhat (?:does|do|is|are)\b.*\b(?:cost|price|fee)",
        _AMOUNT,
    ),
    (r"\bwhen\b|\b(?:which|what) (?:day|month|year|time|date)\b", f"{_AMOUNT}|{_NAME}"),
    (r"\bwho|\bwhere\b|\bwhich\b|\bwhat\b", _NAME),
)
"""Questions, and the form of words that answers them: amounts, times and names."""
