"""Options of MIPROv2."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from engine.optimizers.base import Options, option
from engine.optimizers.few_shot import (
    MAX_ERRORS,
    METRIC_THRESHOLD,
)


class MIPROv2Options(Options):
    """Options of MIPROv2."""

    auto: Literal["light", "medium", "heavy"] | None = option(
        "light", "Effort", "How much is tried; empty: set candidates and trials yourself."
    )
    num_candidates: int | None = option(
        None, "Candidates", "Instructions and example sets tried for each step.", ge=1
    )
    num_trials: int | None = option(None, "Trials", "Combinations that are scored.", ge=1)
    max_bootstrapped_demos: int = option(
        4, "Solved examples", "At most this many rows the model solved are shown.", ge=0
    )
    max_labeled_demos: int = option(
        4,
        "Examples in all",
        "Labelled rows fill the examples up to this many; with both at 0 only wording is tuned.",
        ge=0,
    )
    seed: int = option(9, "Seed", "Another number draws other rows and combinations.")
    init_temperature: float = option(
        1.0, "Boldness of proposals", "Temperature the instructions are written at.", ge=0, le=2
    )
    metric_threshold: float | None = METRIC_THRESHOLD
    max_errors: int | None = MAX_ERRORS
    minibatch: bool = option(
        True, "Try on a few rows first", "Score trials on some validation rows, the best on all."
    )
    minibatch_size: int = option(35, "Rows a trial", "How many rows a first try takes.", ge=1)
    minibatch_full_eval_steps: int = option(
        5, "Trials between full scores", "After this many trials the best is scored in full.", ge=1
    )
    program_aware_proposer: bool = option(
        True, "Proposals see the program", "Show the prompt model the program's steps."
    )
    data_aware_proposer: bool = option(
        True, "Proposals see notes on the data", "Let the prompt model take notes on the data first."
    )
    view_data_batch_size: int | None = option(
        None,
        "Rows a reader",
        "Rows shown at once when notes are taken on the data; empty: ten readers see every row twice.",
        ge=1,
    )
    tip_aware_proposer: bool = option(True, "Vary the advice", "Give each proposal another piece of advice.")
    fewshot_aware_proposer: bool = option(
        True, "Proposals see examples", "Show the prompt model labelled and solved rows."
    )
    tune_reasoning: bool = option(
        False,
        "Reason first or not",
        "Also try each step with reasoning before its answer, or without where it has it now.",
    )

    @model_validator(mode="after")
    def _effort(self) -> Self:
        given = self.num_candidates is not None, self.num_trials is not None
        if self.auto is not None and any(given):
            raise ValueError("num_candidates and num_trials need auto=None")
        if self.auto is None and self.num_candidates is None:
            raise ValueError("auto=None needs num_candidates")
        return self

    @property
    def zero_shot(self) -> bool:
        """Return whether only wording is tuned."""
        return not self.max_bootstrapped_demos and not self.max_labeled_demos
