"""GEPA: its options, under the names of DSPy and of the gepa package."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import field_validator, model_validator

from engine.errors import ConfigurationError
from engine.optimizers.base import TUNE_FIELDS, Optimizer, Options, option
from engine.optimizers.gepa.results import GEPAResults
from engine.optimizers.gepa.search import Evolution
from engine.search.contract import Problem, Search

if TYPE_CHECKING:
    from engine.modules.module import Module
    from engine.search.settings import SearchResult

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
        own = [n for n in ("max_metric_calls", "max_full_evals") if getattr(self, n) is not None]
        if len(own) == 2 or (own and "auto" in self.model_fields_set and self.auto is not None):
            raise ValueError("give one of auto, max_metric_calls and max_full_evals")
        if not own and self.auto is None:
            raise ValueError("auto=None needs max_metric_calls or max_full_evals")
        return self


_AUTO = {"light": 6, "medium": 12, "heavy": 18}


class GEPA(Optimizer):
    """Rewrites instructions (and tool descriptions) in the light of runs and what the metric says about them.

    Calls: at most B rows x c calls a row, plus one for each reflection, which takes at least two minibatches of B. B is
    `max_metric_calls`, or `max_full_evals` x (train + validation rows), or by `auto` V + 5 n + 35 T + F V with V
    validation rows, n = 6, 12 or 18, T = max(4 P log2 n, 1.5 n) for P steps and F = (T + 1) // 5 + 1. A budget in calls
    lowers B. Source: arXiv 2507.19457.

    A metric may say why in words (a Grade, or a Prediction with score and feedback); one that does not is answered for
    from the labels. Metrics written for DSPy's GEPA work as they are. One that judges several things by name
    (`objective_scores`) can have prompts compared on them. `engine.GEPA` also takes the gepa package's options; see
    `engine.compat.arguments`. Two may be functions of your own, plain or async; models that they ask count against the
    budget. `instruction_proposer(candidate, reflective_dataset, components_to_update)` returns component -> text.
    `component_selector(state, trajectories, subsample_scores, candidate_idx, candidate)` returns the components to
    change. A component is a step's path (its instructions), or "path.name" (the description of a tool or a field).

    >>> GEPA(auto="light").options.reflection_minibatch_size
    3
    """

    name = "GEPA"
    title = "Learn better wording from mistakes"
    about = "Reads what went wrong, row by row, and rewrites the instruction to fix it."
    pace = "Thorough"
    options_model = GEPAOptions
    changes = "wording"
    kept = (*Optimizer.kept, "instruction_proposer", "component_selector")
    options: GEPAOptions

    def __init__(
        self,
        metric: Any = None,
        *,
        instruction_proposer: Callable[..., Any] | None = None,
        component_selector: Any = None,
        **arguments: Any,
    ) -> None:
        if instruction_proposer is not None and not callable(instruction_proposer):
            raise ConfigurationError(
                "GEPA: an instruction_proposer is a function (candidate, reflective_dataset, components_to_update) -> "
                f"component -> text, not {instruction_proposer!r}."
            )
        self.instruction_proposer = instruction_proposer
        self.component_selector = component_selector if callable(component_selector) else None
        if component_selector is not None and self.component_selector is None:
            arguments["component_selector"] = component_selector
        super().__init__(metric, **arguments)

    def search(self, problem: Problem) -> Search:
        """Score the starting prompt, then evolve in rounds until the rows are used up."""
        problem.rng.seed(f"{self.options.seed}:{problem.rng.getrandbits(64)}")
        own = self.instruction_proposer, self.component_selector
        return (yield from Evolution(self.options, problem, self._rows(problem), *own).search())

    def details(self, student: Module, result: SearchResult) -> dict[str, Any]:
        """Return the statistics of every search, and `detailed_results`."""
        found = super().details(student, result)
        return {**found, "detailed_results": GEPAResults(student, result, self.options.seed)}

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
