"""How a search ended, in a sentence or two: what stood in its way, and what is kept.

For searches that do not say it themselves. It looks at trials and proposals alone and knows no algorithm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.records import Candidate
from engine.search.settings import Trial


@dataclass
class Proposals:
    """How many texts were asked for and how many of them are of use."""

    asked: int = 0
    received: int = 0

    def count(self, asked: int, outputs: Sequence[Mapping[str, Any]]) -> None:
        """Count an answer; a text that is empty is no use."""
        self.asked += asked
        self.received += sum(any(str(v).strip() for v in output.values()) for output in outputs)


@dataclass(frozen=True, slots=True)
class End:
    """What is known at the end: why it was cut short ("": it was not), what is kept with its score, and what was tried."""

    cause: str
    seed: Candidate
    best: Candidate
    score: float | None
    trials: Sequence[Trial]


def ending(told: str, end: End, written: Proposals) -> str:
    """Return what to say at the end; `told` is what the search itself says, which goes first unless every row scored 0.

    >>> start = Candidate({})
    >>> ending("", End("", start, start, None, ()), Proposals())
    'There was nothing to change: the starting prompt is kept.'
    """
    if told and not end.cause and any(o.score > 0 for t in end.trials for o in t.evaluation.outcomes):
        return told
    if end.cause:
        cause = end.cause if end.cause.endswith((".", "!", "?")) else f"{end.cause}."
        return f"{cause} {_kept(end)}"
    hindrance = _hindrance(end, written)
    if not hindrance and not end.trials:
        if end.best.id == end.seed.id:
            return "There was nothing to change: the starting prompt is kept."
        return "The prompt that was made is kept; making it took no row, so it has no score yet."
    return f"{hindrance} {_kept(end)}".strip()


def _hindrance(end: End, written: Proposals) -> str:
    outcomes = [o for t in end.trials for o in t.evaluation.outcomes]
    errors = [o.error for o in outcomes if o.error is not None]
    if outcomes and len(errors) == len(outcomes):
        return f"Every row failed, the first with: {errors[0]}"
    if outcomes and all(o.score <= 0 for o in outcomes):
        said = next((o.feedback for o in outcomes if o.feedback), "")
        first = f" Of the first it says: {said[:200]}" if said else ""
        return f"Every answer scored 0, so prompts could not be told apart: look at the metric.{first}"
    if outcomes and all(o.score >= 1 for o in outcomes):
        return "Every answer scored 100 %, so there was nothing to gain."
    if written.asked and not written.received:
        return (
            f"The model that writes prompts gave nothing usable in {_count(written.asked, 'try', 'tries')}."
        )
    tried = {t.candidate.id for t in end.trials}
    if written.received and tried <= {end.seed.id}:
        return "The model that writes prompts wrote nothing that was not there already."
    return ""


def _kept(end: End) -> str:
    done = [t for t in reversed(end.trials) if t.complete and t.split == "validation"]
    most = max((len(t.evaluation.outcomes) for t in done), default=0)
    whole = {t.candidate.id: t.evaluation.score for t in done if len(t.evaluation.outcomes) == most}
    if end.best.id != end.seed.id:
        if end.score is None:
            return "The prompt that was made is kept; it was not scored on all validation rows."
        start = whole.get(end.seed.id)
        before = "" if start is None else f", the starting prompt {100 * start:.0f} %"
        what = f"The best of {len(whole):,} prompts" if len(whole) > 1 else "The prompt that is kept"
        return f"{what} scored {100 * end.score:.0f} % on validation rows{before}."
    if len(whole) > 1:
        return "Nothing that was tried scored better than the starting prompt, which is kept."
    if end.cause and end.trials:
        return "The starting prompt is kept: no other was scored on all validation rows before."
    return "The starting prompt is kept."


def _count(n: int, noun: str, many: str = "") -> str:
    return f"{n:,} {noun if n == 1 else many or noun + 's'}"
