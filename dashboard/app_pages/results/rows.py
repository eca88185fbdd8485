"""One row whole: every prompt's answer, what the metric said, what it took, the exact messages, and the user's feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.app_pages.try_it.answers import ROLES, TALL, calls_view
from dashboard.components.layout import callback, card, choose, in_row, show_error
from dashboard.state import candidates, feedback, models, playground, reading
from dashboard.state.candidates import SPLITS, ComparedCandidate
from dashboard.state.feedback import answer_text
from dashboard.state.models import asked_models
from dashboard.state.selection import read_only
from dashboard.views.comparison import (
    SHOWS,
    ComparedRow,
    Show,
    as_text,
    causes,
    compared_rows,
    counts,
    filtered,
    table,
)
from dashboard.views.glossary import NUMBERED, explain
from dashboard.views.prompts import text_of
from dashboard.views.text import count, distinct, escape_markdown
from engine.errors import EngineError
from engine.records import Outcome, json_value
from engine.runs.playground import PlaygroundAnswer, PlaygroundRequest
from engine.runs.report import StepCall, step_calls
from engine.runs.spec import RunSpec
from engine.store.rows import FeedbackRow, RunRow
from engine.text import price, short


def row_drill(
    run: RunRow,
    found: Sequence[ComparedCandidate],
    line: ComparedRow,
    values: Mapping[str, object],
    *,
    tested: bool,
) -> None:
    """Show a row. `tested`: it is one of the final test, where feedback must not reach a search."""
    spec = reading.run_spec(run)
    outputs = [f.name for f in spec.pipeline.outputs]
    said = {r.candidate_id: r for r in feedback.rows(run.project_id, spec.dataset) if r.row == line.row}
    with card("whole_row"):
        with in_row("row_head", side="distribute"):
            st.markdown(f"**Row {line.number}**", width="content")
            st.button(
                "Close", key="close_row", icon=":material/close:", type="tertiary", on_click=callback(_close)
            )
        for name, value in values.items():
            if name not in outputs:
                st.caption(escape_markdown(name))
                st.text(as_text(value))
        with in_row("row_expected"):
            st.badge("The right answer", icon=":material/flag:")
            st.text(answer_text(values, outputs))
        for at, (column, one, outcome) in enumerate(
            zip(st.columns(len(found), gap="medium"), found, line.outcomes, strict=True)
        ):
            with column, card(f"drill_{at}", height="stretch"):
                _answer(one, outcome, outputs, at)
                _opinion(run, spec, one, outcome, said.get(one.candidate.id), tested=tested)
        if tested and not read_only():
            st.caption(
                ":orange[:material/shield:] A test row: what you say of it is kept, but no search reads it, for one that knew "
                "it would spoil the test. Say it of a validation row to have it used."
            )
        for at, (one, outcome) in enumerate(zip(found, line.outcomes, strict=True)):
            _messages(spec, one, outcome, values, at)


def _answer(one: ComparedCandidate, outcome: Outcome, outputs: Sequence[str], at: int) -> None:
    right, wrong = outcome.score >= 1, outcome.score <= 0
    with in_row(f"drill_head_{at}", side="distribute"):
        st.markdown(f"**{escape_markdown(one.name, 80)}**", width="content")
        if outcome.error is not None:
            st.badge("Failed", color="red", icon=":material/error:")
        else:
            st.badge(
                "Right" if right else "Wrong" if wrong else f"{100 * outcome.score:.0f} %",
                color="green" if right else "red" if wrong else "orange",
                icon=":material/check:" if right else ":material/close:" if wrong else ":material/percent:",
            )
    if outcome.error is not None:
        st.text(outcome.error)
    for name in outputs:
        if name in outcome.prediction:
            st.caption(escape_markdown(name))
            st.text(as_text(outcome.prediction[name]) or "(empty)")
    if outcome.feedback and not right:
        st.caption("The metric says")
        st.text(outcome.feedback)
    st.caption(took(outcome), help="Time on the clock, tokens read and written, and the price by the list.")


def took(outcome: Outcome) -> str:
    """Return what a row took, in words: time, price, tokens, calls, and how many the cache answered."""
    usage = outcome.usage
    seconds = f"{1000 * outcome.seconds:.0f} ms" if outcome.seconds < 1 else f"{outcome.seconds:.1f} s"
    calls = count(usage.calls + usage.cached, "call")
    cache = f", {usage.cached} from the cache" if usage.cached else ""
    return f":material/schedule: {seconds} · {escape_markdown(price(usage.cost))} · {short(usage.tokens)} tokens · {calls}{cache}"


def _opinion(
    run: RunRow,
    spec: RunSpec,
    one: ComparedCandidate,
    outcome: Outcome,
    said: FeedbackRow | None,
    *,
    tested: bool,
) -> None:
    if read_only():
        if said is not None and said.reason:
            st.caption("Said of it")
            st.text(said.reason)
        return
    key = f"{one.key}_{outcome.row}".replace(".", "_")
    answer = answer_text(outcome.prediction, [f.name for f in spec.pipeline.outputs])
    place = (run.project_id, spec.dataset, outcome.row, (one.run.id, one.candidate.id))
    with in_row(f"opinion_{key}"):
        st.feedback(
            "thumbs",
            key=f"thumbs_{key}",
            default=None if said is None or not said.thumbs else int(said.thumbs > 0),
            on_change=callback(_save_feedback, place, answer, key),
        )
        st.text_input(
            "Why",
            said.reason if said is not None else "",
            key=f"reason_{key}",
            placeholder="What is good or wrong about it?",
            label_visibility="collapsed",
            on_change=callback(_save_feedback, place, answer, key),
        )
    if said is not None and not tested:
        st.caption(":green[:material/check:] The next run will read this.")


def _save_feedback(place: tuple[str, str, int, tuple[str, str]], answer: str, key: str) -> None:
    given = st.session_state.get(f"thumbs_{key}")
    thumbs = 0 if given is None else 1 if given else -1
    feedback.save(*place, (thumbs, str(st.session_state.get(f"reason_{key}") or ""), answer))


def _messages(
    spec: RunSpec, one: ComparedCandidate, outcome: Outcome, values: Mapping[str, object], at: int
) -> None:
    title = f"The exact messages of “{escape_markdown(one.name, 60)}”"
    with st.expander(title, icon=":material/forum:", key=f"drill_messages_{at}"):
        kept: tuple[object, PlaygroundAnswer] | None = st.session_state.get(_replayed(one))
        if kept is not None and kept[0] == values:
            with st.container(height=TALL, border=False):
                calls_view(kept[1].calls)
            return
        try:
            calls = step_calls(spec.pipeline, one.candidate.candidate, values, outcome, adapter=spec.adapter)
        except EngineError as error:
            show_error(error)
            return
        if calls:
            with st.container(height=TALL, border=False):
                for call in calls:
                    _call(call, several=len(calls) > 1)
        else:
            st.caption("Nothing was kept of this row's calls.")
        _replay(spec, one, values, at)


def _call(call: StepCall, *, several: bool) -> None:
    if several:
        st.markdown(f"**Step {escape_markdown(call.path)}**")
    for message in call.messages:
        title, icon = ROLES.get(str(message["role"]), (str(message["role"]), ":material/chat:"))
        st.caption(f"{icon} {escape_markdown(title)}")
        st.code(text_of(message), language=None, wrap_lines=True)
    if call.outputs:
        st.caption(":material/reply: Read from the answer" if call.messages else "No model is asked; it gave")
        st.code(
            "\n".join(f"{name}: {as_text(value)}" for name, value in call.outputs.items()),
            language=None,
            wrap_lines=True,
        )


def _replay(spec: RunSpec, one: ComparedCandidate, values: Mapping[str, object], at: int) -> None:
    """Offer to make the calls again, for the model's own words: the cache has them, so it is free as a rule."""
    asked = asked_models(spec.model, spec.pipeline)
    reason = models.refusal(asked)
    if st.button(
        "Show the model's own words",
        key=f"replay_button_{at}",
        icon=":material/replay:",
        disabled=bool(reason) or not values,
        help=escape_markdown(reason)
        or "Makes the same calls again: the cache answers them, so as a rule nothing is paid.",
    ):
        request = PlaygroundRequest(
            pipeline=spec.pipeline,
            candidates={one.candidate.id: one.candidate.candidate.as_dict()},
            inputs={f.name: json_value(values.get(f.name)) for f in spec.pipeline.inputs},
            model=spec.model,
            adapter=spec.adapter,
        )
        try:
            with st.spinner("Asking again"):
                found = playground.answer_input(request)[0]
        except EngineError as error:
            show_error(error)
            return
        st.session_state[_replayed(one)] = (values, found)
        st.rerun()


def _replayed(one: ComparedCandidate) -> str:
    return f"replayed_{one.key}"


def _close() -> None:
    st.query_params.pop("row", None)


COLOURS = {"better": "green", "worse": "red", "mixed": "orange", "same": "gray"}
MOST_CAUSES = 8
MOST_LINES = 2000
PARAM = "row"
FILTER = "rows"


def row_matrix(run: RunRow, found: Sequence[ComparedCandidate]) -> None:
    """Show the rows a filter lets through, and the selected one whole."""
    split = split_choice(found)
    if split is None:
        return
    lined = compared_rows([candidates.outcomes(c, split) for c in found])
    values = reading.row_values(run, (line.row for line in lined))
    outputs = reading.output_fields(run)
    picked = _filtered(lined, values, outputs)
    if not picked:
        st.caption("No such rows. Choose another filter above.")
        return
    names = list(distinct({c.key: c.name for c in found}).values())
    cells = table(picked[:MOST_LINES], values, outputs, names)
    st.dataframe(
        cells,
        hide_index=True,
        key="row_table",
        height=min(38 + 35 * len(cells), 460),
        on_select=_selected,
        selection_mode="single-row",
        column_config={
            "Row": st.column_config.NumberColumn("Row", width="small", help=explain("row", NUMBERED)),
            "Change": st.column_config.MultiselectColumn(
                "Change",
                options=list(COLOURS),
                color=list(COLOURS.values()),
                width="small",
                help="The later prompts against the first one. Mixed: one did better, another worse.",
            ),
            # Several outputs in a cell are long, and would push the other prompts out of sight.
            **(
                {n: st.column_config.TextColumn(n, width="medium") for n in ("Expected", *names)}
                if len(outputs) > 1
                else {}
            ),
        },
    )
    several = "; of several outputs the wrong ones are shown" if len(outputs) > 1 else ""
    st.session_state["row_table_rows"] = [line.number for line in picked[:MOST_LINES]]
    more = len(picked) - MOST_LINES
    hidden = f" {count(more, 'more row')} not shown: narrow the filter." if more > 0 else ""
    st.caption(
        f"✓ right, ✗ wrong, a number: partly right{several}. Select a row to read it whole, with its messages, and to say what you "
        f"think of an answer.{hidden}"
    )
    wanted = st.query_params.get(PARAM, "")
    line = next((one for one in lined if str(one.number) == wanted), None)
    if line is not None:
        row_drill(run, found, line, values.get(line.row, {}), tested=split == "test")


def split_choice(found: Sequence[ComparedCandidate], *, key: str = "compare_split") -> str | None:
    """Let the user choose the rows to compare on; return the split, or None (said why) where there is none."""
    there = candidates.splits(found)
    if not there:
        missing = [c.name for c in found if not c.trials]
        st.caption(
            f"{escape_markdown(', '.join(missing))}: not scored on all rows of a split, so there is nothing to set side by side."
            if missing
            else "These prompts were not scored on the same rows. The test rows are only for the start and the best."
        )
        return None
    picked: str = there[0]
    if len(there) > 1:
        picked = choose(
            "Rows",
            there,
            default=there[0],
            format_func=lambda s: SPLITS[s],
            key=key,
            bind="query-params",
            help=f"{explain('rows to choose by')} {explain('final test')}",
        )
    else:
        words = (
            "the final test's rows"
            if picked == "test"
            else "validation rows, which all of them were scored on"
        )
        st.caption(f"On {words}.")
    return picked


def _filtered(
    lined: Sequence[ComparedRow], values: Mapping[int, Mapping[str, object]], outputs: Sequence[str]
) -> Sequence[ComparedRow]:
    found = counts(lined)
    several = bool(lined) and len(lined[0].outcomes) > 1
    options = [
        f for f in SHOWS if f == "All rows" or (found[f] and (several or f in ("Still wrong", "Failed")))
    ]
    asked = st.query_params.get(FILTER, "")
    kept = st.session_state.get("row_filter")
    if kept is not None and kept not in options:
        del st.session_state["row_filter"]
    which: Show = choose(
        "Show",
        options,
        default=asked
        if asked in options
        else "Only differences"
        if "Only differences" in options
        else "All rows",
        format_func=lambda f: f"{f} ({found[f]})",
        key="row_filter",
        on_change=callback(_filter_chosen),
    )
    wrong = {cause: ids for cause, ids in causes(lined, values, outputs) if len(ids) > 1}
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


def _filter_chosen() -> None:
    """Write the filter into the address by its name alone: how many rows it lets through may change."""
    st.query_params[FILTER] = st.session_state["row_filter"]


def _selected() -> None:
    """Write the selected row into the address, so that it can be sent as a link."""
    rows = st.session_state["row_table"]["selection"]["rows"]
    known = st.session_state.get("row_table_rows", [])
    if rows and rows[0] < len(known):
        st.query_params[PARAM] = str(known[rows[0]])
    else:
        st.query_params.pop(PARAM, None)
