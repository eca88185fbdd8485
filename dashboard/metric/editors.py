"""Editors of the metrics that have one: a judge's criteria, metrics with weights, and the user's own Python code."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from operator import methodcaller

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.project_page import ProjectPage
from dashboard.components.prompts import messages_view
from dashboard.components.tab_conflict import guarded, widget_key
from dashboard.components.tables import outcome_table
from dashboard.metric.preview import error_mark, shown_of
from dashboard.services import (
    PART_METRICS,
    Case,
    EngineError,
    Outcome,
    ProjectDraft,
    PythonMetric,
    Rubric,
    WeightedSum,
    parse_weights,
    percent,
)
from dashboard.state import playground, reading
from dashboard.state.editing.drafts import state_of


def _save_option(project_id: str, name: str, value: Callable[[Mapping[str, object]], object]) -> None:
    """Save an option of the metric; `value` makes it of the options as they are stored now."""

    def change(draft: ProjectDraft) -> ProjectDraft:
        if draft.metric is None:
            return draft
        options = {**draft.metric.options, name: value(draft.metric.options)}
        return draft.model_copy(update={"metric": draft.metric.model_copy(update={"options": options})})

    guarded(project_id, change, "metric")


IDEAS = (
    "The answer is correct.",
    "The answer is complete.",
    "The tone is polite.",
    "It is at most two sentences.",
    "It states nothing that the input does not say.",
)


def criteria_editor(page: ProjectPage, options: Mapping[str, object]) -> None:
    """Show a judge's criteria; every change is saved."""
    text = str(options.get("criteria") or Rubric.Options.model_fields["criteria"].default)
    key = widget_key("criteria", page.id)
    left, right = st.columns([6, 5], gap="medium")
    with left:
        st.text_area(
            "Criteria, one in each line",
            text,
            height=130,
            placeholder="What do you look for?",
            help=explain("judge"),
            **ui.saved(key, _save_criteria, page.id),
        )
        st.caption("In plain words. The judge marks each by itself, from 0 to 1; the score is their mean.")
        if not str(st.session_state.get(key, text)).strip():
            st.caption(
                ui.mark(
                    "error", "A judge needs one criterion at least. Until then the last ones count.", "red"
                )
            )
        if idea := next((i for i in IDEAS if i not in text.splitlines()), ""):
            add = ui.callback(_take, page.id, key, f"{text.rstrip()}\n{idea}", _save_criteria)
            ui.button(f"Add “{idea}”", "add_idea", icon="add", type="tertiary", on_click=add)
    prompt = right.expander("The prompt the judge gets", icon=":material/visibility:", key="judge_prompt")
    with prompt, ui.errors_shown():
        _judge_prompt(page, options)


def _judge_prompt(page: ProjectPage, options: Mapping[str, object]) -> None:
    values = reading.first_row(page.draft)
    field = str(options.get("field") or ["answer", *page.outputs][-1])
    case = Case(
        field,
        "«the right answer in your data»",
        "«what the model answers»",
        {**(values or {"input": "«the input»"}), field: ""},
        {field: ""},
    )
    sent = Rubric(**options).messages(case)
    st.caption("For the first of your rows; every other row gets the same with its own values.")
    with st.container(height=420, border=False, key="judge_messages"):
        messages_view(sent, system="Instructions to the judge", user="One row, as the judge reads it")


def _save_criteria(project_id: str, text: str) -> None:
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    if lines:
        _save_option(project_id, "criteria", lambda _: "\n".join(lines))


def _take(project_id: str, key: str, text: str, save: Callable[[str, str], None]) -> None:
    """Put a text into a box, and save it."""
    st.session_state[key] = text
    save(project_id, text)


USUAL_PARTS = str(WeightedSum.Options.model_fields["parts"].default)


def weights_editor(page: ProjectPage, options: Mapping[str, object]) -> None:
    """Show the metrics of a weighted sum with their weights; every change is saved."""
    parts = _weights(options)
    total = sum(parts.values()) or 1.0
    st.caption(
        "The score is the weighted mean: a metric of weight 2 counts twice as much as one of weight 1."
    )
    for name, weight in parts.items():
        with ui.row(f"part_{name}"):
            metric, key = PART_METRICS[name], f"{widget_key('weight', page.id)}_{name}"
            with st.container(gap="xxsmall", key=f"part_name_{name}"):
                st.markdown(f"**{metric.title}**")
                st.caption(metric.plain)
            st.number_input(
                f"Weight of {metric.title}",
                min_value=0.0,
                value=float(weight),
                step=0.5,
                label_visibility="collapsed",
                width=130,
                **ui.saved(key, _set_weight, page.id, name),
            )
            st.badge(percent(weight / total, 0))
            ui.icon_button(
                "close",
                "Take this metric out.",
                f"drop_part_{name}",
                on_click=ui.callback(_save_weights, page.id, methodcaller("pop", name, None)),
                why_not="" if len(parts) > 1 else "One metric at least must stay.",
            )
    added = st.selectbox(
        "Add a metric",
        [name for name in PART_METRICS if name not in parts],
        index=None,
        format_func=lambda name: f"{PART_METRICS[name].title}: {PART_METRICS[name].plain}",
        placeholder="Add another metric",
        key=f"add_part_{page.id}_{len(parts)}",
        label_visibility="collapsed",
    )
    if added is not None:
        _set_weight(page.id, added, 1.0)
        st.rerun()
    if not any(parts.values()):
        st.caption(ui.mark("error", "Give one metric at least a weight above 0.", "red"))


def _weights(options: Mapping[str, object]) -> dict[str, float]:
    """Return the weights by metric, those of the default where the stored ones cannot be read."""
    try:
        weights = parse_weights(options.get("parts") or USUAL_PARTS)
    except ValueError:
        weights = {}
    return {name: w for name, w in weights.items() if name in PART_METRICS} or parse_weights(USUAL_PARTS)


def _set_weight(project_id: str, name: str, weight: float | None) -> None:
    _save_weights(project_id, lambda parts: parts.update({name: weight or 0.0}))


def _save_weights(project_id: str, change: Callable[[dict[str, float]], object]) -> None:
    def changed(options: Mapping[str, object]) -> str:
        parts = _weights(options)
        change(parts)
        return ", ".join(f"{name}={weight:g}" for name, weight in parts.items())

    _save_option(project_id, "parts", changed)


CODE = str(PythonMetric.Options.model_fields["code"].default)
EXAMPLES = {
    "All the words of the right answer": (
        "wanted = set(str(expected).lower().split())\n"
        "said = set(str(answer).lower().split())\n"
        "missing = sorted(wanted - said)\n"
        "{'score': 1 - len(missing) / max(1, len(wanted)), 'feedback': 'Missing: ' + ', '.join(missing) if missing else 'Correct.'}"
    ),
    "Right, and not too long": (
        "right = str(expected).lower() in str(answer).lower()\n"
        "short = len(str(answer)) <= 200\n"
        "{'score': 0.7 * right + 0.3 * short, 'feedback': 'Too long.' if not short else ''}"
    ),
    "A number, 10 percent off at most": (
        "off = abs(float(answer) - float(expected)) / max(1e-9, abs(float(expected)))\n"
        "{'score': 1.0 if off <= 0.1 else 0.0, 'feedback': 'Off by ' + str(round(100 * off)) + ' percent.'}"
    ),
}


def code_editor(page: ProjectPage, options: Mapping[str, object]) -> None:
    """Show the code of a metric and its test; code that can be read is saved."""
    code = str(options.get("code") or CODE)
    left, right = st.columns([6, 5], gap="medium")
    key = widget_key("metric_code", page.id)
    with left:
        st.text_area(
            "Code",
            code,
            height=220,
            help="Python with the names expected, answer, example and prediction. The last line gives the score, 0 to 1, or "
            "{'score': ..., 'feedback': ...}.",
            **ui.saved(key, _save_code, page.id),
        )
        st.caption("It runs in a sandbox: no files, no network, no packages. Press Ctrl+Enter to save it.")
        wrong = syntax_problem(str(st.session_state.get(key, code)))
        if wrong:
            st.markdown(ui.mark("error", wrong, "red"))
        with ui.row("code_bar", "top"):
            if ui.button(
                "Test the code",
                "test_code",
                wrong or playground.why_not(page.draft),
                reason_shown=bool(wrong),
                icon="bug_report",
                help="Runs it on a few rows in the sandbox. No model is asked.",
            ):
                _test_code(page)
            with st.popover("Start from an example", icon=":material/lightbulb:"):
                for title, text in EXAMPLES.items():
                    ui.button(
                        title, f"code_{title}", on_click=ui.callback(_take, page.id, key, text, _save_code)
                    )
    with right:
        _code_preview(page)


def syntax_problem(code: str) -> str:
    """Return why code cannot be read, with its line, or "".

    >>> syntax_problem("x = (1"), syntax_problem("answer == expected"), syntax_problem("x = 1")
    ("Line 1: '(' was never closed.", '', 'Line 1: The last line must be an expression that gives the score.')
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as error:
        return f"Line {getattr(error, 'lineno', None) or 1}: {getattr(error, 'msg', error)}."
    if not tree.body or not isinstance(tree.body[-1], ast.Expr):
        last = tree.body[-1].lineno if tree.body else 1
        return f"Line {last}: The last line must be an expression that gives the score."
    return ""


def _test_code(page: ProjectPage) -> None:
    """Score a few rows' right answers (should score high), and the same answers swapped (should score low)."""
    result: object
    rows: dict[int, dict[str, object]] = {}
    try:
        with st.spinner("Running it in the sandbox"):
            rows = playground.some_rows(page.draft, 3)
            right = [{n: v.get(n) for n in page.outputs} for v in rows.values()]
            result = [
                playground.answer_rows(page.draft, rows, dict(zip(rows, answers, strict=True)))
                for answers in (right, [*right[1:], *right[:1]])
            ]
    except EngineError as error:
        result = error
    st.session_state[f"code_test_{page.id}"] = (state_of(page.draft, "metric"), result, rows)


def _code_preview(page: ProjectPage) -> None:
    stamp, outcomes, rows = st.session_state.get(f"code_test_{page.id}", ("", (), {}))
    if stamp != state_of(page.draft, "metric"):
        st.caption(
            "The test runs the code on three of your rows: once with the right answers, once with another row's."
        )
        return
    if isinstance(outcomes, EngineError):
        ui.show_error(outcomes)
        return
    for title, tested in zip(("With the right answers", "With another row's answers"), outcomes, strict=True):
        _tested_rows(title, tested, rows, page.outputs)
    if shown_of(page) is not None:
        st.caption("The answers tried below can be scored again with this code.")


def _tested_rows(
    title: str, found: Sequence[Outcome], rows: Mapping[int, Mapping[str, object]], outputs: list[str]
) -> None:
    mean = playground.mean_score(found)
    st.markdown(f"**{title}**{'' if mean is None else f': {percent(mean, 0)}'}")
    failed = next((o.error for o in found if o.error), None)
    if failed is not None:
        st.markdown(error_mark(failed, with_line=True))
        with st.expander("The whole error"):
            ui.plain_code(failed)
        return
    answers = {row: {name: values.get(name) for name in outputs} for row, values in rows.items()}
    outcome_table(found, answers, outputs, f"code_{title.split()[1]}_{title.split()[2]}", answer="Answer")


def _save_code(project_id: str, code: str) -> None:
    if not syntax_problem(code):
        _save_option(project_id, "code", lambda _: code)
