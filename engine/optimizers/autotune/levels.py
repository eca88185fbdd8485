"""New levels of Autotune's factors: proposed rules, rows and solved runs, reasoning, models, layouts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from engine.basics.text import counted
from engine.optimizers.autotune.evidence import ScoreModel
from engine.optimizers.autotune.merging import RuleCheck, merged_rules
from engine.optimizers.autotune.options import AutotuneOptions
from engine.optimizers.autotune.rules import covering_rows, doubtful_rows
from engine.optimizers.autotune.space import Added, Level, OptionSet, Space
from engine.optimizers.few_shot import labeled_demo
from engine.optimizers.shared.texts import other_reasoning
from engine.records import Demo, Outcome, TraceStep
from engine.search.contract import Problem

# Size of the pool of which each input is shown the most similar examples, and how many are shown. Eight shown gain
# nothing over four (tests/benchmarks/README.md).
_POOL, _NEAREST = 300, 4
# Rows that are looked through for wrong labels.
_ROWS_CHECKED = 2000


class LevelMaker:
    """Adds levels to a space. `traces` are runs with traces by option set and row, filled by the search.

    `order` and `train_order` are the validation and training rows in the order of the search. `doubtful` are the rows of
    both that are shown to no model: they are probably labelled wrongly.
    """

    def __init__(
        self,
        problem: Problem,
        options: AutotuneOptions,
        evidence: ScoreModel,
        space: Space,
        order: Sequence[int],
        train_order: Sequence[int],
    ) -> None:
        self.traces: dict[OptionSet, dict[int, Outcome]] = {}
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
        """Return one right run of each row, of the option set with the highest expected score.

        Only what the step wrote for the same inputs in runs that mostly ended well becomes an example.
        """
        pool: dict[int, Demo] = {}
        wrote: dict[str, Counter[str]] = {}
        for call, score in self._calls(path):
            wrote.setdefault(repr(call.inputs), Counter())[repr(call.outputs)] += 1 if score >= 0.5 else -1
        # The option sets with traces, the highest expected score first.
        traced = self.traces
        ranked = self._evidence.ranked([c for c in traced if c in self._evidence.scores] or None)
        for option_set in [*(c for c in ranked if c in traced), *(c for c in traced if c not in ranked)]:
            for row, outcome in traced[option_set].items():
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
