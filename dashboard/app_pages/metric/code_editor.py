"""A metric of one's own in Python: the code, a test in the sandbox on the project's rows, errors by their line."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.app_pages.metric.preview import shown_of
from dashboard.components.layout import callback, in_row, show_error
from dashboard.components.page import Current
from dashboard.components.tables import WHOLE_PERCENT, in_percent
from dashboard.state import drafts, playground
from dashboard.state.feedback import answer_text
from dashboard.views.text import escape_markdown
from engine.errors import EngineError
from engine.metrics.python_code import PythonMetricOptions
from engine.records import Outcome
from engine.runs.playground import error_line
from engine.runs.spec import Named

DEFAULT = str(PythonMetricOptions.model_fields["code"].default)
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


def code_editor(now: Current, options: Mapping[str, object]) -> None:
    """Show the code and its test; code that can be read is saved."""
    code = str(options.get("code") or DEFAULT)
    left, right = st.columns([6, 5], gap="medium")
    key = f"metric_code_{now.id}"
    with left:
        st.text_area(
            "Code",
            code,
            key=key,
            height=220,
            help="Python with the names expected, answer, example and prediction. The last line gives the score, 0 to 1, or "
            "{'score': ..., 'feedback': ...}.",
            on_change=callback(_changed, now.id, key),
        )
        st.caption("It runs in a sandbox: no files, no network, no packages. Press Ctrl+Enter to save it.")
        wrong = syntax_problem(str(st.session_state.get(key, code)))
        if wrong:
            st.markdown(f":red[:material/error:] {escape_markdown(wrong)}")
        with in_row("code_bar", "top"):
            reason = wrong or playground.why_not(now.draft)
            if st.button(
                "Test the code",
                key="test_code",
                icon=":material/bug_report:",
                disabled=bool(reason),
                help=escape_markdown(reason)
                if reason
                else "Runs it on a few rows in the sandbox. No model is asked.",
            ):
                _test(now)
            with st.popover("Start from an example", icon=":material/lightbulb:"):
                for title, text in EXAMPLES.items():
                    st.button(title, key=f"code_{title}", on_click=callback(_take, now.id, key, text))
    with right:
        _code_preview(now)


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


def _test(now: Current) -> None:
    """Grade a few rows' right answers (should score high) and swapped ones (should score low), or tried answers."""
    try:
        with st.spinner("Running it in the sandbox"):
            rows = playground.some_rows(now.draft, 3)
            outputs = [f.name for f in now.draft.pipeline.outputs] if now.draft.pipeline else []
            right = {row: {n: v.get(n) for n in outputs} for row, v in rows.items()}
            shifted = dict(zip(rows, [*list(right.values())[1:], *list(right.values())[:1]], strict=True))
            found = [playground.answer_rows(now.draft, rows, answers) for answers in (right, shifted)]
        st.session_state[f"code_test_{now.id}"] = (playground.metric_stamp(now.draft), found, rows, outputs)
    except EngineError as error:
        st.session_state[f"code_test_{now.id}"] = (playground.metric_stamp(now.draft), error, {}, [])


def _code_preview(now: Current) -> None:
    tested = st.session_state.get(f"code_test_{now.id}")
    if tested is None or tested[0] != playground.metric_stamp(now.draft):
        st.caption(
            "The test runs the code on three of your rows: once with the right answers, once with another row's."
        )
        return
    _, found, rows, outputs = tested
    if isinstance(found, EngineError):
        show_error(found)
        return
    for title, one in zip(("With the right answers", "With another row's answers"), found, strict=True):
        _outcome(title, one, rows, outputs)
    if shown_of(now) is not None:
        st.caption("The answers tried below can be scored again with this code.")


def _outcome(title: str, found: Sequence[Outcome], rows: Mapping[int, Any], outputs: list[str]) -> None:
    mean = playground.mean_score(found)
    st.markdown(f"**{title}**{'' if mean is None else f': {100 * mean:.0f} %'}")
    failed = next((r for r in found if r.error), None)
    if failed is not None and failed.error is not None:
        line = error_line(failed.error)
        where = f"Line {line}: " if line else ""
        st.markdown(
            f":red[:material/error:] {escape_markdown(where + failed.error.strip().rpartition(chr(10))[2], 300)}"
        )
        with st.expander("The whole error"):
            st.code(failed.error, language=None, wrap_lines=True)
        return
    st.dataframe(
        [
            {
                "Right answer": answer_text(rows.get(r.row, {}), outputs),
                "Answer": answer_text(r.prediction, outputs),
                "Score": in_percent(r.score),
                "Why": r.feedback,
            }
            for r in found
        ],
        hide_index=True,
        height="content",
        column_config={"Score": st.column_config.NumberColumn("Score", format=WHOLE_PERCENT, width="small")},
        key=f"code_{title.split()[1]}_{title.split()[2]}",
    )


def _changed(project: str, key: str) -> None:
    _save(project, str(st.session_state[key]))


def _take(project: str, key: str, text: str) -> None:
    st.session_state[key] = text
    _save(project, text)


def _save(project: str, code: str) -> None:
    if syntax_problem(code):
        return

    def change(draft: Any) -> Any:
        if draft.metric is None:
            return draft
        options = {**draft.metric.options, "code": code}
        return draft.model_copy(update={"metric": Named(name=draft.metric.name, options=options)})

    drafts.edit(project, change)
