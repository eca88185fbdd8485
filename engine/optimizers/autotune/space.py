"""The space that Autotune searches: factors of each step, their levels, and candidates made of combinations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.basics.text import counted
from engine.optimizers.autotune.merging import RuleCheck, merged_rules
from engine.optimizers.autotune.rules import covering_rows, doubtful_rows
from engine.optimizers.few_shot import labeled_demo
from engine.optimizers.shared.texts import other_reasoning
from engine.records import Candidate, Demo, Outcome, TraceStep
from engine.search.contract import Problem
from engine.search.freeze import Part

if TYPE_CHECKING:
    from engine.optimizers.autotune.evidence import Evidence
    from engine.optimizers.autotune.optimizer import AutotuneOptions


Combination = tuple[int, ...]
"""The level chosen for each factor, in the order of `Space.factors`."""


@dataclass(frozen=True, slots=True)
class Level:
    """One setting of one factor: rules added to the instructions, examples, whether to reason first, an adapter, or a model.

    `origin` is the level it was made from; of the examples `nearest` are shown (0: all).
    """

    title: str
    rules: tuple[str, ...] = ()
    demos: tuple[Demo, ...] | None = None
    nearest: int = 0
    reason_first: bool | None = None
    adapter: str | None = None
    weights: str | None = None
    origin: int | None = None


class Space:
    """The factors, their levels so far (level 0 is the starting prompt's), and candidates made of them.

    A factor is a step's path and what is chosen: its "rules", "examples", "reasoning" or "layout". The "model" is chosen for
    all parts of a step, such as an agent's, together.
    """

    def __init__(self, problem: Problem) -> None:
        parts: tuple[tuple[str, Part], ...] = (
            ("rules", "instructions"),
            ("examples", "demos"),
            ("reasoning", "instructions"),
            ("layout", "instructions"),
        )
        self.seed = problem.seed
        self.factors = tuple(
            (path, kind)
            for path in self.seed.steps
            for kind, part in parts
            if problem.may_change(path, part) and (kind != "layout" or path in problem.layouts)
        )
        own = [path for path in self.seed.steps if problem.models and problem.may_change(path, "weights")]
        self.factors += tuple((whole, "model") for whole in dict.fromkeys(p.partition(".")[0] for p in own))
        self.levels = [[Level("as they were")] for _ in self.factors]
        self._candidates: dict[Combination, Candidate] = {}

    @property
    def start(self) -> Combination:
        """The starting prompt's combination."""
        return (0,) * len(self.factors)

    def places(self, kind: str, path: str = "") -> list[int]:
        """Return the places of the factors of a kind, of one step or of all."""
        return [i for i, (own, k) in enumerate(self.factors) if k == kind and path in ("", own)]

    def add(self, place: int, level: Level) -> int:
        """Add a level to a factor, once by content, and return its number."""
        known = self.levels[place]
        for number, other in enumerate(known):
            if replace(other, title=level.title, origin=level.origin) == level:
                return number
        known.append(level)
        return len(known) - 1

    def rules(self, combination: Combination, path: str) -> tuple[str, ...]:
        """Return the rules that a combination adds to a step."""
        return tuple(r for p in self.places("rules", path) for r in self.levels[p][combination[p]].rules)

    def terms(self, combination: Combination) -> tuple[tuple[int, int], ...]:
        """Return the levels that make up a combination, each with those it was made from; the start has none."""
        found = []
        for place, number in enumerate(combination):
            at: int | None = number
            while at:
                found.append((place, at))
                at = self.levels[place][at].origin
        return tuple(found)

    def titles(self, combination: Combination) -> list[str]:
        """Return what a combination changes, in words, a step each; the only step goes without its name."""
        changed: dict[str, list[str]] = {}
        for place, number in enumerate(combination):
            if number:
                changed.setdefault(self.factors[place][0], []).append(self.levels[place][number].title)
        if len(self.seed.steps) == 1:
            return [title for titles in changed.values() for title in titles]
        return [f"{path}: {', '.join(titles)}" for path, titles in changed.items()]

    def size(self, combination: Combination) -> int:
        """Return about how many characters a combination's prompts and reasoning have: texts, and the examples that one input is shown."""
        total = 0
        for state in self.candidate(combination).steps.values():
            shown = min(state.nearest or len(state.demos), len(state.demos))
            examples = sum(len(str(dict(demo.values))) for demo in state.demos)
            total += len(state.instructions) + shown * examples // max(1, len(state.demos))
            if state.reason_first is not None:
                total += _REASONING if state.reason_first else -_REASONING
        return total

    def candidate(self, combination: Combination) -> Candidate:
        """Return the candidate of a combination, with its lineage: it was made from the starting prompt."""
        if combination in self._candidates:
            return self._candidates[combination]
        made = self.seed
        for place, number in enumerate(combination):
            if not number:
                continue
            path, level = self.factors[place][0], self.levels[place][number]
            if level.weights is not None:
                for part in (p for p in made.steps if p.partition(".")[0] == path):
                    made = made.with_step(part, weights=level.weights)
                continue
            changes: dict[str, object] = {"demos": level.demos, "nearest": level.nearest}
            if level.demos is None:
                changes = {"reason_first": level.reason_first, "adapter": level.adapter}
                if level.rules:
                    changes["instructions"] = with_rules(self.seed.steps[path].instructions, level.rules)
            made = made.with_step(path, **{n: v for n, v in changes.items() if v is not None})
        reason = f"{'; '.join(self.titles(combination))}."
        found = self.seed if made.id == self.seed.id else made.derived(reason, self.seed)
        self._candidates[combination] = found
        return found


def with_rules(instructions: str, rules: Sequence[str]) -> str:
    """Return instructions with rules as a list under them.

    >>> print(with_rules("Sort it.", ["Refunds are billing."]))
    Sort it.
    <BLANKLINE>
    Rules:
    - Refunds are billing.
    """
    if not rules:
        return instructions
    return "\n".join([instructions, "", "Rules:", *(f"- {rule}" for rule in rules)]).strip()


# Characters that a reasoning is taken to have.
_REASONING = 400
# Size of the pool of which each input is shown the most similar examples, and how many are shown. Eight shown gain
# nothing over four (tests/benchmarks/README.md).
_POOL, _NEAREST = 300, 4
# Rows that are looked through for wrong labels.
_ROWS_CHECKED = 2000

Added = list[tuple[int, int]]
"""(factor, level) of what is new."""


class LevelMaker:
    """Adds levels to a space. `traces` are runs with traces by combination and row, filled by the search.

    `order` and `train_order` are the validation and training rows in the order of the search. `doubtful` are the rows of
    both that are shown to no model: they are probably labelled wrongly.
    """

    def __init__(
        self,
        problem: Problem,
        options: AutotuneOptions,
        evidence: Evidence,
        space: Space,
        order: Sequence[int],
        train_order: Sequence[int],
    ) -> None:
        self.traces: dict[Combination, dict[int, Outcome]] = {}
        self._problem, self._options, self._evidence, self._space = problem, options, evidence, space
        self._order, self._train_order = order, train_order
        self._row_check: RuleCheck | None = None
        self.doubtful = doubtful_rows(problem, list(dict.fromkeys((*train_order, *order)))[:_ROWS_CHECKED])

    def add_rules(self, proposals: Mapping[str, Sequence[Sequence[str]]]) -> Added:
        """Turn proposals (step path -> rules of each reader) into levels of rules."""
        best, space = self._evidence.best(), self._space
        added: Added = []
        for path, readings in proposals.items():
            place, check = space.places("rules", path)[0], self._check(path)
            readings = [[rule for rule in rules if not check.contradicted(rule)] for rules in readings]
            # Rules that are no better than none so far may only need more of them.
            base = next((c for c in (best, *self._evidence.ranked()) if c[place]), best)
            current = space.rules(base, path)
            still_right = [rule for rule in current if not check.contradicted(rule)]
            rules = check.without_repeats(merged_rules(still_right, readings, check))
            if rules and rules != current:
                n, new = sum(bool(rules) for rules in readings), len(set(rules) - set(current))
                title = f"{len(rules)} rules ({new} new) from {counted(n, 'reading')} of the rows"
                if supported := sum(check.support(rule) > 0 for rule in rules):
                    title += f", {supported} of them borne out by labelled rows"
                added.append((place, space.add(place, Level(title, rules, origin=base[place] or None))))
        return added

    def add_examples(self) -> Added:
        """Turn labelled or solved rows into levels of examples: the nearest of many, or the few that cover most."""
        added: Added = []
        if not self._options.uses("examples") or not self._options.max_examples:
            return added
        for place in self._space.places("examples"):
            pool = self._pool(self._space.factors[place][0])
            before = len(self._space.levels[place])
            k = min(_NEAREST, self._options.max_examples)
            if self._options.uses("nearest") and len(pool) > 2 * k:
                title = f"the {k} most similar of {len(pool)} examples"
                level = Level(title, demos=tuple(pool.values()), nearest=k)
            elif rows := covering_rows(self._problem, list(pool), self._options.max_examples):
                title = f"{len(rows)} examples that between them show the most"
                level = Level(title, demos=tuple(pool[row] for row in rows))
            else:
                continue
            number = self._space.add(place, level)
            if number >= before:
                added.append((place, number))
        return added

    def add_fixed_examples(self) -> Added:
        """Add to each step the few examples that show most, the same for each input."""
        added: Added = []
        for place in self._space.places("examples") if self._options.uses("examples") else ():
            pool = self._pool(self._space.factors[place][0])
            if rows := covering_rows(self._problem, list(pool), self._options.max_examples):
                title = f"{len(rows)} examples that between them show the most"
                added.append(
                    (place, self._space.add(place, Level(title, demos=tuple(pool[r] for r in rows))))
                )
        return added

    def _check(self, path: str) -> RuleCheck:
        """Return the check of a step's rules: against the rows, or against what the step read in runs."""
        fields = self._problem.signatures[path].input_fields
        if any(name in self._problem.input_fields for name in fields):
            self._row_check = self._row_check or RuleCheck(self._problem)
            return self._row_check
        return RuleCheck(self._problem, self._calls(path))

    def _calls(self, path: str) -> list[tuple[TraceStep, float]]:
        """Return all calls of a step in runs with traces, with the score of each run."""
        outcomes = (o for runs in self.traces.values() for o in runs.values() if o.error is None)
        return [(t, o.score) for o in outcomes for t in o.trace if t.path == path]

    def add_reasoning(self) -> Added:
        """Add to each step the level that turns its reasoning first on or off, where nothing depends on it."""
        added: Added = []
        for place in self._space.places("reasoning") if self._options.uses("reasoning") else ():
            first = other_reasoning(self._problem, self._space.factors[place][0])
            if first is not None:
                title = "reasons before it answers" if first else "answers without reasoning first"
                added.append((place, self._space.add(place, Level(title, reason_first=first))))
        return added

    def add_models(self) -> list[Added]:
        """Add the other models to each step: one addition for all steps by model."""
        places = self._space.places("model")
        return [
            [(p, self._space.add(p, Level(f"answered by {name}", weights=name))) for p in places]
            for name in (self._problem.models if places else ())
        ]

    def add_layouts(self) -> list[Added]:
        """Add the other adapters to each step: one addition for all steps by adapter."""
        if not self._options.uses("layout"):
            return []
        space, places = self._space, self._space.places("layout")
        names = dict.fromkeys(name for p in places for name in self._problem.layouts[space.factors[p][0]])
        return [
            [(p, space.add(p, Level(f"answers in the {name} layout", adapter=name))) for p in places]
            for name in names
        ]

    def _pool(self, path: str) -> dict[int, Demo]:
        """Return rows as demonstrations of a step: their own values where these suffice, else solved runs."""
        problem = self._problem
        signature = problem.signatures[path]
        fields = {*signature.input_fields, *signature.output_fields} - problem.optional_inputs
        # A large table may be sorted, so its rows come in the drawn order.
        rows = list(problem.train if len(problem.train) <= _POOL else self._train_order)
        if any(n in problem.input_fields for n in signature.input_fields):
            # A row never sees an example made from itself, so the validation rows can be examples too.
            rows = list(dict.fromkeys((*rows, *self._order)))
        known = [
            row
            for row in rows[:_POOL]
            if row not in self.doubtful and all(n in problem.rows[row] for n in fields)
        ]
        pool = {row: demo for row in known if (demo := labeled_demo(problem, path, row)) is not None}
        return pool or self._solved(path, set(rows))

    def _solved(self, path: str, rows: set[int]) -> dict[int, Demo]:
        """Return one right run of each row, of the combination with the highest expected score.

        Only what the step wrote for the same inputs in runs that mostly ended well becomes an example.
        """
        pool: dict[int, Demo] = {}
        wrote: dict[str, Counter[str]] = {}
        for call, score in self._calls(path):
            wrote.setdefault(repr(call.inputs), Counter())[repr(call.outputs)] += 1 if score >= 0.5 else -1
        # The combinations with traces, the highest expected score first.
        traced = self.traces
        ranked = self._evidence.ranked([c for c in traced if c in self._evidence.scores] or None)
        for combination in [*(c for c in ranked if c in traced), *(c for c in traced if c not in ranked)]:
            for row, outcome in traced[combination].items():
                calls = [t for t in outcome.trace if t.path == path]
                if (
                    row not in rows
                    or row in pool
                    or not calls
                    or outcome.score < 1
                    or outcome.error is not None
                ):
                    continue
                if wrote[repr(calls[-1].inputs)][repr(calls[-1].outputs)] > 0:
                    pool[row] = Demo({**calls[-1].inputs, **calls[-1].outputs}, augmented=True)
        return pool
