"""Doubtful rows in a table of examples, found before anything is spent on them, each with ways to fix it.

Pure functions of texts by field: blank cells, values that are not allowed, spelling variants, duplicates, rows that
contradict each other, rows that nearly repeat rows kept apart, odd labels, very long rows, rare answers. A finding
is advice: nothing is changed here. It knows no files and no models; 100,000 rows take two seconds, or four where
labels can be predicted from the words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from engine.basics.similarity import merged_spellings, near_pairs, nearest_choice, odd_labels, told_share
from engine.basics.text import counted, one_case, percent
from engine.dataset.profiling import comes_later
from engine.dataset.splitting import first_with_few_values

Kind = Literal[
    "blank", "outside", "spelling", "duplicate", "conflict", "column", "leak", "near", "odd", "long", "imbalance",
]  # fmt: skip
Cells = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Fix:
    """One way to fix a finding: rows to leave out with a reason, or cells (row, field) to fill with another text."""

    label: str
    exclude: Mapping[int, str] = field(default_factory=dict)
    replace: Mapping[tuple[int, str], str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of rows that it changes."""
        return len({*self.exclude, *(row for row, _ in self.replace)})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something doubtful: a title, one sentence, the rows concerned, a note on each (the first 500), ways to fix it.

    `others` is, for rows that repeat another, that other row.
    """

    kind: Kind
    title: str
    sentence: str
    rows: tuple[int, ...]
    notes: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    others: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """The table to check: texts by field, which fields are read and answered, and which rows count.

    `choices` are the allowed values of an answer; `optional` fields may be blank; `apart` are the rows of the final
    test; `left_out` rows are not looked at.
    """

    cells: Cells
    inputs: Sequence[str]
    outputs: Sequence[str]
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    optional: Collection[str] = ()
    apart: Collection[int] = ()
    left_out: Collection[int] = ()

    def rows(self) -> list[int]:
        """Return the rows that count."""
        size = len(next(iter(self.cells.values()), ()))
        return [row for row in range(size) if row not in self.left_out]


FEW_LABELS = 50
MOST_NOTES = 500
LONG_CHARACTERS = 4000
FEWEST = 20
SAMPLED = 1000
"""Rows by which it is judged whether a column gives the answer away."""

TELLING = 0.9


def preflight(table: Table) -> tuple[Finding, ...]:
    """Return doubtful things in a table, the most costly first.

    >>> cells = {"text": ["a b", "A  b", "c d", ""], "label": ["x", "y", "x", "x"]}
    >>> [(f.kind, f.rows) for f in preflight(Table(cells, ["text"], ["label"]))]
    [('blank', (3,)), ('conflict', (0, 1))]
    """
    rows = table.rows()
    findings = [*_blank(table, rows), *_outside(table, rows), *_spelling(table, rows)]
    blank = {row for f in findings if f.kind == "blank" for row in f.rows}
    good = [row for row in rows if row not in blank]
    keys = _keys(table, good)
    repeats = list(_repeats(table, good, keys))
    findings += repeats
    known = {row for f in repeats for row in f.rows}
    findings += _near(table, [row for row in good if row not in known], keys)
    texts = ((name, (table.cells[name][row].strip() for row in good)) for name in table.outputs)
    label = first_with_few_values(texts, min(FEW_LABELS, max(2, len(good) // 4)))
    if label is not None:
        findings += _telling_columns(table, label, good)
        findings += _odd(table, label, [row for row in good if row not in known], keys)
    findings += _long(table, good)
    if label is not None:
        findings += _imbalance(table, label, good)
    return tuple(findings)


def _blank(table: Table, rows: Sequence[int]) -> Iterator[Finding]:
    wrong: dict[int, str] = {}
    for name in (*table.inputs, *table.outputs):
        if name in table.optional:
            continue
        cells = table.cells[name]
        for row in rows:
            if not cells[row] or cells[row].isspace():
                wrong.setdefault(row, f"{name} is blank")
    if wrong:
        yield Finding(
            "blank",
            "Blank cells",
            f"{counted(len(wrong), 'row has', 'rows have')} nothing where the task needs a value. They cannot be used as they are.",
            tuple(wrong),
            _notes(wrong),
            (Fix("Leave them out", dict.fromkeys(wrong, "a cell is blank")),),
        )


def _outside(table: Table, rows: Sequence[int]) -> Iterator[Finding]:
    for name, allowed in table.choices.items():
        known = {value.strip().casefold() for value in allowed}
        cells = table.cells[name]
        wrong = {
            row: cells[row]
            for row in rows
            if cells[row].strip() and cells[row].strip().casefold() not in known
        }
        if not wrong:
            continue
        near = {text: nearest_choice(text, allowed) for text in set(wrong.values())}
        replace = {(row, name): near[text] for row, text in wrong.items() if near[text]}
        fixes = []
        if replace:
            fixes.append(Fix(f"Use the nearest allowed value ({len(replace):,})", replace=replace))
        fixes.append(Fix("Leave them out", dict.fromkeys(wrong, f"{name} is not an allowed value")))
        yield Finding(
            "outside",
            f"Values of {name} that are not allowed",
            f"{counted(len(wrong), 'row has', 'rows have')} an answer that the task does not allow.",
            tuple(wrong),
            _notes(
                {
                    row: f"{text[:80]!r}" + (f", nearest: {near[text]}" if near[text] else "")
                    for row, text in wrong.items()
                }
            ),
            tuple(fixes),
        )


def _spelling(table: Table, rows: Sequence[int]) -> Iterator[Finding]:
    for name in table.outputs:
        cells = table.cells[name]
        counts = Counter(cells[row].strip() for row in rows if cells[row].strip())
        if not 2 <= len(counts) <= 4 * FEW_LABELS or 2 * len(counts) > len(rows):
            continue
        merged = merged_spellings(counts)
        if table.choices.get(name):
            # Case makes no difference for allowed values; values that are not allowed are kept distinct.
            known = {value.strip().casefold() for value in table.choices[name]}
            merged = {
                a: b
                for a, b in merged.items()
                if a.casefold() != b.casefold() and {a.casefold(), b.casefold()} <= known
            }
        if not merged:
            continue
        wrong = {row: merged[text] for row in rows if (text := cells[row].strip()) in merged}
        shown = ", ".join(f"{a!r} → {b!r}" for a, b in list(merged.items())[:4])
        yield Finding(
            "spelling",
            f"One answer of {name}, written in several ways",
            f"{counted(len(wrong), 'row writes', 'rows write')} an answer in another way than most: {shown}.",
            tuple(wrong),
            _notes({row: f"{cells[row].strip()[:60]!r} → {text!r}" for row, text in wrong.items()}),
            (Fix("Use one spelling", replace={(row, name): text for row, text in wrong.items()}),),
        )


def _keys(table: Table, rows: Sequence[int]) -> dict[int, str]:
    """Return the question of each row, without differences of case and space."""
    columns = [table.cells[name] for name in table.inputs]
    return {row: "\x1f".join(one_case(cells[row]) for cells in columns) for row in rows}


def _answer(table: Table, row: int) -> tuple[str, ...]:
    return tuple(one_case(table.cells[name][row]) for name in table.outputs)


def _repeats(table: Table, rows: Sequence[int], keys: Mapping[int, str]) -> Iterator[Finding]:
    """Yield the questions with several answers, then the rows that repeat another."""
    groups: dict[str, list[int]] = {}
    for row in rows:
        groups.setdefault(keys[row], []).append(row)
    same: dict[int, int] = {}
    clash: list[list[int]] = []
    for group in groups.values():
        if len(group) > 1 and len({_answer(table, row) for row in group}) > 1:
            clash.append(group)
        else:
            same.update(dict.fromkeys(group[1:], group[0]))
    if clash:
        yield _conflict(table, clash)
    if same:
        yield Finding(
            "duplicate",
            "Rows that are there twice",
            f"{counted(len(same), 'row repeats', 'rows repeat')} an earlier row, question and answer. They are kept on "
            "one side of the split, and count more than once.",
            tuple(same),
            fixes=(Fix("Keep the first of each", dict.fromkeys(same, "repeats an earlier row")),),
            others=tuple(same.values()),
        )


def _conflict(table: Table, clash: Sequence[Sequence[int]]) -> Finding:
    """Return the finding for groups of rows that ask the same and have different answers."""
    rows: dict[int, str] = {}
    minority: dict[int, str] = {}
    for group in clash:
        answers = {row: _answer(table, row) for row in group}
        (top, times), (_, next_times), *_ = Counter(answers.values()).most_common()
        for row in group:
            rows[row] = " / ".join(table.cells[name][row].strip()[:40] for name in table.outputs)
        if next_times < times:
            minority |= dict.fromkeys(
                (r for r, a in answers.items() if a != top), "answered otherwise than its equals"
            )
    fixes = [Fix("Leave all of them out", dict.fromkeys(rows, "the same question has other answers"))]
    if minority:
        fixes.insert(0, Fix(f"Keep the most frequent answer ({len(minority):,} out)", minority))
    return Finding(
        "conflict",
        "The same question with different answers",
        f"{counted(len(clash), 'question appears', 'questions appear')} with more than one answer, in "
        f"{counted(len(rows), 'row', 'rows')}. No prompt can get all of them right.",
        tuple(rows),
        _notes(rows),
        tuple(fixes),
    )


def _near(table: Table, rows: Sequence[int], keys: Mapping[int, str]) -> Iterator[Finding]:
    texts = {row: f"{keys[row]}\x1e{'/'.join(_answer(table, row))}" for row in rows}
    repeats: dict[int, int] = {}
    # Only neighbours are compared. Without the rows found others are neighbours, so that one fix leaves nothing for a second.
    while pairs := near_pairs(texts):
        for first, repeat in pairs:
            repeats[repeat] = first
            del texts[repeat]
    apart = frozenset(table.apart)
    leaks = {b: a for b, a in repeats.items() if (a in apart) != (b in apart)}
    near = {b: a for b, a in repeats.items() if b not in leaks}
    if leaks:
        yield _nearly_the_same(
            "leak",
            "Leaks into the final test",
            f"{counted(len(leaks), 'pair of rows is', 'pairs of rows are')} nearly the same, and one of the two is in the "
            "final test: the score there would flatter.",
            leaks,
            repeats,  # rows are divided again without those left out: another pair could be torn apart
        )
    if near:
        words = f"{counted(len(near), 'row differs', 'rows differ')} from another row by a letter or a word."
        yield _nearly_the_same("near", "Nearly the same rows", words, near, near)


def _nearly_the_same(
    kind: Kind, title: str, sentence: str, found: Mapping[int, int], left_out: Mapping[int, int]
) -> Finding:
    fix = Fix("Keep the first of each pair", dict.fromkeys(left_out, "nearly repeats another row"))
    return Finding(kind, title, sentence, tuple(found), fixes=(fix,), others=tuple(found.values()))


def _telling_columns(table: Table, label: str, rows: Sequence[int]) -> Iterator[Finding]:
    """Yield the inputs that nearly give the answer although the others do not: they may be known only after it."""
    rows = rows[:: max(1, -(-len(rows) // SAMPLED))]
    answers = [table.cells[label][row].strip() for row in rows]
    usual = max(Counter(answers).values(), default=0) / max(1, len(rows))
    texts = {name: [table.cells[name][row] for row in rows] for name in table.inputs}
    for name in table.inputs if len(rows) >= FEWEST and len(texts) > 1 else ():
        if not comes_later(name) and len(set(texts[name])) > len(rows) // 4:
            continue  # a text of which the answer is asked
        share = told_share(texts[name], answers)
        if share < TELLING or share - usual < TELLING - 0.5:
            continue
        others = told_share(
            [" ".join(line) for line in zip(*(texts[n] for n in texts if n != name), strict=True)], answers
        )
        if share - max(others, usual) < (0.02 if comes_later(name) else 0.15):
            continue
        when = "Its name says that it comes later." if comes_later(name) else "It may be known only after it."
        yield Finding(
            "column",
            f"{name} gives the answer away",
            f"{name} alone tells {label} in {percent(share, 0)} of the rows; the other inputs tell it in "
            f"{percent(max(others, usual), 0)}. {when} The score would flatter: take {name} out of the inputs, unless it is "
            "known when the question is asked.",
            tuple(rows),
        )


def _odd(table: Table, label: str, rows: Sequence[int], keys: Mapping[int, str]) -> Iterator[Finding]:
    cells = table.cells[label]
    odd, looked_at = odd_labels([keys[row] for row in rows], [cells[row].strip() for row in rows])
    if not odd:
        return
    odd_rows = {rows[at]: other for at, other in odd.items()}
    part = "" if looked_at == len(rows) else f" ({looked_at:,} of the {len(rows):,} rows were looked at)"
    yield Finding(
        "odd",
        "Answers that look odd",
        f"{counted(len(odd_rows), 'row has', 'rows have')} another answer than the rows most like it{part}. Look at them: "
        "some may be mistakes, some may be hard cases worth keeping.",
        tuple(odd_rows),
        _notes(
            {
                row: f"says {cells[row].strip()[:40]!r}; rows like it say {other!r}"
                for row, other in odd_rows.items()
            }
        ),
        (
            Fix("Leave them out", dict.fromkeys(odd_rows, "the answer looks odd")),
            Fix(
                "Take the answer of the rows like it",
                replace={(row, label): other for row, other in odd_rows.items()},
            ),
        ),
    )


def _long(table: Table, rows: Sequence[int]) -> Iterator[Finding]:
    columns = [table.cells[name] for name in table.inputs]
    if not rows or not columns:
        return
    sizes = {row: sum(len(c[row]) for c in columns) for row in rows}
    usual = sorted(sizes.values())[len(sizes) // 2]
    limit = max(LONG_CHARACTERS, 8 * usual)
    long_rows = {row: f"{size:,} characters" for row, size in sizes.items() if size > limit}
    if long_rows:
        yield Finding(
            "long",
            "Very long rows",
            f"{counted(len(long_rows), 'row is', 'rows are')} far longer than the others (half of them have at most {usual:,} "
            "characters): dear, and perhaps too long for the model.",
            tuple(long_rows),
            _notes(long_rows),
            (Fix("Leave them out", dict.fromkeys(long_rows, "far longer than the others")),),
        )


def _imbalance(table: Table, label: str, rows: Sequence[int]) -> Iterator[Finding]:
    if len(rows) < FEWEST:
        return
    cells = table.cells[label]
    counts = Counter(cells[row].strip() for row in rows)
    (most, times), *_ = counts.most_common(1)
    few = max(3, 0.15 * len(rows) / len(counts))
    rare = {value: n for value, n in counts.items() if n < few}
    if not rare and times < 0.8 * len(rows):
        return
    words = []
    if times >= 0.8 * len(rows):
        words.append(
            f"{percent(times / len(rows), 0)} of the rows have the answer {most[:40]!r}; always saying so would score that."
        )
    if rare:
        shown = ", ".join(
            f"{value[:30]!r} ({n})" for value, n in sorted(rare.items(), key=lambda v: v[1])[:6]
        )
        words.append(f"Few rows have the answer {shown}: add some, or the score says little about them.")
    rare_rows = [row for row in rows if cells[row].strip() in rare]
    yield Finding(
        "imbalance",
        f"Answers of {label} that are rare",
        " ".join(words),
        tuple(rare_rows),
        _notes({row: cells[row].strip()[:60] for row in rare_rows}),
    )


def _notes(words: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(list(words.values())[:MOST_NOTES])
