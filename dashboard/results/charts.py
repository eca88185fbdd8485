"""Charts of all prompts: the list, rows by prompt, the family, and the credit of each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.plot import plot
from dashboard.components.tables import PERCENT, bar_column, data_table, gain_column
from dashboard.results.candidate_charts import (
    Matrix,
    beaten,
    family,
    fewer,
    lineage,
    lineage_figure,
    matrix,
    matrix_figure,
    priced_prompts,
    variants_figure,
)
from dashboard.results.compare import add_candidate, take_candidate
from dashboard.services import (
    CandidateRow,
    Credit,
    PricedPrompt,
    RunRow,
    Unit,
    counted,
    in_percent,
    printed_change,
    recommended_at,
    shared_unit,
    step_credit,
    value_text,
    whole_trials,
)
from dashboard.state import candidates, reading
from dashboard.state.candidates import ComparedCandidate
from dashboard.text import escape_markdown


@reading.cached_for_home(16, "Comparing each prompt with what it came from")
def credit_of(run: RunRow, best: str) -> Credit:
    """Return each step's credit in a run."""
    # Some searches score a candidate block by block: its trials together are what is known of it.
    scores = candidates.row_scores(run)
    by_candidate: dict[str, dict[int, float]] = {}
    for trial in reading.snapshot(run).trials:
        by_candidate.setdefault(trial.candidate_id, {}).update(scores.get(trial.number, {}))
    return step_credit([c.candidate for c in candidates.everything(run)], by_candidate, best)


def step_credit_card(run: RunRow, best: str) -> None:
    """Show the steps with what their changes gained, and every change behind it."""
    step_credits = credit_of(run, best)
    with st.container(key="credit"):
        st.markdown(
            f":material/alt_route: **{escape_markdown(step_credits.sentence)}**",
            help=explain("step's share", "They are compared on the same rows to choose by."),
        )
    _steps(step_credits)
    _changes(step_credits, {c.id: c.number for c in candidates.index(run)})


def _steps(found: Credit) -> None:
    data_table(
        [
            {
                "Step": s.step,
                "Changes tried": len(s.changes),
                "Helped": s.helped,
                "Mean gain": in_percent(s.mean, 0) if s.changes else None,
                "On the way to the best": in_percent(s.kept, 0),
            }
            for s in found.steps
        ],
        "credit_table",
        {
            "Mean gain": gain_column(explain("gain", "Here: of a change of this step alone, on average.")),
            "On the way to the best": gain_column(
                "What this step's own changes add up to on the line from the start to the best prompt, in points."
            ),
        },
        placeholder="none",
    )
    if found.together:
        st.caption(
            f"{counted(found.together, 'change')} touched several steps at once; no single step is credited with those."
        )


def _changes(found: Credit, numbers: Mapping[str, int]) -> None:
    changes = sorted((c for s in found.steps for c in s.changes), key=lambda c: -abs(c.gain))
    if not changes:
        return
    with st.expander(f"All {counted(len(changes), 'change')} of a single step", key="credit_changes"):
        data_table(
            [
                {
                    "Step": c.step,
                    "What changed": c.what,
                    "From": numbers.get(c.parent),
                    "To": numbers.get(c.child),
                    "Gain": in_percent(c.gain, 0),
                    "95 % interval": printed_change(0.0, c.gain, c.low, c.high).interval,
                    "Rows": c.rows,
                }
                for c in changes
            ],
            "credit_change_table",
            {
                "From": st.column_config.NumberColumn(
                    width="small", help=explain("candidate", "Here: its number.")
                ),
                "To": st.column_config.NumberColumn(width="small"),
                "Gain": gain_column(explain("gain", "Here: of the second prompt over the first."), "small"),
            },
        )


def candidate_table(candidates: Sequence[CandidateRow], best_id: str) -> None:
    """Show the candidates in the order found."""
    numbers = {c.id: c.number for c in candidates}
    data_table(
        [
            {
                "Prompt": c.number,
                "": "best" if c.id == best_id else "start" if c.number == 0 else "",
                "Test rows": in_percent(c.tested),
                "Practice score": in_percent(c.score),
                "On rows": c.rows,
                "From": ", ".join(str(numbers[p]) for p in c.candidate.parents if p in numbers),
                "Solved examples": sum(len(s.demos) for s in c.candidate.steps.values()),
                "Why it exists": c.candidate.reason,
            }
            for c in sorted(candidates, key=lambda c: c.number)
        ],
        "candidate_table",
        {
            "Prompt": st.column_config.NumberColumn(width="small", help=explain("candidate")),
            "": st.column_config.TextColumn(width="small"),
            "Test rows": st.column_config.NumberColumn(
                format=PERCENT, width="small", help="Its score on the test rows, where it was tested."
            ),
            "Practice score": bar_column(explain("practice score"), PERCENT),
            "On rows": st.column_config.NumberColumn(width="small", help=explain("rows to choose by")),
            "Solved examples": st.column_config.NumberColumn(help=explain("solved example")),
            "Why it exists": st.column_config.TextColumn(width="large"),
        },
        placeholder="",
    )


def _matrix_summary(found: Matrix) -> str:
    rows = counted(len(found.rows), "row")
    if len(found.candidates) == 1:
        return f"Only one prompt was scored on all {rows} to choose by, so there is nothing to compare yet."
    summary = f"{rows} against {len(found.candidates)} prompts."
    if found.always:
        summary += f" Every prompt gets {found.always:,} of them right."
    if found.never:
        summary += f" No prompt gets {found.never:,} of them right: worth a look at the rows themselves."
    return summary


def candidate_matrix(run: RunRow) -> None:
    """Show which prompt gets which validation row right."""
    trials = whole_trials(reading.snapshot(run).trials)
    rows_by_prompt = matrix(candidates.everything(run), trials, candidates.row_scores(run))
    if not rows_by_prompt.rows:
        st.caption("No prompt was scored on all validation rows.")
        return
    st.caption(
        _matrix_summary(rows_by_prompt),
        help="A full cell is right, an empty one wrong. Rows are sorted from the hardest to the easiest. Move over a cell to read it.",
    )
    if rows_by_prompt.left_out:
        st.caption(
            f"The start and the best prompts are shown; {rows_by_prompt.left_out:,} others are left out."
        )
    values = reading.row_values(run, rows_by_prompt.rows)
    inputs = [f.name for f in reading.run_spec(run).pipeline.inputs]
    texts = {row: value_text(v.get(inputs[0], "")) if inputs else "" for row, v in values.items()}
    plot(
        matrix_figure(rows_by_prompt, reading.row_numbers(run.spec["dataset"], rows_by_prompt.rows), texts),
        key="matrix",
        label=f"{len(rows_by_prompt.rows)} rows against {len(rows_by_prompt.candidates)} prompts",
        height=min(760, 130 + 9 * len(rows_by_prompt.rows)),
        stamp=str(len(rows_by_prompt.rows)),
    )


def candidate_family(run: RunRow, best_id: str, picked: Sequence[ComparedCandidate]) -> None:
    """Show what came from what; a click adds a prompt to those compared."""
    tried = candidates.everything(run)
    shown = family(tried, best_id)
    nodes = lineage(shown)
    if not any(n.depth for n in nodes):
        st.caption("No prompt was made from another one in this run.")
        return
    st.caption("Click a prompt to compare it. Move over a dot to read why it exists.", help=explain("family"))
    label = f"Family tree of {len(nodes)} prompts"
    _add_clicked(run, plot(lineage_figure(nodes, best_id), key="lineage", label=label, height=380), picked)
    if len(shown) < len(tried):
        st.caption(f"The best {len(shown):,} of {len(tried):,} prompts, and those they came from.")


STEPS = 60
"""Places of the slider for the price."""


@reading.cached_for_home(16)
def weighed(run: RunRow) -> tuple[list[PricedPrompt], Unit]:
    """Return a run's prompts with what a row takes, and the unit of that."""
    uses, trials = candidates.row_use(run), whole_trials(reading.snapshot(run).trials)
    unit = shared_unit(use for candidate, use in uses.items() if candidate in trials)
    model = str(run.spec.get("model", {}).get("name", ""))
    return priced_prompts(candidates.everything(run), trials, uses, unit, model), unit


def quality_and_cost(run: RunRow, picked: Sequence[ComparedCandidate]) -> None:
    """Show what quality costs, and the best prompt at a price to be drawn; a click adds a prompt to those compared."""
    about = f"Up is better, left is cheaper; grey ones are beaten outright. {explain('beaten outright')}"
    with ui.card("cost_card", "Quality against cost", about):
        every, unit = weighed(run)
        if len(every) < 2:
            what = "Only one prompt was scored" if every else "No prompt was scored"
            st.caption(f"{what} on all rows to choose by, so there is nothing to weigh yet.")
            return
        worse = beaten(every)
        uses = [p.use for p in every if p.candidate not in worse]
        low, most = min(uses), max(uses)
        places = [*(low + (most - low) * at / STEPS for at in range(STEPS)), most]
        if low < most:
            at = st.select_slider(
                f"{unit.title}, at most",
                range(STEPS + 1),
                STEPS,
                format_func=lambda at: unit.words(places[at]).replace("$", "\\$"),
                key="price_line",
            )
            most = places[at]
        advice = recommended_at(every, most, unit)
        with ui.row("at_price", side="distribute"):
            st.markdown(f"**{escape_markdown(advice.sentence, 400)}**", width="content")
            take = ui.callback(take_candidate, run.id, advice.candidate)
            ui.chosen_or_button(run.taken == advice.candidate, "take_at_price", take, "Take it")
        shown = fewer(every, run.best)
        label = f"Quality against cost of {len(shown)} prompts"
        figure = variants_figure(shown, run.best, unit, most, advice.candidate)
        _add_clicked(run, plot(figure, key="variants", label=label, height=350, stamp=f"{most:g}"), picked)


def _add_clicked(run: RunRow, number: Any, picked: Sequence[ComparedCandidate]) -> None:
    """Add the prompt that was clicked in a chart to those compared."""
    if number is not None:
        add_candidate(run.id, candidates.by_number(run, int(number)), picked)
