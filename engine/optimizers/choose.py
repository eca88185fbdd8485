"""Advice on the optimizer for a task, by rows, metric, steps and budget, with the reason in one sentence.

A rule of thumb; it knows names and numbers and runs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from engine.basics.text import counted
from engine.metrics.base import Metric
from engine.search.budget import Budget

PASSES = {"Quick": 2, "Balanced": 8.5, "Thorough": 24}
"""Plan -> how many times its search can go over all rows to choose by."""


def plans(validation: int, test: int, calls_a_row: int = 1) -> dict[str, int]:
    """Return the budget of each plan in calls: the start on the rows to choose by, the search, the final test of three prompts.

    `validation` and `test` are numbers of rows. In whole fifties, so that the same task keeps its plans when a row more
    or less is found.

    >>> plans(75, 74)
    {'Quick': 450, 'Balanced': 950, 'Thorough': 2100}
    """
    base = validation + 3 * test
    calls = {name: calls_a_row * (base + passes * validation) for name, passes in PASSES.items()}
    return {name: 50 * math.ceil(number / 50) for name, number in calls.items()}


# Calls below which writing and comparing wordings leaves no room for a score that means something.
_SMALL_BUDGET = 150


def choose_optimizer(
    rows: int,
    metric: object = None,
    steps: int = 1,
    budget: Budget | int | None = None,
    available: Collection[str] | None = None,
) -> tuple[str, str]:
    """Return an optimizer's name and why it is advised, in one sentence.

    `rows` are the labelled rows to train and validate on, `steps` the program's calls a row. `available`
    are the names there are (None: all). A budget in calls counts where it is given.

    >>> choose_optimizer(2)[0], choose_optimizer(12)[0], choose_optimizer(60)[0]
    ('BayesianSignatureOptimizer', 'BootstrapFewShot', 'BootstrapFewShotWithRandomSearch')
    """
    calls = Budget.of(budget).calls
    explains = isinstance(metric, Metric) or (isinstance(metric, type) and issubclass(metric, Metric))
    one_pass = max(1, rows) * max(1, steps)
    row_count = counted(rows, "row")
    few = f"A budget of {calls:,} calls" if calls is not None else ""
    wanted: list[tuple[str, str]] = []
    if rows <= 0:
        wanted = [("LabeledFewShot", "There are no rows yet, and this one works from the first row on.")]
    elif rows <= 2:
        why = f"{row_count} cannot be spared as examples, so only the wording is tuned."
        wanted = [("BayesianSignatureOptimizer", why), ("MIPROv2", why)]
    elif calls is not None and calls < 2 * one_pass:
        why = f"{few} does not cover scoring {row_count} twice, so examples are shown without a search."
        wanted = [("LabeledFewShot", why)]
    elif rows < 20:
        why = f"{row_count} are too few to compare many prompts on, so rows that the model solves are shown as examples."
        wanted = [("BootstrapFewShot", why)]
    else:
        if explains and (calls is None or calls >= _SMALL_BUDGET):
            why = (
                "The metric says what was wrong: this one learns from every wrong row, and stops when nothing is to be "
                "gained."
            )
            wanted.append(("Autotune", why))
        if calls is not None and calls < 8 * one_pass:
            why = f"{few} is too small to compare many prompts on {row_count}, so solved rows are shown."
            wanted.append(("BootstrapFewShot", why))
        why = (
            f"With {row_count}, sets of solved examples can be compared, which gains most for the least risk."
        )
        wanted.append(("BootstrapFewShotWithRandomSearch", why))
    return next((found for found in wanted if available is None or found[0] in available), wanted[-1])
