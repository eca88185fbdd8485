"""The estimate beside the button that starts a run, and the button, which says why when it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import data, keys, launch
from dashboard.components.page import Current, go
from dashboard.components.tune.model_picker import chosen_models
from dashboard.components.tune.remarks_note import remarks_for
from dashboard.glossary import explain
from dashboard.meters import dollars, duration
from dashboard.models import title_of
from dashboard.plain import count, plain
from engine.errors import EngineError
from engine.runs.spec import ModelChoice, RunSpec

if TYPE_CHECKING:
    from engine.search.estimate import Estimate, Range


MOST_AT_ONCE = 4
"""Runs of one project at the same time: they share the machine and the model's limits."""


def start_card(now: Current) -> None:
    """Show what the run will take, and start it."""
    with st.container(border=True, key="start_card"):
        st.markdown(
            "**What this will take**",
            help=explain("estimate"),
        )
        spec, found, reason = _ready(now)
        if found is not None:
            _figures(found)
            if found.cut:
                st.caption(f":orange[:material/content_cut:] {plain(found.cut)}")
        elif not reason:
            st.caption("The estimate appears when the steps before are done.")
        pressed = st.button(
            "Start tuning",
            key="start_run",
            type="primary",
            icon=":material/play_arrow:",
            disabled=bool(reason),
            help=plain(reason) if reason else None,
            width="stretch",
        )
        if reason:
            with st.container(key="why_not"):
                st.markdown(f":orange[:material/pending:] {plain(reason)}")
        else:
            st.caption("The run goes on when you close this tab. You can pause or stop it at any time.")
            if going := _going(now):
                beside = f"{count(going, 'run')} of this project {'is' if going == 1 else 'are'} going on"
                st.caption(f":blue[:material/monitoring:] {beside}; this one would run beside.")
        if pressed and spec is not None and found is not None:
            _start(now, spec, found)


def _ready(now: Current) -> tuple[RunSpec | None, Estimate | None, str]:
    """Return the run, its estimate, and why it cannot start ("" when it can)."""
    problems = now.draft.problems()
    if problems:
        return None, None, problems[0].sentence
    model = now.draft.model or ModelChoice()
    try:
        stored = next((d for d in data.datasets() if d.id == now.draft.dataset), None)
        if stored is None:
            return None, None, "The examples of this project are gone. Bring them again on the Examples page."
        said = {"model": model, "feedback": remarks_for(now)}
        spec = now.draft.model_copy(update=said).to_run(stored.hash)
        found = data.estimate(spec)
    except EngineError as error:
        return None, None, str(error)
    for one in chosen_models(now):
        state = keys.key_state(one)
        if not state.ok:
            which = "" if one == model else f"{title_of(one)}: "
            return spec, found, f"{which}{state.sentence}"
    if _going(now) >= MOST_AT_ONCE:
        full = f"{MOST_AT_ONCE} runs of this project are going on. Stop one, or wait for its end, before the next."
        return spec, found, full
    return spec, found, ""


def _going(now: Current) -> int:
    return sum(run.state in ("queued", "running", "paused") for run in data.runs(now.id))


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
    with st.grid(2, gap="small", min_column_width=95, key="estimate"):
        for name, text, what in cells:
            with st.container(gap="xxsmall", key=f"estimate_{name.lower()}"):
                st.caption(name, help=what)
                st.markdown(f"**{plain(text)}**")


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
        run_id = launch.create(now.id, spec.model_dump(mode="json"), title, found.as_dict())
        launch.start(run_id, keys.for_process())
    except EngineError as error:
        st.toast(plain(str(error)), icon=":material/error:")
        return
    go("run", run=run_id)
