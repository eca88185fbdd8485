"""User requests to a run: pause, resume, stop, a larger budget, a prompt of the user; and the answers."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard.components import ui
from dashboard.components.runs import finish_test
from dashboard.services import (
    BUDGET_REQUEST,
    CANDIDATE_REQUEST,
    LIMIT_WORDS,
    SCORE_REQUEST,
    TESTING,
    Candidate,
    CandidateRow,
    RequestRow,
    RunRow,
    budget_now,
    dollars,
    duration,
    short,
)
from dashboard.state import launching, models, reading
from dashboard.state.candidates import index, score_words
from dashboard.state.live.snapshot import Snapshot
from dashboard.state.session import OWN_PROMPT
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown, prompt_name, upper_first

SEARCHING = ("", "Reading the data", "Scoring the starting prompt", "Searching")
SHOWN = 4


def run_actions(seen: Snapshot) -> None:
    """Offer pause, resume, stop and user requests as far as they make sense now; nothing when read-only."""
    run, problem = seen.run, _problem_key(seen.run.id)
    if read_only():
        return
    with ui.row("run_actions", "top", side="right", width="content"):
        resumable = run.state == "paused" and run.pause_requested
        if run.state in ("running", "paused") and not resumable:
            st.button(
                "Pause",
                icon=":material/pause:",
                key="pause_run",
                on_click=ui.callback(launching.pause, run.id),
                disabled=run.pause_requested or run.stop_requested,
                help="Calls already under way finish; nothing is lost.",
            )
        if resumable:
            ui.button(
                "Resume",
                "resume_run",
                icon="play_arrow",
                type="primary",
                on_click=ui.callback(launching.resume, run.id),
            )
        if run.state in ("lost", "failed", "stopped"):
            ui.button(
                "Go on with this run",
                "restart_run",
                icon="play_arrow",
                type="secondary" if run.result else "primary",
                on_click=ui.checked_callback(problem, launching.resume, run.id, models.for_process()),
                help="Starts its process again. Answers that came are not bought again; calls that had none yet are, and count twice.",
            )
        if run.state == "queued":
            ui.button(
                "Cancel",
                "cancel_run",
                icon="close",
                on_click=ui.callback(launching.stop, run.id),
                help="The run gives up its place in the queue. You can go on with it later, at the end of the queue.",
            )
        if run.state in ("running", "paused") and run.result is None:
            with st.popover(
                "Stop and keep the best", icon=":material/stop:", key="stop_menu", disabled=run.stop_untested
            ):
                _stop_choices(run)
        elif run.state in ("running", "paused"):
            st.button(
                "Stop scoring",
                icon=":material/stop:",
                key="stop_run",
                on_click=ui.callback(launching.stop, run.id),
                disabled=run.stop_requested,
                help="Ends the scoring now. The result stays as it is; rows that were scored are kept.",
            )
        finish_test(run)
    ui.problem_line(problem)


def _stop_choices(run: RunRow) -> None:
    """Offer to stop with the final test, at its price, and without it; once the test has begun only without."""
    cost = run.test_cost
    ended, price = run.phase == TESTING or run.stop_requested, f": {cost.words}" if cost else ""
    what = (
        "What is left of the final test"
        if ended
        else "Ends the search, which keeps the prompt that it would choose now. The final test"
    )
    st.caption(escape_markdown(f"{what}{price}."))
    stop = ui.callback(launching.stop, run.id)
    if not ended:
        ui.button("Stop and test", "stop_run", icon="stop", type="primary", on_click=stop)
    stop = ui.callback(launching.stop, run.id, untested=True)
    ui.button("Stop without the test", "stop_untested", icon="stop", on_click=stop)
    st.caption("Without the test there is no verdict. *Finish the test* makes it later.")


def _problem_key(run_id: str) -> str:
    return f"run_problem_{run_id}"


def request_buttons(seen: Snapshot) -> None:
    """Offer to raise the budget and to try a prompt of the user's own; nothing once the search is over."""
    run = seen.run
    if read_only() or run.state not in ("running", "paused") or run.result is not None:
        return
    too_late = "" if run.phase in SEARCHING else "The search has ended; only the final test is left."
    now = budget_now(run.spec.get("budget") or {}, seen.requests)
    limits = {name: value for name, value in now.items() if value is not None}
    if limits:
        with st.popover(
            "Raise the budget",
            icon=":material/add_circle:",
            key="raise_budget",
            disabled=bool(too_late),
            help="Let the search use more than you first allowed. It counts at once.",
        ):
            _budget_form(run.id, limits)
    if ui.button(
        "Try your own prompt",
        "own_prompt",
        too_late,
        icon="edit",
        help="Edit any prompt of this run and have it scored during the search.",
    ):
        OWN_PROMPT.set(run.id)
    if OWN_PROMPT.get() == run.id and not too_late:
        _own_prompt(run.id)


def run_requests(seen: Snapshot) -> None:
    """Show the latest requests of a run with their answers."""
    if not seen.requests:
        return
    with ui.card("requests", gap="xsmall"):
        for request in reversed(seen.requests[-SHOWN:]):
            icon, colour = "hourglass_top", "gray"
            if request.answer:
                icon, colour = ("block", "orange") if request.refused else ("check_circle", "green")
            answer = request.answer or (
                "The run ended before it came to this."
                if not seen.run.goes_on
                else "Being tried now: its rows come before those of the search."
                if request.batch is not None
                else "Waiting: the run sees it shortly."
            )
            wish = escape_markdown(_wish(request), 120)
            st.markdown(f":{colour}[:material/{icon}:] **{wish}** · {escape_markdown(answer)}")


def _wish(request: RequestRow) -> str:
    if request.kind == CANDIDATE_REQUEST:
        return "Your own prompt"
    if request.kind == SCORE_REQUEST and not request.content.get("candidate", True):
        return "The rest of the final test"
    if request.kind == SCORE_REQUEST:
        return f"A score on the {request.content.get('split', '')} rows"
    wanted = request.content.get("budget") or {}
    named = [LIMIT_WORDS[limit](value) for limit, value in wanted.items() if value is not None]
    return f"Up to {' and '.join(named)}" if named else "A larger budget"


LIMITS: dict[str, tuple[str, float, Callable[[float], str]]] = {
    "calls": ("Calls", 50, "{:,}".format),
    "tokens": ("Tokens", 10_000, short),
    "usd": ("US dollars", 0.5, dollars),
    "seconds": ("Minutes", 5.0, duration),
}
"""Limit -> its name, the widget's step, and how a value is written."""


def _budget_form(run_id: str, limits: dict[str, float]) -> None:
    wanted = {}
    for name, (title, step, words) in LIMITS.items():
        if name in limits:
            unit = 60 if name == "seconds" else 1
            now = type(step)(limits[name] / unit)
            wanted[name] = unit * st.number_input(
                f"{title} (now {words(limits[name])})",
                min_value=now,
                # About half as much again, in whole steps.
                value=now + step * max(1, round(now / 2 / step)),
                step=step,
                key=f"more_{title}_{now}",
            )
    raised = {name: value for name, value in wanted.items() if value > limits[name] * 1.000001}
    why_not = "" if raised else "Enter a larger number than the run has now."
    if ui.checked_button("Raise", why_not, key="raise_now", type="primary"):
        _ask(run_id, BUDGET_REQUEST, {"budget": raised})


@st.dialog("Try your own prompt", width="large", on_dismiss=ui.callback(OWN_PROMPT.pop))
def _own_prompt(run_id: str) -> None:
    prompts = {c.id: c for c in reading.candidates(run_id)}
    if not prompts:
        st.caption("The run has no prompt yet. The first is there shortly.")
        return
    run = reading.run(run_id)
    leads, scores = reading.snapshot(run).leads, {entry.id: score_words(entry) for entry in index(run)}
    # Names without scores: a select box keeps a name, and a score that changes meanwhile would make it another one.
    picked = ui.select(
        "Start from",
        {i: prompt_name(c.number) for i, c in prompts.items()},
        leads[-1].candidate if leads else next(iter(prompts)),
        key=f"own_from_{run_id}",
        persist_state="session",
    )
    origin = prompts[picked].candidate
    st.caption(f"{upper_first(scores.get(picked, 'not scored'))}.")
    texts = {
        path: st.text_area(
            "Instruction" if len(origin.steps) == 1 else f"Instruction of {path}",
            state.instructions,
            key=f"own_{run_id}_{picked}_{path}",
            height=170,
            max_chars=20_000,
            persist_state="session",  # a dialog that is closed by mistake loses nothing
        )
        for path, state in origin.steps.items()
    }
    shown = sum(len(s.demos) for s in origin.steps.values())
    keep = bool(shown) and st.toggle(f"Keep its solved examples ({shown})", True, key="own_demos")
    mine = _written(origin, texts, keep_demos=keep or not shown, number=prompts[picked].number)
    problem = _problem(mine, prompts, texts)
    st.caption(
        "It is scored on the same validation rows as the others, within the budget. If it is the best at the end, it is the result."
    )
    if ui.checked_button("Score it", problem, key="own_score", type="primary"):
        OWN_PROMPT.pop()
        _ask(run_id, CANDIDATE_REQUEST, {"candidate": mine.as_dict()})


def _written(origin: Candidate, texts: dict[str, str], *, keep_demos: bool, number: int) -> Candidate:
    mine = origin
    for path, text in texts.items():
        changes: dict[str, object] = {"instructions": text.strip()}
        if not keep_demos:
            changes["demos"] = ()
        mine = mine.with_step(path, **changes)
    return mine.derived(f"Written by hand, from {prompt_name(number)}.", origin)


def _problem(mine: Candidate, found: dict[str, CandidateRow], texts: dict[str, str]) -> str:
    empty = [path for path, text in texts.items() if not text.strip()]
    if empty:
        return f"Write an instruction{'' if len(texts) == 1 else f' for {empty[0]}'}."
    known = found.get(mine.id)
    return (
        "" if known is None else f"This is the same as {prompt_name(known.number)}. Change something first."
    )


def _ask(run_id: str, kind: str, content: dict[str, object]) -> None:
    with ui.problem_kept(_problem_key(run_id)):
        launching.ask(run_id, kind, content)
    st.rerun()
