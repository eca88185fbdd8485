"""How Autotune's levels come about: proposals become levels of rules, rows and solved runs levels of examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from engine.modules.predict import FIELD
from engine.optimizers.autotune.rules import LabelCheck, merged_rules
from engine.optimizers.autotune.space import Combination, Level
from engine.optimizers.autotune.standing import Standing
from engine.optimizers.autotune.words import covering_rows
from engine.optimizers.shared.demos import labeled_demo
from engine.records import Demo

# Examples of which each input is shown the most similar: how many there are at most, and how many are shown.
_POOL, _NEAREST = 300, 4

# From which share of rows on that took more calls than they should answers count as garbled.
_GARBLED = 0.1

Added = list[tuple[int, int]]
"""(factor, level) of what is new."""


class Levels(Standing):
    """A standing that can add levels to its space."""

    @cached_property
    def label_check(self) -> LabelCheck:
        """The labelled rows that rules are held against."""
        return LabelCheck(self.problem)

    def _add_rules(self, proposals: Mapping[str, Sequence[Sequence[str]]]) -> Added:
        """Turn proposals into levels of rules."""
        best = self._best()
        check = self.label_check
        added: Added = []
        for path, some in proposals.items():
            place = self.space.places("rules", path)[0]
            some = [[rule for rule in rules if not check.contradicted(rule)] for rules in some]
            # Rules that are not better than none yet may only need some more.
            base = next((c for c in (best, *self._ranked()) if c[place]), best)
            current = self.space.rules(base, path)
            rules = merged_rules(current, some)
            if rules and rules != current:
                n, new = sum(bool(p) for p in some), len(set(rules) - set(current))
                title = f"{len(rules)} rules ({new} new) from {n} reading{'' if n == 1 else 's'} of the rows"
                if borne := sum(check.evidence(rule) > 0 for rule in rules):
                    title += f", {borne} of them borne out by labelled rows"
                added.append((place, self.space.add(place, Level(title, rules, origin=base[place] or None))))
        return added

    def _add_examples(self) -> Added:
        """Turn what is labelled or solved into levels of examples: the nearest of all, of few those that cover most."""
        added: Added = []
        if not self.plan.parts.examples or not self.plan.examples:
            return added
        for place in self.space.places("examples"):
            pool = self._pool(self.space.factors[place].path)
            before = len(self.space.levels[place])
            k = min(_NEAREST, self.plan.examples)
            if self.plan.parts.nearest and len(pool) > 2 * k:
                title = f"the {k} most similar of {len(pool)} examples"
                at = self.space.add(place, Level(title, demos=tuple(pool.values()), nearest=k))
            elif rows := covering_rows(self.problem, list(pool), self.plan.examples):
                title = f"{len(rows)} examples that between them show the most"
                at = self.space.add(place, Level(title, demos=tuple(pool[row] for row in rows)))
            else:
                continue
            if at >= before:
                added.append((place, at))
        return added

    def _add_reasoning(self) -> Added:
        """Add to each step the level that turns its reasoning first on or off, where nothing depends on it."""
        added: Added = []
        signatures = self.problem.signatures
        for place in self.space.places("reasoning") if self.plan.parts.reasoning else ():
            own = signatures[self.space.factors[place].path]
            has = FIELD in own.output_fields
            needed = FIELD in self.problem.output_fields or any(
                FIELD in s.input_fields for s in signatures.values()
            )
            if not needed and (not has or len(own.output_fields) > 1):
                title = "answers without reasoning first" if has else "reasons before it answers"
                added.append((place, self.space.add(place, Level(title, reason_first=not has))))
        return added

    def _add_layouts(self) -> list[Added]:
        """Add to each step the other adapters, where answers came out garbled: one addition for all steps an adapter."""
        if not self.plan.parts.layout or self.garbled <= _GARBLED * self.rows_run:
            return []
        places = self.space.places("layout")
        names = dict.fromkeys(
            name for p in places for name in self.problem.layouts[self.space.factors[p].path]
        )
        return [
            [(p, self.space.add(p, Level(f"answers in the {name} layout", adapter=name))) for p in places]
            for name in names
        ]

    def _pool(self, path: str) -> dict[int, Demo]:
        """Rows as demonstrations of a step: the rows' own values where they say all, else runs that went right."""
        signature = self.problem.signatures[path]
        fields = (*signature.input_fields, *signature.output_fields)
        reads_input = any(n in self.problem.input_fields for n in signature.input_fields)
        # Of a large table as many as are looked at, drawn: a table may be sorted.
        rows = list(self.problem.train if len(self.problem.train) <= _POOL else self.train_order)
        if reads_input:
            # A row never sees an example made from itself, so the validation rows can be examples too.
            rows = list(dict.fromkeys((*rows, *self.order)))
        pool: dict[int, Demo] = {}
        for row in rows[:_POOL]:
            if all(n in self.problem.rows[row] for n in fields):
                demo = labeled_demo(self.problem, path, row)
                if demo is not None:
                    pool[row] = demo
        return pool or self._solved(path, set(rows))

    def _solved(self, path: str, rows: set[int]) -> dict[int, Demo]:
        """Runs that went right, one of each row: of the combination that is expected to be right most often."""
        pool: dict[int, Demo] = {}
        for combination in self._by_trust():
            for row, outcome in self.runs[combination].items():
                calls = [t for t in outcome.trace if t.path == path]
                if row in rows and row not in pool and calls and outcome.score >= 1 and outcome.error is None:
                    pool[row] = Demo({**calls[-1].inputs, **calls[-1].outputs}, augmented=True)
        return pool

    def _by_trust(self) -> list[Combination]:
        """Combinations that were run for their traces, the one that is right most often first."""
        ranked = self._ranked([c for c in self.runs if c in self.scores] or None)
        return [*(c for c in ranked if c in self.runs), *(c for c in self.runs if c not in ranked)]
