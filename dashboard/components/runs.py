"""The run that a page shows, and what several pages show of a run: state, verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.project_page import open_page
from dashboard.components.tables import before_and_after, data_table, gain_column, label_column
from dashboard.services import VERDICT_TITLES, AnyVerdict, EngineError, ProjectDraft, RunRow, signed
from dashboard.state import models, more_scores, reading
from dashboard.state.editing import drafts
from dashboard.state.history import run_names, table_row
from dashboard.state.session import SHOWN_RUN
from dashboard.state.writing import read_only
from dashboard.text import distinct

STATES: dict[str, tuple[str, str, str]] = {
    "queued": ("Waiting", "gray", ":material/hourglass_empty:"),
    "running": ("Running", "blue", ":material/play_circle:"),
    "paused": ("Paused", "orange", ":material/pause_circle:"),
    "finished": ("Finished", "green", ":material/check_circle:"),
    "stopped": ("Stopped", "orange", ":material/stop_circle:"),
    "failed": ("Failed", "red", ":material/error:"),
    "lost": ("Interrupted", "red", ":material/link_off:"),
}
STATE_WORDS = {state: word for state, (word, _, _) in STATES.items()}


EVERY = 2.0
"""Seconds between two looks at the runs that go on."""


def run_table(
    runs: Sequence[RunRow], names: Mapping[str, str], titles: Mapping[str, str], key: str, **options: Any
) -> list[RunRow]:
    """Show runs as a table; return the selected ones. `names` is project id -> name, `titles` run id -> its own."""
    marks = f"Whether its program is in use, its tags, and your own words. {explain('in use')}"
    columns = {
        "State": label_column({word: colour for word, colour, _ in STATES.values()}, width=92),
        "Project": st.column_config.TextColumn(width=170),
        "Run": st.column_config.TextColumn(
            width=155, help=f"{explain('run')} It is named by what tells it from the others."
        ),
        "Verdict": st.column_config.TextColumn(width=125, help=explain("verdict")),
        "Marks and note": st.column_config.TextColumn(width=125, help=marks),
        **before_and_after(),
        "Gain": gain_column(explain("gain"), 70),
        "Flattered by": gain_column(explain("practice score", "Here: its points above the test score."), 90),
        "Started": st.column_config.DatetimeColumn(format="D MMM, HH:mm", width=105),
        "Calls": st.column_config.NumberColumn(format="localized", width="small", help=explain("call")),
        "Optimizer": st.column_config.TextColumn("Way of tuning", help=explain("way of tuning")),
    }
    lines = [{**table_row(run, names, STATE_WORDS), "Run": titles[run.id]} for run in runs]
    event = data_table(lines, key, columns, most=8, height=360, placeholder="", on_select="rerun", **options)
    return [runs[at] for at in event.selection.rows if at < len(runs)]


def follow_ends(runs: Iterable[RunRow]) -> None:
    """Draw the page again as soon as one of the runs that go on does so no more."""
    if going := {run.id for run in runs if run.goes_on}:
        st.fragment(_look, run_every=EVERY)(going)


def _look(going: set[str]) -> None:
    if not going <= {run.id for run in reading.runs() if run.goes_on}:
        st.rerun()


def state_badge(run: RunRow) -> None:
    """Show a run's state in a word and a colour."""
    word, colour, icon = STATES[run.state]
    if run.state == "running" and run.pause_requested:
        word = "Pausing"
    if run.state in ("running", "paused") and run.stop_requested:
        word = "Stopping"
    st.badge(word, color=colour, icon=icon)  # type: ignore[arg-type]  # the table above holds only valid colours


def shown_run(project_id: str) -> RunRow | None:
    """Return the run in the address, else the one shown last, else the project's newest, or None."""
    runs = reading.runs(project_id)
    wanted = (st.query_params.get("run"), SHOWN_RUN.get())
    return next((run for i in wanted for run in runs if run.id == i), runs[0] if runs else None)


def current_run() -> RunRow | None:
    """Return the run to show and write it into the address, or None."""
    run = shown_run(st.query_params.get("project", ""))
    if run is not None:
        SHOWN_RUN.set(run.id)
        if st.query_params.get("run") != run.id:
            st.query_params["run"] = run.id
    return run


PRESENT = "present"
"""Parameter of a run's address: "1" is the presenter's view."""

REPLAY = "replay"
"""Parameter of a run's address: "1" plays the run again in the chart's place."""

PROMPT = "prompt"
"""Parameter of a run's address: the number of the prompt that is looked at."""


def open_presenter(project_id: str, run_id: str) -> None:
    """Open the presenter's view of a run."""
    open_page("run", project=project_id, run=run_id, **{PRESENT: "1"})


def present_button(run: RunRow) -> None:
    """Draw the button that opens the presenter's view; the key P presses it."""
    if st.button(
        "Present",
        icon=":material/present_to_all:",
        key="present_run",
        type="tertiary",
        shortcut="P",
        help="The chart and the result alone, in large type, for an audience. The same key leads to the run's page.",
    ):
        open_presenter(run.project_id, run.id)


MOST_PICKED = 100


def run_picker(run_id: str) -> bool:
    """Let the user look at another of the project's newest runs, when there are several; return whether there are."""
    every = reading.runs(st.query_params.get("project", ""))
    if len(every) < 2:
        return False
    runs = {r.id: r for at, r in enumerate(every) if at < MOST_PICKED or r.id == run_id}
    picked = ui.select(
        "Run",
        distinct({i: f"{name} · {_ending(runs[i])}" for i, name in run_names(runs.values()).items()}),
        run_id,
        key=f"run_picker_{run_id}_{runs[run_id].state}",
        label_visibility="collapsed",
        width=260,
    )
    if picked != run_id:
        st.query_params.pop(PROMPT, None)
        st.query_params["run"] = picked
        st.rerun()
    return True


def _ending(run: RunRow) -> str:
    at = datetime.fromtimestamp(run.created_at).astimezone().strftime("%d %b %H:%M")
    # Only how a run ended: the picker is not drawn again while a run goes on, and the run's badge shows the rest.
    return f"{at} · {STATES[run.state][0].lower() if not run.goes_on else 'going on'}"


def figure(name: str, value: str, change: float, unit: str) -> None:
    """Show a figure in large, and below it its change, which has an arrow and a colour unless it is 0."""
    rising = change > 0
    st.metric(
        name,
        value,
        # Streamlit takes a figure for falling only when it begins with a hyphen, which is no minus.
        delta=f"{signed(change)} {unit}" if change else None,
        delta_arrow="up" if rising else "down",
        delta_color="green" if rising else "red",
    )


_LOOKS = {
    "good": (st.success, ":material/trending_up:"),
    "bad": (st.error, ":material/trending_down:"),
    "even": (st.warning, ":material/drag_handle:"),
}


def verdict_card(verdict: AnyVerdict) -> None:
    """Show the verdict's sentence in its colour."""
    box, icon = _LOOKS[VERDICT_TITLES[verdict.kind][1]]
    with st.container(key="verdict"):
        box(verdict.sentence, icon=icon)


def finish_test(run: RunRow) -> None:
    """Offer to score the test rows that a run's final test lacks, at their price; nothing where it lacks none, or goes on."""
    if run.result is None or run.result.final_test is None or not run.is_over or read_only():
        return
    cost = run.result.final_test.cost
    problem = f"finish_test_{run.id}"
    ui.button(
        f"Finish the test ({cost.words})".replace("$", "\\$"),
        "finish_test",
        models.run_refusal(reading.run_spec(run)),
        icon="fact_check",
        type="primary",
        help="Scores the missing test rows, and writes the verdict and the exports again. Answers that came are not paid for again.",
        on_click=ui.checked_callback(problem, more_scores.ask_test, run.id, models.for_process()),
    )
    ui.problem_line(problem)


@st.dialog("Replace the project's set-up?")
def replace_setup(run: RunRow, make: Callable[[], ProjectDraft]) -> None:
    """Ask whether the set-up of a run's project is replaced by the draft that `make` returns; then open the Tune page."""
    st.text(run.title)
    st.caption(
        "The project's present set-up is replaced by this run's. Runs and their results stay as they are."
    )
    if ui.confirmed("Leave it", "Replace and edit", "again"):
        try:
            draft = make()
            drafts.edit(run.project_id, lambda _: draft)
        except (EngineError, ValueError) as error:
            ui.show_error(str(error))
            return
        open_page("tune", project=run.project_id)
