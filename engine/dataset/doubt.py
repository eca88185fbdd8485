"""Rows to label, ordered by how doubtful their right answer is. It knows no models: answers are passed in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from engine.basics.text import one_case


class Doubt(NamedTuple):
    """A row still to be labelled, and why it comes where it comes."""

    row: int
    reason: str


DOWN, DISAGREE, SPLIT, UNKNOWN, AGREE = (
    "Its user gave a thumbs-down.",
    "No prompt that was asked gives the answer that it has.",
    "Prompts disagree.",
    "Nothing else has answered it yet.",
    "The prompts that were asked agree.",
)
REASONS = (DOWN, DISAGREE, SPLIT, UNKNOWN, AGREE)
"""Reasons for doubt, the strongest first."""


def label_order(
    answers: Mapping[int, str],
    *,
    thumbs: Mapping[int, str],
    others: Mapping[int, Collection[str]],
    labelled: Collection[int] = (),
) -> list[Doubt]:
    """Return the rows to label, the most doubtful first; equally doubtful rows stay in file order.

    `answers` is row -> the answer that it has now, `thumbs` row -> "up" or "down", `others` row -> what prompts
    answered. A thumbs-up settles a row as well as a label does, unless a prompt disagrees. Of a row without an answer
    it only counts whether the prompts agree with each other.

    >>> [d.row for d in label_order({0: "a", 1: "a", 2: "b"}, thumbs={1: "down"}, others={0: ["a"], 2: ["a"]})]
    [1, 2, 0]
    """
    done = frozenset(labelled)
    ordered = []
    for row, answer in answers.items():
        if row in done:
            continue
        other_answers = {one_case(one) for one in others.get(row, ())}
        if thumbs.get(row) == "down":
            reason = DOWN
        elif other_answers and answer.strip() and one_case(answer) not in other_answers:
            reason = DISAGREE
        elif len(other_answers) > 1:
            reason = SPLIT
        elif thumbs.get(row) == "up":
            continue
        else:
            reason = AGREE if other_answers else UNKNOWN
        ordered.append(Doubt(row, reason))
    return sorted(ordered, key=lambda doubt: (REASONS.index(doubt.reason), doubt.row))
