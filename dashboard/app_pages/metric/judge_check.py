"""Check of a metric against the user's own grades of about twenty answers: agreement in words and a number."""

from __future__ import annotations

import streamlit as st

from dashboard.app_pages.metric.preview import ask, refusal, shown_of
from dashboard.components.layout import callback, card, choose, in_row
from dashboard.components.page import Current
from dashboard.state import feedback, playground
from dashboard.state.feedback import answer_text, grade_key
from dashboard.state.playground import Preview
from dashboard.views.comparison import as_text
from dashboard.views.glossary import explain
from dashboard.views.text import count, escape_markdown
from engine.metrics.agreement import Agreement, agreement, level
from engine.records import Outcome
from engine.registry import get_metric

MARKS = {1.0: "Right", 0.5: "Partly", 0.0: "Wrong"}
AT_ONCE = 5
SHORT = 40


def judge_check(now: Current) -> None:
    """Show the check, open where the chosen metric is a judge."""
    metric = now.draft.metric
    if metric is None or now.draft.dataset is None:
        return
    judged = bool(get_metric(metric.name).calls)
    title = "Does the judge agree with you?" if judged else "Does this score agree with you?"
    with st.expander(title, icon=":material/balance:", expanded=judged, key="judge_check"):
        st.caption(
            "Grade about twenty answers yourself. You see how far your grades and the metric's agree, and where not, "
            "before a search spends money on pleasing the wrong judge."
        )
        reason = refusal(now)
        shown = shown_of(now)
        if shown is None or len(shown.rows) <= playground.TRIED:
            with in_row("judge_bar"):
                if st.button(
                    "Bring twenty answers",
                    key="bring_answers",
                    icon=":material/download:",
                    disabled=bool(reason),
                    help=escape_markdown(reason) or None,
                ):
                    ask(now, playground.GRADED)
                    shown = shown_of(now)
                if reason:
                    st.caption(escape_markdown(reason), width="content")
        if shown is not None:
            st.fragment(_check)(now, shown, now.draft.dataset)


def _check(now: Current, shown: Preview, dataset: str) -> None:
    outputs = [f.name for f in now.draft.pipeline.outputs] if now.draft.pipeline else []
    kept = feedback.grades(now.id, dataset)
    rows = [r for r in shown.outcomes if r.prediction]
    mine = {
        r.row: kept[r.row, grade_key(r.prediction, outputs)]
        for r in rows
        if (r.row, grade_key(r.prediction, outputs)) in kept
    }
    theirs = {r.row: r.score for r in rows if r.error is None}
    found = agreement(mine, theirs)
    _headline(found, len(mine), len(rows))
    differ = {*found.kinder, *found.stricter}
    which = choose(
        "Show",
        ["To grade", "All", "Where you differ"],
        default="To grade" if len(mine) < len(rows) else "Where you differ",
        format_func=lambda w: (
            f"{w} ({ {'To grade': len(rows) - len(mine), 'All': len(rows)}.get(w, len(differ)) })"
        ),
        key=f"judge_show_{now.id}",
    )
    picked = [
        r for r in rows if which == "All" or (r.row not in mine if which == "To grade" else r.row in differ)
    ]
    if not picked:
        st.caption("None left." if which == "To grade" else "None.")
    for row in picked[:AT_ONCE] if which == "To grade" else picked:
        _one(now, shown, row, outputs, mine.get(row.row))


def _headline(found: Agreement, graded: int, rows: int) -> None:
    if not graded:
        st.markdown(f":gray[:material/balance:] {count(rows, 'answer')} to grade.")
        return
    colour = (
        "gray"
        if found.kappa is None
        else "green"
        if found.kappa > 0.6
        else "orange"
        if found.kappa > 0.2
        else "red"
    )
    with st.container(key="agreement"):
        st.markdown(
            f":{colour}[:material/balance:] {escape_markdown(found.sentence)}",
            help=explain("agreement", "A score counts as the nearest of wrong, partly and right."),
        )
    st.progress(graded / rows if rows else 0.0, f"{graded} of {rows} graded")


def _one(now: Current, shown: Preview, row: Outcome, outputs: list[str], mine: float | None) -> None:
    values = shown.rows.get(row.row, {})
    with card(f"grade_{row.row}"):
        _inputs({name: as_text(value) for name, value in values.items() if name not in outputs})
        left, right = st.columns(2, gap="medium")
        for column, title, text in (
            (left, "The right answer in your data", answer_text(values, outputs)),
            (right, "The model says", answer_text(row.prediction, outputs)),
        ):
            with column:
                st.caption(title)
                st.text(text or "(empty)")
        with in_row(f"grade_bar_{row.row}"):
            key = f"mine_{now.id}_{row.row}"
            st.segmented_control(
                "Your grade",
                list(MARKS),
                default=mine,
                format_func=lambda m: MARKS[m],
                key=key,
                label_visibility="collapsed",
                on_change=callback(_graded, now, row, outputs, key),
            )
            if mine is not None and row.error is None:
                st.badge(
                    f"The metric says {100 * row.score:.0f} %",
                    color="green" if level(row.score) == mine else "orange",
                )
        if mine is not None and row.feedback:
            st.caption("Why, in the metric's words")
            st.text(row.feedback)


def _inputs(inputs: dict[str, str]) -> None:
    """Show a row's inputs: long ones each by itself, short ones together on one line."""
    short = {name: text for name, text in inputs.items() if len(text) <= SHORT and "\n" not in text}
    for name, text in inputs.items():
        if name not in short or len(inputs) == 1:
            st.caption(escape_markdown(name))
            st.text(text)
    if short and len(inputs) > 1:
        st.text(" · ".join(f"{name}: {text}" for name, text in short.items()))


def _graded(now: Current, row: Outcome, outputs: list[str], key: str) -> None:
    dataset = now.draft.dataset
    if dataset is not None:
        feedback.grade(now.id, dataset, row.row, grade_key(row.prediction, outputs), st.session_state[key])
