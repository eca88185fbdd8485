"""The metric on ten of the project's own rows, answered by the starting prompt, before anything is spent on a search."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components.layout import card, in_row, show_error
from dashboard.components.page import Current
from dashboard.components.tables import WHOLE_PERCENT, in_percent
from dashboard.state import models, playground
from dashboard.state.feedback import answer_text
from dashboard.state.models import asked_models, title_of
from dashboard.state.playground import Preview
from dashboard.views.comparison import as_text
from dashboard.views.glossary import NUMBERED, explain
from dashboard.views.text import count, escape_markdown
from engine.errors import EngineError
from engine.records import Outcome
from engine.registry import get_metric
from engine.runs.playground import error_line
from engine.runs.spec import ModelChoice


def metric_try(now: Current) -> None:
    """Offer to try the metric, and show what came of it."""
    with card(
        "metric_try",
        "Try it on ten rows",
        explain(
            "metric",
            "Here your prompt answers ten of the rows a search would learn from; rows of the final test are not touched.",
        ),
    ):
        reason = refusal(now)
        shown = shown_of(now)
        with in_row("metric_try_bar"):
            if st.button(
                "Try it on ten rows" if shown is None else "Answer them again",
                key="try_metric",
                icon=":material/play_arrow:",
                disabled=bool(reason),
                help=escape_markdown(reason) or None,
            ):
                ask(now, playground.TRIED)
                st.rerun()
            st.caption(
                escape_markdown(reason) if reason else _will_ask(now, playground.TRIED), width="content"
            )
        problem = st.session_state.get(f"preview_problem_{now.id}")
        if problem is not None:
            show_error(problem)
        if shown is not None:
            preview_table(now, shown)


def refusal(now: Current) -> str:
    """Return why no row can be tried now, or ""."""
    asked = asked_models(now.draft.model, now.draft.pipeline)
    return playground.why_not(now.draft) or models.refusal(asked)


def shown_of(now: Current) -> Preview | None:
    """Return what the last try came to; None where the task or the model has changed since."""
    shown: Preview | None = st.session_state.get(f"preview_{now.id}")
    return shown if shown is not None and shown.task == playground.task_stamp(now.draft) else None


def ask(now: Current, number: int, *, again: Preview | None = None) -> None:
    """Answer and score rows, or score the answers of an earlier preview again; keep the result in this session."""
    st.session_state.pop(f"preview_problem_{now.id}", None)
    try:
        with st.spinner("Scoring" if again else "Answering and scoring"):
            rows = dict(again.rows) if again else playground.some_rows(now.draft, number)
            answers = again.answers if again else {}
            known = shown_of(now)
            if again is None and known is not None and len(rows) > len(known.rows):
                answers = {row: a for row, a in known.answers.items() if row in rows}
            found = playground.answer_rows(now.draft, rows, answers)
    except EngineError as error:
        st.session_state[f"preview_problem_{now.id}"] = error
        return
    stamps = playground.task_stamp(now.draft), playground.metric_stamp(now.draft)
    st.session_state[f"preview_{now.id}"] = Preview(found, rows, *stamps)


def preview_table(now: Current, shown: Preview) -> None:
    """Show the rows of a try: what was asked, what was right, what was answered, the score and why."""
    pipeline = now.draft.pipeline
    if pipeline is None:
        return
    if shown.metric != playground.metric_stamp(now.draft):
        with in_row("rescore_bar"):
            st.markdown(
                ":orange[:material/update:] The metric has changed since; these are its old scores.",
                width="content",
            )
            if st.button("Score the same answers again", key="rescore", icon=":material/refresh:"):
                ask(now, len(shown.rows), again=shown)
                st.rerun()
    outputs = [f.name for f in pipeline.outputs]
    rows = shown.outcomes
    mean = playground.mean_score(rows)
    failed = [r for r in rows if r.error]
    calls = sum(r.usage.calls for r in rows)
    parts = [
        "No row could be scored" if mean is None else f"The mean score is {100 * mean:.0f} %",
        count(calls, "call") if calls else "no call: answered from the cache",
        f"{count(len(failed), 'row')} failed" if failed else "",
    ]
    st.caption(" · ".join(p for p in parts if p))
    has_code = now.draft.metric is not None and now.draft.metric.name == "PythonMetric"
    for line, sentence in dict.fromkeys(
        (error_line(r.error or ""), _last(r.error or "")) for r in failed[:3]
    ):
        where = "" if line is None or not has_code else f"Line {line}: "
        st.markdown(f":red[:material/error:] {where}{escape_markdown(sentence, 300)}")
    st.dataframe(
        [_table_row(shown, r, outputs) for r in rows],
        hide_index=True,
        key="preview_table",
        height="content",
        column_config={
            "Row": st.column_config.NumberColumn("Row", width="small", help=explain("row", NUMBERED)),
            "Score": st.column_config.ProgressColumn(
                "Score", format=WHOLE_PERCENT, min_value=0, max_value=100, help=explain("score")
            ),
            "Why": st.column_config.TextColumn("Why", width="large", help="What the metric says."),
        },
    )


def _table_row(shown: Preview, row: Outcome, outputs: list[str]) -> dict[str, Any]:
    values = shown.rows.get(row.row, {})
    inputs = {name: as_text(v) for name, v in values.items() if name not in outputs}
    return {
        "Row": row.number,
        "Right answer": answer_text(values, outputs),
        "Model says": answer_text(row.prediction, outputs) if row.prediction else "(no answer)",
        "Score": in_percent(None if row.error else row.score),
        "Why": _last(row.error) if row.error else row.feedback,
        **inputs,
    }


def _will_ask(now: Current, number: int) -> str:
    draft = now.draft
    steps = len(draft.pipeline.steps) if draft.pipeline else 1
    judge = get_metric(draft.metric.name)(**draft.metric.options).calls if draft.metric else 0
    calls = number * (steps + judge)
    said = f", {number * judge} of them to the judge" if judge else ""
    return (
        f"At least {count(calls, 'call')} to {escape_markdown(title_of(draft.model or ModelChoice()))}{said}."
    )


def _last(error: str) -> str:
    """Return an error's last line: of a traceback, that is what went wrong."""
    return error.strip().rpartition("\n")[2]
