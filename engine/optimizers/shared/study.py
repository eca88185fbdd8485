"""Samplers of option sets: Optuna's multivariate TPE, asked for several trials at once, and its stand-in.

They know option sets and their scores, and nothing of programs. Optuna is imported on use:
it costs a third of a second. Source of the sampler: Bergstra et al. 2011; Falkner et al. 2018 (multivariate).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from itertools import product
from typing import Any

from engine.basics.data import JsonObject

OptionSet = tuple[int, ...]
"""The option chosen for each variable."""


class Draws:
    """Option sets (one index for each variable) drawn at random; a part of the draw before is often repeated.

    That is what a sampler does, so that in an estimate the cache answers as much. `keeping` is the share of draws
    that repeat some: in a choice of many variables a sampler seldom does. `sizes` maps variable -> number of levels;
    variables of one level are fixed at 0. `start` (all zeros) counts as tried.
    """

    def __init__(self, sizes: Mapping[str, int], rng: random.Random, keeping: float = 1.0) -> None:
        self._sizes, self._rng, self._keeping = dict(sizes), rng, keeping
        self.start: OptionSet = (0,) * len(sizes)
        self._tried: set[OptionSet] = {self.start}

    def ask(self, n: int) -> list[OptionSet]:
        """Return up to `n` different option sets that are untried, fewer where there are no more."""
        wave: list[OptionSet] = []
        while len(wave) < n:
            option_set = self._suggestion(wave) or self._untried(wave)
            if option_set is None:
                break
            wave.append(option_set)
        self._tried.update(wave)
        return wave

    def tell(self, option_set: OptionSet, value: float) -> None:
        """Learn the score of an option set."""

    def _suggestion(self, wave: list[OptionSet]) -> OptionSet | None:
        """Return an untried option set worth trying, or None."""
        if self._keeping < 1 and self._rng.random() >= self._keeping:
            return None
        before = wave[-1] if wave else self.start
        unchanged = max(self._rng.randrange(len(self._sizes)) for _ in range(2)) if self._sizes else 0
        sizes = list(self._sizes.values())[unchanged:]
        drawn = (*before[:unchanged], *(self._rng.randrange(n) for n in sizes))
        return None if drawn in self._tried or drawn in wave else drawn

    def _untried(self, wave: list[OptionSet]) -> OptionSet | None:
        """Draw an untried option set; look through all of them only where there are few."""
        excluded = self._tried.union(wave)
        total = math.prod(self._sizes.values())
        if total > 10_000:
            while True:
                drawn = tuple(self._rng.randrange(n) for n in self._sizes.values())
                if drawn not in excluded:
                    return drawn
        rest = [c for c in product(*(range(n) for n in self._sizes.values())) if c not in excluded]
        return self._rng.choice(rest) if rest else None


class Study(Draws):
    """Option sets suggested by what was learned from scores so far; the start has `first_value`."""

    def __init__(
        self, sizes: Mapping[str, int], *, seed: int, first_value: float, rng: random.Random
    ) -> None:
        import optuna

        super().__init__(sizes, rng)
        # Its default handler writes to stderr, which belongs to the caller.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._distributions: JsonObject = {
            name: optuna.distributions.CategoricalDistribution(tuple(range(n)))
            for name, n in sizes.items()
            if n > 1
        }
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, constant_liar=True, n_startup_trials=_DRAWN
        )
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._open: dict[OptionSet, Any] = {}
        self.tell(self.start, first_value)

    def _suggestion(self, wave: list[OptionSet]) -> OptionSet | None:
        trial = self._study.ask(self._distributions)
        option_set = tuple(trial.params.get(name, 0) for name in self._sizes)
        if option_set in self._tried or option_set in wave:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            return None
        self._open[option_set] = trial
        return option_set

    def tell(self, option_set: OptionSet, value: float) -> None:
        """Learn the score of an option set, also of one that was not asked for."""
        trial = self._open.pop(option_set, None)
        if trial is not None:
            self._study.tell(trial, value)
        elif self._distributions:
            params = {n: i for n, i in zip(self._sizes, option_set, strict=True) if n in self._distributions}
            known_trial = self._optuna.trial.create_trial(
                params=params, distributions=self._distributions, value=value
            )
            self._study.add_trial(known_trial)


def make_study(
    sizes: Mapping[str, int], *, first_value: float, rng: random.Random, simulated: bool, keeping: float = 1.0
) -> Draws:
    """Return what suggests option sets: a study, or draws for a simulated search, which needs no Optuna."""
    seed = rng.randrange(2**31)
    return (
        Draws(sizes, rng, keeping) if simulated else Study(sizes, seed=seed, first_value=first_value, rng=rng)
    )


# Trials drawn at random before the model of what works is trusted. Optuna's ten would be all there are in a light search.
_DRAWN = 5
