"""The winner made readable: rules merged, the credit of each rule and example, and prompts that retrieve nothing.

Nothing here yields or calls: the search asks, and races what comes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.basics.text import counted
from engine.optimizers.autotune.evidence import ScoreModel
from engine.optimizers.autotune.merging import text_words
from engine.optimizers.autotune.rules import row_words
from engine.optimizers.autotune.space import Added, Level, OptionSet, Space
from engine.optimizers.shared.texts import step_values
from engine.records import Outcome, PartCredit
from engine.search.contract import Problem, Propose
from engine.signature import InputField, OutputField, Signature

# The least difference of mean scores by which a row counts as fixed or broken.
_COUNTS = 0.1
# Rules that a rewriting must save to be worth a race.
_LEAST_SAVED = 0.2


@dataclass(frozen=True)
class Winner:
    """A search's winning option set, with what is needed to say what each of its parts does; `runs` are its own, by row."""

    problem: Problem
    space: Space
    evidence: ScoreModel
    option_set: OptionSet
    runs: Mapping[int, Outcome] = field(default_factory=dict)

    def credits(self) -> tuple[PartCredit, ...]:
        """Return the credit of each rule and example, estimated from all scores of the search without a call.

        A row bears on a part that shares a word with it that few rows and few parts have. It counts as fixed where the
        option sets with the part score more on it than those without, and as broken where they score less. Option sets
        that are like the winner in all else count; where a row has none of them on one side, all do.
        """
        found: list[PartCredit] = []
        for place, number in enumerate(self.option_set):
            path, kind = self.space.factors[place]
            if number and kind in ("rules", "examples"):
                found += self._credits_of(place, path, "rule" if kind == "rules" else "example")
        return tuple(found)

    def _credits_of(self, place: int, path: str, kind: str) -> list[PartCredit]:
        levels = [set(self._texts(level)) for level in self.space.levels[place]]
        texts = self._texts(self.space.levels[place][self.option_set[place]])
        rows = list(dict.fromkeys(row for known in self.evidence.scores.values() for row in known))
        alike = {
            c: known
            for c, known in self.evidence.scores.items()
            if (*c[:place], *c[place + 1 :]) == (*self.option_set[:place], *self.option_set[place + 1 :])
        }
        found = []
        for text, own in zip(texts, self._rows_of(path, rows, texts), strict=True):
            gains = []
            for row in own:
                for like in (alike, self.evidence.scores):
                    sides: tuple[list[float], list[float]] = ([], [])
                    for c, known in like.items():
                        if row in known:
                            sides[text in levels[c[place]]].append(known[row])
                    if all(sides):
                        without, with_it = (sum(s) / len(s) for s in sides)
                        gains.append(with_it - without)
                        break
            fixed, broken = (sum(sign * g >= _COUNTS for g in gains) for sign in (1, -1))
            found.append(PartCredit(path, kind, text, fixed, broken, len(gains)))
        return found

    def _rows_of(self, path: str, rows: Sequence[int], texts: Sequence[str]) -> list[list[int]]:
        """Return for each text the rows for which the step reads a word of it that few rows and few texts have."""
        by_row = {row: row_words(self.problem, row) for row in rows}
        few_rows, few_texts = 4, 10
        if not any(name in self.problem.input_fields for name in self.problem.signatures[path].input_fields):
            # What another step wrote is one of a few values.
            calls = {row: t.inputs for row, o in self.runs.items() for t in o.trace if t.path == path}
            by_row = {row: text_words(" ".join(map(str, calls.get(row, {}).values()))) for row in rows}
            few_rows = few_texts = 2
        by_text = [text_words(text) for text in texts]
        in_rows = Counter(word for found in by_row.values() for word in found)
        in_texts = Counter(word for found in by_text for word in found)
        most_rows, most_texts = max(1, len(rows) // few_rows), max(2, len(texts) // few_texts)
        telling = {w for w, n in in_rows.items() if n <= most_rows and in_texts[w] <= most_texts}
        return [[row for row, found in by_row.items() if found & words & telling] for words in by_text]

    def _texts(self, level: Level) -> tuple[str, ...]:
        inputs = self.problem.input_fields
        return level.rules or tuple(
            " ".join(str(v) for n, v in d.values.items() if n in inputs) or str(dict(d.values))
            for d in level.demos or ()
        )

    def pruned(self) -> Added:
        """Return levels with fewer rules: without those that break more rows than they fix."""
        added: Added = []
        known = {(c.step, c.text): c for c in self.credits()}
        for place, number in enumerate(self.option_set):
            rules = self.space.levels[place][number].rules
            path = self.space.factors[place][0]
            harmful = {r for r in rules if (c := known.get((path, r))) and c.broken > c.fixed}
            kept = tuple(r for r in rules if r not in harmful)
            if kept and len(kept) < len(rules):
                title = f"{counted(len(kept), 'rule')} ({len(rules) - len(kept)} left out for the evidence against them)"
                added.append((place, self.space.add(place, Level(title, kept, origin=number))))
        return added

    def merge_asks(self, rollout: int) -> dict[str, list[Propose]]:
        """Return the ask to rewrite each step's rules, one call a step with at least four."""
        asks = {}
        for place, number in enumerate(self.option_set):
            rules, path = self.space.levels[place][number].rules, self.space.factors[place][0]
            if len(rules) >= 4:
                inputs = {**step_values(self.problem, path), "rules_so_far": list(rules)}
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

    def merged(self, proposals: Mapping[str, Sequence[Sequence[str]]]) -> Added:
        """Return levels of rewritten rules, where the rewriting saves a fifth of them."""
        added: Added = []
        for path, (rules, *_) in ((p, r) for p, r in proposals.items() if r):
            place = self.space.places("rules", path)[0]
            number = self.option_set[place]
            before = len(self.space.levels[place][number].rules)
            if rules and len(rules) <= (1 - _LEAST_SAVED) * before:
                title = f"{counted(len(rules), 'rule')}, merged from {before}"
                added.append((place, self.space.add(place, Level(title, tuple(rules), origin=number))))
        return added

    def without_each_step(self) -> list[OptionSet]:
        """Return the winner without each step's changes, where it changes several steps: they show what each step brings."""
        factors = self.space.factors
        changed = {factors[p][0] for p, n in enumerate(self.option_set) if n}
        return [
            tuple(0 if factors[p][0] == path else n for p, n in enumerate(self.option_set))
            for path in sorted(changed)
            if len(changed) > 1
        ]

    def static(self, examples: Added) -> list[OptionSet]:
        """Return the winner without retrieval: with no examples, and with the fixed `examples` instead; none if it retrieves nothing."""
        levels = [self.space.levels[p][n] for p, n in enumerate(self.option_set)]
        retrieving = [p for p, level in enumerate(levels) if level.nearest]
        if not retrieving:
            return []
        fixed = dict(examples)
        made = [
            tuple(fixed.get(p, 0) if p in retrieving else at for p, at in enumerate(self.option_set)),
            tuple(0 if p in retrieving else at for p, at in enumerate(self.option_set)),
        ]
        return list(dict.fromkeys(made))


class MergeRules(Signature):
    """
    Rewrite the rules of one step of a program so that a person can read them. Write one rule for each value or theme
    and name in it everything that gives the value away. Leave out what is said twice. Keep every word or feature and
    the exact value it stands for, and add nothing.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step whose rules these are: its fields and what they mean.")
    rules_so_far: list[str] = InputField(desc="The rules in use now.")
    rules: str = OutputField(desc="The rewritten rules, one a line.")
