"""Word-level difference of two texts, as data. Lines are matched first, words only inside changed lines.

Matching words of whole prompts at once is quadratic and takes seconds; this takes milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Literal, NamedTuple

Kind = Literal["same", "added", "removed"]


class Segment(NamedTuple):
    """A stretch of text and what became of it."""

    kind: Kind
    text: str


class Line(NamedTuple):
    """One line as it was and as it is; None where there is no such line."""

    before: tuple[Segment, ...] | None
    after: tuple[Segment, ...] | None

    @property
    def changed(self) -> bool:
        """Whether the two sides differ."""
        return self.before != self.after


class Difference(NamedTuple):
    """All lines, and how many words came and went."""

    lines: tuple[Line, ...]
    added: int
    removed: int


def difference(before: str, after: str) -> Difference:
    """Compare two texts.

    >>> found = difference("Answer briefly.", "Answer briefly and kindly.")
    >>> found.added, found.removed
    (3, 1)
    >>> [s for s in found.lines[0].after if s.kind == "added"]
    [Segment(kind='added', text='briefly and kindly.')]
    """
    lines = tuple(_lines(before.splitlines(), after.splitlines()))
    return Difference(
        lines,
        sum(_words(s.text) for line in lines for s in line.after or () if s.kind == "added"),
        sum(_words(s.text) for line in lines for s in line.before or () if s.kind == "removed"),
    )


def _lines(before: list[str], after: list[str]) -> Iterator[Line]:
    for tag, a1, a2, b1, b2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            for text in before[a1:a2]:
                yield Line((Segment("same", text),), (Segment("same", text),))
            continue
        for old, new in zip_longest(before[a1:a2], after[b1:b2]):
            if old is None:
                yield Line(None, (Segment("added", new),))
            elif new is None:
                yield Line((Segment("removed", old),), None)
            else:
                yield _inside(old, new)


def _inside(old: str, new: str) -> Line:
    a, b = re.findall(r"\s+|\S+", old), re.findall(r"\s+|\S+", new)
    before: list[Segment] = []
    after: list[Segment] = []
    for tag, a1, a2, b1, b2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            before.append(Segment("same", "".join(a[a1:a2])))
            after.append(Segment("same", "".join(b[b1:b2])))
            continue
        if a2 > a1:
            before.append(Segment("removed", "".join(a[a1:a2])))
        if b2 > b1:
            after.append(Segment("added", "".join(b[b1:b2])))
    return Line(tuple(before), tuple(after))


def _words(text: str) -> int:
    return len(text.split())
