"""Options of Autotune."""

from __future__ import annotations

from typing import Literal

from engine.optimizers.base import Options, option

Part = Literal["rules", "examples", "nearest", "reasoning", "layout", "model", "runs", "readable"]
"""Parts of the method that an ablation can leave out."""


class AutotuneOptions(Options):
    """Options of Autotune."""

    max_calls: int | None = option(
        None,
        "Calls to plan for",
        "How many model calls the search plans with; empty: the budget, or a number that suits the data.",
        ge=1,
    )
    max_examples: int = option(
        16,
        "Examples shown",
        "At most this many solved or labelled rows are shown to a step at once; 0: none.",
        ge=0,
    )
    proposals: int = option(
        6, "Readers a round", "How many readers write rules for each step, side by side; 0: no rules.", ge=0
    )
    max_rounds: int = option(6, "Rounds", "At most this many rounds of writing rules and racing them.", ge=1)
    stop_early: bool = option(
        True, "Check for headroom", "Stop after the first round where nothing seems to help."
    )
    leave_out: tuple[Part, ...] = option(
        (), "Parts to leave out", "For experiments: parts of the method that are switched off."
    )
    seed: int = option(0, "Seed", "Another number draws other rows and combinations.")

    def uses(self, part: Part) -> bool:
        """Return whether a part of the method is in use."""
        return part not in self.leave_out
