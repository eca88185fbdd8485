"""Options of GEPA."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from engine.optimizers.base import TUNE_FIELDS, Options, option

_PLACES = "<curr_param> <side_info>"


class GEPAOptions(Options):
    """Options of GEPA."""

    auto: Literal["light", "medium", "heavy"] | None = option(
        "light", "Effort", "How many rows are run in all; a number below takes its place."
    )
    max_metric_calls: int | None = option(None, "Rows run in all", "Your own limit, in program runs.", ge=1)
    max_full_evals: int | None = option(None, "Full passes", "The same limit, in passes over all rows.", ge=1)
    reflection_minibatch_size: int = option(
        3, "Rows a reflection", "How many training rows a new wording is tried on.", ge=1
    )
    candidate_selection_strategy: Literal["pareto", "current_best", "epsilon_greedy", "top_k_pareto"] = (
        option(
            "pareto",
            "Next prompt to change",
            "Pareto: any prompt that is the best on some row; current best: always the leader.",
        )
    )
    epsilon: float = option(
        0.1,
        "Share of chance",
        "For epsilon_greedy: how often another prompt than the leader is changed.",
        ge=0,
        le=1,
    )
    frontier_type: Literal["instance", "objective", "hybrid", "cartesian"] = option(
        "instance",
        "Basis of comparison",
        "Rows; or what the metric judges by name (its objectives), both, or each of them on each row.",
    )
    top_k: int = option(5, "Best few", "For top_k_pareto: among how many of the best it chooses.", ge=1)
    component_selector: Literal["round_robin", "all"] = option(
        "round_robin", "Texts to change", "One text in turn, or all of them at once."
    )
    tune_fields: bool = TUNE_FIELDS
    acceptance_criterion: Literal["strict_improvement", "improvement_or_equal"] = option(
        "strict_improvement", "When a change is taken on", "It must win its rows, or it may also tie."
    )
    skip_perfect_score: bool = option(
        True, "Skip solved rows", "Do not reflect where every row is right already."
    )
    perfect_score: float = option(1.0, "Perfect score", "The score of a right row.")
    use_merge: bool = option(True, "Merge", "Join two good candidates that changed different texts.")
    max_merge_invocations: int = option(5, "Merges", "At most this many merges are taken on.", ge=0)
    merge_val_overlap_floor: int = option(
        5, "Rows a merge", "How many rows a merge is first judged on.", ge=1
    )
    num_parallel_proposals: int = option(
        8,
        "Proposals at once",
        "More is faster; fewer lets each learn from the last. Left alone, it grows with several steps and after rounds that bring nothing.",
        ge=1,
    )
    num_parents: int | None = option(
        None,
        "Parents a round",
        "A round's proposals change this many different prompts; empty: each is drawn separately.",
        ge=1,
    )
    validate_best: int | None = option(
        2,
        "Full scores a round",
        "Number of a round's accepted changes that are scored; empty: all of them. Left alone, it grows with several steps.",
        ge=1,
    )
    reflection_prompt_template: str | None = option(
        None,
        "Own words for the writer",
        "The prompt of the model that rewrites; <curr_param> is replaced by the text, <side_info> by the runs.",
    )
    reflection_prompt_templates: dict[str, str] = option(
        {},
        "Own words for the writer, step by step",
        "Step -> a template that replaces the one for all steps.",
    )
    max_candidate_proposals: int | None = option(
        None, "Proposals in all", "Stop after this many rewritten texts.", ge=1
    )
    max_tracked_candidates: int | None = option(
        None, "Prompts in all", "Stop once this many prompts were scored in full.", ge=1
    )
    score_threshold: float | None = option(
        None, "Good enough at", "0 to 1: stop once a prompt scores this on all validation rows."
    )
    patience: int = option(12, "Rounds without a gain", "Stop after this many rounds without a gain.", ge=1)
    seed: int = option(0, "Seed", "Another number draws other rows and parents.")

    @field_validator("acceptance_criterion", mode="before")
    @classmethod
    def _older_names(cls, value: Any) -> object:
        return {"strict": "strict_improvement", "or_equal": "improvement_or_equal"}.get(value, value)

    @field_validator("reflection_prompt_template", "reflection_prompt_templates")
    @classmethod
    def _has_places(cls, value: Any) -> Any:
        for text in value.values() if isinstance(value, dict) else [value or _PLACES]:
            if not all(place in text for place in _PLACES.split()):
                raise ValueError("the template needs both <curr_param> and <side_info>")
        return value

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        limits = [n for n in ("max_metric_calls", "max_full_evals") if getattr(self, n) is not None]
        if len(limits) == 2 or (limits and "auto" in self.model_fields_set and self.auto is not None):
            raise ValueError("give one of auto, max_metric_calls and max_full_evals")
        if not limits and self.auto is None:
            raise ValueError("auto=None needs max_metric_calls or max_full_evals")
        return self
