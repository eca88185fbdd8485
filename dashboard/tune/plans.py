"""Spending plans with their price for this data, and what they are likely to gain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.components import ui
from dashboard.components.project_page import ProjectPage, open_page
from dashboard.components.tab_conflict import guarded, renew
from dashboard.components.wizard import STEPS
from dashboard.services import (
    OPTIMIZERS,
    EngineError,
    Named,
    PipelineSpec,
    ProjectDraft,
    duration,
    plans,
    price,
)
from dashboard.state.editing import drafts
from dashboard.state.editing.examples import rows_to_use, split_of
from dashboard.state.messages import calls_a_row
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown
from dashboard.tune.optimizer import advised_optimizer
from dashboard.tune.small_model import OPTIMIZER as SMALL_MODEL

if TYPE_CHECKING:
    from dashboard.services import Estimate

ONE_STEP = {
    "Quick": "Nine tenths of the gain or more in 12 of 16 benchmark tasks, half or more in the others.",
    "Balanced": "Nearly all of the gain in all 16 benchmark tasks.",
    "Thorough": "At most 2 points more than Balanced in the 16 benchmark tasks.",
}
SEVERAL_STEPS = {
    "Quick": "30 to 80 % of the gain in three benchmark tasks of several steps.",
    "Balanced": "Nine tenths of the gain, or all of it, in these three tasks.",
    "Thorough": "Up to 4 points more than Balanced in these three tasks.",
}
"""Plan -> what it is likely to gain: `tests/benchmarks/README.md`, "More calls", with 250, 1,000 and 3,000 calls."""
PRESET = "Balanced"
SEARCHABLE = "Autotune"
"""The optimizer that uses what a larger budget buys: plans are its budgets."""


class SpendingPlan(NamedTuple):
    """A way of tuning within a number of calls; limits of money, tokens and time are the user's own."""

    name: str
    optimizer: Named
    calls: int | None

    def chosen(self, draft: ProjectDraft) -> bool:
        """True if a project is set to it."""
        return (draft.optimizer, draft.budget.calls) == (self.optimizer, self.calls)

    def applied(self, draft: ProjectDraft) -> ProjectDraft:
        """Return a draft that is set to it; its other limits stay."""
        budget = draft.budget.model_copy(update={"calls": self.calls})
        return draft.model_copy(update={"optimizer": self.optimizer, "budget": budget})


def plans_of(draft: ProjectDraft) -> list[SpendingPlan]:
    """Return a project's plans; none before it has rows, and with too few rows to compare prompts on."""
    pipeline = draft.pipeline or PipelineSpec()
    try:
        split = split_of(draft)
        calls = plans(len(split.validation), len(split.test), calls_a_row(pipeline, adapter=draft.adapter))
    except EngineError:
        return []
    advised, _ = advised_optimizer(draft, sum(split.sizes))
    if advised != SEARCHABLE:
        return []
    return [SpendingPlan(name, Named(name=SEARCHABLE), number) for name, number in calls.items()]


def preset(page: ProjectPage) -> bool:
    """Give a project that has no way of tuning yet the plan in the middle, or what suits few rows; return whether."""
    draft = page.draft
    if draft.optimizer is not None or read_only() or any(p.step != "tune" for p in draft.problems()):
        return False
    plan = next((p for p in plans_of(draft) if p.name == PRESET), None)
    if plan is None:
        advised, _ = advised_optimizer(draft, rows_to_use(draft))
        if not advised:
            return False
        plan = SpendingPlan("", Named(name=advised), draft.budget.calls)
    if draft.budget.calls is not None:
        plan = plan._replace(calls=draft.budget.calls)
    drafts.edit(page.id, plan.applied)
    return True


def what_is_missing(page: ProjectPage) -> bool:
    """Show what is missing before a plan can be chosen, with one button to its page; return whether anything is."""
    first = next((p for p in page.draft.problems() if p.step != "tune"), None)
    if first is None:
        return False
    with ui.nothing_here("tune_missing", "Not ready to tune yet", escape_markdown(first.sentence)):
        title = dict(STEPS)[first.step]
        if ui.button(
            f"Go to {title}", "tune_missing_go", type="primary", icon="arrow_forward", icon_position="right"
        ):
            open_page(first.step)
    return True


def plan_cards(page: ProjectPage, found: Sequence[SpendingPlan]) -> Callable[[Estimate | None], None]:
    """Show the plans; return what writes their prices into them when an estimate of the run is there."""
    places: list[tuple[SpendingPlan, DeltaGenerator]] = []
    steps = page.draft.pipeline.steps if page.draft.pipeline else ()
    likely = SEVERAL_STEPS if len(steps) > 1 else ONE_STEP
    with st.grid(3, min_column_width=200, key="plans") if found else st.empty():
        for plan in found:
            with ui.tile(f"plan_{plan.name}"):
                with st.container(gap="xxsmall", key=f"plan_text_{plan.name}"):
                    st.markdown(f"**{plan.name}**")
                    places.append((plan, st.empty()))
                    st.caption(likely[plan.name])
                choose = ui.callback(_choose, page.id, plan)
                ui.chosen_or_button(plan.chosen(page.draft), f"set_plan_{plan.name}", choose)
    if found:
        st.caption(UP_TO)
    name = page.draft.optimizer.name if page.draft.optimizer else ""
    if name == SMALL_MODEL:
        st.caption(":material/model_training: A small model is trained, as set under “small model”, below.")
    elif name and not any(p.chosen(page.draft) for p in found):
        title = next((o.title for o in OPTIMIZERS if o.name == name), name)
        advised, why = advised_optimizer(page.draft, rows_to_use(page.draft))
        reason = f" {why}" if name == advised and not found else ""
        words = f"Chosen: {title}.{reason} Change it and its limits under “all optimizers”, below."
        st.caption(ui.mark("tune", words, "gray"))
    return partial(_write_prices, places)


def _write_prices(places: list[tuple[SpendingPlan, DeltaGenerator]], expected: Estimate | None) -> None:
    for plan, place in places:
        place.markdown(f"up to {escape_markdown(_most(plan, expected))}")


UP_TO = (
    "Limits are hard: not one call more is made. The search stops by itself when nothing is to be gained. The benchmarks "
    "are of a stand-in model that can be taught."
)


def _most(plan: SpendingPlan, expected: Estimate | None) -> str:
    """Return the most that a plan takes: its calls at the price and the pace of the calls that are expected."""
    calls = plan.calls or 0
    text = f"{calls:,} calls"
    if expected is None or not expected.calls.high:
        return text
    share = calls / expected.calls.high
    money = price(None if expected.usd is None else share * expected.usd.high)
    seconds = share * expected.seconds.high
    return " · ".join((text, money, duration(seconds) if seconds >= 1 else "1 s"))


def _choose(project_id: str, plan: SpendingPlan) -> None:
    guarded(project_id, plan.applied, "tuning")
    # The browser sends what the fields of limits and options held before, also after their values were deleted here.
    renew(project_id)
