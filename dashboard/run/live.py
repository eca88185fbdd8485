"""The live page of a run: its figures, chart, events and the prompt chosen in the chart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.plot import own_element, plot
from dashboard.components.project_page import ProjectPage
from dashboard.components.run_elements import (
    Parts,
    follow,
    meters_element,
    replay_buttons,
    replay_player,
    score_plot,
    watch,
)
from dashboard.components.runs import PROMPT, STATES, present_button, verdict_card
from dashboard.components.tables import outcome_table
from dashboard.components.wizard import page_line, share_and_next
from dashboard.run.requests import request_buttons, run_actions, run_requests
from dashboard.services import (
    CandidateRow,
    JsonObject,
    RunRow,
    TrialRow,
    Usage,
    counted,
    duration,
    known_trials,
    percent,
    short,
)
from dashboard.state import reading
from dashboard.state.live.figures import ROWS, progress
from dashboard.state.live.snapshot import Snapshot
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown, prompt_name, upper_first

ROWS_SHOWN = 200


def _prompt_card(seen: Snapshot, number: int, *, pinned: bool) -> None:
    """Show a prompt by its number, with its rows; `pinned`: the run's own choice or the best so far, as none was clicked."""
    run, prompts = seen.run, {c.id: c for c in reading.candidates(seen.run.id)}
    row = next((c for c in prompts.values() if c.number == number), None)
    trials = [
        t for t in seen.trials if row and t.candidate_id == row.id and t.split in ("train", "validation")
    ]
    if row is None or not trials:
        return
    trial, lead = known_trials(seen.trials).get(row.id, trials[-1]), seen.leads[-1] if seen.leads else None
    with ui.card("prompt_card"):
        with ui.row("prompt_head", "top", side="distribute"):
            score = "" if trial.answered_score is None else f"{percent(trial.answered_score, 0)} on "
            failed = f", {trial.failed} failed" if trial.failed else ""
            other = lead is not None and lead.candidate != row.id
            word = "Chosen at the end" if other else "Best" if run.is_over else "Best so far"
            best = f":green[:material/star:] {word}: " if pinned else ""
            most = max(t.rows_total for t in seen.trials if t.split == trial.split)
            st.markdown(
                f"{best}**{upper_first(prompt_name(number))}** · {score}{trial.rows_done} of {most} "
                f"{ROWS[trial.split]}s{failed}"
            )
            if not pinned:
                close = ui.callback(st.query_params.pop, PROMPT, None)
                ui.icon_button("close", "Close", "prompt_close", on_click=close)
        if lead is not None and lead.candidate == row.id:
            mean, low, high = (percent(share, 0) for share in lead.score[:3])
            st.caption(f"Likely score {mean}, 95 % interval {low} to {high}.")
        if pinned and lead is not None and other and lead.candidate in prompts:
            name = prompt_name(prompts[lead.candidate].number)
            st.caption(f"The best so far was {name}, with about {percent(lead.score.mean, 0)}.")
        usage, seconds = sum((t.usage for t in trials), Usage()), sum(t.seconds for t in trials)
        st.caption(
            f"{counted(len(trials), 'trial')}: {counted(usage.calls, 'call')}, {usage.cached:,} from the cache, "
            f"{short(usage.tokens)} tokens, {duration(seconds)}"
        )
        st.text(_why(row, prompts))
        if looked := _looked_at(seen.trials, row):
            st.caption(looked)
        for path, state in row.candidate.steps.items():
            if len(row.candidate.steps) > 1:
                st.caption(path)
            ui.plain_code(state.instructions.strip() or "(no instruction)", height=140)
            shown = f"{min(state.nearest, len(state.demos))} of " if state.nearest else ""
            st.caption(f"{shown}{counted(len(state.demos), 'solved example')} shown to the model")
        with st.expander(
            f"The {counted(trial.rows_done, 'row')} it was scored on", key="prompt_rows", on_change="rerun"
        ) as rows:
            if rows.open:
                _rows(run, trial)


def _looked_at(trials: Sequence[TrialRow], row: CandidateRow) -> str:
    """Say which rows the search had just seen of a prompt's parents when it was found, or "" where it saw none."""
    seen = [
        t
        for t in trials
        if t.split == "train"
        and t.candidate_id in row.candidate.parents
        and (t.finished_at or row.created_at + 1) <= row.created_at
    ]
    if not seen:
        return ""
    last = max(seen, key=lambda t: t.finished_at or 0.0)
    score = last.answered_score
    scored = "" if score is None else f", where the answers scored {percent(score, 0)}"
    return f"Before it was made, the search looked at {counted(last.rows_done, 'training row')}{scored}."


def _why(row: CandidateRow, found: dict[str, CandidateRow]) -> str:
    reason = upper_first(row.candidate.reason) or "The starting prompt."
    numbers = sorted(found[p].number for p in row.candidate.parents if p in found)
    parents = [prompt_name(number) for number in numbers]
    return f"{reason}\nIt comes from {' and '.join(parents)}." if parents else reason


def _rows(run: RunRow, trial: TrialRow) -> None:
    outcomes = reading.outcomes(run, trial.number)[:ROWS_SHOWN]
    values = reading.row_values(run, [o.row for o in outcomes])
    worst_first = sorted(outcomes, key=lambda o: (o.score, o.row))
    outcome_table(worst_first, values, reading.output_fields(run), "prompt_rows_table", most=6, height=260)
    if trial.rows_done > len(outcomes):
        st.caption(f"The first {len(outcomes)} of {trial.rows_done:,} rows.")


CHART_HEIGHT, FEED_HEIGHT, CARD_WIDTH = 420, 320, 400
"""Pixels; with the page's head above it the chart's axis is in sight on a screen of 900."""


_feed = own_element(
    "feed",
    "<div class='tb-feed' role='log' aria-label='What happened, the newest first' tabindex='0'></div>",
    "stream.js",
)
MOST_LISTED = 6


def running_runs(run_id: str) -> None:
    """Show the other runs that go on, each a link; nothing without one."""
    others = [r for r in reading.runs() if r.goes_on and r.id != run_id]
    if not others:
        return
    with ui.row("running_runs"):
        st.caption("Also going on", width="content")
        for run in others[:MOST_LISTED]:
            word, _, icon = STATES[run.state]
            share = f" · {percent(progress(run), 0)}" if progress(run) else ""
            label = f"{escape_markdown(run.title, 48)} · {word.lower()}{share}"
            ui.link("run", label, icon, project=run.project_id, run=run.id)
        if len(others) > MOST_LISTED:
            st.caption(f"and {len(others) - MOST_LISTED} more", width="content")


def live_run(page: ProjectPage, run_id: str) -> None:
    """Show a run and keep it up to date until it is over."""
    follow(run_id, partial(_draw, page))


def _draw(page: ProjectPage, seen: Snapshot, shown: Parts, live: str) -> None:
    run = seen.run
    with page_line(page, "run", run):
        run_actions(seen)
        if not read_only():
            present_button(run)
        share_and_next(page, "run")
    # A message that comes and goes has its own container: otherwise the chart below is built again and loses its zoom.
    with st.container():
        _message(run)
    meters_element(key="meters", data={"meters": shown["meters"], "live": live})
    with ui.row("run_watch"):
        watch(shown, live)
        request_buttons(seen)
    with st.container():
        run_requests(seen)
    text = st.query_params.get(PROMPT, "")
    chosen = int(text) if text.isdecimal() and len(text) < 9 else None
    with ui.row("chart_row", "top"):
        clicked = _score_chart(run, shown, live, chosen)
        if clicked is not None:
            with st.container(width=CARD_WIDTH):
                _prompt_card(seen, clicked, pinned=False)
    with st.container():
        _training_card(shown["training"], live)
    picked = next((c.number for c in reading.candidates(run.id) if c.id == run.best), shown["leader"])
    pinned = picked if clicked is None else None
    left, right = st.columns(2, gap="medium") if pinned is not None else (st.container(), st.container())
    with left:
        _feed(
            key="feed",
            data={
                "feed": shown["feed"],
                "height": FEED_HEIGHT,
                "live": live,
                "empty": "The steps of the search appear here.",
            },
        )
    if pinned is not None:
        with right:
            _prompt_card(seen, pinned, pinned=True)


def _training_card(chart: JsonObject, live: str) -> None:
    """Draw loss and validation score of a training; nothing in a run that trains no model."""
    if chart["figure"] is None:
        return
    with ui.card("training_card", "The training", explain("training of a model")):
        plot(
            chart["figure"],
            key="training",
            label=chart["label"],
            stamp=chart["stamp"],
            live=live,
            height=280,
        )
        st.caption(
            "Stopping the run ends the training; the best checkpoint so far is kept, tested and can be exported."
            if live
            else escape_markdown(chart["label"])
        )


def _score_chart(run: RunRow, shown: Parts, live: str, chosen: int | None) -> int | None:
    """Draw the chart of scores; return the number of the chosen prompt, which is kept in the address."""
    about = explain(
        "candidate",
        "Each dot is one: the larger and darker, the more rows it is known on; a ring says that it is being scored. Click one to see it.",
    )
    with ui.card("chart_card"):
        with ui.row("chart_head", side="distribute"):
            st.markdown(
                "**Scores of the prompts**", help=f"{about}\n\n{explain('best so far')}", width="content"
            )
            replay_buttons(run)
        if replay_player(run, CHART_HEIGHT):
            return chosen
        clicked = score_plot(shown, live, "scores", CHART_HEIGHT, chosen)
    if clicked is None or int(clicked) == chosen:
        return chosen
    st.query_params[PROMPT] = str(int(clicked))
    return int(clicked)


def _message(run: RunRow) -> None:
    if run.is_over and run.result:
        verdict_card(run.result.shown.verdict)
        if run.result.verdict.kind == "unchanged" and run.result.reason:
            st.caption(ui.mark("help", run.result.reason))
    if not run.message:
        return
    show = {"failed": st.error, "lost": st.warning, "stopped": st.info}.get(run.state, st.caption)
    show(escape_markdown(run.message))
