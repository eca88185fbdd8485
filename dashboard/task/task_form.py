"""One step's own part of the task's form: its instruction, its way of answering, and what is wrong with the task."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.prompts import messages_view
from dashboard.components.tab_conflict import renew, revision
from dashboard.services import EngineError, FieldSpec, PipelineSpec, StepSpec, counted
from dashboard.state.messages import calls_a_row, messages, tokens_of
from dashboard.task.corpus_form import corpus_form
from dashboard.task.field_editor import ident, save_step, set_option, set_text
from dashboard.text import escape_markdown

STRATEGIES = {
    "predict": ("Answer directly", "The quickest and cheapest: the model answers at once."),
    "chain_of_thought": (
        "Think first",
        "The model writes down its reasoning, then answers. Better at sums and rules; about twice the tokens.",
    ),
    "extract": (
        "Read a record",
        "Reads documents: long ones in parts, scans as pictures, and the place of each value is shown.",
    ),
    "program_of_thought": (
        "Write a program",
        "The model writes Python, which runs in a sandbox, and answers from what it gives. Two calls a row, or more.",
    ),
    "react": ("Use tools", "The model calls tools step by step until it can answer. Several calls a row."),
    "best_of_n": (
        "Best of several",
        "The model answers several times; a judge keeps the best. Twice as many calls as tries, at most.",
    ),
    "refine": (
        "Improve itself",
        "As best of several, and between tries the model hears what to do better.",
    ),
    "retrieve": (
        "Search a corpus",
        "Finds the passages that fit its input, for a later step to read. No model, no cost.",
    ),
    "tool": ("Call a tool", "Hands its inputs to one tool and passes on the result. No model, no cost."),
}
TITLES = {name: title for name, (title, _) in STRATEGIES.items()}
DEFAULT_TOOLS = ("calculator", "python")
NO_MODEL = ("retrieve", "tool")


def task_problems(pipeline: PipelineSpec) -> None:
    """List what keeps the task from working, when there is more than the head of the page says."""
    from dashboard.services import spec_problems

    more = spec_problems(pipeline)[1:]
    if more and (pipeline.inputs or pipeline.outputs):
        with ui.card("task_problems", "Also to be fixed"):
            for sentence in more[:6]:
                st.text(f"•  {sentence}")


def instruction_form(project_id: str, step: StepSpec, at: int) -> None:
    """Show the way of answering and the instruction of a step; every edit is saved."""
    rev = revision(project_id)
    end = ident(project_id, at) + (f"_r{rev}" if rev else "")
    with ui.card("instruction_card", "How it answers", explain("way of answering")):
        st.pills(
            "How it answers",
            list(STRATEGIES),
            default=step.strategy,
            format_func=lambda name: TITLES[name],
            required=True,
            label_visibility="collapsed",
            **ui.saved(f"strategy_{end}", _set_strategy, project_id, at),
            help="  \n".join(f"**{title}**: {what}" for title, what in STRATEGIES.values()),
        )
        st.caption(STRATEGIES[step.strategy][1])
        _options(project_id, step, at, end)
        if step.strategy in NO_MODEL:
            return
        st.markdown(
            "**Instruction**",
            help=f"{explain('instruction')} This is the starting point: the run compares every new wording with it.",
        )
        st.text_area(
            "Instruction",
            step.instructions,
            height=110,
            label_visibility="collapsed",
            placeholder="For example: Choose the team that should answer this customer's message.",
            **ui.saved(f"instruction_{end}", set_text, project_id, at, "instructions"),
        )


def _options(project_id: str, step: StepSpec, at: int, end: str) -> None:
    """Show the options of the chosen way, if it has any."""
    if step.strategy == "retrieve":
        corpus_form(project_id, step, at, end)
    elif step.strategy == "tool":
        _one_tool(project_id, step, at, end)
    elif step.strategy == "react":
        _tools(project_id, step, at, end)
    elif step.strategy == "program_of_thought":
        _number(project_id, step, at, "max_iters", end, "Tries at most (0: as usual, 3)", (0, 20))
    elif step.strategy in ("best_of_n", "refine"):
        _judged(project_id, step, at, end)


def _tools(project_id: str, step: StepSpec, at: int, end: str) -> None:
    from dashboard.services import TOOLS

    words = (f"**{name}**: {escape_markdown(tool.desc or '', 160)}" for name, tool in TOOLS.items())
    left, right = st.columns([3, 2])
    left.multiselect(
        "Tools",
        list(TOOLS),
        [name for name in step.options.tools if name in TOOLS],
        **ui.saved(f"tools_{end}", set_option, project_id, at, "tools"),
        help="  \n".join([explain("tool"), *words]),
    )
    with right:
        _number(project_id, step, at, "max_iters", end, "Rounds at most (0: as usual, 10)", (0, 100))
    if "search" in step.options.tools:
        corpus_form(project_id, step, at, end)


def _one_tool(project_id: str, step: StepSpec, at: int, end: str) -> None:
    from dashboard.services import TOOLS

    chosen = next((n for n in step.options.tools if n in TOOLS), None)
    names = list(TOOLS)
    st.selectbox(
        "Tool",
        names,
        index=names.index(chosen) if chosen else None,
        placeholder="Choose a tool",
        **ui.saved(f"tool_{end}", _set_tool, project_id, at),
        help=explain("tool"),
    )
    if chosen:
        tool = TOOLS[chosen]
        st.caption(
            f"{escape_markdown(tool.desc or '', 200)} It takes: {escape_markdown(', '.join(tool.args))}."
        )
    if chosen == "search":
        corpus_form(project_id, step, at, end)


def _judged(project_id: str, step: StepSpec, at: int, end: str) -> None:
    left, right = st.columns(2)
    with left:
        _number(project_id, step, at, "tries", end, "Tries at most", (1, 50))
    right.slider(
        "Good enough to stop",
        0.0,
        1.0,
        step.options.threshold,
        0.05,
        **ui.saved(f"threshold_{end}", set_option, project_id, at, "threshold"),
        help="The judge rates every try from 0 to 1. The first try with this rating or a better one is taken.",
    )
    st.text_area(
        "What makes an answer good",
        step.options.criteria,
        height=80,
        placeholder="For example: It names the rule that decides, and is polite.",
        **ui.saved(f"criteria_{end}", set_option, project_id, at, "criteria"),
    )


def _number(
    project_id: str, step: StepSpec, at: int, name: str, end: str, label: str, limits: tuple[int, int]
) -> None:
    key, value = f"{name}_{end}", getattr(step.options, name)
    st.number_input(label, *limits, value, **ui.saved(key, set_option, project_id, at, name))


def _set_tool(project_id: str, at: int, chosen: str | None) -> None:
    """Take a tool; the step's inputs become the arguments it needs."""
    from dashboard.services import TOOLS

    def change(step: StepSpec) -> StepSpec:
        needed = TOOLS[chosen].required if chosen in TOOLS else ()
        names = [f.name for f in step.inputs]
        inputs = step.inputs if set(needed) <= set(names) else tuple(FieldSpec(name=n) for n in needed)
        options = step.options.model_copy(update={"tools": (chosen,)})
        return step.model_copy(update={"inputs": inputs, "options": options})

    if save_step(project_id, at, change):
        renew(project_id)


def _set_strategy(project_id: str, at: int, chosen: str) -> None:
    def change(step: StepSpec) -> StepSpec:
        options = step.options
        if chosen == "react" and not options.tools:
            options = options.model_copy(update={"tools": DEFAULT_TOOLS})
        if chosen == "tool" and len(options.tools) != 1:
            options = options.model_copy(update={"tools": ("calculator",)})
        # A search and a tool ask no model; a model named there would prevent the run.
        cleared = {"model": None, "extraction_model": None} if chosen in NO_MODEL else {}
        return step.model_copy(update={"strategy": chosen, "options": options, **cleared})

    save_step(project_id, at, change)


WITHOUT_PROMPT = {
    "retrieve": "This step asks no model. It looks for the passages that fit its input and hands them on.",
    "tool": "This step asks no model. It calls its tool with its inputs and hands the result on.",
}


def prompt_preview(pipeline: PipelineSpec, values: Mapping[str, object], *, adapter: str, at: int) -> None:
    """Show the prompt of one row for the step at a place. Values that are not known are shown as «name»."""
    step = pipeline.steps[at]
    several = len(pipeline.steps) > 1
    title = f"The prompt of {escape_markdown(step.name)}" if several else "The prompt it makes"
    with ui.card("prompt_card", title, f"{explain('prompt')} Written by the same code that sends it."):
        if step.strategy in WITHOUT_PROMPT:
            st.caption(WITHOUT_PROMPT[step.strategy])
            return
        # This step alone, run once whatever happens: what keeps others from working does not matter here.
        alone = PipelineSpec(steps=(step.model_copy(update={"when": None, "each": None}),))
        try:
            sent = messages(alone, values, adapter=adapter)
            calls = calls_a_row(alone, adapter=adapter)
        except EngineError as error:
            ui.show_error(error)
            st.caption("The prompt appears here when this is fixed.")
            return
        with st.container(height=560, border=False, key="prompt_text"):
            for path, turns in sent:
                if len(sent) > 1:
                    st.text(path)
                messages_view(turns, user="One row, as the model reads it", answer="An answer")
        st.caption(
            f"{counted(calls, 'call')} for each row{' in this step' if several else ''}, "
            f"about {counted(tokens_of(sent), 'token')} {'in' if calls == len(sent) else 'in what is shown'}.",
            help=explain("token"),
        )
