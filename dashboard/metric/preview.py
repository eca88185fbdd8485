"""The metric on some of the project's own rows before anything is spent, and checked against the user's own grades."""

from __future__ import annotations

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.project_page import ProjectPage
from dashboard.components.tables import outcome_table
from dashboard.services import (
    Agreement,
    ModelChoice,
    Outcome,
    agreement,
    counted,
    error_line,
    get_metric,
    level,
    percent,
    value_text,
)
from dashboard.state import feedback, models, playground, reading
from dashboard.state.editing.drafts import state_of
from dashboard.state.feedback import answer_text, grade_key
from dashboard.state.models import asked_models, title_of
from dashboard.state.playground import Preview
from dashboard.state.session import SessionValue
from dashboard.text import escape_markdown, last_line


def metric_preview(page: ProjectPage) -> None:
    """Offer to try the metric, and show what came of it."""
    about = explain(
        "metric",
        "Here your prompt answers ten of the rows a search would learn from; rows of the final test are not touched.",
    )
    with ui.card("metric_try", "Try it on ten rows", about):
        reason = _refusal(page)
        shown = shown_of(page)
        with ui.row("metric_try_bar"):
            if ui.button(
                "Try it on ten rows" if shown is None else "Answer them again",
                "try_metric",
                reason,
                icon="play_arrow",
            ):
                _ask(page, playground.TRIED)
                st.rerun()
            if not reason:
                st.caption(_asked_calls(page, playground.TRIED), width="content")
        ui.problem_line(f"preview_problem_{page.id}")
        if shown is not None:
            _preview_table(page, shown)


def _refusal(page: ProjectPage) -> str:
    """Return why no row can be tried now, or ""."""
    return playground.why_not(page.draft) or models.refusal(
        asked_models(page.draft.model, page.draft.pipeline)
    )


PREVIEW: SessionValue[Preview | None] = SessionValue("preview", None)


def shown_of(page: ProjectPage) -> Preview | None:
    """Return what the last try came to; None where the task or the model has changed since."""
    shown = PREVIEW.get(page.id)
    return shown if shown is not None and shown.task == state_of(page.draft, "answers") else None


def _ask(page: ProjectPage, number: int, *, again: Preview | None = None) -> None:
    """Answer and score rows, or score the answers of an earlier preview again; keep the result in this session."""
    spinner = st.spinner("Scoring" if again else "Answering and scoring")
    with ui.problem_kept(f"preview_problem_{page.id}"), spinner:
        rows = dict(again.rows) if again else playground.some_rows(page.draft, number)
        answers = again.answers if again else {}
        known = shown_of(page)
        if again is None and known is not None and len(rows) > len(known.rows):
            answers = {row: a for row, a in known.answers.items() if row in rows}
        outcomes = playground.answer_rows(page.draft, rows, answers)
        stamps = state_of(page.draft, "answers"), state_of(page.draft, "metric")
        PREVIEW.set(Preview(outcomes, rows, *stamps), page.id)


def _preview_table(page: ProjectPage, shown: Preview) -> None:
    """Show the rows of a try: what was asked, what was right, what was answered, the score and why."""
    if shown.metric != state_of(page.draft, "metric"):
        with ui.row("rescore_bar"):
            st.markdown(
                ":orange[:material/update:] The metric has changed since; these are its old scores.",
                width="content",
            )
            if ui.button("Score the same answers again", "rescore", icon="refresh"):
                _ask(page, len(shown.rows), again=shown)
                st.rerun()
    rows = shown.outcomes
    mean = playground.mean_score(rows)
    failed = [o.error for o in rows if o.error]
    calls = sum(o.usage.calls for o in rows)
    parts = [
        "No row could be scored" if mean is None else f"The mean score is {percent(mean, 0)}",
        counted(calls, "call") if calls else "no call: answered from the cache",
        f"{counted(len(failed), 'row')} failed" if failed else "",
    ]
    st.caption(" · ".join(p for p in parts if p))
    has_code = page.draft.metric is not None and page.draft.metric.name == "PythonMetric"
    for sentence in dict.fromkeys(error_mark(error, with_line=has_code) for error in failed[:3]):
        st.markdown(sentence)
    outcome_table(rows, shown.rows, page.outputs, "preview_table")


def _asked_calls(page: ProjectPage, number: int) -> str:
    draft = page.draft
    steps = len(draft.pipeline.steps) if draft.pipeline else 1
    judge = get_metric(draft.metric.name)(**draft.metric.options).calls if draft.metric else 0
    by_judge = f", {number * judge} of them to the judge" if judge else ""
    model = escape_markdown(title_of(draft.model or ModelChoice()))
    return f"At least {counted(number * (steps + judge), 'call')} to {model}{by_judge}."


def error_mark(error: str, *, with_line: bool) -> str:
    """Return what went wrong as Markdown, with the line of the metric's code where that is asked for."""
    line = error_line(error) if with_line else None
    return ui.mark("error", f"{f'Line {line}: ' if line else ''}{last_line(error)[:300]}", "red")


MARKS = {1.0: "Right", 0.5: "Partly", 0.0: "Wrong"}
AT_ONCE = 5
SHORT = 40


def judge_check(page: ProjectPage) -> None:
    """Offer to check the metric against the user's grades of about twenty answers; open where it is a judge."""
    metric = page.draft.metric
    if metric is None or page.draft.dataset is None:
        return
    judged = bool(get_metric(metric.name).calls)
    title = "Does the judge agree with you?" if judged else "Does this score agree with you?"
    with st.expander(title, icon=":material/balance:", expanded=judged, key="judge_check"):
        st.caption(
            "Grade about twenty answers yourself. You see how far your grades and the metric's agree, and where not, "
            "before a search spends money on pleasing the wrong judge."
        )
        shown = shown_of(page)
        if shown is None or len(shown.rows) <= playground.TRIED:
            reason = _refusal(page)
            with ui.row("judge_bar"):
                if ui.button("Bring twenty answers", "bring_answers", reason, icon="download"):
                    _ask(page, playground.GRADED)
                    shown = shown_of(page)
        if shown is not None:
            st.fragment(_check)(page, shown, page.draft.dataset)


def _check(page: ProjectPage, shown: Preview, dataset: str) -> None:
    grades = reading.read_store(lambda store: store.feedback.grades(page.id, dataset))
    rows = [o for o in shown.outcomes if o.prediction]
    keys = {o.row: (o.row, grade_key(o.prediction, page.outputs)) for o in rows}
    mine = {row: grades[key] for row, key in keys.items() if key in grades}
    agreed = agreement(mine, {o.row: o.score for o in rows if o.error is None})
    _headline(agreed, len(mine), len(rows))
    differ = {*agreed.kinder, *agreed.stricter}
    shows = {
        "To grade": [o for o in rows if o.row not in mine],
        "All": rows,
        "Where you differ": [o for o in rows if o.row in differ],
    }
    which = ui.segments(
        "Show",
        list(shows),
        default="To grade" if shows["To grade"] else "Where you differ",
        format_func=lambda w: f"{w} ({len(differ) if w == 'Where you differ' else len(shows[w])})",
        key=f"judge_show_{page.id}",
    )
    if not shows[which]:
        st.caption("None left." if which == "To grade" else "None.")
    for outcome in shows[which][:AT_ONCE] if which == "To grade" else shows[which]:
        _grading_card(page, dataset, shown, outcome, mine.get(outcome.row))


def _headline(found: Agreement, graded: int, rows: int) -> None:
    if not graded:
        st.markdown(f":gray[:material/balance:] {counted(rows, 'answer')} to grade.")
        return
    colour = "gray"
    if found.kappa is not None:
        colour = "green" if found.kappa > 0.6 else "orange" if found.kappa > 0.2 else "red"
    with st.container(key="agreement"):
        st.markdown(
            ui.mark("balance", found.sentence, colour),
            help=explain("agreement", "A score counts as the nearest of wrong, partly and right."),
        )
    st.progress(graded / rows if rows else 0.0, f"{graded} of {rows} graded")


def _grading_card(
    page: ProjectPage, dataset: str, shown: Preview, outcome: Outcome, mine: float | None
) -> None:
    outputs, values = page.outputs, shown.rows.get(outcome.row, {})
    with ui.card(f"grade_{outcome.row}"):
        _inputs({name: value_text(value) for name, value in values.items() if name not in outputs})
        for column, title, text in zip(
            st.columns(2, gap="medium"),
            ("The right answer in your data", "The model says"),
            (answer_text(values, outputs), answer_text(outcome.prediction, outputs)),
            strict=True,
        ):
            column.caption(title)
            column.text(text or "(empty)")
        with ui.row(f"grade_bar_{outcome.row}"):
            answer_key = grade_key(outcome.prediction, outputs)
            st.segmented_control(
                "Your grade",
                list(MARKS),
                default=mine,
                format_func=lambda m: MARKS[m],
                label_visibility="collapsed",
                **ui.saved(
                    f"mine_{page.id}_{outcome.row}", feedback.grade, page.id, dataset, outcome.row, answer_key
                ),
            )
            if mine is not None and outcome.error is None:
                st.badge(
                    f"The metric says {percent(outcome.score, 0)}",
                    color="green" if level(outcome.score) == mine else "orange",
                )
        if mine is not None and outcome.feedback:
            ui.named_text("Why, in the metric's words", outcome.feedback)


def _inputs(inputs: dict[str, str]) -> None:
    """Show a row's inputs: long ones each by itself, short ones together on one line."""
    short = {name: text for name, text in inputs.items() if len(text) <= SHORT and "\n" not in text}
    for name, text in inputs.items():
        if name not in short or len(inputs) == 1:
            ui.named_text(name, text)
    if short and len(inputs) > 1:
        st.text(" · ".join(f"{name}: {text}" for name, text in short.items()))
