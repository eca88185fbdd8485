"""The table of all runs, the card of one and the comparison of two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.plot import plot
from dashboard.components.prompts import prompt_diff
from dashboard.components.runs import (
    STATE_WORDS,
    figure,
    replace_setup,
    run_table,
    state_badge,
    verdict_card,
)
from dashboard.components.tables import data_table
from dashboard.history.chart import run_points, runs_figure
from dashboard.services import RunRow, counted, data_home, percent, points_gained, runs_sentence, tested
from dashboard.state import history, reading
from dashboard.state.editing import drafts
from dashboard.state.history import SettingDifference
from dashboard.state.session import PICKED_RUNS, RUNS_SHOWN
from dashboard.state.writing import read_only, writing
from dashboard.text import distinct, escape_markdown

FIRST = ("State", "Project", "Run", "Before", "After", "Gain", "Verdict", "Started")
"""Columns that fit at a width of 1280 pixels."""
MORE = ("Optimizer", "Model", "Calls", "Cost", "Took")
MOST = 200
"""Runs that the table shows at first; a filter looks through all of them."""


def history_table(runs: Sequence[RunRow], names: Mapping[str, str]) -> list[RunRow]:
    """Show the runs a filter lets through; return the selected ones in the order shown."""
    fitting = _filtered(runs, names)
    if not fitting:
        st.caption("No run fits this filter. Clear it to see all of them.")
        return []
    shown = history.grouped_runs(fitting[: RUNS_SHOWN.get() or MOST])
    titles = history.run_names(runs)
    clicked = _chart(shown, names, titles)
    marked = any(history.marks(run) for run in shown)
    more = MORE if st.session_state["history_more"] else ()
    order = (*FIRST, *(["Marks and note"] if marked else []), *more)
    picked = run_table(shown, names, titles, "history_table", column_order=order) or clicked
    newest = f"The newest {len(shown):,} of " if len(shown) < len(fitting) else ""
    with ui.row("history_end"):
        st.caption(
            f"{newest}{counted(len(fitting), 'run')}. Select one here or in the chart to open it, note something or use it "
            "again; two to compare them. Press a column's name to sort.",
            width="content",
        )
        if newest:
            ui.button(
                "Show older ones too",
                "history_older",
                icon="history",
                on_click=ui.callback(RUNS_SHOWN.set, len(shown) + MOST),
            )
    return picked


def _chart(runs: Sequence[RunRow], names: Mapping[str, str], titles: Mapping[str, str]) -> list[RunRow]:
    """Show the score of tested runs by what they took; return the last two that were clicked, in the order shown."""
    points, unit = run_points(runs, names, titles)
    if len(points) < 2:
        return []
    picked = PICKED_RUNS.get()
    with ui.card("history_chart", "What a run brought, and what it took", explain("gain")):
        label = f"Scores of {counted(len(points), 'run')} on their test rows, by {unit.lower()}"
        clicked = plot(runs_figure(points, unit), key="history_plot", label=label, height=300)
    if clicked is not None:
        picked = (
            tuple(run for run in picked if run != clicked) if clicked in picked else (*picked[-1:], clicked)
        )
        PICKED_RUNS.set(picked)
    return [run for run in runs if run.id in picked]


def _filtered(runs: Sequence[RunRow], names: Mapping[str, str]) -> list[RunRow]:
    with ui.row("history_filter", "bottom"):
        text = st.text_input(
            "Find",
            key="history_text",
            placeholder="Title, project, tag, model or note",
            icon=":material/search:",
            bind="query-params",
            width=320,
        )
        there = {run.state for run in runs}
        states: dict[str, str] = {"": "All states"}
        states |= {state: word for state, word in STATE_WORDS.items() if state in there}
        state = ui.select("State", states, key="history_state", width=160)
        project = ""
        if len(names) > 1:
            projects = {"": "All projects", **distinct(names)}
            project = ui.select("Project", projects, key="history_project", width=220)
        tags = sorted({tag for run in runs for tag in run.tags})
        chosen = st.multiselect("Tags", tags, key="history_tags", width=220) if tags else []
        st.toggle(
            "More columns",
            key="history_more",
            help="The way of tuning, the model, and what each run took. Selecting a run shows the same below.",
        )
    return history.matching_runs(runs, names, text, state, chosen, project)


def run_compare(left: RunRow, right: RunRow) -> None:
    """Compare two runs."""
    about = (
        "The one that started first is on the left. Only runs with the same data, split, metric, model "
        "and task can be compared by their scores."
    )
    with ui.card("run_compare", "Two runs compared", about):
        try:
            differ = history.differences(reading.run_spec(left), reading.run_spec(right))
        except ValueError:
            st.caption("One of them was saved by another version of Tuneboard and cannot be read.")
            return
        _guard(left, right, differ)
        for column, run in zip(st.columns(2, gap="medium"), (left, right), strict=True):
            verdict = run.result.shown.verdict if run.result else None
            with column, ui.card(f"side_{run.id}", escape_markdown(run.title, 100), height="stretch"):
                if verdict is not None and verdict.kind != "not_tested":
                    figure(
                        "Its prompt on the test rows",
                        percent(verdict.best),
                        points_gained(verdict.baseline, verdict.best),
                        "points over its baseline",
                    )
                else:
                    st.caption("Not tested yet." if verdict else "No result.")
        _table(differ)
        if left.result and right.result:
            with ui.errors_shown():
                _prompts(left, right)


def _guard(left: RunRow, right: RunRow, differ: Sequence[SettingDifference]) -> None:
    sentence = history.why_not_comparable(differ)
    if sentence:
        with st.container(key="guard"):
            st.warning(escape_markdown(sentence), icon=":material/balance:")
        return
    if not (left.result and right.result):
        st.caption("They are set up alike, and one of them has no result yet.")
        return
    judged = history.verdict_between(*(reading.read_store(tested, run)[1] for run in (left, right)))
    with st.container(key="guard"):
        show = st.success if judged.kind in ("better", "worse") else st.info
        show(escape_markdown(runs_sentence(judged)), icon=":material/balance:")


def _table(differ: Sequence[SettingDifference]) -> None:
    if not differ:
        st.caption("They have the same settings throughout.")
        return
    lines = [
        {
            "Setting": d.what,
            "Left": d.left,
            "Right": d.right,
            "Scores": "not comparable" if d.matters else "comparable",
        }
        for d in differ
    ]
    data_table(lines, "difference_table", most=len(lines))


def _prompts(left: RunRow, right: RunRow) -> None:
    first, second = (reading.prompt(run, run.require_result().shown.best_candidate) for run in (left, right))
    with st.expander("Their best prompts, word by word", key="compare_prompts"):
        for path in first.steps.keys() & second.steps.keys():
            if len(second.steps) > 1:
                st.caption(escape_markdown(path))
            prompt_diff(first.steps[path].instructions, second.steps[path].instructions)
            shown = len(first.steps[path].demos), len(second.steps[path].demos)
            st.caption(f"Solved examples shown: {shown[0]} on the left, {shown[1]} on the right.")


def run_card(run: RunRow, project: str | None, known_tags: Iterable[str] = ()) -> None:
    """Show a run. `project` is its project's name, None when that was deleted; `known_tags` are offered."""
    with ui.card("run_card"):
        with ui.row("run_card_head"):
            st.markdown(f"**{escape_markdown(run.title, 120)}**", width="content")
            state_badge(run)
            if run.in_use:
                st.badge("In use", icon=":material/verified:", color="green")
            if run.from_archive:
                st.badge("From an archive", icon=":material/unarchive:", color="gray")
        if run.result:
            verdict_card(run.result.shown.verdict)
        elif run.message:
            st.caption(escape_markdown(run.message))
        line = history.table_row(run, {}, STATE_WORDS)
        facts = [project or "a deleted project", line["Optimizer"], line["Model"], counted(run.calls, "call")]
        st.caption(escape_markdown(" · ".join(filter(None, [*facts, line["Cost"], line["Took"]]))))
        ui.problem_line(f"in_use_refused_{run.id}")
        if run.tags:
            with ui.row("run_tags", "top", gap="xxsmall"):
                for tag in run.tags:
                    st.badge(escape_markdown(tag, 40), color="gray")
        if read_only():
            if run.note:
                ui.named_text("Note", run.note)
            _actions(run, project)
            return
        left, middle, right = st.columns([4, 3, 3], gap="medium", vertical_alignment="bottom")
        left.text_input(
            "Note",
            run.note,
            placeholder="What you want to remember about this run",
            max_chars=500,
            **ui.saved(f"note_{run.id}", drafts.set_note, run.id),
        )
        middle.multiselect(
            "Tags",
            sorted({*known_tags, *run.tags}),
            run.tags,
            accept_new_options=True,
            placeholder="Type one and press Enter",
            help="Words of your own to find runs by, such as a customer or a release.",
            **ui.saved(f"tags_{run.id}", drafts.set_tags, run.id),
        )
        if run.result:
            right.toggle(
                "This program is in use",
                run.in_use,
                key=f"in_use_{run.id}_{run.in_use}",
                help="Keeps its best prompt as a version of the project's program and puts it into use, instead of the one "
                "that was. Earlier versions stay, and can be put back on the Export page.",
                on_change=ui.callback(_use, run, not run.in_use),
            )
        _actions(run, project)


def _actions(run: RunRow, project: str | None) -> None:
    address = {"project": run.project_id, "run": run.id}
    with ui.row("run_card_actions"):
        if run.result:
            ui.link("results", "Results", "leaderboard", **address)
            ui.link("try_it", "Try it", "science", **address)
            ui.link("export", "Export", "ios_share", **address)
        else:
            ui.link("run", "Open", "monitoring", **address)
        if read_only():
            return
        again = ui.button(
            "Use these settings again",
            "settings_again",
            "Its project was deleted." if project is None else "",
            icon="content_copy",
            help="Puts this run's task, data, metric, model and optimizer into the project's set-up, to change and run again.",
        )
    if again:
        replace_setup(run, lambda: history.draft_from(reading.run_spec(run)))


def _use(run: RunRow, in_use: bool) -> None:
    from dashboard.services import keep_version, use_none, use_version

    with ui.problem_kept(f"in_use_refused_{run.id}"), writing(f"set in use: {in_use}", run.id) as store:
        if in_use:
            use_version(data_home(), store, run.project_id, keep_version(store, run.id).number)
        else:
            use_none(data_home(), store, run.project_id)
