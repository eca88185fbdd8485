"""One input, answered by the starting prompt and by the best one, side by side."""

from typing import Any

import streamlit as st

from dashboard import asking, data, keys, trying
from dashboard.components.look import page_title
from dashboard.components.page import PAGES, Current, complain, current
from dashboard.components.run_picker import current_run, run_picker
from dashboard.components.try_answers import attempts_view
from dashboard.components.try_form import input_form
from dashboard.components.wizard import project_switch
from dashboard.mode import read_only
from dashboard.models import is_offline, title_of
from dashboard.plain import plain
from engine.errors import EngineError

ROWS = 100


def trial_of(now: Current) -> tuple[trying.Trial | None, dict[int, dict[str, Any]]]:
    """Return what can be tried in a project, and test rows to start from. Raises EngineError."""
    run_id = current_run()
    run = data.run(run_id) if run_id else None
    if run is not None and run.result and run.result.get("best_candidate"):
        found = data.candidates(run.id)
        result = run.result
        trial = trying.of_run(
            run.id, data.run_spec(run), found, result["best_candidate"], result["seed_candidate"]
        )
        tested = sorted(o.row for o in data.test_outcomes(run.id)[0])[:ROWS]
        return trial, data.row_values(run, tested)
    if not any(p.step == "task" for p in now.draft.problems()):
        return trying.of_draft(now.draft), {}
    return None, {}


def try_page(now: Current) -> None:
    """Draw the page for a project."""
    trial, rows = trial_of(now)
    if trial is None:
        with st.container(border=True, key="no_try"):
            st.markdown("**Nothing to try yet**")
            st.caption("Describe the task first; then one input can be tried here, before and after tuning.")
            st.page_link(PAGES["task"], label="Describe the task", icon=":material/edit_note:")
        return
    if trial.run:
        run_picker(trial.run)
    key = trial.run or now.id
    left, right = st.columns([4, 7], gap="medium")
    with left, st.container(border=True, key="try_input"):
        st.markdown("**One input**")
        values, row = input_form(trial.pipeline.inputs, rows, key=key)
        chosen = _prompts(trial, key)
        _button(trial, chosen, values, rows[row] if row is not None else {}, key)
    with right:
        _answers(trial, key)


def _prompts(trial: trying.Trial, key: str) -> list[str]:
    names = {p.id: p.name for p in trial.prompts}
    if len(names) < 2:
        return list(names)
    ids = list(names)
    first = st.selectbox(
        "First prompt",
        ids,
        index=ids.index(trial.first),
        format_func=lambda i: names[i],
        key=f"try_first_{key}",
    )
    second = st.selectbox(
        "Second prompt",
        ids,
        index=ids.index(trial.second),
        format_func=lambda i: names[i],
        key=f"try_second_{key}",
    )
    return [first, second]


def _button(
    trial: trying.Trial, chosen: list[str], values: dict[str, Any], row: dict[str, Any], key: str
) -> None:
    state = keys.key_state(trial.model)
    if read_only() and not is_offline(trial.model):
        state = keys.KeyState(
            False, "This is a read-only look: asking this model would cost its owner money."
        )
    reason = trying.missing(trial.pipeline.inputs, values) or ("" if state.ok else state.sentence)
    pressed = st.button(
        "Answer it",
        key="try_it",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=bool(reason),
        help=plain(reason) or None,
    )
    st.caption(plain(reason) if reason else f"Asks {plain(title_of(trial.model))}.")
    if not pressed:
        return
    outputs = [f.name for f in trial.pipeline.outputs]
    expected = {name: row[name] for name in outputs if name in row}
    st.session_state.pop(f"try_problem_{key}", None)
    try:
        with st.spinner("Asking the model"):
            found = asking.try_out(trial.request(chosen, values, expected), keys.for_process())
        st.session_state[f"try_attempts_{key}"] = (found, expected)
    except EngineError as error:
        st.session_state[f"try_problem_{key}"] = error


def _answers(trial: trying.Trial, key: str) -> None:
    problem = st.session_state.get(f"try_problem_{key}")
    if problem is not None:
        complain(problem)
        return
    attempts, expected = st.session_state.get(f"try_attempts_{key}", ((), {}))
    if not attempts:
        with st.container(border=True, key="try_empty"):
            st.markdown("**The answers appear here**")
            st.caption(
                "Pick a test row or write your own input, then press Answer it. Both prompts answer at the same time."
                if trial.run
                else "Write an input and press Answer it. After a run, the tuned prompt answers beside this one."
            )
        return
    names = {p.id: p.name for p in trial.prompts}
    attempts_view(attempts, names, trial.pipeline.outputs, expected)


page_title("Try it", "One input, answered by the starting prompt and by the best one, side by side.")
shown = current()
if shown is None:
    with st.container(border=True, key="no_project"):
        st.markdown("**There is no project yet**")
        st.caption("A project holds a task, its examples and its runs. Start one on the Home page.")
        st.page_link(PAGES["home"], label="Go to Home", icon=":material/home:", width="content")
else:
    project_switch(shown)
    try_page(shown)
