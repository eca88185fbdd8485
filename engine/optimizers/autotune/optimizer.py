"""Autotune, this project's own optimizer: its options and its class."""

from __future__ import annotations

import random
from collections.abc import Sequence

from engine.optimizers.autotune.options import AutotuneOptions
from engine.optimizers.autotune.search import AutotuneSearch
from engine.optimizers.base import Optimizer
from engine.records import Example
from engine.search.contract import Problem, Search


class Autotune(Optimizer):
    """Checks whether there is anything to gain, writes rules, picks examples, and keeps what surely beats the start.

    A check scores the starting prompt, and labelled rows as examples, on some rows; readers write rules meanwhile.
    Rounds race option sets of rules, examples, reasoning and (where answers cannot be read) adapters on one shared
    row order, while the next rules are written. A factorial model of all scores picks the racers by Thompson sampling.
    Rows whose label their words speak against are shown to no model.
    Of rules that contradict each other the one is kept that labelled rows, runs that ended well, or most readers bear out.
    Before the finals the winner is raced without harmful rules and with its rules merged, and scored without retrieval.
    Finals settle between the best few and a much shorter one; of those that are as good the shortest wins. The start is kept unless it is beaten with a probability of 0.95 (0.8 for 10
    points or more where words predict the labels); differences are shrunk (Gelman, Hill, Yajima 2012, arXiv 0907.2478).

    Calls, for B planned calls (the budget's, or 250 c + 4 V c with c calls a row and V <= 100 validation rows): at most
    0.15 B until it is known that there is nothing to gain (8 rows a candidate are the least; 0.25 B where rules written
    from runs are still to be raced: the search does not end before), 6 a step and round for
    rules, 8 to 24 rows for each of 2 to 5 option sets a round, and at most B in all.

    `tests/benchmarks/README.md` shows what each part gains. Sources: arXiv 2510.04618, 2606.30840, 2405.17202, 2504.16005, 2402.09723, 2604.14585, 2101.06804 (nearest rows as
    examples). The option set is this project's.

    >>> Autotune(seed=3).options.max_examples
    16
    """

    name = "Autotune"
    title = "Write rules from mistakes and prove them"
    about = "Writes rules from what went wrong, shows solved rows, and stops when nothing is to be gained."
    pace = "Thorough"
    options_model = AutotuneOptions
    changes = "both"
    options: AutotuneOptions

    @property
    def retrieves(self) -> bool:
        """True unless examples are left out."""
        left_out = self.options.leave_out
        return self.options.max_examples > 0 and "examples" not in left_out and "nearest" not in left_out

    def search(self, problem: Problem) -> Search:
        """Check, race in rounds, settle."""
        rng = random.Random(f"{self.options.seed}:{problem.rng.getrandbits(64)}")
        return (yield from AutotuneSearch(problem, self.options, rng).run())

    def split(self, trainset: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
        """Return half of the rows to learn from and half to choose with; few rows do both."""
        if len(trainset) < 20:
            return trainset, trainset
        order = list(trainset)
        random.Random(self.options.seed).shuffle(order)
        return order[: len(order) // 2], order[len(order) // 2 :]
