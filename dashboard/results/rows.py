"""The rows that prompts are compared on: their filter, their table, and one row whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import streamlit as st

from dashboard.components import ui
from dashboard.components.document import document_view, graded_answer, record_rows, viewer_data
from dashboard.components.glossary import explain
from dashboard.components.prompts import TALL, answer_head, calls_view, messages_view, took
from dashboard.components.tables import data_table, label_column, row_column
from dashboard.results.compare import prompt_choice, prompt_names
from dashboard.results.comparison import (
    SHOWS,
    ComparedRow,
    Show,
    causes,
    compared_rows,
    counts,
    filtered,
    table,
)
from dashboard.results.more_scores import AFTER, missing_rows_offer
from dashboard.services import (
    FeedbackRow,
    Outcome,
    PlaygroundAnswer,
    PlaygroundRequest,
    RunRow,
    RunSpec,
    Values,
    counted,
    json_value,
    make_metric,
    step_calls,
    value_text,
)
from dashboard.state import candidates, feedback, models, more_scores, playground, reading
from dashboard.state.candidates import SPLITS, ComparedCandidate
from dashboard.state.editing import records
from dashboard.state.feedback import answer_text
from dashboard.state.session import TABLE_ROWS
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown

COLOURS = {"better": "green", "worse": "red", "mixed": "orange", "same": "gray"}
MOST_CAUSES = 8
MOST_LINES = 2000
FILTER, PARAM = "rows", "row"
"""Parameters of the address: the filter, and the number of the row that is read whole."""

SPLIT = "compare_split"
PROBLEM = "correction_problem"
GONE = "The file with this run's rows is gone, so its inputs are not known."


class Compared(NamedTuple):
    """The rows of a split that every prompt was scored on. `values` are the examples' fields by row id."""

    prompts: Sequence[ComparedCandidate]
    split: str
    outputs: tuple[str, ...]
    rows: tuple[ComparedRow, ...]
    values: Mapping[int, Mapping[str, object]]


def compared_on(run: RunRow, found: Sequence[ComparedCandidate], split: str) -> Compared:
    """Return the rows of a split."""
    outputs = reading.output_fields(run)
    rows = compared_rows([candidates.outcomes(c, split) for c in found], outputs)
    return Compared(found, split, outputs, rows, reading.row_values(run, (line.row for line in rows)))


def row_matrix(run: RunRow, found: Sequence[ComparedCandidate], split: str) -> None:
    """Show the rows a filter lets through, and the selected one whole."""
    compared = compared_on(run, found, split)
    row_table(run, compared, _filtered(compared))


def row_table(run: RunRow, compared: Compared, picked: Sequence[ComparedRow]) -> None:
    """Show rows by prompt as a table, and the selected one whole."""
    if not picked:
        st.caption("No such rows. Choose another filter above.")
        return
    names = prompt_names(compared.prompts)
    cells = table(picked[:MOST_LINES], compared.values, compared.outputs, names)
    several = len(compared.outputs) > 1
    # Several outputs in a cell are long, and would push the other prompts out of sight.
    narrow = {n: st.column_config.TextColumn(width="medium") for n in ("Expected", *names) if several}
    change = "The later prompts against the first one. Mixed: one did better, another worse."
    data_table(
        cells,
        "row_table",
        {"Row": row_column(), "Change": label_column(COLOURS, width="small", help=change), **narrow},
        most=12,
        height=460,
        on_select=_selected,
        selection_mode="single-row",
    )
    TABLE_ROWS.set([line.number for line in picked[:MOST_LINES]])
    more = len(picked) - MOST_LINES
    hidden = f" {counted(more, 'more row')} not shown: narrow the filter." if more > 0 else ""
    wrong_ones = "; of several outputs the wrong ones are shown" if several else ""
    st.caption(
        f"✓ right, ✗ wrong, a number: partly right{wrong_ones}. Select a row to read it whole, with its messages, and to say what you "
        f"think of an answer.{hidden}"
    )
    wanted = st.query_params.get(PARAM, "")
    line = next((row for row in compared.rows if str(row.number) == wanted), None)
    if line is not None:
        whole_row(run, compared, line)


def split_choice(found: Sequence[ComparedCandidate]) -> str | None:
    """Let the user choose the rows to compare on; return the split, or None, with the reason shown.

    Rows that some of the prompts lack can be scored.
    """
    there = candidates.splits(found)
    if not there:
        missing = [c.name for c in found if not c.trials]
        st.caption(
            f"{escape_markdown(', '.join(missing))}: not scored on all rows of a split, so there is nothing to set side by side."
            if missing
            else "These prompts were not scored on the same rows. The test rows are only for the start and the best."
        )
        missing_rows_offer(found, SPLIT)
        return None
    split = _one_of(there)
    later = [c.name for c in found if split == "test" and more_scores.after_choice(c)]
    if later:
        st.caption(f"{escape_markdown(', '.join(later))}: {AFTER[:1].lower()}{AFTER[1:]}")
    missing_rows_offer(found, SPLIT)
    return split


def _one_of(there: Sequence[str]) -> str:
    if len(there) > 1:
        return ui.segments(
            "Rows",
            there,
            default=there[0],
            format_func=lambda s: SPLITS[s],
            key=SPLIT,
            bind="query-params",
            help=f"{explain('rows to choose by')} {explain('final test')}",
        )
    test = there[0] == "test"
    words = "the final test's rows" if test else "validation rows, which all of them were scored on"
    st.caption(f"On {words}.")
    return there[0]


def _filtered(compared: Compared) -> Sequence[ComparedRow]:
    lined = compared.rows
    row_counts = counts(lined)
    several = bool(lined) and len(lined[0].outcomes) > 1
    options = [
        f for f in SHOWS if f == "All rows" or (row_counts[f] and (several or f in ("Still wrong", "Failed")))
    ]
    asked = st.query_params.get(FILTER, "")
    if st.session_state.get("row_filter", options[0]) not in options:
        del st.session_state["row_filter"]
    which: Show = ui.segments(
        "Show",
        options,
        default=next(f for f in (asked, "Only differences", "All rows") if f in options),
        format_func=lambda f: f"{f} ({row_counts[f]})",
        key="row_filter",
        # By its name alone: how many rows it lets through may change.
        on_change=ui.callback(lambda: st.query_params.update({FILTER: st.session_state["row_filter"]})),
    )
    wrong = {cause: ids for cause, ids in causes(lined, compared.values, compared.outputs) if len(ids) > 1}
    if wrong:
        cause = st.pills(
            "What still goes wrong",
            list(wrong)[:MOST_CAUSES],
            format_func=lambda c: f"{escape_markdown(c, 60)} ({len(wrong[c])})",
            key="row_cause",
            wrap=True,
            help="Rows that the last prompt gets wrong, grouped by cause. Press one to see its rows; press it again for all.",
        )
        if cause is not None:
            ids = set(wrong[cause])
            return [line for line in lined if line.row in ids]
    return filtered(lined, which)


def _selected() -> None:
    """Write the selected row into the address, so that it can be sent as a link."""
    rows = st.session_state["row_table"]["selection"]["rows"]
    known = TABLE_ROWS.get()
    if rows and rows[0] < len(known):
        st.query_params[PARAM] = str(known[rows[0]])
    else:
        st.query_params.pop(PARAM, None)


def whole_row(run: RunRow, compared: Compared, line: ComparedRow) -> None:
    """Show one row with all answers. Feedback on a row of the final test must not reach a search."""
    spec, outputs, prompts = reading.run_spec(run), compared.outputs, compared.prompts
    values, tested = compared.values.get(line.row, {}), compared.split == "test"
    given = {r.candidate_id: r for r in feedback.rows(run.project_id, spec.dataset) if r.row == line.row}
    answered = list(zip(prompts, line.outcomes, strict=True))
    with ui.card("whole_row"):
        with ui.row("row_head", side="distribute"):
            st.markdown(f"**Row {line.number}**", width="content")
            ui.button(
                "Close",
                "close_row",
                icon="close",
                type="tertiary",
                on_click=ui.callback(st.query_params.pop, PARAM, None),
            )
        if spec.pipeline.has_record:
            record_card(run, *answered[prompt_choice("Whose answer", prompts, "record_of")], values)
        else:
            for name, value in values.items():
                if name not in outputs:
                    ui.named_text(name, value_text(value))
            with ui.row("row_expected"):
                st.badge("The right answer", icon=":material/flag:")
                st.text(answer_text(values, outputs), width="content")
        for at, (column, (prompt, outcome)) in enumerate(
            zip(st.columns(len(prompts), gap="medium"), answered, strict=True)
        ):
            with column, ui.card(f"drill_{at}", height="stretch"):
                _answer(prompt, outcome, outputs, at)
                _opinion(run, spec, prompt, outcome, given.get(prompt.candidate.id), tested=tested)
        if tested and not read_only():
            st.caption(
                ":orange[:material/shield:] A test row: what you say of it is kept, but no search reads it, for one that knew "
                "it would spoil the test. Say it of a validation row to have it used."
            )
        for at, (prompt, outcome) in enumerate(answered):
            title = f"The exact messages of “{escape_markdown(prompt.name, 60)}”"
            with st.expander(title, icon=":material/forum:", key=f"drill_messages_{at}"), ui.errors_shown():
                _messages(spec, prompt, outcome, values, at)


def _answer(one: ComparedCandidate, outcome: Outcome, outputs: Sequence[str], at: int) -> None:
    answer_head(one.name, f"drill_head_{at}", outcome.score, outcome.error)
    for name in outputs:
        if name in outcome.prediction:
            ui.named_text(name, value_text(outcome.prediction[name]) or "(empty)")
    if outcome.feedback and outcome.score < 1:
        ui.named_text("The metric says", outcome.feedback)
    usage = outcome.usage
    cache = f", {usage.cached} from the cache" if usage.cached else ""
    took(outcome.seconds, usage.cost, usage.tokens, f"{counted(usage.calls + usage.cached, 'call')}{cache}")


def _opinion(
    run: RunRow,
    spec: RunSpec,
    one: ComparedCandidate,
    outcome: Outcome,
    given: FeedbackRow | None,
    *,
    tested: bool,
) -> None:
    reason = given.reason if given is not None else ""
    if read_only():
        if reason:
            ui.named_text("Feedback on it", reason)
        return
    key = f"{one.key}_{outcome.row}".replace(".", "_")
    answer = answer_text(outcome.prediction, [f.name for f in spec.pipeline.outputs])
    place = (run.project_id, spec.dataset, outcome.row, (one.run.id, one.candidate.id))
    save = ui.callback(_save_feedback, place, answer, key)
    with ui.row(f"opinion_{key}"):
        st.feedback(
            "thumbs",
            key=f"thumbs_{key}",
            default=None if given is None or not given.thumbs else int(given.thumbs > 0),
            on_change=save,
        )
        st.text_input(
            "Why",
            reason,
            key=f"reason_{key}",
            placeholder="What is good or wrong about it?",
            label_visibility="collapsed",
            on_change=save,
        )
    if given is not None and not tested:
        st.caption(":green[:material/check:] The next run will read this.")


def _save_feedback(place: tuple[str, str, int, tuple[str, str]], answer: str, key: str) -> None:
    given = st.session_state.get(f"thumbs_{key}")
    thumbs = 0 if given is None else 1 if given else -1
    feedback.save(*place, (thumbs, str(st.session_state.get(f"reason_{key}") or ""), answer))


def _messages(
    spec: RunSpec, one: ComparedCandidate, outcome: Outcome, values: Mapping[str, object], at: int
) -> None:
    """Show the messages of a row's calls as they can be written again, or as they were when asked again."""
    asked: tuple[object, PlaygroundAnswer] | None = st.session_state.get(f"replayed_{one.key}")
    if asked is not None and asked[0] == values:
        with st.container(height=TALL, border=False):
            calls_view(asked[1].calls)
        return
    calls = step_calls(spec.pipeline, one.candidate.candidate, values, outcome, adapter=spec.adapter)
    if not calls:
        st.caption("Nothing was kept of this row's calls.")
    else:
        with st.container(height=TALL, border=False):
            for call, sent in calls:
                if len(calls) > 1:
                    st.markdown(f"**Step {escape_markdown(call.path)}**")
                messages_view(sent)
                if call.outputs:
                    read = ":material/reply: Read from the answer"
                    st.caption(read if sent else "No model is asked; it gave")
                    ui.plain_code("\n".join(f"{name}: {value_text(v)}" for name, v in call.outputs.items()))
    _replay(spec, one, values, at)


def _replay(spec: RunSpec, one: ComparedCandidate, values: Mapping[str, object], at: int) -> None:
    """Offer to make the calls again, for the model's own words: the cache has them, so it is free as a rule."""
    if ui.button(
        "Show the model's own words",
        f"replay_button_{at}",
        models.run_refusal(spec) or ("" if values else GONE),
        icon="replay",
        help="Makes the same calls again: the cache answers them, so as a rule nothing is paid.",
    ):
        request = PlaygroundRequest(
            pipeline=spec.pipeline,
            candidates={one.candidate.id: one.candidate.candidate.as_dict()},
            inputs={f.name: json_value(values.get(f.name)) for f in spec.pipeline.inputs},
            model=spec.model,
            models=spec.models,
            adapter=spec.adapter,
        )
        with st.spinner("Asking again"):
            answer_again = playground.answer_input(request)[0]
        st.session_state[f"replayed_{one.key}"] = (values, answer_again)
        st.rerun()


def record_card(
    run: RunRow, one: ComparedCandidate, outcome: Outcome, values: Values, *, focus: str = ""
) -> None:
    """Show a row's inputs, its document next to what a prompt read out of it; right answers are corrected in place."""
    spec = reading.run_spec(run)
    row = None if read_only() else records.same_row(run.project_id, spec, outcome.row)
    ui.problem_line(PROBLEM)
    with ui.errors_shown():
        table = reading.dataset(spec.dataset)
        document = records.document_at(table, spec.pipeline, spec.mapping, outcome.row)
        for other in spec.pipeline.inputs[1:]:
            ui.named_text(other.name, value_text(values.get(other.name)))
        expected = records.answer_now(run.project_id, row) if row is not None else None
        if expected is None:
            expected = {f.name: json_value(values.get(f.name)) for f in spec.pipeline.outputs}
        answer = {} if outcome.error is not None else dict(outcome.prediction)
        placed, grades = graded_answer(expected, answer, make_metric(spec.metric, spec.model))
        lines = record_rows(spec.pipeline.outputs, expected, placed, grades)
        key = f"{run.id}_{one.key}_{outcome.row}"
        data = viewer_data(document, lines, editable=row is not None, judged=True, key=key, focus=focus)
        document_view(
            data, f"record_{outcome.row}", None if row is None else _correction(run.project_id, row)
        )
    if row is not None:
        st.caption(
            "Corrections of right answers go into the project's examples, for the next run; this run's scores stay."
        )
    elif not read_only():
        st.caption(
            "This row is no longer in the project's examples, so its right answer cannot be corrected here."
        )


def _correction(project_id: str, row: int) -> Any:
    def correct(act: str, path: str, text: str) -> None:
        with ui.problem_kept(PROBLEM):
            records.correct(project_id, row, act, path, text)

    return correct
