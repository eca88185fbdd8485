"""Copies a piece of the input: a span, a number or a sentence like those that demos copied, or the answer in passages.

A span is known by its form (digits, capitals), its first and last word, and the words next to it; a sentence by the
words it has and its neighbours lack. Passages are a list among the inputs, or what an agent has found so far.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from engine.basics.similarity import rarity, total_weight
from engine.lm.offline.reading import FieldTexts, json_value
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

Lessons = Sequence[tuple[str, str]]
"""Texts, each with the piece that was copied from it."""

Signs = tuple[str, ...]
"""Features of a piece: its form, first word, last word and length, and the words before and after it."""


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
    return _most_alike(_spans(text, longest), [signs for signs in known if signs])


def copied_number(text: str, lessons: Lessons) -> str | None:
    """Return the number of a text placed like those copied in lessons; None where these are mostly not in theirs.

    >>> copied_number("A table for six, at 19:30", (("A table for 4 on Monday", "4"), ("Table for 2, please", "2")))
    '6'
    """
    known = [signs for source, number in lessons if (signs := _signs_of(number, _numbers(source)))]
    return _most_alike(_numbers(text), known) if known and len(known) >= 0.6 * len(lessons) else None


def _signs_of(piece: str, pieces: Iterable[tuple[str, Signs]]) -> Signs | None:
    plain = piece.strip(EDGE + " ").casefold()
    return next((signs for value, signs in pieces if value.casefold() == plain), None)


def _most_alike(pieces: Iterable[tuple[str, Signs]], lessons: Iterable[Signs]) -> str | None:
    likeness = _Likeness((lesson, 1.0) for lesson in lessons)
    best = max(pieces, key=lambda piece: likeness.of(piece[1]), default=None)
    return best[0] if best and likeness.of(best[1]) else None


class _Likeness:
    """Agreement of a piece's signs with those of weighted lessons."""

    def __init__(self, lessons: Iterable[tuple[Signs, float]]) -> None:
        self._weights: dict[tuple[int, str], float] = {}
        for signs, weight in lessons:
            for pair in enumerate(signs):
                self._weights[pair] = self._weights.get(pair, 0.0) + weight * _SIGN_WEIGHTS[pair[0]]

    def of(self, signs: Signs) -> float:
        """Return the weight of a piece's signs."""
        return sum(self._weights.get(pair, 0.0) for pair in enumerate(signs))


@lru_cache(maxsize=4096)
def _spans(text: str, longest: int) -> tuple[tuple[str, Signs], ...]:
    """Return the runs of at most `longest` words of a text."""
    words = list(re.finditer(r"\S+", text))
    around = ["^", *(w[0].casefold().strip(EDGE) for w in words), "$"]
    spans = []
    for i in range(len(words)):
        for j in range(i, min(i + longest, len(words))):
            span = text[words[i].start() : words[j].end()].strip(EDGE)
            if stems(span):
                spans.append((span, _span_signs(span, around[i], around[j + 2])))
    return tuple(spans)


def _span_signs(span: str, before: str = "", after: str = "") -> Signs:
    words = stems(span) or ("",)
    return shape_of(span), words[0], words[-1], str(len(words)), before, after


@lru_cache(maxsize=4096)
def _numbers(text: str) -> tuple[tuple[str, Signs], ...]:
    """Return the numbers of a text; those that are part of a code, a time or a date are left out."""
    numbers = []
    for start, end, value in number_places(text):
        if not re.search(r"[-:./]$", text[:start]) and text[end : end + 1] != ":":
            before = ["^", "^", *stems(text[:start])]
            signs = ("", before[-2], "", "", before[-1], (*stems(text[end:]), "$")[0])
            numbers.append((plain_number(value), signs))
    return tuple(numbers)


@lru_cache(maxsize=16384)
def shape_of(span: str) -> str:
    """Return a span's form: "QM-12 Leeds" -> "A-9 Aa"."""
    shape = re.sub(r"[^\W\d_A-Z]+", "a", re.sub(r"[A-Z]+", "A", span))
    return re.sub(r"\d+", "9", shape)


def copied_sentence(text: str, lessons: Lessons) -> str | None:
    """Return the sentence of a text most like the sentences copied in lessons; None where those are mere spans.

    >>> copied_sentence("It rained. We agreed to wait.", (("Ann came. We agreed to go.", "We agreed to go."),))
    'We agreed to wait.'
    """
    whole = [
        (sentences(source), span.strip()) for source, span in lessons if span.strip() in sentences(source)
    ]
    if len(whole) < 0.6 * len(lessons) or not sentences(text):
        return None
    weights = word_weights(whole)
    return max(sentences(text), key=lambda sentence: total_weight(_words(sentence), weights))


def word_weights(whole: Sequence[tuple[Sequence[str], str]]) -> dict[str, float]:
    """Return how much a word speaks for its sentence being copied; `whole` are (sentences, the one copied)."""
    chosen, other = Counter[str](), Counter[str]()
    for every, copied in whole:
        for sentence in every:
            (chosen if sentence == copied else other).update(_words(sentence))
    rows, rest = len(whole) + 2, sum(len(every) - 1 for every, _ in whole) + 2
    shares = {word: (chosen[word] / rows, other[word] / rest) for word in chosen | other}
    return {word: (a - b) / math.sqrt(a + b) for word, (a, b) in shares.items()}


def _words(sentence: str) -> set[str]:
    return {word.strip(EDGE) for word in sentence.casefold().split()}


class PassageSentence(NamedTuple):
    """A sentence, how much it says about the question, and its passage."""

    text: str
    score: float
    passage: str


@lru_cache(maxsize=8192)
def question_and_passages(inputs: FieldTexts) -> tuple[str, tuple[str, ...]]:
    """Return the inputs that ask as one text, and the passages among the inputs.

    >>> question_and_passages((("question", "Who won?"), ("passages", '["Ada won the prize.", "Bo came next to her."]')))
    ('Who won?', ('Ada won the prize.', 'Bo came next to her.'))
    """
    passages: dict[str, None] = {}
    asked: list[str] = []
    for name, value in inputs:
        listed = observations(value) if name == "trajectory" else _listed_passages(value)
        passages |= dict.fromkeys(listed)
        asked += [value] if not listed and name != "trajectory" else []
    return "\n".join(asked), tuple(passages)


def question_of(inputs: FieldTexts) -> str:
    """Return the text by which rows are compared: the longest input, or the question where the others are passages."""
    question, passages = question_and_passages(inputs)
    return question if passages else max((v for n, v in inputs if n != "trajectory"), key=len, default="")


def observations(trajectory: str) -> list[str]:
    """Return what an agent's tools have answered, passages one by one."""
    answers = (match[1].strip() for match in _OBSERVATION.finditer(trajectory))
    return [passage for text in answers for passage in _listed_passages(text) or [text]]


def _listed_passages(value: str) -> list[str]:
    """Return the passages that a value lists, if it lists some: a JSON list of texts, or numbered quotes."""
    data = json_value(value) if value.strip().startswith("[") else None
    if not isinstance(data, list):
        return [" ".join((a or b).split()) for a, b in _QUOTED.findall(value.strip())]
    flat = [passage for item in data for passage in (item if isinstance(item, list) else [item])]
    texts = [passage for passage in flat if isinstance(passage, str)]
    long = sum(len(passage.split()) for passage in texts) >= 3 * len(flat)
    return texts if long and len(texts) == len(flat) else []


@lru_cache(maxsize=512)
def best_sentences(question: str, passages: tuple[str, ...]) -> tuple[PassageSentence, ...]:
    """Return the sentences of passages, those first that share the rarest words with a question.

    >>> best_sentences("How long do refunds take?", ("Refunds take five days. Parcels go on Mondays.",))[0].text
    'Refunds take five days.'
    """
    split = [(_title(p), content_words(p), sentences(_body(p))) for p in passages]
    weights = rarity([content_words(s) | title for title, _, some in split for s in some])
    wanted = content_words(question)
    whole = total_weight(wanted, weights, _UNKNOWN_WORD) or 1.0
    # What a passage is about holds for each of its sentences; the question's other words tell them apart.
    about = [
        total_weight(wanted & (title or words), weights) * (1.0 if title else 0.4)
        for title, words, _ in split
    ]
    lead = max(range(len(split)), key=lambda i: about[i], default=0)
    scored = []
    for place, (title, _, some) in enumerate(split):
        asked = wanted - title
        # The passage that says most names it, so the answer may be there.
        if title and place != lead and title <= split[lead][1]:
            about[place] = max(about[place], 0.95 * about[lead])
            asked -= split[lead][0]
        for sentence in some:
            here = total_weight(asked & content_words(sentence), weights)
            fits = _FITS if short_answer(question, sentence) else 0.0
            scored.append(
                PassageSentence(sentence, (1.5 * about[place] + here) / whole + fits, passages[place])
            )
    return tuple(sorted(scored, key=lambda sentence: -sentence.score))


def taught_answer(question: str, best: Sequence[PassageSentence], taught: Lessons) -> str | None:
    """Return the words of the best sentences that look most like the answers taught, those of like questions first."""
    alike = similarities(question, tuple(asked for asked, _ in taught))
    kind = _question_word(question)
    likeness = _Likeness(
        (_span_signs(answer), (near**1.5 + 0.01) * (5.0 if _question_word(asked) == kind else 1.0))
        for near, (asked, answer) in zip(alike, taught, strict=True)
    )
    longest = min(8, max(len(answer.split()) for _, answer in taught))
    known = content_words(question)
    scores: dict[str, float] = {}
    for sentence in best[:5]:
        expected = short_answer(question, sentence.text)
        for span, signs in _spans(sentence.text, longest):
            words = stems(span)
            common, repeated = (sum(w in some for w in words) / len(words) for some in (COMMON, known))
            score = likeness.of(signs) * (1 - 0.5 * common) * (1 - 0.8 * repeated) * sentence.score**3
            scores[span] = max(scores.get(span, 0.0), score * (1.5 if span == expected else 1.0))
    answer = max(scores, key=lambda span: scores[span], default="")
    return answer if scores.get(answer) else None


def short_answer(question: str, sentence: str) -> str | None:
    """Return the words of a sentence that a question's first words ask for, by their form alone.

    >>> short_answer("How long does a refund take?", "A refund takes five working days.")
    'five working days'
    """
    known = set(stems(question))
    forms = (form for cue, form in _ASKED_FOR if re.search(cue, question, re.IGNORECASE))
    matches = (match[0] for form in forms for match in re.finditer(form, sentence))
    return next((m.strip(EDGE) for m in matches if not set(stems(m)) <= known), None)


def next_query(question: str, best: Sequence[PassageSentence]) -> str:
    """Return what to look up next: the question, and the names in the best passage that it lacks."""
    known = content_words(question)
    names = [m[0] for sentence in best[:1] for m in re.finditer(_NAME, _body(sentence.passage))]
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
_SIGN_WEIGHTS = (1.0, 0.4, 1.2, 0.3, 0.8, 0.5)
_FITS = 0.1
"""Weight of a sentence that holds words of the kind that the question asks for."""
_UNKNOWN_WORD = 4.0
"""Weight of a question's word that no passage has."""
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
