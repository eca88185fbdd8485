"""GEPA: its options, under the names of DSPy and of the gepa package, and its class."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from engine.optimizers.base import Optimizer, Options
from engine.optimizers.gepa.rounds import Evolution
from engine.search.contract import Problem, Search

_PLACES = "<curr_param> <side_info>"


class GEPAOptions(Options):
    """Options of GEPA."""

    auto: Literal["light", "medium", "heavy"] | None = Field(
        "light", title="Effort", description="How many rows are run in all; a number below takes its place."
    )
    max_metric_calls: int | None = Field(
        None, ge=1, title="Rows run in all", description="Your own limit, in program runs."
    )
    max_full_evals: int | None = Field(
        None, ge=1, title="Full passes", description="The same limit, in passes over all rows."
    )
    reflection_minibatch_size: int = Field(
        3, ge=1, title="Rows a reflection", description="How many training rows a new wording is tried on."
    )
    candidate_selection_strategy: Literal["pareto", "current_best", "epsilon_greedy", "top_k_pareto"] = Field(
        "pareto",
        title="Next prompt to change",
        description="Pareto: any prompt that is the best on some row; current best: always the leader.",
    )
    epsilon: float = Field(
        0.1,
        ge=0,
        le=1,
        title="Share of chance",
        description="For epsilon_greedy: how often another prompt than the leader is changed.",
    )
    frontier_type: Literal["instance", "objective", "hybrid", "cartesian"] = Field(
        "instance",
        title="Basis of comparison",
        description="Rows; or what the metric judges by name (its objectives), both, or each of them on each row.",
    )
    top_k: int = Field(
        5, ge=1, title="Best few", description="For top_k_pareto: among how many of the best it chooses."
    )
    component_selector: Literal["round_robin", "all"] = Field(
        "round_robin", title="Texts to change", description="One text in turn, or all of them at once."
    )
    tune_fields: bool = Field(
        False,
        title="Descriptions of fields too",
        description="Rewrite the descriptions of the fields as well.",
    )
    acceptance_criterion: Literal["strict_improvement", "improvement_or_equal"] = Field(
        "strict_improvement",
        title="When a change is taken on",
        description="It must win its rows, or it may also tie.",
    )
    skip_perfect_score: bool = Field(
        True, title="Skip solved rows", description="Do not reflect where every row is right already."
    )
    perfect_score: float = Field(1.0, title="Perfect score", description="The score of a right row.")
    use_merge: bool = Field(
        True, title="Merge", description="Join two good candidates that changed different texts."
    )
    max_merge_invocations: int = Field(
        5, ge=0, title="Merges", description="At most this many merges are taken on."
    )
    merge_val_overlap_floor: int = Field(
        5, ge=1, title="Rows a merge", description="How many rows a merge is first judged on."
    )
    num_parallel_proposals: int = Field(
        8,
        ge=1,
        title="Proposals at once",
        description="More is faster; fewer lets each learn from the last. Left alone, rounds that bring nothing grow.",
    )
    num_parents: int | None = Field(
        None,
        ge=1,
        title="Parents a round",
        description="A round's proposals change this many different prompts; empty: each is drawn separately.",
    )
    validate_best: int | None = Field(
        2,
        ge=1,
        title="Full scores a round",
        description="Number of a round's accepted changes that are scored; empty: all of them.",
    )
    reflection_prompt_template: str | None = Field(
        None,
        title="Own words for the writer",
        description="The prompt of the model that rewrites; <curr_param> stands for the text, <side_info> for the runs.",
    )
    reflection_prompt_templates: dict[str, str] = Field(
        {},
        title="Own words for the writer, step by step",
        description="Step -> a template that replaces the one for all steps.",
    )
    max_candidate_proposals: int | None = Field(
        None, ge=1, title="Proposals in all", description="Stop after this many rewritten texts."
    )
    max_tracked_candidates: int | None = Field(
        None, ge=1, title="Prompts in all", description="Stop once this many prompts were scored in full."
    )
    score_threshold: float | None = Field(
        None,
        title="Good enough at",
        description="0 to 1: stop once a prompt scores this on all validation rows.",
    )
    patience: int = Field(
        12, ge=1, title="Rounds without a gain", description="Stop after this many rounds without a gain."
    )
    seed: int = Field(0, title="Seed", description="Another number draws other rows and parents.")

    @field_validator("acceptance_criterion", mode="before")
    @classmethod
    def _older_names(cls, value: Any) -> Any:
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
        own = [n for n in ("max_metric_calls", "max_full_evals") if getattr(self, n) is not None]
        if len(own) == 2 or (own and "auto" in self.model_fields_set and self.auto is not None):
            raise ValueError("give one of auto, max_metric_calls and max_full_evals")
        if not own and self.auto is None:
            raise ValueError("auto=None needs max_metric_calls or max_full_evals")
        return self


_AUTO = {"light": 6, "medium": 12, "heavy": 18}


class GEPA(Optimizer):
    """Rewrites instructions (and tool descriptions) in the light of runs and what the metric says about them.

    Calls: at most B rows x c calls a row, plus one for each reflection, which takes at least 2 b rows of B
    (b is the minibatch). B is `max_metric_calls`, or `max_full_evals` x (train + validation rows), or by
    `auto` V + 5 n + 35 T + F V with V validation rows, n = 6, 12 or 18, T = max(4 P log2 n, 1.5 n) for P
    steps and F = (T + 1) // 5 + 1. A budget in calls lowers B. Source: arXiv 2507.19457.

    A metric may say why in words (a Grade, or a Prediction with score and feedback); one that does not is
    answered for from the labels. Metrics written for DSPy's GEPA, with five arguments, work as they are. One that
    judges several things by name (`objective_scores`: outputs, criteria, parts of a sum) can have prompts compared
    on them (`frontier_type`). `engine.GEPA` also takes the options and objects of the gepa package; see
    `engine.compat.gepa`.

    >>> GEPA(auto="light").options.reflection_minibatch_size
    3
    """

    name = "GEPA"
    title = "Learn better wording from mistakes"
    options_model = GEPAOptions
    changes = "wording"

    options: GEPAOptions

    def search(self, problem: Problem) -> Search:
        """Score the starting prompt, then evolve in rounds until the rows are used up."""
        problem.rng.seed(f"{self.options.seed}:{problem.rng.getrandbits(64)}")
        return (yield from Evolution(self.options, problem, self._rows(problem)).search())

    def _rows(self, problem: Problem) -> int:
        """Return the program runs that the whole search may take by its options."""
        o, v = self.options, len(problem.validation)
        if o.max_metric_calls is not None:
            return o.max_metric_calls
        if o.max_full_evals is not None:
            return o.max_full_evals * (v + len(problem.train))
        return auto_rows(_AUTO[o.auto or "light"], len(problem.signatures), v)


def auto_rows(n: int, steps: int, validation: int) -> int:
    """Return DSPy's number of program runs for an effort of `n` candidates.

    >>> auto_rows(6, 1, 50), auto_rows(18, 5, 300)
    (580, 8395)
    """
    trials = int(max(4 * steps * math.log2(n), 1.5 * n))
    full = (trials + 1) // 5 + 1 + (trials < 5)
    return validation + 5 * n + 35 * trials + full * validation
