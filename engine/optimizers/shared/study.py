"""MIPROv2's sampler: Optuna's multivariate TPE over combinations, asked for several trials at once.

It knows combinations of indices and their scores, and nothing of programs. Optuna is imported on use:
it costs a third of a second. Source of the sampler: Bergstra et al. 2011; Falkner et al. 2018 (multivariate).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from itertools import product
from typing import Any


class RandomDraws:
    """Suggests combinations (one index for each variable) at random, new ones first.

    `sizes` maps variable -> number of levels; variables of one level are fixed at 0. `start` (all zeros) counts
    as tried.
    """

    def __init__(self, sizes: Mapping[str, int], rng: random.Random) -> None:
        self._sizes = dict(sizes)
        self._rng = rng
        self.start: tuple[int, ...] = (0,) * len(sizes)
        self._tried: set[tuple[int, ...]] = {self.start}

    def ask(self, n: int) -> list[tuple[int, ...]]:
        """Return up to `n` different combinations that are untried, fewer where there are no more."""
        wave: list[tuple[int, ...]] = []
        while len(wave) < n:
            combination = self._suggestion(wave) or self._untried(wave)
            if combination is None:
                break
            wave.append(combination)
        self._tried.update(wave)
        return wave

    def tell(self, combination: tuple[int, ...], value: float) -> None:
        """Learn the score of a combination that `ask` returned."""

    def add(self, combination: tuple[int, ...], value: float) -> None:
        """Learn a score from elsewhere."""

    def _suggestion(self, wave: list[tuple[int, ...]]) -> tuple[int, ...] | None:  # noqa: ARG002 - for a sampler
        """Return the sampler's untried combination, if it has one."""
        return None

    def _untried(self, wave: list[tuple[int, ...]]) -> tuple[int, ...] | None:
        """Draw an untried combination; look through all of them only where there are few."""
        taken = self._tried.union(wave)
        total = math.prod(self._sizes.values())
        if total > 10_000:
            while True:
                drawn = tuple(self._rng.randrange(n) for n in self._sizes.values())
                if drawn not in taken:
                    return drawn
        rest = [c for c in product(*(range(n) for n in self._sizes.values())) if c not in taken]
        return self._rng.choice(rest) if rest else None


class SimulatedDraws(RandomDraws):
    """Draws for an estimate that repeat parts of the draw before, as a sampler's do, so that the cache answers them.

    `share` of them do, since in a choice of many variables a sampler seldom repeats.
    """

    def __init__(self, sizes: Mapping[str, int], rng: random.Random, share: float = 1.0) -> None:
        super().__init__(sizes, rng)
        self._share = share

    def _suggestion(self, wave: list[tuple[int, ...]]) -> tuple[int, ...] | None:
        if self._share < 1 and self._rng.random() >= self._share:
            return None
        before = wave[-1] if wave else self.start
        kept = max(self._rng.randrange(len(self._sizes)) for _ in range(2)) if self._sizes else 0
        sizes = list(self._sizes.values())[kept:]
        drawn = (*before[:kept], *(self._rng.randrange(n) for n in sizes))
        return None if drawn in self._tried or drawn in wave else drawn


class Study(RandomDraws):
    """Suggests combinations by what it learned from scores so far; the start has `first_value`."""

    def __init__(
        self, sizes: Mapping[str, int], *, seed: int, first_value: float, rng: random.Random
    ) -> None:
        import optuna

        super().__init__(sizes, rng)
        # Its default handler writes to stderr, which belongs to the caller.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._distributions: dict[str, Any] = {
            name: optuna.distributions.CategoricalDistribution(tuple(range(n)))
            for name, n in sizes.items()
            if n > 1
        }
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, constant_liar=True, n_startup_trials=_DRAWN
        )
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._open: dict[tuple[int, ...], Any] = {}
        self.add(self.start, first_value)

    def _suggestion(self, wave: list[tuple[int, ...]]) -> tuple[int, ...] | None:
        trial = self._study.ask(self._distributions)
        combination = tuple(trial.params.get(name, 0) for name in self._sizes)
        if combination in self._tried or combination in wave:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            return None
        self._open[combination] = trial
        return combination

    def tell(self, combination: tuple[int, ...], value: float) -> None:
        """Learn the score of a combination that `ask` returned."""
        trial = self._open.pop(combination, None)
        if trial is None:
            self.add(combination, value)
        else:
            self._study.tell(trial, value)

    def add(self, combination: tuple[int, ...], value: float) -> None:
        """Learn a score from elsewhere."""
        if not self._distributions:
            return
        params = {n: i for n, i in zip(self._sizes, combination, strict=True) if n in self._distributions}
        trial = self._optuna.trial.create_trial(params=params, distributions=self._distributions, value=value)
        self._study.add_trial(trial)


def make_study(
    sizes: Mapping[str, int],
    *,
    seed: int,
    first_value: float,
    rng: random.Random,
    simulated: bool,
    keeping: float = 1.0,
) -> RandomDraws:
    """Return what suggests combinations: a study, or draws for a simulated search, which needs no Optuna.

    `keeping` is the share of those draws that keep some of the one before.
    """
    if simulated:
        return SimulatedDraws(sizes, rng, keeping)
    return Study(sizes, seed=seed, first_value=first_value, rng=rng)


# Trials drawn at random before the model of what works is trusted. Optuna's ten would be all there are in a light search.
_DRAWN = 5
