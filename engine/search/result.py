"""Records of what a search and a run found: trials, the verdict, each prompt's figures, models compared, the proof of the exports.

A `RunResult` is stored with its run and read by every surface. Its values are decided elsewhere: `verdict.py`,
`model_choice.py`, the worker.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cache
from statistics import median_high
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter

from engine.basics.data import JsonObject, Values
from engine.basics.statistics import mean_interval
from engine.basics.text import PrintedChange, counted, duration, points_gained, price, printed_change
from engine.records import Candidate, Evaluation, PartCredit, Usage, WholeSetFigure, whole_trials
from engine.search.events import Split

Stopped = Literal["finished", "budget", "stopped", "failed"]
"""How a search ended: by itself, at a limit, on request, or with an error."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate over some rows, as it was asked for. `complete`: every row asked has an outcome."""

    number: int
    candidate: Candidate
    label: str
    split: Split
    evaluation: Evaluation
    complete: bool

    @property
    def candidate_id(self) -> str:
        """The candidate's id."""
        return self.candidate.id

    @property
    def rows_total(self) -> int:
        """Rows with an outcome."""
        return len(self.evaluation.outcomes)


@dataclass(frozen=True)
class SearchResult:
    """The end of a search.

    `best` is what it kept last (the seed if it kept nothing), `score` its mean on the validation rows (0-1) where it is
    known. `stopped` is "finished" where the search came to its own end; `reason` is the message on how it ended.
    """

    best: Candidate
    seed: Candidate
    score: float | None
    trials: tuple[Trial, ...]
    stopped: Stopped
    reason: str
    usage: Usage
    seconds: float
    credits: tuple[PartCredit, ...] = ()

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """Every trial's evaluation, in order."""
        return tuple(t.evaluation for t in self.trials)

    def __deepcopy__(self, memo: dict[int, object]) -> SearchResult:
        return self  # immutable, and large: a copied program shares it

    def validated(self) -> list[tuple[float, Candidate]]:
        """Return (score, candidate) of each candidate scored on all validation rows, the best first, of equals the earlier."""
        whole = [(t.evaluation.score, t.candidate) for t in whole_trials(self.trials).values()]
        return sorted(whole, key=lambda scored: -scored[0])


VerdictKind = Literal["better", "worse", "too_close", "not_enough", "unchanged"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Best against baseline on the test rows. Scores and differences run from 0 to 1."""

    kind: VerdictKind
    """Decided by the bounds of the difference as they are printed."""
    sentence: str
    baseline: float
    best: float
    difference: float
    low: float
    """Lower bound of the difference, with 95 % confidence."""
    high: float
    """Upper bound of the difference."""
    rows: int
    won: int
    """Rows on which the best prompt scored higher."""
    lost: int
    """Rows on which the best prompt scored lower."""
    failed: int = 0
    """Rows that failed with an error on either side."""

    @property
    def printed(self) -> PrintedChange:
        """Both scores, the difference and its bounds as they are printed."""
        return printed_change(self.baseline, self.best, self.low, self.high)


@dataclass(frozen=True, slots=True)
class NotTested:
    """The verdict of a run that was stopped without its final test: a sentence, and no figures."""

    sentence: str = ""
    kind: Literal["not_tested"] = "not_tested"
    baseline: None = None
    best: None = None
    difference: None = None
    low: None = None
    high: None = None
    rows: Literal[0] = 0
    won: Literal[0] = 0
    lost: Literal[0] = 0
    failed: Literal[0] = 0


AnyVerdict = Annotated[Verdict | NotTested, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class PromptFigures:
    """Figures of one prompt, scores from 0 to 1. Those of test rows are None or 0 where it was not tested."""

    candidate: str = ""
    """Id of the prompt."""
    validation: float | None = None
    """Mean score on all the validation rows; None where it was not scored on all of them."""
    test: float | None = None
    """Mean score on the test rows."""
    likely: tuple[float, float] | None = None
    """Bounds of the test score, with 95 % confidence; None in results of older versions."""
    rows: int = 0
    """Test rows with an outcome."""
    failed: int = 0
    """Test rows that failed with an error."""
    seconds_per_row: float | None = None
    """Median time of a test row that was answered."""
    tokens_per_row: float | None = None
    cost_per_row: float | None = None
    """US dollars; None where a price is not known."""

    @property
    def flattered(self) -> float | None:
        """Points by which the score on the rows to choose by is above that on the test rows; None where one is not known.

        >>> PromptFigures(validation=0.86, test=0.8).flattered
        6.0
        """
        if self.validation is None or self.test is None:
            return None
        return points_gained(self.test, self.validation)

    @classmethod
    def of(cls, candidate: str, validation: float | None, test: Evaluation, **more: Any) -> Self:
        """Return the figures of a candidate, named by its id; `more` are fields of a subclass."""
        answered = [o for o in test.outcomes if o.error is None]
        rows = len(test.outcomes)
        priced = bool(answered) and all(o.usage.cost is not None for o in answered)
        likely = mean_interval([o.score for o in test.outcomes])
        return cls(
            candidate=candidate,
            validation=validation,
            test=test.score if rows else None,
            likely=(likely.low, likely.high) if rows else None,
            rows=rows,
            failed=rows - len(answered),
            seconds_per_row=median_high([o.seconds for o in answered]) if answered else None,
            tokens_per_row=test.usage.tokens / rows if rows else None,
            cost_per_row=(test.usage.cost or 0.0) / rows if priced else None,
            **more,
        )


@dataclass(frozen=True, slots=True)
class TeacherFigures(PromptFigures):
    """Figures of the model that taught a tuned one, on the same test rows."""

    model: str = ""
    """Name of the teacher."""
    prompt: str = ""
    """Name of the teacher's own prompt; "" for the task's."""


@dataclass(frozen=True, slots=True)
class StaticFigures(PromptFigures):
    """Figures of the best prompt that shows every input the same examples, and the verdicts on it against the best one."""

    against_best: Verdict | None = None
    """On the test rows; None where the budget left no calls for them."""
    validation_against_best: Verdict | None = None


@dataclass(frozen=True, slots=True)
class TakenPrompt:
    """Verdict and figures of a tested prompt that a user took, and that is neither the best nor the start.

    Its fields are named as those of the best one in `RunResult`, in whose place pages show them.
    """

    best_candidate: str
    best: PromptFigures
    verdict: AnyVerdict
    whole_set: WholeSetFigure | None = None


class RowUse(NamedTuple):
    """Use of one validation row with a prompt, on average of the rows that the model answered.

    `cost` is in US dollars, None where a price is not known.
    """

    tokens: float
    cost: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class ComparedFigures:
    """One candidate's figures on rows that the best ran too. Rows that the call cache answered have no time."""

    candidate: str
    prompt: str = ""
    """Id of the same prompt without models in place of the run's; "" in results of older versions."""
    models: tuple[str, ...] = ()
    """Names of the models that answer in place of the run's."""
    score: Annotated[float, BeforeValidator(lambda score: score or 0.0)] = 0.0
    """Mean score, 0 to 1; says nothing unless the candidate is `answered`."""
    likely: tuple[float, float] = (0.0, 1.0)
    """Bounds of the score, with 95 % confidence."""
    difference: float = 0.0
    """Mean difference of the score to that of the best candidate."""
    low: float = 0.0
    high: float = 0.0
    cost: float | None = None
    """US dollars a row; None where unknown."""
    seconds: float | None = None
    """Median time of a row; None where unknown."""
    rows: int = 0
    failed: int = 0
    """Rows that failed, each of which counts as 0."""

    @property
    def answered(self) -> bool:
        """False if every row failed."""
        return self.failed < self.rows

    @property
    def printed(self) -> PrintedChange:
        """Score of the best candidate, the score, and the bounds of the difference as they are printed."""
        return printed_change(self.score - self.difference, self.score, self.low, self.high)


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """The outcome of comparing models on the validation rows."""

    sentence: str = ""
    """The cheapest models that are not surely worse than the best, in words; "" where there is nothing to compare."""
    good_enough: str = ""
    """Id of that candidate; "" where prices are unknown."""
    figures: tuple[ComparedFigures, ...] = ()
    """Of all candidates that ran the rows of the best; of other choices of models, those on the most rows."""
    front: tuple[str, ...] = ()
    """Ids of the candidates that no other one beats in score, price and time together."""


@dataclass(frozen=True, slots=True)
class FinalTestCost:
    """Cost of what is left of a final test: calls to the model, US dollars and seconds; None where that is not known.

    >>> FinalTestCost(386, 0.06, 30.2).words
    '386 calls, about $0.06, 30 s'
    """

    calls: int
    usd: float | None = None
    seconds: float | None = None

    @property
    def words(self) -> str:
        """The cost in words."""
        took = [] if self.seconds is None else [duration(max(1.0, self.seconds))]
        parts = [price(self.usd, "about "), *took] if self.calls else ["every answer is known"]
        return ", ".join([counted(self.calls, "call"), *parts])

    def completed(self, estimate: Values | None) -> FinalTestCost:
        """Return the cost with what a run's estimate says of a call, where none was measured."""
        names = ("calls", "usd", "seconds")
        calls, usd, seconds = (((estimate or {}).get(name) or {}).get("high") for name in names)
        usual = [most * self.calls / calls if calls and most is not None else None for most in (usd, seconds)]
        return replace(
            self,
            usd=usual[0] if self.usd is None else self.usd,
            seconds=usual[1] if self.seconds is None else self.seconds,
        )


@dataclass(frozen=True, slots=True)
class UnfinishedTest:
    """A final test of which rows are missing, and what these take."""

    rows: int
    """Rows of the test."""
    scored: int
    """Rows that both prompts were scored on."""
    why: str
    """Why not all were scored; "" for a stop."""
    calls: int
    usd: float | None = None
    seconds: float | None = None

    @property
    def cost(self) -> FinalTestCost:
        """Cost of the missing rows."""
        return FinalTestCost(self.calls, self.usd, self.seconds)


@dataclass(frozen=True, slots=True)
class Proof:
    """The outcome of reading an exported file again and scoring it on the test rows."""

    file: str
    rows: int
    same: int
    """Rows that scored as in the final test."""
    unknown: int
    """Rows whose answers were not in the cache, so that checking them would cost."""
    score: float | None
    holds: bool
    """True if every row scored the same."""
    sentence: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """The result of a run."""

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)

    best_candidate: str
    """Id of the best prompt."""
    seed_candidate: str
    """Id of the starting prompt."""
    verdict: AnyVerdict = NotTested()
    """The best prompt against the starting one on the test rows."""
    baseline: PromptFigures = PromptFigures()
    best: PromptFigures = PromptFigures()
    static: StaticFigures | None = None
    """Where the best prompt shows each input other examples: the best one that does not."""
    teacher: TeacherFigures | None = None
    """Where a model was tuned that another one taught."""
    taken_candidate: str = ""
    """Id of the prompt that the exports hold: the best where it is surely better, or as good and cheaper or faster where
    that is the goal; else the start, until the user takes another one. "" in results of older versions: the best."""
    taken: TakenPrompt | None = None
    """Where the user took a tested prompt that is neither the best nor the start."""
    tuned_models: tuple[str, ...] = ()
    """Names of the tuned models that the best prompt is answered by."""
    whole_set: WholeSetFigure | None = None
    """Where the metric has a number of the whole set of test rows."""
    models: ModelComparison | None = None
    """Where models were compared."""
    credits: tuple[PartCredit, ...] = ()
    """Effect of each rule and example of the best prompt."""
    final_test: UnfinishedTest | None = None
    """Where test rows are missing."""
    stopped: Stopped = "finished"
    reason: str = ""
    """How the search ended, in words."""
    usage: Usage = field(default_factory=Usage)
    """Model calls of the whole run."""
    seconds: float = 0.0
    """Working time of the whole run."""
    export_path: str = ""
    """The exported program's file."""
    script_path: str = ""
    """The exported script."""
    proof: tuple[Proof, ...] = ()
    """One for each exported file that was scored again."""

    @property
    def shown(self) -> RunResult:
        """The result with verdict and figures of the prompt taken in the place of the best one's.

        They stay the best one's where the start was taken, or a prompt that was not tested.
        """
        prompt = self.taken
        if prompt is None:
            return self
        return replace(
            self,
            best_candidate=prompt.best_candidate,
            best=prompt.best,
            verdict=prompt.verdict,
            whole_set=prompt.whole_set,
        )

    def to_json(self) -> JsonObject:
        """Return the result as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: object) -> RunResult:
        """Read what `to_json` wrote, also in older versions. Raises ValueError for anything else."""
        return _reader().validate_python(values)


@cache
def _reader() -> TypeAdapter[RunResult]:
    return TypeAdapter(RunResult)
