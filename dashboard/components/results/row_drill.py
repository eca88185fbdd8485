"""One row whole: every prompt's answer, what the metric said, what it took, the exact messages, and a person's word on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import asking, data, keys, people
from dashboard.comparison import as_text
from dashboard.components.page import complain
from dashboard.components.try_it.try_answers import ROLES, TALL, calls_view
from dashboard.contenders import Contender
from dashboard.meters import price, short
from dashboard.mode import read_only
from dashboard.models import asked_models
from dashboard.people import answer_text
from dashboard.plain import count, plain
from dashboard.prompts import text_of
from dashboard.side_by_side import Line
from engine.errors import EngineError
from engine.records import Outcome, json_value
from engine.runs.calls import StepCall, step_calls
from engine.runs.spec import RunSpec
from engine.runs.trying import Attempt, TryRequest
from engine.store.people import Remark
from engine.store.rows import RunRow


def row_drill(
    run: RunRow, found: Sequence[Contender], line: Line, values: Mapping[str, Any], *, tested: bool
) -> None:
    """Show a row. `tested`: it is one of the final test, where a remark must not reach a search."""
    spec = data.run_spec(run)
    outputs = [f.name for f in spec.pipeline.outputs]
    said = {r.candidate_id: r for r in people.remarks(run.project_id, spec.dataset) if r.row == line.row}
    with st.container(border=True, key="whole_row"):
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="row_head"
        ):
            st.markdown(f"**Row {line.row + 2}**", width="content")
            st.button("Close", key="close_row", icon=":material/close:", type="tertiary", on_click=_close)
        for name, value in values.items():
            if name not in outputs:
                st.caption(plain(name))
                st.text(as_text(value))
        with st.container(horizontal=True, gap="small", vertical_alignment="center", key="row_expected"):
            st.badge("The right answer", color="blue", icon=":material/flag:", width="content")
            st.text(answer_text(values, outputs), width="content")
        for at, (column, one, outcome) in enumerate(
            zip(st.columns(len(found), gap="medium"), found, line.outcomes, strict=True)
        ):
            with column, st.container(border=True, height="stretch", key=f"drill_{at}"):
                _answer(one, outcome, outputs, at)
                _opinion(run, spec, one, outcome, said.get(one.candidate.id), tested=tested)
        if tested and not read_only():
            st.caption(
                ":orange[:material/shield:] A test row: what you say of it is kept, but no search reads it, for one that knew "
                "it would spoil the test. Say it of a validation row to have it used."
            )
        for at, (one, outcome) in enumerate(zip(found, line.outcomes, strict=True)):
            _messages(spec, one, outcome, values, at)


def _answer(one: Contender, outcome: Outcome, outputs: Sequence[str], at: int) -> None:
    right, wrong = outcome.score >= 1, outcome.score <= 0
    with st.container(
        horizontal=True,
        horizontal_alignment="distribute",
        vertical_alignment="center",
        key=f"drill_head_{at}",
    ):
        st.markdown(f"**{plain(one.name, 80)}**", width="content")
        if outcome.error is not None:
            st.badge("Failed", color="red", icon=":material/error:", width="content")
        else:
            st.badge(
                "Right" if right else "Wrong" if wrong else f"{100 * outcome.score:.0f} %",
                color="green" if right else "red" if wrong else "orange",
                icon=":material/check:" if right else ":material/close:" if wrong else ":material/percent:",
                width="content",
            )
    if outcome.error is not None:
        st.text(outcome.error)
    for name in outputs:
        if name in outcome.prediction:
            st.caption(plain(name))
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
    return f":material/schedule: {seconds} · {plain(price(usage.cost))} · {short(usage.tokens)} tokens · {calls}{cache}"


def _opinion(
    run: RunRow, spec: RunSpec, one: Contender, outcome: Outcome, said: Remark | None, *, tested: bool
) -> None:
    if read_only():
        if said is not None and said.reason:
            st.caption("Said of it")
            st.text(said.reason)
        return
    key = f"{one.key}_{outcome.row}".replace(".", "_")
    answer = answer_text(outcome.prediction, [f.name for f in spec.pipeline.outputs])
    place = (run.project_id, spec.dataset, outcome.row, (one.run.id, one.candidate.id))
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"opinion_{key}"):
        st.feedback(
            "thumbs",
            key=f"thumbs_{key}",
            default=None if said is None or not said.thumbs else int(said.thumbs > 0),
            on_change=_said,
            args=(place, answer, key),
        )
        st.text_input(
            "Why",
            said.reason if said is not None else "",
            key=f"reason_{key}",
            placeholder="What is good or wrong about it?",
            label_visibility="collapsed",
            on_change=_said,
            args=(place, answer, key),
        )
    if said is not None and not tested:
        st.caption(":green[:material/check:] The next run will read this.")


def _said(place: tuple[str, str, int, tuple[str, str]], answer: str, key: str) -> None:
    given = st.session_state.get(f"thumbs_{key}")
    thumbs = 0 if given is None else 1 if given else -1
    people.remark(*place, (thumbs, str(st.session_state.get(f"reason_{key}") or ""), answer))


def _messages(spec: RunSpec, one: Contender, outcome: Outcome, values: Mapping[str, Any], at: int) -> None:
    title = f"The exact messages of “{plain(one.name, 60)}”"
    with st.expander(title, icon=":material/forum:", key=f"drill_messages_{at}"):
        kept: tuple[Any, Attempt] | None = st.session_state.get(_replayed(one))
        if kept is not None and kept[0] == values:
            with st.container(height=TALL, border=False):
                calls_view(kept[1].calls)
            return
        try:
            calls = step_calls(spec.pipeline, one.candidate.candidate, values, outcome, adapter=spec.adapter)
        except EngineError as error:
            complain(error)
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
        st.markdown(f"**Step {plain(call.path)}**")
    for message in call.messages:
        title, icon = ROLES.get(str(message["role"]), (str(message["role"]), ":material/chat:"))
        st.caption(f"{icon} {plain(title)}")
        st.code(text_of(message), language=None, wrap_lines=True)
    if call.outputs:
        st.caption(":material/reply: Read from the answer" if call.messages else "No model is asked; it gave")
        st.code(
            "\n".join(f"{name}: {as_text(value)}" for name, value in call.outputs.items()),
            language=None,
            wrap_lines=True,
        )


def _replay(spec: RunSpec, one: Contender, values: Mapping[str, Any], at: int) -> None:
    """Offer to make the calls again, for the model's own words: the cache has them, so it is free as a rule."""
    models = asked_models(spec.model, spec.pipeline)
    reason = asking.refusal(models) or keys.lacking(models)
    if st.button(
        "Show the model's own words",
        key=f"replay_button_{at}",
        icon=":material/replay:",
        disabled=bool(reason) or not values,
        help=plain(reason)
        or "Makes the same calls again: the cache answers them, so as a rule nothing is paid.",
    ):
        request = TryRequest(
            pipeline=spec.pipeline,
            candidates={one.candidate.id: one.candidate.candidate.as_dict()},
            inputs={f.name: json_value(values.get(f.name)) for f in spec.pipeline.inputs},
            model=spec.model,
            adapter=spec.adapter,
        )
        try:
            with st.spinner("Asking again"):
                found = asking.try_out(request, keys.for_process())[0]
        except EngineError as error:
            complain(error)
            return
        st.session_state[_replayed(one)] = (values, found)
        st.rerun()


def _replayed(one: Contender) -> str:
    return f"replayed_{one.key}"


def _close() -> None:
    st.query_params.pop("row", None)
