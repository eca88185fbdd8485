"""How Autotune's levels come about: proposals become levels of rules, rows and solved runs levels of examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.optimizers.autotune_rules import LabelCheck, merged_rules, row_words, rule_words
from engine.optimizers.autotune_space import Combination, Level, covering_rows
from engine.optimizers.autotune_standing import Standing
from engine.optimizers.demos import labeled_demo
from engine.records import Demo


class Levels(Standing):
    """A standing that can add levels to its space."""

    def _add_levels(
        self, proposals: Mapping[str, Sequence[Sequence[str]]], number: int
    ) -> list[tuple[int, int]]:
        """Turn proposals into levels of rules, and what was solved or labelled into levels of examples."""
        best = self._best()
        added = []
        check = LabelCheck(self.problem)
        proposals = {
            path: [[rule for rule in rules if not check.contradicted(rule)] for rules in some]
            for path, some in proposals.items()
        }
        for path in self.problem.signatures:
            place = self.space.at(path, "rules")
            # Rules that are not better than none yet may only need the wrong ones taken out.
            base = next((c for c in (best, *self._ranked()) if c[place]), best)
            current = self._blameless(path, base)
            rules = merged_rules(current, proposals.get(path, ()), self.rejected.get(path, ()))
            if rules and rules != current:
                title = (
                    f"{len(rules)} rules ({_new(rules, current)} new) from {_count(proposals.get(path, ()))}"
                )
                added.append((place, self.space.add(place, Level(title, rules, origin=base[place] or None))))
            for reader, alone in enumerate(proposals.get(path, ()), 1):
                # One reader's rules alone: shorter, and where readers contradict each other, clearer.
                if alone:
                    title = f"{len(alone)} rules of reader {reader} in round {number + 1}"
                    self.space.add(place, Level(title, merged_rules((), [alone])))
            if self.plan.parts.examples and self.problem.may_change(path, "demos"):
                added += self._add_examples(path, best, number)
        return added

    def _blameless(self, path: str, best: Combination) -> tuple[str, ...]:
        """Return the best's rules without those whose rows mostly fail under them; these are remembered as rejected."""
        rules = self.space.rules(best, path)
        if not self.plan.parts.memory:
            return rules
        seen = {**self.scores.get(best, {}), **{r: o.score for r, o in self.trained.get(best, {}).items()}}
        usual = sum(seen.values()) / max(1, len(seen))
        rows_of: dict[str, list[int]] = {}
        for row in seen:
            for word in row_words(self.problem, row):
                rows_of.setdefault(word, []).append(row)
        kept = []
        for rule in rules:
            telling = [w for w in rule_words(rule) if 2 <= len(rows_of.get(w, ())) <= len(seen) // 4]
            mine = {row for word in telling for row in rows_of[word]}
            if len(mine) >= 2 and sum(seen[row] for row in mine) / len(mine) < 0.4 * usual:
                self.rejected.setdefault(path, []).append(rule)
            else:
                kept.append(rule)
        return tuple(kept)

    def _add_examples(self, path: str, best: Combination, number: int) -> list[tuple[int, int]]:
        place = self.space.at(path, "examples")
        pool = self._demo_pool(path)
        urgent = {row: 1.0 - o.score for row, o in self.trained.get(best, {}).items()}
        before = len(self.space.levels[place])
        added = []
        for k in self.plan.example_counts if not number else self.plan.example_counts[-1:]:
            rows = covering_rows(self.problem, list(pool), k, urgent)
            if rows:
                title = f"{len(rows)} examples that cover what went wrong"
                at = self.space.add(place, Level(title, demos=tuple(pool[row] for row in rows)))
                if at >= before:
                    added.append((place, at))
        return added

    def _demo_pool(self, path: str) -> dict[int, Demo]:
        """Training rows as demonstrations of a step: the rows' own values where they say all, else solved runs."""
        signature = self.problem.signatures[path]
        pool: dict[int, Demo] = {}
        for row in self.problem.train:
            if all(n in self.problem.rows[row] for n in (*signature.input_fields, *signature.output_fields)):
                demo = labeled_demo(self.problem, path, row)
                if demo is not None:
                    pool[row] = demo
        if pool:
            return pool
        for outcomes in self.trained.values():
            for row, outcome in outcomes.items():
                calls = [t for t in outcome.trace if t.path == path]
                if calls and outcome.score >= 1 and outcome.error is None:
                    pool[row] = Demo({**calls[-1].inputs, **calls[-1].outputs}, augmented=True)
        return pool


def _new(rules: Sequence[str], current: Sequence[str]) -> int:
    return len(set(rules) - set(current))


def _count(proposals: Sequence[Sequence[str]]) -> str:
    n = sum(bool(p) for p in proposals)
    return f"{n} proposal{'' if n == 1 else 's'}"
