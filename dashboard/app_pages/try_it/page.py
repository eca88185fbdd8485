"""One input, answered by the starting prompt and by the best one, side by side, as they write."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.app_pages.try_it.answers import attempts_view, chat_view, stream_attempts
from dashboard.app_pages.try_it.form import input_form
from dashboard.components.layout import card, choose, link, page_title, press, show_error
from dashboard.components.page import Current, current
from dashboard.components.runs import current_run, run_picker
from dashboard.components.wizard import project_switch
from dashboard.state import candidates, models, playground, reading
from dashboard.state.models import asked_models, models_of_steps, title_of
from dashboard.views.text import escape_markdown
from engine.errors import EngineError

ROWS = 100


def trial_of(now: Current) -> tuple[playground.Playground | None, dict[int, dict[str, Any]], dict[int, int]]:
    """Return what can be tried in a project, test rows to start from, and their numbers. Raises EngineError."""
    run_id = current_run()
    run = reading.run(run_id) if run_id else None
    if run is not None and run.result and run.result.get("best_candidate"):
        result = run.result
        listed = {c.id for c in candidates.listed(run, result["best_candidate"])}
        found = [c for c in candidates.everything(run) if c.id in listed]
        trial = playground.of_run(
            run.id, reading.run_spec(run), found, result["best_candidate"], result["seed_candidate"]
        )
        tested = sorted(o.row for o in reading.test_outcomes(run.id)[0])[:ROWS]
        return trial, reading.row_values(run, tested), reading.row_numbers(run.spec["dataset"], tested)
    if not any(p.step == "task" for p in now.draft.problems()):
        return playground.of_draft(now.draft), {}, {}
    return None, {}, {}


def try_page(now: Current) -> None:
    """Draw the page for a project."""
    trial, rows, numbers = trial_of(now)
    if trial is None:
        with card("no_try", "Nothing to try yet"):
            st.caption("Describe the task first; then one input can be tried here, before and after tuning.")
            link("task", "Describe the task", "edit_note")
        return
    if trial.run:
        run_picker(trial.run)
    key = trial.run or now.id
    talk = playground.talk_of(trial.pipeline)
    if talk is not None and _as_chat(key):
        several = len(trial.prompts) > 1
        with st.container(border=several, key="try_prompts"):
            chosen = _prompts(trial, key, side_by_side=True)
        others = [f for f in trial.pipeline.inputs if f.name != talk.message]
        chat_view(trial, talk, chosen, lambda: input_form(others, {}, {}, key=key)[0], _refusal(trial))
        return
    left, right = st.columns([4, 7], gap="medium")
    with left, card("try_input", "One input"):
        values, row = input_form(trial.pipeline.inputs, rows, numbers, key=key)
        chosen = _prompts(trial, key)
        pressed = _button(trial, values)
    with right:
        if pressed:
            _ask(trial, chosen, values, rows[row] if row is not None else {}, key)
        _answers(trial, key)


def _as_chat(key: str) -> bool:
    return (
        choose("How to try it", ["Conversation", "One input"], default="Conversation", key=f"try_mode_{key}")
        == "Conversation"
    )


def _prompts(trial: playground.Playground, key: str, *, side_by_side: bool = False) -> list[str]:
    names = {p.id: p.name for p in trial.prompts}
    if len(names) < 2:
        return list(names)
    ids = list(names)
    places = st.columns(2, gap="medium") if side_by_side else (st, st)
    picked = [
        place.selectbox(
            label,
            ids,
            index=ids.index(chosen),
            format_func=lambda i: names[i],
            key=f"try_{name}_{key}",
        )
        for place, label, name, chosen in (
            (places[0], "First prompt", "first", trial.first),
            (places[1], "Second prompt", "second", trial.second),
        )
    ]
    return list(dict.fromkeys(picked))


def _refusal(trial: playground.Playground) -> str:
    asked = asked_models(trial.model, trial.pipeline)
    return models.refusal(asked)


def _button(trial: playground.Playground, values: Mapping[str, object]) -> bool:
    reason = _refusal(trial)
    pressed = press(
        "Answer it",
        playground.missing(trial.pipeline.inputs, values),
        key="try_it",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=bool(reason),
        help=escape_markdown(reason) or None,
    )
    st.caption(escape_markdown(reason) if reason else _asks(trial))
    return pressed


def _asks(trial: playground.Playground) -> str:
    own = [f"the step {name} {what}" for name, what in models_of_steps(trial.pipeline)]
    return escape_markdown(f"{'; '.join([f'Asks {title_of(trial.model)}', *own])}.")


def _ask(
    trial: playground.Playground,
    chosen: list[str],
    values: dict[str, object],
    row: dict[str, object],
    key: str,
) -> None:
    outputs = [f.name for f in trial.pipeline.outputs]
    expected = {name: row[name] for name in outputs if name in row}
    st.session_state.pop(f"try_problem_{key}", None)
    names = {p.id: p.name for p in trial.prompts}
    try:
        found = stream_attempts(trial.request(chosen, values, expected), chosen, names)
        st.session_state[f"try_attempts_{key}"] = (found, expected)
    except EngineError as error:
        st.session_state[f"try_problem_{key}"] = error


def _answers(trial: playground.Playground, key: str) -> None:
    problem = st.session_state.get(f"try_problem_{key}")
    if problem is not None:
        show_error(problem)
        return
    attempts, expected = st.session_state.get(f"try_attempts_{key}", ((), {}))
    if not attempts:
        with card("try_empty", "The answers appear here"):
            st.caption(
                "Press Answer it: both prompts answer this test row at the same time. Pick another one, or write an input of your own."
                if trial.run
                else "Write an input and press Answer it. After a run, the tuned prompt answers next to this one."
            )
        return
    names = {p.id: p.name for p in trial.prompts}
    attempts_view(attempts, names, trial.pipeline.outputs, expected)


page_title(
    "Try it", "An input of your own. After a run the starting prompt and the best one answer it side by side."
)
shown = current()
if shown is None:
    with card("no_project", "There is no project yet"):
        st.caption("A project holds a task, its examples and its runs. Start one on the Home page.")
        link("home", "Go to Home", "home")
else:
    project_switch(shown)
    try_page(shown)
