"""Agreement of a judge and a person on the same answers: the share, Cohen's kappa, and both in words.

Kappa (Cohen 1960, "A coefficient of agreement for nominal scales") is the agreement beyond what chance alone would give;
with grades in between it is the linearly weighted one (Cohen 1968), which forgives a near miss. The words for it are
those of Landis and Koch (1977). It knows numbers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LEVELS = (0.0, 0.5, 1.0)
"""Wrong, partly right, right: what a person chooses from, and what a judge's score is rounded to."""

FEW = 15
"""Fewer answers than this say little about a judge."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Judge against person over `rows` answers.

    `same` is the share of equal grades; `kappa` runs from -1 to 1, 0 being what chance gives (None: all grades are
    alike, so chance explains everything). `kinder` and `stricter` are the row ids that the judge graded higher and lower.
    """

    rows: int
    same: float
    kappa: float | None
    kinder: tuple[int, ...]
    stricter: tuple[int, ...]

    @property
    def word(self) -> str:
        """Return the agreement in one word or two."""
        if self.kappa is None:
            return "not known"
        return next(word for most, word in _WORDS if self.kappa <= most)

    @property
    def sentence(self) -> str:
        """Return what this means for a user of the judge, in one or two sentences."""
        if not self.rows:
            return "Grade some answers first; about twenty tell enough."
        counted = f"{round(self.same * self.rows)} of {self.rows} answers get the same grade from both"
        if self.kappa is None:
            return f"{counted}. All grades are alike, so this says nothing yet: grade answers of both kinds."
        advice = "Grade some more to be sure." if self.rows < FEW else _advice(self.kappa)
        lean = ""
        if self.kappa <= _TRUSTED and len(self.kinder) != len(self.stricter):
            lean = f" Where they differ, the judge is mostly {'kinder' if len(self.kinder) > len(self.stricter) else 'stricter'}."
        return f"Agreement is {self.word} (kappa {self.kappa:.2f}): {counted}.{lean} {advice}"


def level(score: float) -> float:
    """Return the level nearest to a score; a score right between two counts as the lower.

    >>> level(0.2), level(0.6), level(0.75), level(0.9)
    (0.0, 0.5, 0.5, 1.0)
    """
    return min(LEVELS, key=lambda one: (abs(one - score), one))


def agreement(person: Mapping[int, float], judge: Mapping[int, float]) -> Agreement:
    """Compare grades (0 to 1) by row id, over the rows that both have graded.

    >>> found = agreement({1: 1, 2: 1, 3: 0, 4: 0}, {1: 1, 2: 1, 3: 0, 4: 1})
    >>> found.same, found.kappa, found.word, found.kinder
    (0.75, 0.5, 'moderate', (4,))
    """
    rows = sorted(person.keys() & judge.keys())
    pairs = [(level(person[row]), level(judge[row])) for row in rows]
    n = len(pairs)
    if not n:
        return Agreement(0, 0.0, None, (), ())
    apart = sum(abs(a - b) for a, b in pairs) / n
    mine = {one: sum(a == one for a, _ in pairs) / n for one in LEVELS}
    theirs = {one: sum(b == one for _, b in pairs) / n for one in LEVELS}
    by_chance = sum(abs(a - b) * mine[a] * theirs[b] for a in LEVELS for b in LEVELS)
    return Agreement(
        n,
        sum(a == b for a, b in pairs) / n,
        1 - apart / by_chance if by_chance else None,
        tuple(row for row, (a, b) in zip(rows, pairs, strict=True) if b > a),
        tuple(row for row, (a, b) in zip(rows, pairs, strict=True) if b < a),
    )


_TRUSTED = 0.6
_WORDS = (
    (0.0, "no better than chance"),
    (0.2, "slight"),
    (0.4, "fair"),
    (_TRUSTED, "moderate"),
    (0.8, "substantial"),
    (1.0, "almost perfect"),
)


def _advice(kappa: float) -> str:
    if kappa > _TRUSTED:
        return "The judge can stand in for you."
    if kappa > 0.2:
        return "Read the answers below on which you differ, and say in the criteria what you look for."
    return "Do not tune with this judge yet: its scores would reward something else than you do."
