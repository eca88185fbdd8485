"""GEPA: evolve instructions by reflecting on runs in words, with parents from the Pareto front.

Source: Agrawal et al. 2025, "GEPA: Reflective Prompt Evolution Can Outperform Reinforcement Learning",
arXiv 2507.19457. An implementation of our own: several proposals run at once, a reflection also sees what
other runs of the same parent have shown, nothing is run twice, and the budget is never passed.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from engine.optimizers.base import Optimizer, Options
from engine.optimizers.gepa_library import options_of
from engine.optimizers.gepa_limits import Limits
from engine.optimizers.gepa_options import GEPAOptions
from engine.optimizers.gepa_rounds import Evolution
from engine.search.contract import Problem, Search
from engine.search.settings import Settings

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
    on them (`frontier_type`). The options of the gepa package are understood under its names, and so are its own
    objects: `engine.optimizers.gepa_library` lists them, and says of the few that are refused why.

    >>> GEPA(auto="light").options.reflection_minibatch_size
    3
    """

    name: ClassVar[str] = "GEPA"
    title: ClassVar[str] = "Learn better wording from mistakes"
    options_model: ClassVar[type[Options]] = GEPAOptions
    changes: ClassVar[Literal["nothing", "examples", "wording", "both"]] = "wording"

    options: GEPAOptions

    def __init__(
        self,
        metric: Any = None,
        *,
        reflection_lm: Any = None,
        gepa_kwargs: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        arguments = options_of({**arguments, **(gepa_kwargs or {})})
        if arguments.get("auto", "") is None and any(arguments.get(n) for n in _LIMITS):
            del arguments["auto"]
        arguments.setdefault("prompt_model", reflection_lm)
        super().__init__(metric, **arguments)

    def settings(self, *arguments: Any, **named: Any) -> Settings:
        """Return the run's settings; a metric with DSPy's five arguments is called with the first two."""
        made = super().settings(*arguments, **named)
        return replace(made, metric=_of_two(made.metric))

    def search(self, problem: Problem) -> Search:
        """Score the starting prompt, then evolve in rounds until the rows are used up."""
        problem.rng.seed(f"{self.options.seed}:{problem.rng.getrandbits(64)}")
        return (yield from Evolution(self.options, problem, self._limits(problem)).rounds())

    def _limits(self, problem: Problem) -> Limits:
        """How many rows and calls the whole search may take."""
        o, v = self.options, len(problem.validation)
        if o.max_metric_calls is not None:
            rows = o.max_metric_calls
        elif o.max_full_evals is not None:
            rows = o.max_full_evals * (v + len(problem.train))
        else:
            rows = auto_rows(_AUTO[o.auto or "light"], len(problem.signatures), v)
        return Limits(rows, problem.allowance.calls, problem.calls_per_row, problem.calls_made)


def auto_rows(n: int, steps: int, validation: int) -> int:
    """Return DSPy's number of program runs for an effort of `n` candidates.

    >>> auto_rows(6, 1, 50), auto_rows(18, 5, 300)
    (580, 8395)
    """
    trials = int(max(4 * steps * math.log2(n), 1.5 * n))
    full = (trials + 1) // 5 + 1 + (trials < 5)
    return validation + 5 * n + 35 * trials + full * validation


def _of_two(metric: Any) -> Any:
    """The metric as a function of (example, prediction), where it is written for GEPA's five arguments."""
    try:
        parameters: Sequence[Any] = list(inspect.signature(metric).parameters.values())
    except (TypeError, ValueError):
        return metric
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) < 5:
        return metric

    def plain(example: Any, prediction: Any) -> Any:
        return metric(example, prediction, None, None, None)

    return plain


_LIMITS = ("max_metric_calls", "max_full_evals")
