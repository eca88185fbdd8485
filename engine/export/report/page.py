"""The look of the report: one style sheet for light, dark and print, and the mark at its head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from engine.export.diff import Segment, difference
from engine.export.figures import duration, moment, percent, price, prompts_tried, short
from engine.export.report.charts import Dot, interval_svg, score_svg
from engine.records import Candidate, Demo
from engine.text import as_text, counted

MARK = (
    '<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8"/>'
    '<path d="M9 7v18M16 7v18M23 7v18"/><circle cx="9" cy="13" r="3"/><circle cx="16" cy="20" r="3"/>'
    '<circle cx="23" cy="11" r="3"/></svg>'
)

STYLE = """
:root{--bg:#f4f7f7;--card:#fff;--text:#101c22;--dim:#55656c;--line:#dbe2e3;--accent:#0b6e69;--good:#14663b;
--good-bg:#e2f4e9;--bad:#a32a23;--bad-bg:#fce8e6;--even:#7a4a05;--even-bg:#fdf0dc;--code:#f5f7f7}
@media (prefers-color-scheme:dark){:root{--bg:#10171b;--card:#172026;--text:#e6edef;--dim:#a9b8be;--line:#2f3c42;
--accent:#5fd3c7;--good:#7ee0b0;--good-bg:#143526;--bad:#f8a49d;--bad-bg:#41201e;--even:#f6c27d;--even-bg:#3b2a10;--code:#1c272d}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.55 "Source Sans 3","Segoe UI",system-ui,-apple-system,sans-serif}
main{max-width:1060px;margin:0 auto;padding:36px 24px 60px}
header{display:flex;gap:16px;align-items:center;margin-bottom:22px}
.mark{width:46px;height:46px;flex:none}.mark rect{fill:#0b6e69}.mark path{stroke:#fff;stroke-opacity:.55;stroke-width:2;fill:none}
.mark circle{fill:#fff}
h1{font-size:27px;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:18px;margin:0 0 10px}h3{font-size:16px;margin:20px 0 4px}h4{font-size:14px;margin:18px 0 4px}
.kicker{margin:0;color:var(--accent);font-weight:600;font-size:13px;overflow-wrap:anywhere}.sub,.fine{color:var(--dim);margin:2px 0;font-size:13.5px}
section,details{margin-bottom:16px}
.card,.tile{background:var(--card);border:1px solid var(--line);border-radius:12px}
.card{padding:18px 20px}
details.card>summary{cursor:pointer;list-style:none}details.card>summary h2{display:inline-block;margin:0}
details.card>summary::before{content:"▸";display:inline-block;width:1.2em;color:var(--dim)}details.card[open]>summary::before{content:"▾"}
details.card[open]>summary{margin-bottom:10px}
.rest{margin:0}.rest>summary{cursor:pointer;color:var(--accent);font-weight:600;font-size:14px;padding:8px 0 4px}
.verdict{border-radius:12px;padding:20px 22px}.verdict h2{font-size:23px;margin:0 0 4px}.said{font-size:17px;margin:0 0 6px}
.verdict.good{background:var(--good-bg)}.verdict.good h2{color:var(--good)}
.verdict.bad{background:var(--bad-bg)}.verdict.bad h2{color:var(--bad)}
.verdict.even{background:var(--even-bg)}.verdict.even h2{color:var(--even)}
.verdict .fine{color:inherit;opacity:.85}
.tiles{display:grid;grid-template-columns:repeat(3,1fr);gap:12px}
.tile{padding:12px 16px;display:flex;flex-direction:column}.tile span{color:var(--dim);font-size:13.5px}
.tile b{font-size:24px;font-weight:650;line-height:1.3}.tile small{color:var(--dim);min-height:1.3em}
svg{display:block;width:100%;height:auto}svg text{font-size:13px;fill:var(--dim)}
.grid{stroke:var(--line)}.base{stroke:var(--dim);stroke-dasharray:6 5;stroke-width:1.5}
.sofar{fill:none;stroke:var(--good);stroke-width:2.4}
.whole{fill:var(--accent)}.part{fill:var(--card);stroke:var(--accent);stroke-width:1.6}
circle.best{fill:var(--good);stroke:var(--card);stroke-width:2}
.zero{stroke:var(--dim);stroke-dasharray:3 3}.span{stroke-width:6;stroke-linecap:round}
.span.good,.dot.good{stroke:var(--good)}.span.bad,.dot.bad{stroke:var(--bad)}.span.even,.dot.even{stroke:var(--even)}
.dot{fill:var(--card);stroke-width:4}
.verdict svg{margin-top:6px}.verdict .grid{stroke:currentColor;stroke-opacity:.25}
.key{font-size:13px;color:var(--dim);margin:0 0 6px}.key i{display:inline-block;width:10px;height:10px;border-radius:50%;margin:0 5px 0 12px}
.key i:first-child{margin-left:0}.k-best{background:var(--good)}.k-whole{background:var(--accent)}
.k-part{border:1.6px solid var(--accent)}.key .k-sofar{border-radius:0;height:3px;width:18px;background:var(--good);vertical-align:3px}
.wide{overflow-x:auto}
table{width:100%;border-collapse:collapse;font-size:13.5px}
th{text-align:left;color:var(--dim);font-weight:600;padding:4px 14px 6px 0;white-space:nowrap}
td{vertical-align:top;padding:6px 14px 6px 0;border-top:1px solid var(--line);overflow-wrap:break-word;white-space:pre-wrap;max-width:34em}
td.good{color:var(--good);font-weight:600}td.bad{color:var(--bad);font-weight:600}
pre,.diff td{font:12.5px/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
pre{background:var(--code);border-radius:8px;padding:10px 12px;margin:6px 0 0}
.diff{table-layout:fixed}.diff td,.diff th{padding:2px 10px;border:0}.diff td.del{background:var(--bad-bg)}.diff td.ins{background:var(--good-bg)}
.diff td+td,.diff th+th{border-left:1px solid var(--line)}
.diff del{color:var(--bad);text-decoration-thickness:1px}.diff ins{color:var(--good);text-decoration:none;font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 22px;margin:0;font-size:14px}dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
footer{color:var(--dim);font-size:13px;margin-top:24px}
@media (max-width:720px){.tiles{grid-template-columns:1fr 1fr}}
@media print{body{background:#fff}main{max-width:none;padding:0}.card,.tile,.verdict{break-inside:avoid-page}
.verdict,.diff td,.tile,circle,.mark{-webkit-print-color-adjust:exact;print-color-adjust:exact}
.card:has(table){break-inside:auto}tr{break-inside:avoid}.wide{overflow:visible}}
"""


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
        f'<p class="fine">{counted(found.added, "word")} added, {counted(found.removed, "word")} removed</p>'
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
            "" if p.score is None else f"{percent(p.score)} on {counted(p.rows, 'row')}",
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
