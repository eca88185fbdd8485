"""One input, answered by the starting prompt and by the best one, side by side, as they write."""

from collections.abc import Mapping

import streamlit as st

from dashboard.components import ui
from dashboard.components.document import document_view, graded_answer, record_rows, viewer_data
from dashboard.components.project_page import ProjectPage
from dashboard.components.runs import current_run
from dashboard.components.wizard import wizard_header
from dashboard.services import JsonObject, PlaygroundAnswer, json_value, make_metric, tested
from dashboard.state import candidates, models, playground, reading
from dashboard.state.editing import records
from dashboard.state.models import asked_models, models_of_steps, title_of
from dashboard.state.session import TRY_INPUTS
from dashboard.text import escape_markdown
from dashboard.try_it.answers import attempts_view, chat_view, input_form, stream_attempts

ROWS = 100


def trial_of(
    page: ProjectPage,
) -> tuple[playground.Playground | None, dict[int, JsonObject], dict[int, int]]:
    """Return what can be tried in a project, test rows to start from, and their numbers. Raises EngineError."""
    run = current_run()
    if run is not None and run.result:
        best, seed = run.result.best_candidate, run.result.seed_candidate
        listed = {c.id for c in candidates.listed(run, best)}
        compared = [c for c in candidates.everything(run) if c.id in listed]
        trial = playground.of_run(run.id, reading.run_spec(run), compared, best, seed, run.taken)
        rows = sorted(o.row for o in reading.read_store(tested, run)[0])[:ROWS]
        return trial, reading.row_values(run, rows), reading.row_numbers(run.spec["dataset"], rows)
    if not any(p.step == "task" for p in page.draft.problems()):
        return playground.of_draft(page.draft), {}, {}
    return None, {}, {}


def try_page(page: ProjectPage) -> None:
    """Draw the page for a project."""
    trial, rows, numbers = trial_of(page)
    if trial is None:
        what = "Describe the task first; then one input can be tried here, before and after tuning."
        with ui.nothing_here("no_try", "Nothing to try yet", what):
            ui.link("task", "Describe the task", "edit_note")
        return
    key = trial.run or page.id
    talk = playground.talk_of(trial.pipeline)
    refusal = models.refusal(asked_models(trial.model, trial.pipeline, trial.models))
    if talk is not None and _as_chat(key):
        with st.container(border=len(trial.prompts) > 1, key="try_prompts"):
            chosen = _prompts(trial, key, side_by_side=True)
        others = [f for f in trial.pipeline.inputs if f.name != talk.message]
        chat_view(trial, talk, chosen, lambda: input_form(others, {}, {}, key=key)[0], refusal)
        return
    left, right = st.columns([4, 7], gap="medium")
    with left, ui.card("try_input", "One input"):
        values, row = input_form(trial.pipeline.inputs, rows, numbers, key=key)
        chosen = _prompts(trial, key)
        if run := current_run() if trial.run else None:
            st.caption(escape_markdown(candidates.taken_words(run), 1000))
        pressed = ui.checked_button(
            "Answer it",
            playground.missing(trial.pipeline.inputs, values),
            key="try_it",
            type="primary",
            icon="play_arrow",
            width="stretch",
            disabled=bool(refusal),
            help=escape_markdown(refusal) or None,
        )
        asks = [f"the step {name} {what}" for name, what in models_of_steps(trial.pipeline)]
        st.caption(escape_markdown(refusal or f"{'; '.join([f'Asks {title_of(trial.model)}', *asks])}."))
    with right:
        if pressed:
            _ask(trial, chosen, values, rows[row] if row is not None else {}, key)
        _answers(trial, key)


def _as_chat(key: str) -> bool:
    ways = ["Conversation", "One input"]
    return ui.segments("How to try it", ways, default=ways[0], key=f"try_mode_{key}") == ways[0]


def _prompts(trial: playground.Playground, key: str, *, side_by_side: bool = False) -> list[str]:
    """Let the user choose up to two prompts; return their ids, each once."""
    names = {p.id: p.name for p in trial.prompts}
    if len(names) < 2:
        return list(names)
    picked = []
    places = st.columns(2, gap="medium") if side_by_side else [st.container() for _ in range(2)]
    for place, name, chosen in zip(places, ("first", "second"), (trial.first, trial.second), strict=True):
        with place:
            picked.append(ui.select(f"{name.capitalize()} prompt", names, chosen, key=f"try_{name}_{key}"))
    return list(dict.fromkeys(picked))


def _ask(
    trial: playground.Playground,
    chosen: list[str],
    values: dict[str, object],
    row: Mapping[str, object],
    key: str,
) -> None:
    """Answer an input, and keep the answers or the error in the session."""
    expected = {f.name: row[f.name] for f in trial.pipeline.outputs if f.name in row}
    names = {p.id: p.name for p in trial.prompts}
    with ui.problem_kept(f"try_problem_{key}"):
        attempts = stream_attempts(trial.request(chosen, values, expected), chosen, names)
        st.session_state[f"try_attempts_{key}"] = (attempts, expected)
        TRY_INPUTS.set(values, key)


def _answers(trial: playground.Playground, key: str) -> None:
    if f"try_problem_{key}" in st.session_state:
        ui.problem_line(f"try_problem_{key}")
        return
    attempts, expected = st.session_state.get(f"try_attempts_{key}", ((), {}))
    if not attempts:
        ui.nothing_here(
            "try_empty",
            "The answers appear here",
            "Press Answer it: both prompts answer this test row at the same time. Pick another one, or write an input of your own."
            if trial.run
            else "Write an input and press Answer it. After a run, the tuned prompt answers next to this one.",
        )
        return
    names = {p.id: p.name for p in trial.prompts}
    attempts_view(attempts, names, trial.pipeline.outputs, expected)
    if trial.pipeline.has_record:
        with ui.errors_shown():
            _beside(trial, attempts[-1], names, TRY_INPUTS.get(key), expected)


def _beside(
    trial: playground.Playground,
    attempt: PlaygroundAnswer,
    names: Mapping[str, str],
    inputs: Mapping[str, object],
    expected: Mapping[str, object],
) -> None:
    """Show the text that was read next to the record that the last prompt read out of it."""
    text = inputs.get(trial.pipeline.inputs[0].name)
    if attempt.error or not isinstance(text, str) or not text.strip():
        return
    outputs = trial.pipeline.outputs
    rows = record_rows(outputs, attempt.answer)
    if expected:
        right = {name: json_value(value) for name, value in expected.items()}
        metric = make_metric(trial.metric, trial.model) if trial.metric else None
        rows = record_rows(outputs, right, *graded_answer(right, attempt.answer, metric))
    with ui.card("try_record"):
        name = escape_markdown(names.get(attempt.name, attempt.name), 80)
        st.markdown(f"**Where the values stand** · {name}")
        document = records.text_document(text)
        document_view(viewer_data(document, rows, judged=bool(expected), key=text[:200]), "try_document")


if (page := wizard_header("try_it")) is not None:
    try_page(page)
