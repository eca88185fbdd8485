"""Results of reading and of tuning, as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.compat.prompter.program import TunedPrompts
from engine.dataset.documents.evidence import Evidence
from engine.records import Candidate, Usage
from engine.search.result import Verdict

Phase = Literal["baseline", "fields", "skipped", "system_prompt", "instruction_prompt", "complete"]


@dataclass(frozen=True, slots=True)
class FieldScore:
    """Mean score of one field on the rows held out, and its errors after tuning."""

    before: float | None
    """Score of the first prompt, None if no row has the field."""
    after: float | None
    """Score of the prompt in use."""
    wrong: int = 0
    """Wrong values after tuning; counted, like the next two, where code compares them."""
    missing: int = 0
    """Missing values after tuning."""
    invented: int = 0
    """Values that the label does not have."""


@dataclass(frozen=True, slots=True)
class FieldOptimizationProgress:
    """A step of an optimization, for `on_progress`."""

    phase: Phase
    """The part that changed."""
    score_before: float | None = None
    """Best score before the step, if known."""
    score_after: float | None = None
    """Score after it, if known."""
    improved: bool = False
    """True if the score rose."""
    total_fields: int = 0
    """Number of descriptions that changed in this step."""
    field_path: str | None = None
    """Path of the field that changed."""
    field_index: int | None = None
    """Its place among the changed ones, from 0."""
    elapsed_seconds: float = 0.0
    """Seconds since the start."""
    optimized_value: str | None = None
    """The new text."""


@dataclass(frozen=True)
class OptimizationResult(TunedPrompts):
    """The result of an optimization: scores on the rows held out, the tuned texts and demos, and the usage."""

    baseline_score: float
    """Mean score of the first prompt, 0 to 1, on rows on which nothing was chosen."""
    optimized_score: float
    """Mean score of the prompt in use on the same rows."""
    verdict: Verdict
    """The comparison of both row by row, with a 95 % interval, and its sentence."""
    kept: bool
    """False if the tuned prompt was worse on the rows held out and the first one stays in use."""
    field_scores: Mapping[str, FieldScore]
    """Scores by the path of a field."""
    candidate: Candidate
    """Everything in use, for `Prompter.from_optimization_result`."""
    usage: Usage
    """Calls, tokens and cost that the optimization itself paid for."""
    seconds: float
    """Duration."""
    optimizer: str
    """The optimizer's name."""
    advice: str = ""
    """The reason for that optimizer, if it was chosen by the number of rows."""
    reason: str = ""
    """The reason why the search ended."""
    left_out: Sequence[str] = ()
    """Unusable rows, each with its reason."""
    training_size: int = 0
    """Rows to learn from."""
    validation_size: int = 0
    """Rows to choose by."""
    test_size: int = 0
    """Rows that were scored at the end."""
    held_out: bool = True
    """False if there were too few rows to hold some out: the scored rows were also tuned on."""
    seed: Candidate = field(default_factory=lambda: Candidate({}))
    """The first prompt."""

    def _tuned(self) -> Candidate:
        return self.candidate

    @property
    def api_calls(self) -> int:
        """Paid calls; answers from the cache are not among them."""
        return self.usage.calls

    @property
    def total_tokens(self) -> int:
        """Tokens in and out of these calls."""
        return self.usage.tokens

    @property
    def estimated_cost_usd(self) -> float | None:
        """US dollars, None if the model's price is unknown."""
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
        cost = "" if self.usage.cost is None else f", {self.usage.cost:.4f} US dollars"
        sentences = [
            self.verdict.sentence,
            "" if self.held_out else "These rows were also tuned on: give more examples for an honest score.",
            "" if self.kept else "The tuned prompt was worse on the rows held out, so the first one is kept.",
            f"It took {self.usage.calls:,} calls, {self.usage.tokens:,} tokens{cost}.",
        ]
        return " ".join(filter(None, sentences))


@dataclass(frozen=True, slots=True)
class ExtractionResult:
    """A record and its confidence."""

    data: Any
    """The record."""
    confidence: float
    """Confidence in the whole record, 0 to 1."""
    by_field: Mapping[str, float] = field(default_factory=dict)
    """Confidence by the path of a value."""
    method: str = ""
    """Source of the number, as in "agreement of 5 answers"."""
    calibrated_on: int = 0
    """Number of labelled rows it was calibrated on; 0 for the bare agreement."""
    raw_output: object = None
    """The answer before it became a record."""
    evidence: tuple[Evidence, ...] = ()
    """Place of each value in the document, checked by code; a value without one is `marked`."""
