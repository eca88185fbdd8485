"""The start of a run: comparison with an earlier run, feedback it will use, estimate and start button."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.app_pages.tune.model_picker import chosen_models
from dashboard.components.layout import callback, card, in_row
from dashboard.components.page import Current, open_page
from dashboard.state import feedback, launching, models, reading
from dashboard.state.examples import split_of
from dashboard.state.models import title_of
from dashboard.views import history
from dashboard.views.glossary import explain
from dashboard.views.text import count, distinct, escape_markdown
from engine.errors import EngineError
from engine.runs.spec import Feedback, ModelChoice, RunSpec
from engine.store.rows import FeedbackRow, RunRow
from engine.text import dollars, duration

if TYPE_CHECKING:
    from engine.search.estimate import Estimate, Range


MOST = 50


def compare_guard(now: Current) -> None:
    """Show what has changed since the run that the next one will be compared with; nothing before the first run."""
    done = [r for r in reading.runs(now.id) if r.result][:MOST]
    spec = _spec(now)
    if not done or spec is None:
        return
    names = distinct({r.id: r.title for r in done})
    in_use = next((r.id for r in done if r.in_use), done[0].id)
    with card(
        "compare_guard",
        "Compared with",
        explain("comparable", "Only then can the next run's scores be compared with an earlier run's."),
    ):
        picked = st.selectbox(
            "Compared with",
            list(names),
            index=list(names).index(in_use),
            format_func=lambda i: names[i],
            key=f"compare_with_{now.id}",
            label_visibility="collapsed",
        )
        _differences(next(r for r in done if r.id == picked), spec)


def _differences(run: RunRow, spec: RunSpec) -> None:
    try:
        differ = history.differences(reading.run_spec(run), spec)
    except ValueError:
        st.caption("That run was saved by another version of Tuneboard and cannot be compared.")
        return
    matters = [d for d in differ if d.matters]
    if not matters:
        others = ", ".join(d.what.lower() for d in differ)
        st.markdown(
            ":green[:material/balance:] Its scores will be comparable: data, split, metric, model and task are the same."
        )
        if others:
            st.caption(f"Also different, which does no harm: {escape_markdown(others)}.")
        return
    st.markdown(f":orange[:material/balance:] {escape_markdown(history.why_not_comparable(matters))}")
    for one in matters:
        st.caption(
            f"**{one.what}**  \nthen: {escape_markdown(one.left, 120)}  \nnow: {escape_markdown(one.right, 120)}"
        )


def _spec(now: Current) -> RunSpec | None:
    try:
        stored = next((d.hash for d in reading.datasets() if d.id == now.draft.dataset), "")
        return now.draft.model_copy(update={"model": now.draft.model or ModelChoice()}).to_run(stored)
    except EngineError:
        return None


FEEDBACK_SHOWN = 200
THUMBS = {1: ":green[:material/thumb_up:]", -1: ":red[:material/thumb_down:]", 0: ":gray[:material/comment:]"}


def used_feedback(now: Current) -> tuple[Feedback, ...]:
    """Return the feedback that the next run takes: none where the user switched it off."""
    if not st.session_state.get(_key(now), True):
        return ()
    found = feedback.rows(now.id, now.draft.dataset)
    # Which rows are kept for the test takes a second to say of 100,000 rows.
    return feedback.feedback_of(found, final_test_rows(now)) if found else ()


def feedback_card(now: Current) -> None:
    """Show the feedback on answers that will be used, and let the user delete some or all of it."""
    found = feedback.rows(now.id, now.draft.dataset)
    if not found or now.draft.dataset is None:
        return
    test = final_test_rows(now)
    used = [r for r in found if r.row not in test]
    with card(
        "remarks_note",
        f"Feedback on {count(len(used), 'answer') if used else 'no answer'} will be used",
        explain(
            "feedback on an answer",
            "Given on the Results page; ways of tuning that write instructions read it with its row.",
        ),
    ):
        if used:
            st.toggle("Use it in the next run", True, key=_key(now), persist_state="session")
        if len(used) < len(found):
            left = len(found) - len(used)
            st.caption(
                f"Feedback on {count(left, 'row')} of the final test is left out: a search that "
                "knew it would spoil the test."
            )
        with st.expander("Read it", key="remarks_list"):
            listed = found[:FEEDBACK_SHOWN]
            numbers = reading.row_numbers(now.draft.dataset, (one.row for one in listed))
            for one in listed:
                _feedback_row(now, now.draft.dataset, one, numbers[one.row], tested=one.row in test)
            st.button(
                "Delete all of it",
                key="forget_remarks",
                icon=":material/delete:",
                on_click=callback(feedback.forget, now.id, now.draft.dataset, found),
            )


def final_test_rows(now: Current) -> frozenset[int]:
    """Return the rows that the next run keeps for its final test; none where that is not known yet."""
    draft = now.draft
    if draft.dataset is None or draft.pipeline is None:
        return frozenset()
    try:
        return frozenset(split_of(draft).test)
    except EngineError:
        return frozenset()


def _feedback_row(now: Current, dataset: str, one: FeedbackRow, number: int, *, tested: bool) -> None:
    with in_row(f"remark_{one.row}_{one.candidate_id}"):
        st.markdown(THUMBS.get(one.thumbs, THUMBS[0]), width="content")
        note = " (test row, not used)" if tested else ""
        st.caption(f"Row {number}{note}: {escape_markdown(one.reason or 'no reason given', 200)}")
        st.button(
            "",
            key=f"forget_{one.row}_{one.candidate_id}",
            icon=":material/close:",
            type="tertiary",
            help="Delete this feedback.",
            on_click=callback(feedback.forget, now.id, dataset, [one]),
        )


def _key(now: Current) -> str:
    return f"use_remarks_{now.id}"


MOST_AT_ONCE = 4
"""Runs of one project at the same time: they share the machine and the model's limits."""


def start_card(now: Current) -> None:
    """Show what the run will take, and start it."""
    with card("start_card", "What this will take", explain("estimate")):
        spec, found, reason = _ready(now)
        if found is not None:
            _figures(found)
            if found.cut:
                st.caption(f":orange[:material/content_cut:] {escape_markdown(found.cut)}")
        elif not reason:
            st.caption("The estimate appears when the steps before are done.")
        pressed = st.button(
            "Start tuning",
            key="start_run",
            type="primary",
            icon=":material/play_arrow:",
            disabled=bool(reason),
            help=escape_markdown(reason) if reason else None,
            width="stretch",
        )
        if reason:
            with st.container(key="why_not"):
                st.markdown(f":orange[:material/pending:] {escape_markdown(reason)}")
        else:
            st.caption("The run goes on when you close this tab. You can pause or stop it at any time.")
            if going := _going(now):
                others = f"{count(going, 'run')} of this project {'is' if going == 1 else 'are'} going on"
                st.caption(f":blue[:material/monitoring:] {others}; this one would run at the same time.")
        if pressed and spec is not None and found is not None:
            _start(now, spec, found)


def _ready(now: Current) -> tuple[RunSpec | None, Estimate | None, str]:
    """Return the run, its estimate, and why it cannot start ("" when it can)."""
    problems = now.draft.problems()
    if problems:
        return None, None, problems[0].sentence
    model = now.draft.model or ModelChoice()
    try:
        stored = next((d for d in reading.datasets() if d.id == now.draft.dataset), None)
        if stored is None:
            return None, None, "The examples of this project are gone. Bring them again on the Examples page."
        chosen = {"model": model, "feedback": used_feedback(now)}
        spec = now.draft.model_copy(update=chosen).to_run(stored.hash)
        found = reading.estimate(spec)
    except EngineError as error:
        return None, None, str(error)
    for one in chosen_models(now):
        state = models.key_state(one)
        if not state.ok:
            which = "" if one == model else f"{title_of(one)}: "
            return spec, found, f"{which}{state.sentence}"
    if _going(now) >= MOST_AT_ONCE:
        full = f"{MOST_AT_ONCE} runs of this project are going on. Stop one, or wait for its end, before the next."
        return spec, found, full
    return spec, found, ""


def _going(now: Current) -> int:
    return sum(run.state in ("queued", "running", "paused") for run in reading.runs(now.id))


def _figures(found: Estimate) -> None:
    cells = (
        (
            "Calls",
            _span(found.calls, _about),
            explain("call", "Here: all of a run's, the final test included."),
        ),
        ("Tokens", _span(found.tokens, _about), explain("token")),
        (
            "Money",
            _money(found.usd),
            "At list prices. Not known: the price of this model is not in the table.",
        ),
        ("Time", _span(found.seconds, _time), "A rough figure: it depends on how fast the model answers."),
    )
    with st.grid(2, min_column_width=95, key="estimate"):
        for name, text, what in cells:
            with st.container(gap="xxsmall", key=f"estimate_{name.lower()}"):
                st.caption(name, help=what)
                st.markdown(f"**{escape_markdown(text)}**")


def _span(span: Range, write: Any) -> str:
    low, high = write(span.low), write(span.high)
    return low if low == high else f"{low} to {high}"


def _about(number: float) -> str:
    """Return a number as short as an estimate needs it.

    >>> _about(1000), _about(338_912), _about(2_040_000)
    ('1,000', '339k', '2.0M')
    """
    if number < 10_000:
        return f"{number:,.0f}"
    return f"{number / 1e3:.0f}k" if number < 999_500 else f"{number / 1e6:.1f}M"


def _time(seconds: float) -> str:
    return "under 1 s" if seconds < 0.95 else duration(seconds)


def _money(span: Range | None) -> str:
    if span is None:
        return "not known"
    return _span(span, dollars) if span.high else "free"


def _start(now: Current, spec: RunSpec, found: Estimate) -> None:
    try:
        title = f"{now.project.name} with {spec.optimizer.name}"
        run_id = launching.create(now.id, spec.model_dump(mode="json"), title, found.as_dict())
        launching.start(run_id, models.for_process())
    except EngineError as error:
        st.toast(escape_markdown(str(error)), icon=":material/error:")
        return
    open_page("run", run=run_id)
