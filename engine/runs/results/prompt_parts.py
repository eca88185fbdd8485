"""The parts of a prompt that can be switched off: its rules, a line of a list each, and its solved examples."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from engine.basics.text import counted
from engine.records import Candidate, Demo, PartCredit, value_text

_RULE = re.compile(r"\s*(?:[-*•]|\d{1,3}[.)])\s+(\S.*)")
_HEADING = re.compile(r"\s*\S[^\n]{0,60}:\s*$")
_LONGEST = 60
"""Characters of a part's text in the sentence that says what a version leaves out."""


_MOST_ROWS = 6
"""Rows that are named."""


class PromptPart(NamedTuple):
    """One rule or solved example of a step. `place` is the line of the instructions, or the example's place, from 0."""

    step: str
    kind: Literal["rule", "example"]
    place: int
    text: str


def prompt_parts(candidate: Candidate) -> list[PromptPart]:
    """Return a prompt's rules and solved examples, by step, in their order.

    >>> from engine.records import StepState
    >>> found = prompt_parts(Candidate({"sort": StepState("Sort it.\\n\\nRules:\\n- Refunds are billing.\\n- Be brief.")}))
    >>> [(part.place, part.text) for part in found]
    [(3, 'Refunds are billing.'), (4, 'Be brief.')]
    """
    found: list[PromptPart] = []
    for step, state in candidate.steps.items():
        for place, line in enumerate(state.instructions.splitlines()):
            if rule := _RULE.fullmatch(line):
                found.append(PromptPart(step, "rule", place, rule[1].strip()))
        found += [PromptPart(step, "example", place, _example_text(d)) for place, d in enumerate(state.demos)]
    return found


def without_parts(candidate: Candidate, parts: Iterable[PromptPart], name: str = "the prompt") -> Candidate:
    """Return a prompt without some of its parts, a child of it; `name` is what its parent is called.

    A heading whose rules are all gone goes with them.

    >>> from engine.records import StepState
    >>> whole = Candidate({"sort": StepState("Sort it.\\n\\nRules:\\n- Be brief.")})
    >>> shorter = without_parts(whole, prompt_parts(whole), "prompt 3")
    >>> shorter.steps["sort"].instructions, shorter.reason
    ('Sort it.', 'Like prompt 3, without the rule “Be brief.”.')
    """
    left_out = list(parts)
    shorter = candidate
    for step, state in candidate.steps.items():
        lines = {p.place for p in left_out if p.step == step and p.kind == "rule"}
        demos = {p.place for p in left_out if p.step == step and p.kind == "example"}
        changes: dict[str, object] = {}
        if lines:
            changes["instructions"] = _without_lines(state.instructions.splitlines(), lines)
        if demos:
            changes["demos"] = tuple(d for at, d in enumerate(state.demos) if at not in demos)
        if changes:
            shorter = shorter.with_step(step, **changes)
    return shorter.derived(f"Like {name}, without {_parts_in_words(left_out)}.", candidate)


class PartEffect(NamedTuple):
    """Effect of a part: how many rows it fixes and breaks, and their numbers where a version without it was scored."""

    fixed: int
    broken: int
    rows: tuple[Sequence[int], Sequence[int]] | None = None

    @property
    def sides(self) -> tuple[str, str]:
        """Its two sides in words, fixes and breaks; "" where it turns no row so.

        >>> PartEffect(2, 0).sides, PartEffect(1, 1, ((7,), (9,))).sides
        (('fixes 2', ''), ('fixes row 7', 'breaks row 9'))
        """
        named = self.rows or ((), ())
        fixed = f"fixes {_rows(named[0]) or self.fixed}" if self.fixed else ""
        return fixed, f"breaks {_rows(named[1]) or self.broken}" if self.broken else ""


def _rows(numbers: Sequence[int]) -> str:
    if not numbers:
        return ""
    more = f" and {len(numbers) - _MOST_ROWS} more" if len(numbers) > _MOST_ROWS else ""
    named = ", ".join(map(str, numbers[:_MOST_ROWS]))
    return f"{'row' if len(numbers) == 1 else 'rows'} {named}{more}"


def part_effects(
    candidate: Candidate,
    parts: Iterable[PromptPart],
    found: Iterable[PartCredit],
    scores: Mapping[str, Mapping[int, float]],
    numbers: Mapping[int, int],
) -> dict[PromptPart, PartEffect]:
    """Return what parts of a prompt do, as far as it is known: measured by a version without it, or as a search found.

    `scores` are those of all rows to choose by: candidate id -> row -> score. `numbers` are the rows' as people count them.
    """
    estimated = {(c.step, c.kind, c.text): PartEffect(c.fixed, c.broken) for c in found}
    effects: dict[PromptPart, PartEffect] = {}
    for part in parts:
        before, after = scores.get(without_parts(candidate, [part]).id), scores.get(candidate.id)
        if before is not None and after is not None:
            shared = sorted(before.keys() & after.keys())
            fixed = [numbers.get(row, row) for row in shared if after[row] > before[row]]
            broken = [numbers.get(row, row) for row in shared if after[row] < before[row]]
            effects[part] = PartEffect(len(fixed), len(broken), (fixed, broken))
        elif (credit := estimated.get((part.step, part.kind, part.text))) is not None:
            effects[part] = credit
    return effects


def score_without(score: float, effects: Sequence[PartEffect], rows: int) -> float | None:
    """Return an estimate of a score (0 to 1) without parts of a prompt, by their effects on a number of rows; None without any.

    Each row that a part fixes is lost and each that it breaks is won back, as if no two parts bore on the same row.

    >>> score_without(0.8, [PartEffect(4, 1), PartEffect(0, 1)], 40)
    0.75
    """
    if not effects:
        return None
    return min(1.0, max(0.0, score + sum(e.broken - e.fixed for e in effects) / max(1, rows)))


def _without_lines(lines: list[str], gone: set[int]) -> str:
    remaining = [(at, line) for at, line in enumerate(lines) if at not in gone]
    headings = {
        at
        for at, line in enumerate(lines)
        if _HEADING.fullmatch(line) and at + 1 in gone and not _rule_follows(lines, at, gone)
    }
    text = "\n".join(line for at, line in remaining if at not in headings)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _rule_follows(lines: list[str], heading: int, gone: set[int]) -> bool:
    """Return whether a rule that stays is in the list under a heading."""
    for at in range(heading + 1, len(lines)):
        if not _RULE.fullmatch(lines[at]):
            return False
        if at not in gone:
            return True
    return False


def _example_text(demo: Demo) -> str:
    return " · ".join(f"{name}: {value_text(value)}" for name, value in demo.values.items())


def _parts_in_words(parts: list[PromptPart]) -> str:
    words = []
    for kind in ("rule", "example"):
        matching = [p for p in parts if p.kind == kind]
        if len(matching) == 1:
            words.append(f"the {kind} “{textwrap.shorten(matching[0].text, _LONGEST, placeholder=' …')}”")
        elif matching:
            words.append(counted(len(matching), f"of its {kind}s", f"of its {kind}s"))
    return " and ".join(words) or "nothing"
