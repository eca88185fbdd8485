"""GRPO: a model learns from its own tries, whose rewards are the program's own metric.

Source: Shao et al. 2024, "DeepSeekMath", arXiv 2402.03300; for programs of several steps Ziems et al. 2025, "Multi-module
GRPO", arXiv 2508.04660. Tries of one row and one step are compared with each other, so each step gets its own credit.
"""

from __future__ import annotations

from engine.optimizers.base import option
from engine.optimizers.shared.leaderboard import Leaderboard
from engine.optimizers.shared.training import (
    FROZEN,
    TrainingOptimizer,
    TrainOptions,
    closing,
    leak,
    trained_together,
)
from engine.search.contract import Problem, Search, Train
from engine.search.trainers import TrainSettings


class GRPOOptions(TrainOptions):
    """Options of GRPO."""

    rounds: int = option(20, "Rounds", "Training steps; each takes tries of some rows.", ge=1)
    batch_size: int = option(8, "Rows a round", "Rows that are tried in one round.", ge=1)
    group_size: int = option(8, "Tries a row", "Tries of one row that are compared with each other.", ge=2)


class GRPO(TrainingOptimizer):
    """Trains a model on rewards: it tries each row several times, and tries that score better than the others are reinforced.

    Calls: `rounds` x `batch_size` x `group_size` x calls a row, asked of the model in training, and V x c for the start and
    for each checkpoint (V validation rows, c calls a row). An answer that does not follow its step's format is penalised.
    The `local` trainer can do it. Source: arXiv 2402.03300, 2508.04660.

    >>> GRPO(rounds=5, group_size=4).train_settings().method
    'grpo'
    """

    name = "GRPO"
    title = "Train a model on rewards"
    about = "A model tries your rows many times and learns from its better tries."
    pace = "Takes long"
    options_model = GRPOOptions
    options: GRPOOptions

    def train_settings(self) -> TrainSettings:
        """Return the settings of its trainings."""
        return self.options.train_settings(method="grpo")

    def search(self, problem: Problem) -> Search:
        """Score the start, train on rollouts of the training rows, and keep the better of the two."""
        groups = self.groups(problem)
        if refusal := leak(problem) if groups else FROZEN:
            return refusal
        leaderboard = Leaderboard(problem)
        yield from leaderboard.validate([problem.seed], "starting prompt")
        if not leaderboard.open:
            return None
        student, settings = self.student(problem), self.train_settings()
        asks = [
            Train(student, steps, settings, rows=problem.train, label="reinforced model") for steps in groups
        ]
        return closing((yield from trained_together(leaderboard, student, asks)))
