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
    "program_of_thought": (
        "Write a program",
        "The model writes Python, which runs in a sandbox, and answers from what it gives. Two calls a row, or more.",
    ),
    "react": ("Use tools", "The model calls tools step by step until it can answer. Several calls a row."),
    "best_of_n": (
        "Best of several",
        "The model answers up to three times; a judge keeps the best. Up to six calls a row.",
    ),
    "refine": (
        "Improve itself",
        "As best of several, and between tries the model is told what to do better. Up to eight calls a row.",
    ),
}
DEFAULT_TOOLS = ("calculator", "python")


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
        _options(project_id, step)


def _options(project_id: str, step: StepSpec) -> None:
    """Show what the chosen strategy can be told, if anything."""
    if step.strategy == "react":
        from engine.pipeline.strategies import TOOLS

        key = f"tools_{project_id}"
        chosen = [name for name in step.options.tools if name in TOOLS]
        st.multiselect(
            "Tools", list(TOOLS), chosen, key=key, on_change=_option, args=(project_id, key, "tools")
        )
    elif step.strategy in ("best_of_n", "refine"):
        key = f"criteria_{project_id}"
        st.text_area(
            "What makes an answer good",
            step.options.criteria,
            key=key,
            height=80,
            placeholder="For example: It names the rule that decides, and is polite.",
            on_change=_option,
            args=(project_id, key, "criteria"),
        )


def _option(project_id: str, key: str, name: str) -> None:
    value = st.session_state[key]
    value = value.strip() if isinstance(value, str) else tuple(value)
    edit_step(
        project_id,
        lambda step: step.model_copy(update={"options": step.options.model_copy(update={name: value})}),
    )


def _instruction(project_id: str, key: str) -> None:
    text = st.session_state[key].strip()
    edit_step(project_id, lambda step: step.model_copy(update={"instructions": text}))


def _strategy(project_id: str, key: str) -> None:
    chosen = st.session_state[key]

    def changed(step: StepSpec) -> StepSpec:
        options = step.options
        if chosen == "react" and not options.tools:
            options = options.model_copy(update={"tools": DEFAULT_TOOLS})
        return step.model_copy(update={"strategy": chosen, "options": options})

    edit_step(project_id, changed)
