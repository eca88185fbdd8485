"""Free text answers: copies a span of the input like those the demonstrations copied, else leans on the nearest.

What a demonstration teaches is the span's shape (digits, capitals) and the words around it. Knows text only.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import lru_cache

_PIECE = re.compile(r"\S+")


def copy_span(text: str, taught: tuple[tuple[str, str], ...]) -> str | None:
    """Return the span of a text that is most like the spans copied in `taught` (text, copied span).

    >>> copy_span("Order QM-77 is late", (("Where is order QM-12 now?", "QM-12"), ("QM-5 broke", "QM-5")))
    'QM-77'
    """
    lessons = [lesson for lesson in (_lesson(source, span) for source, span in taught) if lesson]
    if not lessons:
        return None
    pieces = list(_PIECE.finditer(text))
    longest = max(len(lesson[0]) for lesson in lessons)
    best, found = 0.0, None
    for i in range(len(pieces)):
        for j in range(i, min(i + longest, len(pieces))):
            span = text[pieces[i].start() : pieces[j].end()].strip(_EDGE)
            if not span:
                continue
            shape = shape_of(span)
            before = pieces[i - 1][0].casefold().strip(_EDGE) if i else "^"
            after = pieces[j + 1][0].casefold().strip(_EDGE) if j + 1 < len(pieces) else "$"
            score = sum((s == shape) * 1.0 + (b == before) * 0.8 + (a == after) * 0.5 for s, b, a in lessons)
            if score > best:
                best, found = score, span
    return found


def copy_sentence(text: str, taught: tuple[tuple[str, str], ...]) -> str | None:
    """Return the sentence of a text most like the sentences copied in `taught` (text, copied sentence); None for mere spans.

    >>> copy_sentence("It rained. We agreed to wait.", (("Ann came. We agreed to go.", "We agreed to go."),))
    'We agreed to wait.'
    """
    whole = [(source, span) for source, span in taught if span.strip() in sentences_of(source)]
    if len(whole) < 0.6 * len(taught) or not whole:
        return None
    kept: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for source, span in whole:
        some = sentences_of(source)
        for i, sentence in enumerate(some):
            (kept if sentence == span.strip() else left).update(_signs(sentence, i, len(some)))
    some = sentences_of(text)
    rows, others = len(whole) + 2, sum(len(sentences_of(s)) for s, _ in whole) - len(whole) + 2

    def like(i: int) -> float:
        signs = _signs(some[i], i, len(some))
        return sum(math.log((kept[s] + 0.5) / rows) - math.log((left[s] + 0.5) / others) for s in signs)

    return some[max(range(len(some)), key=lambda i: (like(i), -i))] if some else None


def sentences_of(text: str) -> list[str]:
    """Return a text's sentences and lines."""
    return [s.strip() for s in re.split(r"(?<=[.!?])\s+|\n+", text) if s.strip()]


def _signs(sentence: str, place: int, count: int) -> set[str]:
    """What tells a sentence from its neighbours: its words, how it begins, and whether it is the first or the last."""
    words = sentence.casefold().split()
    found = {w.strip(_EDGE) for w in words} | {f"^{words[0]}", f"^{' '.join(words[:2])}"}
    return found | ({"#first"} if place == 0 else set()) | ({"#last"} if place == count - 1 else set())


def is_copy(source: str, span: str) -> bool:
    """Return whether an answer stands in the text word for word."""
    return bool(span.strip()) and span.casefold().strip() in source.casefold()


def first_sentence(text: str, limit: int = 160) -> str:
    """Return a text's first sentence, cut at `limit` characters."""
    head = re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0].replace("\n", " ")
    return head if len(head) <= limit else head[:limit].rsplit(" ", 1)[0] + " ..."


@lru_cache(maxsize=4096)
def _lesson(source: str, span: str) -> tuple[tuple[str, ...], str, str] | None:
    at = source.casefold().find(span.casefold().strip())
    if at < 0 or not span.strip():
        return None
    before = source[:at].split()
    after = source[at + len(span.strip()) :].split()
    return (
        shape_of(span),
        before[-1].casefold().strip(_EDGE) if before else "^",
        after[0].casefold().strip(_EDGE) if after else "$",
    )


@lru_cache(maxsize=16384)
def shape_of(span: str) -> tuple[str, ...]:
    """Return what kind of word each of a span's words is: "QM-12 Leeds" -> ("A-9", "Aa")."""
    return tuple(
        re.sub(
            r"9+",
            "9",
            re.sub(
                r"A{2,}",
                "A",
                re.sub(
                    r"a+", "a", re.sub(r"\d", "9", re.sub(r"[^\W\d_A-Z]", "a", re.sub(r"[A-Z]", "A", word)))
                ),
            ),
        )
        for word in span.split()
    )


_EDGE = ".,;:!?()[]\"'“”«»"
