"""BayesianSignatureOptimizer: MIPROv2 that tunes wording alone, under its older name.

Source: Opsahl-Ong et al. 2024, arXiv 2406.11695. See `mipro` for the search.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from engine.optimizers.base import Options
from engine.optimizers.mipro import MIPROv2
from engine.optimizers.mipro_plan import MIPROv2Options


class BayesianSignatureOptions(MIPROv2Options):
    """Options of BayesianSignatureOptimizer: MIPROv2's, with no examples by default."""

    max_bootstrapped_demos: int = Field(
        0, ge=0, title="Solved examples", description="0: only the wording is tuned."
    )
    max_labeled_demos: int = Field(
        0, ge=0, title="Examples in all", description="0: only the wording is tuned."
    )


class BayesianSignatureOptimizer(MIPROv2):
    """Proposes instructions from the data and searches them; examples stay as they are.

    Calls: MIPROv2's without examples: (1 + T/5) V c + T M c at most for trials and P (n - 1) + 10 for
    proposals, with T = max(2 P log2 n, 1.5 n), and with several steps at most train rows x c for runs to
    learn from. `n` is DSPy's old name of `num_candidates`. Source: arXiv 2406.11695.

    >>> BayesianSignatureOptimizer(n=10).options.num_candidates
    10
    """

    name: ClassVar[str] = "BayesianSignatureOptimizer"
    title: ClassVar[str] = "Tune the wording alone"
    options_model: ClassVar[type[Options]] = BayesianSignatureOptions
    changes: ClassVar[Literal["nothing", "examples", "wording", "both"]] = "wording"

    def __init__(self, metric: Any = None, *, n: int | None = None, **arguments: Any) -> None:
        if n is not None:
            arguments = {**arguments, "auto": None, "num_candidates": n}
        super().__init__(metric, **arguments)
