"""The leader of a search: the best prompt by what is known, with its doubt, after each trial that has ended.

Pages, terminal, log and report all show it. It follows trials in the order in which they ended, so nothing that comes
later changes what was shown. Two prompts are compared on the rows that both answered: of two that ran equally many rows the
higher score leads, of others the one that ran more, unless the other one is better by a standard deviation. A prompt
with more failed rows than the leader cannot take its place. The score of a leader that ran only some of the validation
rows is drawn towards that of the prompt that answered the most, mostly the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple, Protocol, TypeVar

from engine.basics.statistics import DIFFERENCE_SD, Interval, mean_interval, paired_difference

_FEWEST_ROWS = 4
"""Rows that a prompt must have run to lead, unless there are fewer."""


class Lead(NamedTuple):
    """The leading prompt after a trial had ended.

    `place` is the highest number of the prompts scored by then. `score` is its likely score on all `total` validation rows
    (0 to 1) with the 95 % interval, from the rows it has answered.
    """

    trial: int
    place: int
    candidate: str
    score: Interval
    total: int


@dataclass(eq=False, slots=True)
class _Prompt:
    """Facts of a prompt: the last trial that added rows, the rows it ran, the scores of those it answered."""

    candidate: str
    trial: int = 0
    rows: set[int] = field(default_factory=set)
    scores: dict[int, float] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return len(self.rows) - len(self.scores)


class LeaderPath:
    """The leaders of a run, one for each time that the leader or its likely score changed: see the module."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.leads: list[Lead] = []
        self._ended: list[tuple[float, int]] = []
        self._prompts: dict[str, _Prompt] = {}
        self._rows: set[int] = set()
        self._leader = self._most = _Prompt("")
        self._place = 0

    def advance(self, ended: Sequence[tuple[float, int]]) -> int:
        """Take note of the trials that have ended, by end and number; return how many of them were added before.

        That is none where a process has begun old trials again: the path begins again, too.
        """
        known = len(self._ended)
        if self._ended != list(ended[:known]):
            self._forget()
            known = 0
        self._ended = list(ended)
        return known

    def add(self, trial: int, candidate: str, number: int, scores: Mapping[int, float | None]) -> None:
        """Add a trial that has ended, with the scores of its rows: `candidate` is the prompt's id, `number` its number."""
        self._place = max(self._place, number)
        prompt = self._prompts.setdefault(candidate, _Prompt(candidate))
        prompt.trial = trial if scores.keys() - prompt.rows else prompt.trial
        prompt.rows |= scores.keys()
        prompt.scores |= {row: score for row, score in scores.items() if score is not None}
        self._rows |= scores.keys()
        if len(prompt.scores) > len(self._most.scores):
            self._most = prompt
        for rival in self._prompts.values() if prompt is self._leader else (prompt,):
            if self._beats(rival, self._leader):
                self._leader = rival
        if self._leader.scores:
            lead = Lead(trial, self._place, self._leader.candidate, self._likely_score(), len(self._rows))
            if not self.leads or self.leads[-1][2:] != lead[2:]:
                self.leads.append(lead)

    def _beats(self, rival: _Prompt, leader: _Prompt) -> bool:
        if not rival.scores or len(rival.rows) < min(_FEWEST_ROWS, len(self._rows)):
            return False
        if not leader.scores:
            return True
        whole = len(rival.rows) == len(self._rows)
        if rival.failed != leader.failed and len(leader.rows) == len(self._rows):
            return whole and rival.failed < leader.failed
        share = min(len(rival.rows), len(leader.rows)) / len(self._rows)
        gain, deviation = paired_difference(rival.scores, leader.scores, share)
        if len(rival.rows) == len(leader.rows):
            return (round(gain, 9), leader.trial) > (0, rival.trial)
        return gain > (-deviation if len(rival.rows) > len(leader.rows) else deviation)

    def _likely_score(self) -> Interval:
        """Return the leader's likely score on all rows: its mean, drawn to that of the prompt that answered the most rows."""
        scores, most = list(self._leader.scores.values()), list(self._most.scores.values())
        mean, towards = fmean(scores), fmean(most)
        spread = max(fmean((s - mean) ** 2 for s in scores), fmean((s - towards) ** 2 for s in most))
        error = spread / len(scores) * (1 - len(self._leader.rows) / len(self._rows))
        weight = DIFFERENCE_SD**2 / (DIFFERENCE_SD**2 + error)
        score = mean_interval(scores, weight * mean + (1 - weight) * towards)
        return score._replace(low=max(0.0, score.low), high=min(1.0, score.high))


class ScoredTrial(Protocol):
    """A stored trial, as far as `known_trials` reads it."""

    @property
    def number(self) -> int:
        """Its number in the run."""

    @property
    def candidate_id(self) -> str:
        """The id of its prompt."""

    @property
    def split(self) -> str:
        """The split of its rows."""

    @property
    def state(self) -> str:
        """The state of the trial: running, finished, cut."""

    @property
    def rows_done(self) -> int:
        """Rows with an outcome."""

    @property
    def failed(self) -> int:
        """Rows that failed."""


AnyTrial = TypeVar("AnyTrial", bound=ScoredTrial)


def known_trials(trials: Iterable[AnyTrial]) -> dict[str, AnyTrial]:
    """Return the trial on validation rows by which each prompt is known best: the last on the most rows that were answered."""
    scored = [t for t in trials if t.split == "validation" and (t.state != "running" or t.rows_done)]
    return {t.candidate_id: t for t in sorted(scored, key=lambda t: (t.rows_done - t.failed, t.number))}


def outlines(
    leads: Sequence[Lead], end: float
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return the corners (place, score) of the best-so-far line up to the place `end`, and of its interval's outline."""
    spans = list(zip(leads, [*(lead.place for lead in leads[1:]), end], strict=False))
    top = [(x, lead.score.high) for lead, until in spans for x in (lead.place, until)]
    bottom = [(x, lead.score.low) for lead, until in reversed(spans) for x in (until, lead.place)]
    line = [(x, lead.score.mean) for lead, until in spans for x in (lead.place, until)]
    return line, [*top, *bottom]
