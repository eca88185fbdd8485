"""What a run is given and gives back: settings, recorder, control, result. Records and protocols only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from engine.records import Candidate, Evaluation, Example, Outcome, Usage
from engine.runtime import context, current
from engine.search.budget import Amount, Budget, Ledger
from engine.search.events import Event, Split
from engine.search.freeze import Freeze

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.lm.base import BaseLM
    from engine.modules.module import Module


@dataclass(frozen=True)
class Settings:
    """Everything one run needs.

    `rows` maps row ids to examples; `train` and `validation` are ids the search may use, other ids
    (the test rows) are only for `Driver.score` and `Driver.compare`. `teacher` is another program with
    the same steps that writes demonstrations. `payer` is the run's name in the call cache: replies it
    paid for before (it was killed, it is driven again) count as spent, other cached replies are free.
    `seconds_before` is what an earlier process of the same run has used of the time limit. `frozen` is what the
    search must not change. `remarks` are people's words on earlier answers, by row; `row_numbers` the rows
    as people count them.
    """

    program: Module
    metric: Any
    rows: Mapping[int, Example]
    train: tuple[int, ...]
    validation: tuple[int, ...]
    lm: BaseLM | None = None
    prompt_lm: BaseLM | None = None
    teacher_lm: BaseLM | None = None
    teacher: Module | None = None
    adapter: Adapter | None = None
    budget: Budget = field(default_factory=Budget)
    concurrency: int = 16
    seed: int = 0
    payer: str | None = None
    seconds_before: float = 0.0
    frozen: tuple[Freeze, ...] = ()
    remarks: Mapping[int, str] = field(default_factory=dict)
    row_numbers: Mapping[int, int] = field(default_factory=dict)

    @property
    def calls_a_row(self) -> int:
        """Model calls that one row takes, as far as the program tells: those of its steps, and those of a metric that asks a judge."""
        return self.program_calls + self.judge_calls

    @property
    def program_calls(self) -> int:
        """Model calls that one run of the program takes, as far as it tells, in this run's layout."""
        with context(adapter=self.adapter or current().adapter):
            return max(1, self.program.calls_a_row)

    def keep_back_final_test(self, ledger: Ledger, rows: int, outcomes: Iterable[Outcome] = ()) -> None:
        """Keep back what two prompts over the test rows take, judged by outcomes so far; at most half of what is left."""
        runs = 2 * rows
        known = [o.usage for o in outcomes if o.usage.tokens]
        # The best prompt is longer than the first: a quarter more, and what the evaluations so far showed.
        share = 1.25 * runs / max(1, len(known))
        tokens, usd = int(share * sum(u.tokens for u in known)), share * sum(u.cost or 0.0 for u in known)
        seconds = (ledger.mean_latency or 0.0) * self.calls_a_row * -(-runs // self.concurrency)
        ledger.keep_back(Amount(runs * self.calls_a_row, tokens, usd, seconds), most=0.5)

    @property
    def own_models(self) -> tuple[BaseLM, ...]:
        """The models that steps have of their own; a two-step layout's second one too."""
        asked = (
            lm
            for p in self.program.predictors()
            for lm in (p.lm, getattr(p.adapter, "extraction_model", None))
        )
        return tuple({id(lm): lm for lm in asked if lm is not None}.values())

    @property
    def judge_calls(self) -> int:
        """Model calls that the metric makes for one row."""
        return int(getattr(self.metric, "calls", 0) or 0)


class Recorder(Protocol):
    """Receives every event, on the event loop, in order. It must be quick."""

    def record(self, event: Event) -> None:
        """Take note of one event."""


class Stop(Exception):  # noqa: N818 - a signal raised by a Control, not an error
    """Raised by `Control.checkpoint` when the person asked the run to stop."""


class Control(Protocol):
    """Pause and stop."""

    async def checkpoint(self) -> None:
        """Return at once, wait while paused, or raise Stop. Awaited before each row starts."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate over some rows, as it was asked for. `complete`: every row asked has an outcome."""

    number: int
    candidate: Candidate
    label: str
    split: Split
    evaluation: Evaluation
    complete: bool


Stopped = Literal["finished", "budget", "stopped", "failed"]


@dataclass(frozen=True)
class SearchResult:
    """How a search ended.

    `best` is what it kept last (the seed if it kept nothing), `score` its mean on the validation rows
    (0-1) where it is known. `stopped` says whether the search came to its own end ("finished"), the
    budget was spent, a person stopped it, or it failed; `reason` says it in a sentence.
    """

    best: Candidate
    seed: Candidate
    score: float | None
    trials: tuple[Trial, ...]
    stopped: Stopped
    reason: str
    usage: Usage
    seconds: float

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """Every trial's evaluation, in order."""
        return tuple(t.evaluation for t in self.trials)

    def __deepcopy__(self, memo: dict[int, Any]) -> SearchResult:
        return self  # immutable, and large: a copied program shares it

    def validated(self) -> list[tuple[float, Candidate]]:
        """Return (score, candidate) of each candidate with a complete trial on validation rows, best first.

        A candidate tried on more rows counts with the larger trial; equal scores keep the earlier first.
        """
        largest: dict[str, Trial] = {}
        for trial in self.trials:
            known = largest.get(trial.candidate.id)
            size = len(trial.evaluation.outcomes)
            larger = size > (0 if known is None else len(known.evaluation.outcomes))
            if trial.split == "validation" and trial.complete and larger:
                largest[trial.candidate.id] = trial
        full = max((len(t.evaluation.outcomes) for t in largest.values()), default=0)
        ranked = [t for t in largest.values() if len(t.evaluation.outcomes) == full]
        ranked.sort(key=lambda t: (-t.evaluation.score, t.number))
        return [(t.evaluation.score, t.candidate) for t in ranked]


def whole_score(trials: Iterable[Trial], candidate: Candidate, rows: Collection[int]) -> float | None:
    """Return a candidate's score in its first trial on exactly these rows, all of them answered; None without one."""
    wanted = set(rows)
    own = (t for t in trials if t.complete and t.candidate.id == candidate.id)
    return next((t.evaluation.score for t in own if set(t.evaluation.scores) == wanted), None)
