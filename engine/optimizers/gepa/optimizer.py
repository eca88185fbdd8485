"""GEPA: its options, under the names of DSPy and of the gepa package."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from engine.errors import ConfigurationError
from engine.optimizers.base import Optimizer
from engine.optimizers.gepa.options import GEPAOptions
from engine.optimizers.gepa.search import Evolution
from engine.search.contract import Problem, Search

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
        metric: object = None,
        *,
        instruction_proposer: Callable[..., object] | None = None,
        component_selector: object = None,
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
        functions = self.instruction_proposer, self.component_selector
        return (yield from Evolution(self.options, problem, self._rows(problem), *functions).search())

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
