"""New levels of Autotune's factors: proposed rules, rows and solved runs, reasoning, models, layouts.

For a winner: levels with rules left out or merged, the credit of each rule and example, and prompts that retrieve
nothing. Nothing here yields or calls: the search asks, and races what comes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from engine.basics.text import counted
from engine.optimizers.autotune.evidence import ScoreModel
from engine.optimizers.autotune.merging import RuleCheck, merged_rules, text_words
from engine.optimizers.autotune.options import AutotuneOptions
from engine.optimizers.autotune.rules import covering_rows, doubtful_rows, row_words
from engine.optimizers.autotune.space import Added, Level, Space
from engine.optimizers.few_shot import labeled_demo
from engine.optimizers.shared.study import OptionSet
from engine.optimizers.shared.texts import other_reasoning, step_values
from engine.records import Demo, Outcome, PartCredit, TraceStep
from engine.search.contract import Problem, Propose
from engine.signature import InputField, OutputField, Signature

# Size of the pool of which each input is shown the most similar examples, and how many are shown. Eight shown gain
# nothing over four (tests/benchmarks/README.md).
_POOL, _NEAREST = 300, 4
# Rows that are looked through for wrong labels.
_ROWS_CHECKED = 2000
# The least difference of mean scores by which a row counts as fixed or broken.
_COUNTS = 0.1
# Rules that a rewriting must save to be worth a race.
_LEAST_SAVED = 0.2


class LevelMaker:
    """Adds levels to a space, and makes a winner readable. `traces` are runs with traces by option set and row, filled by the search.

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
        """Turn labelled or solved rows into levels of examples; return those that are new."""
        sizes = [len(levels) for levels in self._space.levels]
        levels = self._example_levels(nearest=self._options.uses("nearest"))
        return [(place, number) for place, number in levels if number >= sizes[place]]

    def _example_levels(self, *, nearest: bool) -> Added:
        """Return each step's level of examples: the nearest of many to each input, or the few that cover most."""
        added: Added = []
        k = min(_NEAREST, self._options.max_examples)
        for place in self._space.places("examples") if k and self._options.uses("examples") else ():
            pool = self._pool(self._space.factors[place][0])
            if nearest and len(pool) > 2 * k:
                title = f"the {k} most similar of {len(pool)} examples"
                level = Level(title, demos=tuple(pool.values()), nearest=k)
            elif rows := covering_rows(self._problem, list(pool), self._options.max_examples):
                title = f"{len(rows)} examples that between them show the most"
                level = Level(title, demos=tuple(pool[row] for row in rows))
            else:
                continue
            added.append((place, self._space.add(place, level)))
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

    # The winner made readable

    def credits(self, winner: OptionSet) -> tuple[PartCredit, ...]:
        """Return the credit of each rule and example of an option set, estimated from all scores without a call.

        A row bears on a part that shares a word with it that few rows and few parts have. It counts as fixed where the
        option sets with the part score more on it than those without, and as broken where they score less. Option sets
        that are like the winner in all else count; where a row has none of them on one side, all do.
        """
        part_credits: list[PartCredit] = []
        for place, number in enumerate(winner):
            path, kind = self._space.factors[place]
            if number and kind in ("rules", "examples"):
                part_credits += self._credits_of(
                    winner, place, path, "rule" if kind == "rules" else "example"
                )
        return tuple(part_credits)

    def _credits_of(self, winner: OptionSet, place: int, path: str, kind: str) -> list[PartCredit]:
        levels = [set(self._texts(level)) for level in self._space.levels[place]]
        texts = self._texts(self._space.levels[place][winner[place]])
        rows = list(dict.fromkeys(row for known in self._evidence.scores.values() for row in known))
        alike = {
            c: known
            for c, known in self._evidence.scores.items()
            if (*c[:place], *c[place + 1 :]) == (*winner[:place], *winner[place + 1 :])
        }
        part_credits = []
        for text, concerned in zip(texts, self._rows_of(winner, path, rows, texts), strict=True):
            gains = []
            for row in concerned:
                for like in (alike, self._evidence.scores):
                    sides: tuple[list[float], list[float]] = ([], [])
                    for c, known in like.items():
                        if row in known:
                            sides[text in levels[c[place]]].append(known[row])
                    if all(sides):
                        without, with_it = (sum(s) / len(s) for s in sides)
                        gains.append(with_it - without)
                        break
            fixed, broken = (sum(sign * g >= _COUNTS for g in gains) for sign in (1, -1))
            part_credits.append(PartCredit(path, kind, text, fixed, broken, len(gains)))
        return part_credits

    def _rows_of(
        self, winner: OptionSet, path: str, rows: Sequence[int], texts: Sequence[str]
    ) -> list[list[int]]:
        """Return for each text the rows for which the step reads a word of it that few rows and few texts have."""
        by_row = {row: row_words(self._problem, row) for row in rows}
        few_rows, few_texts = 4, 10
        if not any(
            name in self._problem.input_fields for name in self._problem.signatures[path].input_fields
        ):
            # What another step wrote is one of a few values.
            calls = {
                row: t.inputs
                for row, o in self.traces.get(winner, {}).items()
                for t in o.trace
                if t.path == path
            }
            by_row = {row: text_words(" ".join(map(str, calls.get(row, {}).values()))) for row in rows}
            few_rows = few_texts = 2
        by_text = [text_words(text) for text in texts]
        in_rows = Counter(word for words in by_row.values() for word in words)
        in_texts = Counter(word for words in by_text for word in words)
        most_rows, most_texts = max(1, len(rows) // few_rows), max(2, len(texts) // few_texts)
        telling = {w for w, n in in_rows.items() if n <= most_rows and in_texts[w] <= most_texts}
        return [[row for row, known in by_row.items() if known & words & telling] for words in by_text]

    def _texts(self, level: Level) -> tuple[str, ...]:
        inputs = self._problem.input_fields
        return level.rules or tuple(
            " ".join(str(v) for n, v in d.values.items() if n in inputs) or str(dict(d.values))
            for d in level.demos or ()
        )

    def add_pruned(self, winner: OptionSet) -> Added:
        """Add levels with fewer rules to a winner's: without those that break more rows than they fix."""
        added: Added = []
        known = {(c.step, c.text): c for c in self.credits(winner)}
        for place, number in enumerate(winner):
            rules = self._space.levels[place][number].rules
            path = self._space.factors[place][0]
            harmful = {r for r in rules if (c := known.get((path, r))) and c.broken > c.fixed}
            remaining = tuple(r for r in rules if r not in harmful)
            if remaining and len(remaining) < len(rules):
                title = f"{counted(len(remaining), 'rule')} ({len(rules) - len(remaining)} left out for the evidence against them)"
                added.append((place, self._space.add(place, Level(title, remaining, origin=number))))
        return added

    def merge_asks(self, winner: OptionSet, rollout: int) -> dict[str, list[Propose]]:
        """Return the ask to rewrite each step's rules of a winner, one call a step with at least four."""
        asks = {}
        for place, number in enumerate(winner):
            rules, path = self._space.levels[place][number].rules, self._space.factors[place][0]
            if len(rules) >= 4:
                inputs = {**step_values(self._problem, path), "rules_so_far": list(rules)}
                asks[path] = [
                    Propose(
                        MergeRules,
                        inputs,
                        rollout=rollout,
                        temperature=0.5,
                        label=f"merging rules for {path}",
                    )
                ]
        return asks

    def add_merged(self, winner: OptionSet, proposals: Mapping[str, Sequence[Sequence[str]]]) -> Added:
        """Add levels of rewritten rules to a winner's, where the rewriting saves a fifth of them."""
        added: Added = []
        for path, (rules, *_) in ((p, r) for p, r in proposals.items() if r):
            place = self._space.places("rules", path)[0]
            number = winner[place]
            before = len(self._space.levels[place][number].rules)
            if rules and len(rules) <= (1 - _LEAST_SAVED) * before:
                title = f"{counted(len(rules), 'rule')}, merged from {before}"
                added.append((place, self._space.add(place, Level(title, tuple(rules), origin=number))))
        return added

    def without_each_step(self, winner: OptionSet) -> list[OptionSet]:
        """Return a winner without each step's changes, where it changes several steps: they show what each step brings."""
        factors = self._space.factors
        changed = {factors[p][0] for p, n in enumerate(winner) if n}
        return [
            tuple(0 if factors[p][0] == path else n for p, n in enumerate(winner))
            for path in sorted(changed)
            if len(changed) > 1
        ]

    def static(self, winner: OptionSet) -> list[OptionSet]:
        """Return a winner that retrieves without retrieval: with fixed examples instead, and with none."""
        levels = [self._space.levels[p][n] for p, n in enumerate(winner)]
        retrieving = [p for p, level in enumerate(levels) if level.nearest]
        if not retrieving:
            return []
        fixed = dict(self._example_levels(nearest=False))
        return list(
            dict.fromkeys(
                tuple(examples.get(p, 0) if p in retrieving else at for p, at in enumerate(winner))
                for examples in (fixed, {})
            )
        )


class MergeRules(Signature):
    """
    Rewrite the rules of one step of a program so that a person can read them. Write one rule for each value or theme
    and name in it everything that gives the value away. Leave out what is said twice. Keep every word or feature and
    the exact value that it means, and add nothing.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step whose rules these are: its fields and what they mean.")
    rules_so_far: list[str] = InputField(desc="The rules in use now.")
    rules: str = OutputField(desc="The rewritten rules, one a line.")
