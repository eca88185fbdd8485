"""Free text answers: copies a span of the input like those the demonstrations copied, else leans on the nearest.

What a demonstration teaches is the span's shape (digits, capitals) and the words around it. Knows text only.
"""

from __future__ import annotations

import re
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
            shape = _shape(span)
            before = pieces[i - 1][0].casefold().strip(_EDGE) if i else "^"
            after = pieces[j + 1][0].casefold().strip(_EDGE) if j + 1 < len(pieces) else "$"
            score = sum((s == shape) * 1.0 + (b == before) * 0.8 + (a == after) * 0.5 for s, b, a in lessons)
            if score > best:
                best, found = score, span
    return found


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
        _shape(span),
        before[-1].casefold().strip(_EDGE) if before else "^",
        after[0].casefold().strip(_EDGE) if after else "$",
    )


@lru_cache(maxsize=16384)
def _shape(span: str) -> tuple[str, ...]:
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
