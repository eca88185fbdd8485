"""One row whole: answers, costs, the exact messages, the user's feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.components import ui
from dashboard.components.prompts import TALL, answer_head, calls_view, messages_view, took
from dashboard.results.comparison import (
    ComparedRow,
)
from dashboard.results.record import record_card
from dashboard.services import (
    FeedbackRow,
    Outcome,
    PlaygroundAnswer,
    PlaygroundRequest,
    RunRow,
    RunSpec,
    counted,
    json_value,
    step_calls,
    value_text,
)
from dashboard.state import feedback, models, playground, reading
from dashboard.state.candidates import ComparedCandidate
from dashboard.state.feedback import answer_text
from dashboard.state.models import asked_models
from dashboard.state.writing import read_only
from dashboard.text import distinct, escape_markdown


def _whole_row(
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
    given = {r.candidate_id: r for r in feedback.rows(run.project_id, spec.dataset) if r.row == line.row}
    answered = list(zip(found, line.outcomes, strict=True))
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
            _record(run, answered, values)
        else:
            for name, value in values.items():
                if name not in outputs:
                    ui.named_text(name, value_text(value))
            with ui.row("row_expected"):
                st.badge("The right answer", icon=":material/flag:")
                st.text(answer_text(values, outputs), width="content")
        for at, (column, (one, outcome)) in enumerate(
            zip(st.columns(len(found), gap="medium"), answered, strict=True)
        ):
            with column, ui.card(f"drill_{at}", height="stretch"):
                _answer(one, outcome, outputs, at)
                _opinion(run, spec, one, outcome, given.get(one.candidate.id), tested=tested)
        if tested and not read_only():
            st.caption(
                ":orange[:material/shield:] A test row: what you say of it is kept, but no search reads it, for one that knew "
                "it would spoil the test. Say it of a validation row to have it used."
            )
        for at, (one, outcome) in enumerate(answered):
            title = f"The exact messages of “{escape_markdown(one.name, 60)}”"
            with st.expander(title, icon=":material/forum:", key=f"drill_messages_{at}"), ui.errors_shown():
                _messages(spec, one, outcome, values, at)


def _record(
    run: RunRow, answered: Sequence[tuple[ComparedCandidate, Outcome]], values: Mapping[str, object]
) -> None:
    """Show the document next to the record that one of the prompts read."""
    at = len(answered) - 1
    if at:
        names = list(distinct({c.key: c.name for c, _ in answered}).values())
        at = ui.segments(
            "Whose answer", range(len(names)), default=at, format_func=lambda i: names[i], key="record_of"
        )
    record_card(run, *answered[at], values)


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


GONE = "The file with this run's rows is gone, so its inputs are not known."


def _replay(spec: RunSpec, one: ComparedCandidate, values: Mapping[str, object], at: int) -> None:
    """Offer to make the calls again, for the model's own words: the cache has them, so it is free as a rule."""
    if ui.button(
        "Show the model's own words",
        f"replay_button_{at}",
        models.refusal(asked_models(spec.model, spec.pipeline, spec.models)) or ("" if values else GONE),
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


PARAM = "row"
