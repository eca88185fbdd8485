"""Results of reading and of tuning, as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.dataset.documents.evidence import Evidence
from engine.extraction.reading import TunedPrompts
from engine.records import Candidate, Usage
from engine.search.result import Verdict

Phase = Literal["baseline", "fields", "skipped", "system_prompt", "instruction_prompt", "complete"]


@dataclass(frozen=True, slots=True)
class FieldScore:
    """The mean score of one field on the rows held out, before and after; None where no row had it.

    `wrong`, `missing` and `invented` count its values after, where they are compared by code.
    """

    before: float | None
    after: float | None
    wrong: int = 0
    missing: int = 0
    invented: int = 0


@dataclass(frozen=True, slots=True)
class FieldOptimizationProgress:
    """A step of an optimization, for `on_progress`: the phase, the field by its path, scores where they are known."""

    phase: Phase
    score_before: float | None = None
    score_after: float | None = None
    improved: bool = False
    total_fields: int = 0
    field_path: str | None = None
    field_index: int | None = None
    elapsed_seconds: float = 0.0
    optimized_value: str | None = None


@dataclass(frozen=True)
class OptimizationResult(TunedPrompts):
    """The result of an optimization and its usage.

    Scores are means from 0 to 1 on the rows held out, on which nothing was chosen; `verdict` compares them row by row with
    a 95 % interval and says it in a sentence. `kept` is False where the tuned prompt was worse there, and the prompts are
    the first ones. `usage` counts what the optimization itself paid for. `left_out` names rows that could not be used.
    `candidate` is everything tuned, for `Prompter.from_optimization_result`.
    """

    baseline_score: float
    optimized_score: float
    verdict: Verdict
    kept: bool
    field_scores: Mapping[str, FieldScore]
    candidate: Candidate
    usage: Usage
    seconds: float
    optimizer: str
    advice: str = ""
    reason: str = ""
    left_out: Sequence[str] = ()
    training_size: int = 0
    validation_size: int = 0
    test_size: int = 0
    held_out: bool = True
    seed: Candidate = field(default_factory=lambda: Candidate({}))

    def _tuned(self) -> Candidate:
        return self.candidate

    @property
    def api_calls(self) -> int:
        """Calls that were made and paid for; answers from the cache are not among them."""
        return self.usage.calls

    @property
    def total_tokens(self) -> int:
        """Tokens in and out of these calls."""
        return self.usage.tokens

    @property
    def estimated_cost_usd(self) -> float | None:
        """US dollars, None where the model's price is unknown."""
        return self.usage.cost

    @property
    def metrics(self) -> dict[str, float]:
        """The figures under DSPydantic's names."""
        gain = self.optimized_score - self.baseline_score
        return {
            "average_score": self.optimized_score,
            "baseline_score": self.baseline_score,
            "improvement": gain,
            "improvement_percent": 100 * gain / self.baseline_score if self.baseline_score else 0.0,
            "training_size": self.training_size,
            "validation_size": self.validation_size,
            "test_size": self.test_size,
        }

    @property
    def summary(self) -> str:
        """The result in a few sentences."""
        rows = (
            "" if self.held_out else " These rows were also tuned on: give more examples for an honest score."
        )
        kept = (
            "" if self.kept else " The tuned prompt was worse on the rows held out, so the first one is kept."
        )
        cost = "" if self.usage.cost is None else f", {self.usage.cost:.4f} US dollars"
        took = f" It took {self.usage.calls:,} calls, {self.usage.tokens:,} tokens{cost}."
        return f"{self.verdict.sentence}{rows}{kept}{took}"


@dataclass(frozen=True, slots=True)
class ExtractionResult:
    """A record and how sure it is, from 0 to 1, as a whole and by field.

    `method` says where the number comes from ("agreement of 5 answers"), `calibrated_on` on how many labelled rows it was
    checked against what was right (0: it is the bare agreement). `evidence` is the place of each value, checked by code;
    one that was not found is `marked`.
    """

    data: Any
    confidence: float
    by_field: Mapping[str, float] = field(default_factory=dict)
    method: str = ""
    calibrated_on: int = 0
    raw_output: Any = None
    evidence: tuple[Evidence, ...] = ()
