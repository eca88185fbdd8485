"""A check of a program for continuous integration: exit code, a JUnit file, a Markdown summary. It fails only when surely worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from engine.basics.text import counted, cut, percent, visible
from engine.cli.output import echo
from engine.cli.programs import RowTable, ScoredRows, save_file
from engine.errors import ConfigurationError
from engine.export.page import markdown_text
from engine.export.program import read_program
from engine.records import Evaluation, Outcome, value_text
from engine.search.judging.verdict import verdict

MOST_LISTED = 20


class Reports(NamedTuple):
    """Files to write: `junit` is replaced, `summary` is added to."""

    junit: Path | None = None
    summary: Path | None = None


class CheckFinding(NamedTuple):
    """The outcome of a check. `worse` are the numbers of rows that the old program scored higher on."""

    failed: bool
    sentence: str
    worse: Sequence[int] = ()


def check_program(
    program: Path, table: RowTable, against: Path | None, at_least: float | None, reports: Reports
) -> int:
    """Score a program on a table, compare it with an older one or a least score, and return the exit code.

    `at_least` is a percentage. The code is 1 where the program is surely worse than `against`, its score surely below
    `at_least`, or no row worked: chance alone fails one check of forty. Raises ConfigurationError where nothing is asked.
    """
    if against is None and at_least is None:
        raise ConfigurationError(
            "There is nothing to check against. Give --against OLD.json, an earlier program, or --at-least PERCENT."
        )
    if at_least is not None and not (math.isfinite(at_least) and 0 <= at_least <= 100):
        raise ConfigurationError(f"--at-least is a percentage from 0 to 100, not {at_least:g}.")
    content = read_program(program)
    older = None if against is None else read_program(against)
    new = table.score(content)
    old = None if older is None else table.score(older, quiet=True)
    findings = _findings(new, old, at_least)
    for line in (new.sentence, *(f.sentence for f in findings)):
        echo(line)
    if reports.junit is not None:
        save_file(reports.junit, _junit(content.title, new, old, findings), make_folder=False)
    if reports.summary is not None:
        text = _markdown(content.title, new, old, findings)
        before = reports.summary.read_bytes() if reports.summary.exists() else b""
        save_file(reports.summary, before + text.encode(), make_folder=False)
    return 1 if any(f.failed for f in findings) else 0


def _findings(new: ScoredRows, old: ScoredRows | None, at_least: float | None) -> list[CheckFinding]:
    findings = []
    if len(new.failed) == len(new.outcomes):
        findings.append(CheckFinding(True, f"Failed: no row worked. The first: {new.failed[0].error}"))
    if at_least is not None:
        below = round(100 * new.interval.high, 6) < at_least
        word = "Failed: the score is surely below" if below else "Passed: the score is not surely below"
        findings.append(
            CheckFinding(
                below, f"{word} {at_least:g} % (it may be as high as {percent(new.interval.high, 1)})."
            )
        )
    if old is not None:
        compared = verdict(Evaluation("old", tuple(old.outcomes)), Evaluation("new", tuple(new.outcomes)))
        before = {o.row: o.score for o in old.outcomes}
        worse = [o.row for o in new.outcomes if o.score < before.get(o.row, o.score)]
        failed = compared.kind == "worse"
        findings.append(
            CheckFinding(failed, f"{'Failed' if failed else 'Passed'}. {compared.sentence}", worse)
        )
    return findings


def _junit(title: str, new: ScoredRows, old: ScoredRows | None, findings: Sequence[CheckFinding]) -> bytes:
    """Return a JUnit file: the check as the first case, then one for each row; only the check and errors can fail."""
    failures = [f for f in findings if f.failed]
    suite = ET.Element("testsuite", name=f"tuneboard check: {title}")
    case = ET.SubElement(suite, "testcase", classname="tuneboard", name="check")
    if failures:
        text = "\n".join(f.sentence for f in failures)
        ET.SubElement(case, "failure", message=failures[0].sentence).text = text
    ET.SubElement(case, "system-out").text = "\n".join((new.sentence, *(f.sentence for f in findings)))
    before = {} if old is None else {o.row: o.score for o in old.outcomes}
    for outcome in new.outcomes:
        name = f"row {outcome.row}"
        row = ET.SubElement(suite, "testcase", classname="rows", name=name, time=f"{outcome.seconds:.3f}")
        if outcome.error is not None:
            ET.SubElement(row, "error", message=outcome.error)
        was = f", {percent(before[outcome.row], 1)} before" if outcome.row in before else ""
        ET.SubElement(row, "system-out").text = f"{percent(outcome.score, 1)}{was}: {_answer(outcome)}"
    suite.set("tests", str(len(new.outcomes) + 1))
    suite.set("failures", str(int(bool(failures))))
    suite.set("errors", str(len(new.failed)))
    ET.indent(suite)
    whole: str = ET.tostring(suite, "unicode", xml_declaration=True)
    return visible(whole).encode()  # XML cannot hold control characters


def _markdown(title: str, new: ScoredRows, old: ScoredRows | None, findings: Sequence[CheckFinding]) -> str:
    """Return the summary: the findings, and the rows that became worse."""
    mark = "❌" if any(f.failed for f in findings) else "✅"
    lines = [
        f"## {mark} {markdown_text(title)}",
        "",
        new.sentence,
        "",
        *(f"- {f.sentence}" for f in findings),
        "",
    ]
    worse = [n for f in findings for n in f.worse]
    if worse and old is not None:
        answers = [{o.row: o for o in side.outcomes} for side in (old, new)]
        lines += [
            f"{counted(len(worse), 'row')} became worse:",
            "",
            "| Row | Before | Now |",
            "|---|---|---|",
        ]
        for n in worse[:MOST_LISTED]:
            before, now = (markdown_text(_answer(side[n])) for side in answers)
            lines.append(f"| {n} | {before} | {now} |")
        if len(worse) > MOST_LISTED:
            lines.append(f"\n... and {len(worse) - MOST_LISTED} more.")
    return visible("\n".join(lines).rstrip()) + "\n\n"


def _answer(outcome: Outcome) -> str:
    """Return a row's answer, or its error, on one line of at most 120 characters."""
    text = outcome.error or ", ".join(value_text(v) for v in outcome.prediction.values())
    return cut(" ".join(text.split()), 120)
