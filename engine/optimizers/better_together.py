"""BetterTogether: one optimizer after another, each starting where the one before ended.

Source: Soylu et al. 2024, "Fine-Tuning and Prompt Optimization: Two Great Steps that Work Better Together",
arXiv 2407.10930. "w" in a chain is BootstrapFinetune, which trains on what the program tuned so far answers rightly.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Self

from pydantic import model_validator

from engine.basics.data import Values
from engine.errors import ConfigurationError
from engine.modules.module import Module
from engine.optimizers.base import Optimizer, Options, as_examples, check_programs, option
from engine.optimizers.shared.leaderboard import Leaderboard
from engine.parts import OPTIMIZERS, load
from engine.records import Candidate, Example
from engine.search.budget import Budget
from engine.search.contract import Ask, Keep, Problem, Propose, Score, Search, Steps, relay, together
from engine.search.judging.objective import Objective
from engine.search.settings import Settings

_SHORT_NAMES = {"p": "BootstrapFewShotWithRandomSearch", "w": "BootstrapFinetune", "MIPRO": "MIPROv2"}
"""Names of optimizers in a chain, as in DSPy."""

_STEP = re.compile(r"\s*->\s*")


class BetterTogetherOptions(Options):
    """Options of BetterTogether."""

    strategy: str = option(
        "MIPROv2 -> BootstrapFewShotWithRandomSearch",
        "Chain",
        "Names of optimizers with -> between them; | between two runs both and goes on with the better.",
    )
    shuffle_trainset_between_steps: bool = option(
        True, "Shuffle rows between steps", "Each step sees the training rows in another order."
    )
    valset_ratio: float = option(
        0.1,
        "Share that validates",
        "Only where no validation rows are given: this share of the training rows.",
        ge=0,
        lt=1,
    )
    seed: int = option(0, "Seed", "Another number draws other rows.")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if not all(name for step in chain_of(self.strategy) for name in step):
            raise ValueError(
                "write names of optimizers with -> between them, for example 'COPRO -> BootstrapFewShot'"
            )
        return self


class BetterTogether(Optimizer):
    """Runs a chain of optimizers; each starts from the result before, and the best result on validation rows wins.

    Calls: the sum of the chain's, plus V x c for the start and for each step's result that its own search did
    not score in full (V validation rows, c calls a row). A budget in calls is shared out step by step.
    `BetterTogether(metric, p=COPRO(metric), q=GEPA(metric), strategy="p -> q")` names its own;
    `optimizer_compile_args={"p": {"depth": 2}}` overrides options of single ones, their models, teacher and trainset:
    `"p -> w -> p"` trains weights between two searches of prompts, with `{"w": {"base_model": "..."}}`. Each is asked with
    its own prompt model and teacher, or the chain's; the metric and the models that answer are the chain's.
    Source: arXiv 2407.10930.

    >>> BetterTogether(strategy="COPRO -> BootstrapFewShot").options.strategy
    'COPRO -> BootstrapFewShot'
    """

    name = "BetterTogether"
    title = "Run one optimizer after another"
    about = "Each optimizer of the chain starts from the last one's result."
    pace = "Most thorough"
    options_model = BetterTogetherOptions
    changes = "both"
    kept = tuple(name for name in Optimizer.kept if name != "trainers")
    options: BetterTogetherOptions

    def __init__(
        self,
        metric: Any = None,
        *,
        optimizer_compile_args: Mapping[str, Values] | None = None,
        **arguments: Any,
    ) -> None:
        self.optimizers = {n: o for n, o in arguments.items() if isinstance(o, Optimizer)}
        self._changes = optimizer_compile_args or {}
        if self.optimizers and "strategy" not in arguments:
            arguments["strategy"] = " -> ".join(self.optimizers)
        super().__init__(metric, **{n: a for n, a in arguments.items() if n not in self.optimizers})
        self._chain = chain_of(self.options.strategy)
        self._parts = {name: self._part(name) for step in self._chain for name in step}
        for name in self._changes.keys() - self._parts.keys():
            self._optimizer(name)  # one that the chain leaves out must exist
        self.trainers = tuple(t for part in self._parts.values() for t in part.trainers)

    def check(self, settings: Settings) -> list[str]:
        """Return the warnings of the chain's optimizers. Raises ConfigurationError for a set-up that cannot work."""
        for name, part in self._parts.items():
            fits = {
                "task_model": part.task_model in (None, settings.lm),
                "models": {lm.model for lm in part.models} <= settings.models.keys(),
                "objective": part.objective in (Objective(), settings.objective),
            }
            _refuse([given for given, right in fits.items() if not right], name, "BetterTogether")
            if part.metric not in (None, self.metric):
                _log.warning("BetterTogether scores by its own metric: that of %r changes nothing.", name)
        return list(
            dict.fromkeys(w for name, part in self._parts.items() for w in part.check(settings.part(name)))
        )

    def settings(
        self,
        student: Module,
        trainset: Sequence[Example],
        valset: Sequence[Example] | None = None,
        teacher: Module | None = None,
        budget: Budget | int | None = None,
    ) -> Settings:
        """Return the run's settings, and those of each part that has models, a teacher or rows to itself."""
        whole = super().settings(student, trainset, valset, teacher, budget)
        rows, parts = dict(whole.rows), {}
        for name, part in self._parts.items():
            changes = self._changes.get(name, {})
            examples = as_examples(changes.get("trainset", ()), student)
            ids = tuple(range(len(rows), len(rows) + len(examples)))
            rows.update(zip(ids, examples, strict=True))
            given = {
                "prompt_lm": part.prompt_model,
                "teacher": part.one_teacher(changes.get("teacher")),
                "teacher_lm": part.teacher_settings.get("lm"),
                "teacher_adapter": part.teacher_settings.get("adapter") or getattr(part, "adapter", None),
                "train": ids,
            }
            check_programs(student, trainset, given["teacher"])
            parts[name] = {field: value for field, value in given.items() if value}
        part_settings = {
            name: replace(whole, rows=rows, **changed) for name, changed in parts.items() if changed
        }
        return replace(whole, rows=rows, parts=part_settings)

    def with_options(self, changes: Mapping[str, object]) -> Self:
        """Return the optimizer with some options, or those of its members, overridden."""
        given = {"optimizer_compile_args": self._changes, **self.optimizers, **changes}
        return super().with_options(given) if changes else self

    def split(self, trainset: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
        """Return the trainset without its last tenth (`valset_ratio`), and that to validate with; a few rows do both."""
        size = max(1, round(self.options.valset_ratio * len(trainset)))
        if not self.options.valset_ratio or len(trainset) < 2:
            return trainset, trainset
        return trainset[:-size], trainset[-size:]

    def search(self, problem: Problem) -> Search:
        """Score the start, then run the chain; a step that brings nothing hands on what it was given."""
        leaderboard = Leaderboard(problem)
        # The first step starts from the starting prompt whatever that scores: both run together.
        first: list[Any] = [leaderboard.validate([problem.seed], "starting prompt")]
        current = problem.seed
        train = list(problem.train)
        trains = {n: list(p.train) for n, p in problem.parts.items() if p.train != problem.train}
        for number, branches in enumerate(self._chain):
            if not leaderboard.open:
                return
            calls = _calls_of_a_branch(problem, len(self._chain) - number, len(branches), bool(first))
            if number and self.options.shuffle_trainset_between_steps:
                for rows in (train, *trains.values()):
                    problem.rng.shuffle(rows)
            runs = []
            for name, meter in zip(branches, problem.meter.split(calls, len(branches)), strict=True):
                part, rng = problem.parts.get(name, problem), Random(problem.rng.getrandbits(64))
                part = replace(part, seed=current, train=tuple(trains.get(name, train)), meter=meter, rng=rng)
                search = self._parts[name].search(replace(part, simulated=problem.simulated))
                runs.append(_result(search, name if name in problem.parts else "", leaderboard))
            results = (yield from together([*first, *runs]))[len(first) :]
            first = []
            candidates = list({c.id: c for c in results if c is not None and c.id != current.id}.values())
            evaluations = yield from leaderboard.validate(candidates, "the result of a step")
            scores = {e.candidate_id: e.score for e in evaluations}
            if candidates and leaderboard.open:
                current = max(candidates, key=lambda c: scores[c.id])

    def _part(self, name: str) -> Optimizer:
        """Return an optimizer of the chain with its compile arguments but those of the rows and the teacher."""
        changes = self._changes.get(name, {})
        _refuse([given for given in ("student", "valset", "budget") if given in changes], name, "compile()")
        rest = {key: value for key, value in changes.items() if key not in ("teacher", "trainset")}
        return self._optimizer(name).with_options(rest)

    def _optimizer(self, name: str) -> Optimizer:
        if name in self.optimizers:
            return self.optimizers[name]
        known = [part for part, _ in OPTIMIZERS if part != self.name]
        if name not in known and name not in _SHORT_NAMES:
            names = ", ".join([*self.optimizers, *known, *_SHORT_NAMES])
            raise ConfigurationError(
                f"The chain names {name!r}, which is no optimizer. It may name: {names}."
            )
        optimizer: Optimizer = load(OPTIMIZERS, _SHORT_NAMES.get(name, name), "optimizer")(metric=self.metric)
        return optimizer


def _refuse(given: Sequence[str], part: str, owner: str) -> None:
    if given:
        raise ConfigurationError(
            f"BetterTogether: {given[0]} is the same for all steps. Give it to {owner}, not to {part!r}."
        )


def chain_of(strategy: str) -> list[list[str]]:
    """Return the steps of a chain, each with its branches.

    >>> chain_of("COPRO | GEPA -> p")
    [['COPRO', 'GEPA'], ['p']]
    """
    return [[name.strip() for name in step.split("|")] for step in _STEP.split(strategy.strip())]


def _calls_of_a_branch(problem: Problem, steps: int, branches: int, starting: bool) -> int | None:
    """Return the calls that one branch of the next step may make, with `steps` to come, None without a limit."""
    meter = problem.meter
    if meter.limit is None:
        return None
    validation = len(problem.validation) * meter.row_cost
    left = max(0.0, meter.calls_left - starting * validation) // steps - validation * branches
    return max(0, int(left // branches))


def _result(search: Search, part: str, leaderboard: Leaderboard) -> Steps[Candidate | None]:
    """Run a part's search and return what it kept last. Its `Keep` asks are left out: only the chain's best is kept.

    What the part scores on all validation rows is noted at once, for a budget that ends inside the step.
    """
    candidates: list[Candidate | None] = [None]
    best: list[Ask] = []

    def paid(asks: Sequence[Ask]) -> list[Ask]:
        candidates.extend(a.candidate for a in asks if isinstance(a, Keep))
        marked = [
            replace(a, part=part) if isinstance(a, Propose) or (isinstance(a, Score) and a.teacher) else a
            for a in asks
            if not isinstance(a, Keep)
        ]
        keep, best[:] = best[:], []
        return [*marked, *keep]

    def answers_in_place(asks: Sequence[Ask], received: Sequence[object]) -> list[object]:
        paid_asks = [a for a in asks if not isinstance(a, Keep)]
        for ask, answer in zip(paid_asks, received, strict=False):
            if isinstance(ask, Score) and not (ask.teacher or ask.rollout):
                best[:] = leaderboard.note([ask], [answer]) or best
        rest = iter(received)
        return [None if isinstance(a, Keep) else next(rest) for a in asks]

    yield from relay(search, paid, answers_in_place)
    return candidates[-1]


_log = logging.getLogger(__name__)
