"""The start with its estimate, the models, the feedback it uses, and what it compares with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components import ui
from dashboard.components.forms import model_choice
from dashboard.components.glossary import explain
from dashboard.components.project_page import ProjectPage, open_page
from dashboard.components.tab_conflict import guarded_update, widget_key
from dashboard.services import (
    Budget,
    EngineError,
    Feedback,
    FeedbackRow,
    ModelChoice,
    RunError,
    RunRow,
    RunSpec,
    counted,
    dollars,
    duration,
    is_offline,
    no_gain_by_ray,
    price,
    short,
)
from dashboard.state import feedback, history, launching, models, reading
from dashboard.state.editing import records
from dashboard.state.editing.examples import split_of
from dashboard.state.models import asked_models, models_of_steps
from dashboard.state.session import SessionValue
from dashboard.text import distinct, escape_markdown

if TYPE_CHECKING:
    from dashboard.services import Estimate, Range

SHOWN_SETTINGS: SessionValue[tuple[RunSpec, Estimate] | None] = SessionValue("start_shown", None)
"""Run and estimate that the page showed when its button was drawn: what is started equals them."""


def model_picker(page: ProjectPage) -> None:
    """Let the user choose among the models of the settings."""
    chosen = page.draft.model or ModelChoice()
    known = list(dict.fromkeys([*reading.choosable_models(), chosen]))
    about = explain("model", "This one answers your rows, in the search and afterwards.")
    with ui.card("model_card", "Model", about):
        save = ui.saved(widget_key("model", page.id), _set_model, page.id)
        model_choice("Model", known, chosen, label_visibility="collapsed", **save)
        if is_offline(chosen):
            st.caption(
                "A small stand-in that runs on this machine: free and instant, and better prompts really do raise "
                "its score. A real model understands far more."
            )
            with ui.errors_shown():
                if blind := records.pictures_without_text(page.draft):
                    what = f"It has no eyes: {counted(blind, 'document is a picture', 'documents are pictures')} that it cannot read."
                    st.caption(ui.mark("visibility_off", f"{what} Choose a model that sees."))
        for name, what in models_of_steps(page.draft.pipeline):
            st.caption(f":material/alt_route: The step **{escape_markdown(name)}** {escape_markdown(what)}.")
        ui.link("settings", "Add or test a model", "settings")


def _set_model(project_id: str, chosen: ModelChoice) -> None:
    guarded_update(project_id, "tuning", model=chosen)


MOST = 50


def compare_guard(page: ProjectPage) -> None:
    """Show what has changed since the run that the next one will be compared with; nothing before the first run."""
    done = [r for r in reading.runs(page.id) if r.result][:MOST]
    if not done:
        return
    try:
        stored = reading.examples_file(page.draft)
        spec = _run_spec(page, stored.hash if stored else "")
    except EngineError:
        return
    about = explain("comparable", "Only then can the next run's scores be compared with an earlier run's.")
    with ui.card("compare_guard", "Compared with", about):
        picked = ui.select(
            "Compared with",
            distinct({r.id: r.title for r in done}),
            next((r.id for r in done if r.in_use), done[0].id),
            key=f"compare_with_{page.id}",
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
    st.markdown(ui.mark("balance", history.why_not_comparable(matters)))
    for difference in matters:
        st.caption(
            f"**{difference.what}**  \nthen: {escape_markdown(difference.left, 120)}  \nnow: {escape_markdown(difference.right, 120)}"
        )


def _run_spec(page: ProjectPage, stored: str, **changes: object) -> RunSpec:
    """Return the run that would start now, on the file with a hash. Raises EngineError where something is missing."""
    changes |= {"model": page.draft.model or ModelChoice(), "backend": reading.backend()}
    return page.draft.model_copy(update=changes).to_run(stored)


FEEDBACK_SHOWN = 200
THUMBS = {1: ":green[:material/thumb_up:]", -1: ":red[:material/thumb_down:]", 0: ":gray[:material/comment:]"}


def used_feedback(page: ProjectPage) -> tuple[Feedback, ...]:
    """Return the feedback that the next run takes: none where the user switched it off."""
    if not st.session_state.get(f"use_feedback_{page.id}", True):
        return ()
    stored = feedback.rows(page.id, page.draft.dataset)
    # Which rows are kept for the test takes a second to say of 100,000 rows.
    return feedback.feedback_of(stored, final_test_rows(page)) if stored else ()


def feedback_card(page: ProjectPage) -> None:
    """Show the feedback on answers that will be used, and let the user delete some or all of it."""
    rows = feedback.rows(page.id, page.draft.dataset)
    if not rows or page.draft.dataset is None:
        return
    dataset, test = page.draft.dataset, final_test_rows(page)
    used = sum(r.row not in test for r in rows)
    about = explain(
        "feedback on an answer",
        "Given on the Results page; ways of tuning that write instructions read it with its row.",
    )
    title = f"Feedback on {counted(used, 'answer') if used else 'no answer'} will be used"
    with ui.card("feedback_card", title, about):
        if used:
            st.toggle("Use it in the next run", True, key=f"use_feedback_{page.id}", persist_state="session")
        if used < len(rows):
            st.caption(
                f"Feedback on {counted(len(rows) - used, 'row')} of the final test is left out: a search that "
                "knew it would spoil the test."
            )
        with st.expander("Read it", key="feedback_list"):
            listed = rows[:FEEDBACK_SHOWN]
            numbers = reading.row_numbers(dataset, (row.row for row in listed))
            for row in listed:
                _feedback_row(page, dataset, row, numbers[row.row], tested=row.row in test)
            ui.button(
                "Delete all of it",
                "delete_feedback",
                icon="delete",
                on_click=ui.callback(feedback.forget, page.id, dataset, rows),
            )


def final_test_rows(page: ProjectPage) -> frozenset[int]:
    """Return the rows that the next run keeps for its final test; none where that is not known yet."""
    draft = page.draft
    if draft.dataset is None or draft.pipeline is None:
        return frozenset()
    try:
        return frozenset(split_of(draft).test)
    except EngineError:
        return frozenset()


def _feedback_row(page: ProjectPage, dataset: str, one: FeedbackRow, number: int, *, tested: bool) -> None:
    key = f"{one.row}_{one.candidate_id}"
    with ui.row(f"feedback_{key}"):
        st.markdown(THUMBS.get(one.thumbs, THUMBS[0]), width="content")
        note = " (test row, not used)" if tested else ""
        st.caption(f"Row {number}{note}: {escape_markdown(one.reason or 'no reason given', 200)}")
        forget = ui.callback(feedback.forget, page.id, dataset, [one])
        ui.icon_button("close", "Delete this feedback.", f"forget_{key}", on_click=forget)


ABOUT = "  \n".join(
    (
        explain("estimate"),
        f"**Calls**: {explain('call', 'Here: all of a run, the final test included.')}",
        f"**Tokens**: {explain('token')}",
        "**Money**: at list prices. Not known: the price of this model is not in the table.",
        "**Time**: a rough figure, it depends on how fast the model answers.",
    )
)


def start_card(page: ProjectPage, *, planned: bool) -> Estimate | None:
    """Show what the run will take, and start it; return the estimate where there is one.

    With a plan that the user chose as it is (`planned`) no word is said on what more calls would do.
    """
    with ui.card("start_card", "What this will take", ABOUT):
        spec, forecast, reason = _ready(page)
        if forecast is not None:
            _figures(forecast)
            _training(forecast)
            if spec is not None and spec.budget != Budget():
                with st.container(key="start_limits"):
                    st.caption(f"Ends at {escape_markdown(spec.budget.words)} at the latest.")
            if spec is not None and (note := no_gain_by_ray(spec)):
                st.caption(ui.mark("hub", note))
            if forecast.cut and not planned:
                st.caption(ui.mark("content_cut", forecast.cut))
        elif not reason:
            st.caption("The estimate appears when the steps before are done.")
        pressed = ui.button(
            "Start tuning",
            "start_run",
            reason,
            reason_shown=True,
            type="primary",
            icon="play_arrow",
            width="stretch",
        )
        if reason:
            with st.container(key="why_not"):
                st.markdown(ui.mark("pending", reason))
        else:
            with st.container(key="start_note"):
                st.caption("The run goes on when you close this tab. You can pause or stop it at any time.")
            if going := sum(run.goes_on for run in reading.runs(page.id)):
                others = f"{counted(going, 'run')} of this project {'is' if going == 1 else 'are'} going on"
                st.caption(
                    f":blue[:material/monitoring:] {others}; this one begins as soon as it has a place."
                )
        shown = SHOWN_SETTINGS.pop(page.id)
        if pressed and shown is not None:
            _start(page, shown, (spec, forecast))
        ui.problem_line(f"start_problem_{page.id}")
        if spec is not None and forecast is not None and not reason:
            SHOWN_SETTINGS.set((spec, forecast), page.id)
    return forecast


def _ready(page: ProjectPage) -> tuple[RunSpec | None, Estimate | None, str]:
    """Return the run, its estimate, and why it cannot start ("" when it can)."""
    problems = page.draft.problems()
    if problems:
        return None, None, problems[0].sentence
    draft = page.draft
    asked = asked_models(draft.model, draft.pipeline, draft.models)
    if wrong := models.wrong_name(asked):
        return None, None, wrong
    try:
        stored = reading.examples_file(page.draft)
        if stored is None:
            return None, None, "The examples of this project are gone. Bring them again on the Examples page."
        spec = _run_spec(page, stored.hash, feedback=used_feedback(page))
        forecast = reading.estimate(spec)
    except EngineError as error:
        return None, None, str(error)
    writers = [m for m in (draft.prompt_model, draft.teacher_model) if m is not None]
    if reason := models.lacking([*asked, *writers]):
        return spec, forecast, reason
    return spec, forecast, ""


def _figures(found: Estimate) -> None:
    usd = found.usd
    money = _span(usd, dollars) if usd and usd.high else price(None if usd is None else 0.0)
    cells = {
        "Calls": _span(found.calls, lambda calls: f"{calls:,.0f}"),
        "Tokens": _span(found.tokens, short),
        "Money": money,
        "Time": _span(found.seconds, lambda s: "under 1 s" if s < 0.95 else duration(s)),
    }
    with st.grid(2, min_column_width=95, key="estimate"):
        for name, text in cells.items():
            with st.container(gap="xxsmall", key=f"estimate_{name.lower()}"):
                st.caption(name)
                st.markdown(f"**{escape_markdown(text)}**")


def _training(found: Estimate) -> None:
    """Say what of it is the training of a model."""
    cost = found.training
    if cost is None:
        return
    time = "time not known" if cost.seconds is None else duration(cost.seconds)
    parts = (
        f"about {counted(cost.rows, 'row')} to learn",
        f"{short(cost.tokens)} tokens",
        price(cost.usd),
        time,
    )
    st.caption(
        escape_markdown(f"Of this the training: {', '.join(parts)}."), help=explain("training of a model")
    )


def _span(span: Range, write: Callable[[float], str]) -> str:
    low, high = write(span.low), write(span.high)
    return low if low == high else f"{low} to {high}"


def _start(
    page: ProjectPage, shown: tuple[RunSpec, Estimate], ready: tuple[RunSpec | None, Estimate | None]
) -> None:
    """Start the run that the page has shown, unless what is stored has become another one since (`ready`)."""
    spec, forecast = shown
    with ui.problem_kept(f"start_problem_{page.id}"):
        if ready != shown:
            changed = history.what_changed(spec, ready[0]) if ready[0] is not None else ""
            reason = changed or "the estimate was changed"
            raise RunError(f"Nothing was started: {reason}. Look at what it will take again, then start.")
        title = f"{page.project.name} with {spec.optimizer.name}"
        run_id = launching.create(page.id, spec.model_dump(mode="json"), title, forecast.as_dict())
        launching.start(run_id, models.for_process())
        open_page("run", run=run_id)
