"""The smallest gain that the final test can show, by its number of rows: known before a cent is spent."""

from __future__ import annotations

import math

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.project_page import ProjectPage
from dashboard.components.tab_conflict import guarded, renew, widget_key
from dashboard.services import (
    MIN_ROWS,
    WORSE_ROWS,
    EngineError,
    ProjectDraft,
    SplitSpec,
    Verdict,
    counted,
    percent,
    smallest_gain,
)
from dashboard.state import reading
from dashboard.state.editing.examples import rows_to_use, split_of
from dashboard.state.writing import read_only
from dashboard.tune.plans import plans_of

MOST_TESTED = 0.6
"""Largest share of the rows that this page keeps for the test: a search needs the others."""


def last_verdict(project_id: str) -> Verdict | None:
    """Return the newest verdict of a project that compares two prompts on enough rows."""
    verdicts = (run.result.verdict for run in reading.runs(project_id) if run.result)
    known = (v for v in verdicts if isinstance(v, Verdict))
    return next((v for v in known if v.kind in ("better", "worse", "too_close")), None)


def bet(now: int, other: int, worse: float) -> str:
    """Return in words what tests of two sizes show.

    >>> bet(36, 120, 0.05)
    'With **36 test rows** a gain of **27 points** or more will show; with 120 rows, of 12.'
    >>> bet(6, 120, 0.05)
    'With **6 test rows** no gain will show; with 120 rows, one of 12 points or more will.'
    """
    first, second = points(now, worse), points(other, worse)
    start = f"With **{counted(now, 'test row')}**"
    if first is None:
        then = "" if second is None else f"; with {other:,} rows, one of {second} points or more will"
        return f"{start} no gain will show{then}."
    return f"{start} a gain of **{counted(first, 'point')}** or more will show; with {other:,} rows, of {second}."


def points(rows: int, worse: float) -> int | None:
    """Return the smallest gain that a test shows, in whole points of 100."""
    gain = smallest_gain(rows, worse)
    return None if gain is None else round(100 * gain)


def final_test_card(page: ProjectPage) -> None:
    """Show what a test of the draft's size can show, and of any other size; nothing before the rows can be divided."""
    try:
        split = split_of(page.draft)
    except EngineError:
        return
    now, last = len(split.test), last_verdict(page.id)
    # One row more than were seen, for the doubt of few rows.
    worse = WORSE_ROWS if last is None else (last.lost + 1) / (last.rows + 2)
    source = "no run has shown it yet; on our samples 0 to 7 % did"
    if last is not None:
        source = f"{last.lost:,} of {last.rows:,} did in the last run"
    about = explain(
        "final test",
        "A gain that shows is one that the verdict calls better, in four of five tests of this size. "
        "It is worked out from the verdict's own interval, as if every answer were right or wrong.",
    )
    with ui.card("final_test", "What the final test can show", about, gap="xsmall", height="stretch"):
        place, chart = st.empty(), st.empty()
        low, high, step = _range(now)
        asked = st.slider(
            "Test rows", low, high, now, step=step, key=widget_key("test_rows", page.id), format="%d rows"
        )
        shown = (rows for rows in range(2 * now, high + 1) if smallest_gain(rows, worse))
        other = asked if asked != now else next(shown, 2 * now)
        words = bet(now, other, worse)
        place.markdown(words)
        chart.html(_chart((low, high), now, other, worse, words))
        _ways_to(page, split.sizes, asked, other)
        gain = smallest_gain(now, worse)
        if last is not None and gain is not None and gain > 1 - last.baseline:
            score = f"The start scored {percent(last.baseline, 0)} in the last test"
            st.markdown(
                ui.mark("error", f"{score}: so large a gain is not left. It takes more rows to show.")
            )
        share = percent(worse, 0)
        st.caption(f"Assumed: {share} of the test rows get worse ({source}).")


def _range(now: int) -> tuple[int, int, int]:
    """Return the slider's ends and step, which `now` is on."""
    low, high = max(1, min(now, 20)), max(120, 10 * math.ceil(0.3 * now))
    step = max(1, (high - low) // 200)
    return low + (now - low) % step, high, step


def _ways_to(page: ProjectPage, sizes: tuple[int, int, int], asked: int, other: int) -> None:
    """Offer what makes a test of another size: more of the rows that there are, or more rows."""
    draft, now = page.draft, sizes[2]
    total = sum(sizes) - len(draft.synthetic)
    more = math.ceil(other / draft.split.test) - total
    blank = rows_to_use(draft) - sum(sizes)
    with ui.row("test_rows_ways"):
        if asked != now and MIN_ROWS <= asked <= MOST_TESTED * total and not read_only():
            ui.button(
                f"Test on {asked:,} of the {counted(total, 'row')}",
                "set_test_rows",
                icon="check",
                on_click=ui.callback(_set_test_rows, page, asked / total),
                help="The other rows are divided as before. Scores of earlier runs are then on other rows.",
            )
        if more > 0:
            about = f"{percent(draft.split.test, 0)} of the rows are kept for the test."
            verb = "Use" if draft.split.sample else "Label"
            tab = {} if draft.split.sample else {"example_tabs": "Label" if blank >= more else "Add rows"}
            ui.link("examples", f"{verb} {counted(more, 'more row')}", "add", about, project=page.id, **tab)


def _set_test_rows(page: ProjectPage, share: float) -> None:
    """Divide the rows again, with this share for the test; a plan stays chosen, for the new numbers of rows."""
    shares = page.draft.split
    learning = round((1 - share) * shares.train / (shares.train + shares.validation), 4)
    divided = {"train": learning, "validation": round(1 - learning - share, 4), "test": round(share, 4)}
    changes: dict[str, object] = {"split": SplitSpec(**{**shares.model_dump(), **divided})}
    chosen = next((p.name for p in plans_of(page.draft) if p.chosen(page.draft)), "")
    plan = next((p for p in plans_of(page.draft.model_copy(update=changes)) if p.name == chosen), None)

    def change(draft: ProjectDraft) -> ProjectDraft:
        changed = draft.model_copy(update=changes)
        return plan.applied(changed) if plan else changed

    guarded(page.id, change, "tuning")
    renew(page.id)


def _chart(ends: tuple[int, int], now: int, other: int, worse: float, words: str) -> str:
    """Return the line of the smallest gain by the number of test rows as HTML, with a dot at two of them."""
    start, end = ends
    numbers = sorted({*range(start, end, max(1, (end - start) // 50)), end, now, other})
    gains = {rows: gain for rows in numbers if (gain := smallest_gain(rows, worse)) is not None}
    if not gains:
        return ""
    top = 1.12 * max(gains.values())
    across = {rows: 100 * (rows - start) / max(1, end - start) for rows in gains}
    down = {rows: 100 * (1 - gain / top) for rows, gain in gains.items()}
    line = [f"{across[rows]:.2f}% calc({down[rows]:.2f}% {{0}} 1.25px)" for rows in gains if rows <= end]
    above = ",".join(["0 0", *line, "100% 0"]).format("+")
    stroke = ",".join([*(at.format("-") for at in line), *(at.format("+") for at in reversed(line))])
    dots = ""
    for kind, rows in (("other", other), ("now", now)):
        if rows in gains and rows <= end:
            side = "left" if across[rows] > 80 else ""
            at = f"left:{across[rows]:.2f}%;top:{down[rows]:.2f}%"
            dots += f'<b class="{kind} {side}" style="{at}"><span>{points(rows, worse)} points</span></b>'
    return (
        f'<div class="tb-bet" role="img" aria-label="{words.replace("*", "")}">'
        f'<u style="clip-path:polygon({above})"></u><s style="clip-path:polygon({stroke})"></s>'
        f"<i>a gain up here shows</i><em>down here it may be luck</em>{dots}</div>"
    )
