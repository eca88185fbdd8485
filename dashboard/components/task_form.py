"""The task's own part of its form: the instruction, the strategy, and what is wrong with it as a whole."""

from __future__ import annotations

import streamlit as st

from dashboard.components.field_editor import edit_step
from engine.pipeline.spec import PipelineSpec, StepSpec

STRATEGIES = {
    "predict": ("Answer directly", "The quickest and cheapest: the model answers at once."),
    "chain_of_thought": (
        "Think first",
        "The model writes down its reasoning, then answers. Better at sums and rules; about twice the tokens.",
    ),
}


def task_problems(pipeline: PipelineSpec) -> None:
    """List what keeps the task from working, when there is more than the head of the page says."""
    from engine.pipeline.check import spec_problems

    more = spec_problems(pipeline)[1:]
    if more and (pipeline.inputs or pipeline.outputs):
        with st.container(border=True, key="task_problems"):
            st.markdown("**Also to be mended**")
            for sentence in more[:6]:
                st.text(f"•  {sentence}")


def instruction_form(project_id: str, step: StepSpec) -> None:
    """Show the instruction and the strategy; every edit is saved."""
    with st.container(border=True, key="instruction_card"):
        st.markdown(
            "**Instruction**",
            help="The starting point. Tuning can rewrite it; the run compares every new wording with this one.",
        )
        key = f"instruction_{project_id}"
        st.text_area(
            "Instruction",
            step.instructions,
            key=key,
            height=110,
            label_visibility="collapsed",
            placeholder="For example: Choose the team that should answer this customer's message.",
            on_change=_instruction,
            args=(project_id, key),
        )
        key = f"strategy_{project_id}"
        st.segmented_control(
            "How it answers",
            list(STRATEGIES),
            default=step.strategy,
            format_func=lambda name: STRATEGIES[name][0],
            key=key,
            required=True,
            on_change=_strategy,
            args=(project_id, key),
            help="  \n".join(f"**{title}**: {what}" for title, what in STRATEGIES.values()),
        )
        st.caption(STRATEGIES[step.strategy][1])


def _instruction(project_id: str, key: str) -> None:
    text = st.session_state[key].strip()
    edit_step(project_id, lambda step: step.model_copy(update={"instructions": text}))


def _strategy(project_id: str, key: str) -> None:
    chosen = st.session_state[key]
    edit_step(project_id, lambda step: step.model_copy(update={"strategy": chosen}))
