"""One self-contained HTML file that tells what a run did: no server, no script, no request to anywhere.

The order is that of a decision: the verdict, the figures, how the search went, what changed in the prompt,
which rows it fixed and broke, what it cost, and everything needed to do it again. All outside text is
escaped. It knows records only; `engine.runs.report` fills them from the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from engine.export.diff import Segment, difference
from engine.export.figures import as_text, duration, moment, percent, price, prompts_tried, short
from engine.export.report_style import MARK, STYLE
from engine.export.report_svg import Dot, interval_svg, score_svg
from engine.records import Candidate, Demo

ROWS_SHOWN = 60
ROWS_OPEN = 8
"""Lines of a table that are open to the eye; the others, where there are more, unfold."""

LONGEST_CELL = 700


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One test row: its number in the file, its inputs, what is right, and both answers with their scores (0-1)."""

    number: int
    inputs: Mapping[str, Any]
    expected: Mapping[str, Any]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    before_score: float
    after_score: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class ReportPrompt:
    """One prompt of the search: its number (0 is the start), its score on so many rows, parents' numbers, and why."""

    number: int
    score: float | None
    rows: int
    parents: tuple[int, ...]
    reason: str
    best: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a report shows. `verdict`, `baseline`, `best` and `whole_set` are those of the run's result."""

    title: str
    project: str
    ended: str
    verdict: Mapping[str, Any]
    baseline: Mapping[str, Any]
    best: Mapping[str, Any]
    usage: Mapping[str, Any]
    seconds: float
    start: Candidate
    tuned: Candidate
    dots: tuple[Dot, ...]
    prompts: tuple[ReportPrompt, ...]
    rows: tuple[ReportRow, ...]
    settings: tuple[tuple[str, str], ...]
    made: str
    whole_set: Mapping[str, Any] | None = None


def report_html(report: Report) -> str:
    """Return the whole file's text."""
    fixed = [r for r in report.rows if r.after_score > r.before_score]
    broken = [r for r in report.rows if r.after_score < r.before_score]
    wrong = [r for r in report.rows if r.before_score < 1 and r.after_score < 1]
    better = "fixed" if all(r.after_score >= 1 for r in fixed) else "improved"
    worse = "broke" if all(r.before_score >= 1 for r in broken) else "made worse"
    sections = (
        _head(report),
        _verdict(report),
        _figures(report),
        _card("How the search went", _search(report)),
        _card("What changed in the prompt", _changes(report.start, report.tuned)),
        _card(f"Rows it {better} ({len(fixed):,})", _rows(fixed, "No row got better.", "good")),
        _card(f"Rows it {worse} ({len(broken):,})", _rows(broken, "No row got worse.", "bad")),
        _folded(f"Rows still wrong ({len(wrong):,})", _rows(wrong, "No row is wrong with both prompts.")),
        _folded(f"All prompts tried ({len(report.prompts):,})", _prompts(report.prompts)),
        _card("What it took", _cost(report)),
        _card("To do it again", _settings(report.settings)),
        f"<footer>Made by Tuneboard on {escape(report.made)}. This file holds everything it shows and asks nobody for more.</footer>",
    )
    title = escape(report.title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><main>\n{chr(10).join(sections)}\n</main></body></html>\n"
    )


def _head(report: Report) -> str:
    project = "" if report.project == report.title else f'<p class="kicker">{escape(report.project)}</p>'
    return (
        f"<header>{MARK}<div>{project}<h1>{escape(report.title)}</h1>"
        f'<p class="sub">{escape(report.ended)}</p></div></header>'
    )


def _verdict(report: Report) -> str:
    verdict = report.verdict
    kind = str(verdict.get("kind", "too_close"))
    title, look = _KINDS.get(kind, _KINDS["too_close"])
    low, high, gain = (verdict.get(k) for k in ("low", "high", "difference"))
    picture = (
        interval_svg(low, high, gain or 0.0)
        if low is not None and high is not None and kind != "unchanged"
        else ""
    )
    tried = len(report.prompts)
    caution = (
        f"The best of {prompts_tried(tried)} was picked on validation rows, which flatters its score there. "
        "The figures here are from test rows that played no part in the search."
        if tried > 1 and kind != "unchanged"
        else ""
    )
    whole = f"<p>{escape(str(report.whole_set['sentence']))}</p>" if report.whole_set else ""
    return (
        f'<section class="verdict {look}"><h2>{title}</h2><p class="said">{escape(str(verdict.get("sentence", "")))}</p>'
        f'{whole}{picture}<p class="fine">{caution}</p></section>'
    )


def _figures(report: Report) -> str:
    before, after, verdict = report.baseline, report.best, report.verdict
    gain = verdict.get("difference")
    step = "" if gain is None else f"{100 * gain:+.1f} points"
    if verdict.get("kind") == "unchanged":
        step = "the starting prompt is kept"
    cells = [
        ("Baseline", percent(before.get("test")), "the starting prompt, test rows"),
        ("Best prompt", percent(after.get("test")), step),
        (
            "Rows won and lost",
            f"{verdict.get('won', 0)} / {verdict.get('lost', 0)}",
            f"of {verdict.get('rows', 0)} test rows",
        ),
        ("Tokens per row", _number(after.get("tokens_per_row")), _change(before, after, "tokens_per_row")),
        ("Cost per 1,000 rows", _thousand(after.get("cost_per_row")), _change(before, after, "cost_per_row")),
        ("Time per row", moment(after.get("seconds_per_row")), "the median"),
    ]
    tiles = "".join(
        f'<div class="tile"><span>{name}</span><b>{escape(value)}</b><small>{escape(note)}</small></div>'
        for name, value, note in cells
    )
    return f'<section class="tiles">{tiles}</section>'


def _search(report: Report) -> str:
    if not report.dots:
        return '<p class="fine">No prompt was scored on validation rows.</p>'
    key = (
        '<p class="key"><i class="k-best"></i>the chosen prompt <i class="k-whole"></i>all validation rows '
        '<i class="k-part"></i>some rows <i class="k-sofar"></i>best so far</p>'
    )
    return key + score_svg(report.dots, report.baseline.get("validation"))


def _changes(start: Candidate, tuned: Candidate) -> str:
    if start.id == tuned.id:
        return '<p class="fine">Nothing: the starting prompt is kept.</p>'
    parts: list[str] = []
    several = len(tuned.steps) > 1
    for path, after in tuned.steps.items():
        before = start.steps[path]
        if several:
            parts.append(f"<h3>Step {escape(path)}</h3>")
        parts.append(f"<h4>Instruction</h4>{_diff(before.instructions, after.instructions)}")
        changed = [
            n for n, t in after.field_descriptions.items() if t != before.field_descriptions.get(n, "")
        ]
        if changed:
            old = "\n".join(f"{n}: {before.field_descriptions.get(n, '')}" for n in changed)
            new = "\n".join(f"{n}: {after.field_descriptions[n]}" for n in changed)
            parts.append(f"<h4>Field descriptions</h4>{_diff(old, new)}")
        parts.append(_demos(before.demos, after.demos))
    return "".join(parts)


def _diff(before: str, after: str) -> str:
    found = difference(before, after)
    if not found.added and not found.removed:
        return f'<p class="fine">The same, word for word.</p><pre>{escape(after) or "(empty)"}</pre>'
    lines = "".join(
        f"<tr><td class='{'del' if line.changed and line.before is not None else ''}'>{_marked(line.before)}</td>"
        f"<td class='{'ins' if line.changed and line.after is not None else ''}'>{_marked(line.after)}</td></tr>"
        for line in found.lines
    )
    return (
        f'<p class="fine">{_count(found.added, "word")} added, {_count(found.removed, "word")} removed</p>'
        f'<div class="wide"><table class="diff"><tr><th>Before</th><th>After</th></tr>{lines}</table></div>'
    )


def _marked(segments: Sequence[Segment] | None) -> str:
    tags = {"same": "{}", "added": "<ins>{}</ins>", "removed": "<del>{}</del>"}
    return "".join(tags[s.kind].format(escape(s.text)) for s in segments or ()) or "&nbsp;"


def _demos(before: Sequence[Demo], after: Sequence[Demo]) -> str:
    head = f"<h4>Solved examples shown to the model · {len(before)} before, {len(after)} now</h4>"
    if not after:
        return head + '<p class="fine">None.</p>'
    names = list(dict.fromkeys(name for demo in after for name in demo.values))
    lines = [
        [*(_cut(as_text(d.values.get(n))) for n in names), "the model" if d.augmented else "the data"]
        for d in after
    ]
    return head + _long_table([*names, "Made by"], lines)


def _rows(rows: Sequence[ReportRow], empty: str, look: str = "") -> str:
    if not rows:
        return f'<p class="fine">{empty}</p>'
    names = list(dict.fromkeys(name for row in rows for name in row.inputs))
    graded = any(score not in (0, 1) for row in rows for score in (row.before_score, row.after_score))
    lines = [
        [
            str(row.number),
            *([f"{percent(row.before_score, 0)} → {percent(row.after_score, 0)}"] if graded else []),
            *(_cut(as_text(row.inputs.get(n))) for n in names),
            _cut(_answer(row.expected)),
            _cut(_answer(row.before)),
            _cut(row.error or _answer(row.after)),
        ]
        for row in rows[:ROWS_SHOWN]
    ]
    more = (
        f'<p class="fine">and {len(rows) - ROWS_SHOWN:,} more; all of them are in the results download.</p>'
        if len(rows) > ROWS_SHOWN
        else ""
    )
    head = ["Row", *(["Score"] if graded else []), *names, "Right answer", "Before", "Now"]
    return _long_table(head, lines, look) + more


def _prompts(prompts: Sequence[ReportPrompt]) -> str:
    lines = [
        [
            f"{p.number}{' (best)' if p.best else ' (start)' if not p.number else ''}",
            "" if p.score is None else f"{percent(p.score)} on {_count(p.rows, 'row')}",
            ", ".join(map(str, p.parents)),
            p.reason or "The starting prompt.",
        ]
        for p in prompts
    ]
    return _table(["Prompt", "Score", "From", "Why it exists"], lines)


def _cost(report: Report) -> str:
    usage = report.usage
    pairs = (
        ("Calls paid for", f"{usage.get('calls', 0):,}"),
        ("Answered from the cache", f"{usage.get('cached', 0):,}"),
        (
            "Tokens",
            f"{short(usage.get('input_tokens', 0))} read, {short(usage.get('output_tokens', 0))} written",
        ),
        ("Money", price(usage.get("cost"))),
        ("Working time", duration(report.seconds)),
    )
    return _settings(pairs)


def _settings(pairs: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return f"<dl>{lines}</dl>"


def _long_table(head: Sequence[str], lines: Sequence[Sequence[str]], look: str = "") -> str:
    """Return a table whose first lines are open; the others unfold, unless they are hardly more."""
    if len(lines) <= ROWS_OPEN + 2:
        return _table(head, lines, look)
    rest = _table(head, lines[ROWS_OPEN:], look)
    return (
        _table(head, lines[:ROWS_OPEN], look)
        + f'<details class="rest"><summary>{len(lines) - ROWS_OPEN:,} more</summary>{rest}</details>'
    )


def _table(head: Sequence[str], lines: Iterable[Sequence[str]], look: str = "") -> str:
    """Return a table; `look` is the class of the last column's cells."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    last = f'<td class="{look}">' if look else "<td>"
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in line[:-1]) + f"{last}{escape(line[-1])}</td></tr>"
        for line in lines
    )
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


def _card(title: str, body: str) -> str:
    return f"<section class='card'><h2>{escape(title)}</h2>{body}</section>"


def _folded(title: str, body: str) -> str:
    return f"<details class='card'><summary><h2>{escape(title)}</h2></summary>{body}</details>"


def _answer(values: Mapping[str, Any]) -> str:
    if len(values) == 1:
        return as_text(next(iter(values.values())))
    return "\n".join(f"{name}: {as_text(value)}" for name, value in values.items())


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL].rstrip()} …"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _number(value: float | None) -> str:
    return "not known" if value is None else short(value)


def _thousand(value: float | None) -> str:
    return price(None if value is None else 1000 * value)


def _change(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> str:
    was, now = before.get(name), after.get(name)
    change = round(100 * (now / was - 1)) if was and now else 0
    return f"{change:+d} % against the baseline" if change else ""


_KINDS = {
    "better": ("Better", "good"),
    "worse": ("Worse", "bad"),
    "too_close": ("Too close to call", "even"),
    "not_enough": ("Not enough rows to tell", "even"),
    "unchanged": ("No better prompt was found", "even"),
}
