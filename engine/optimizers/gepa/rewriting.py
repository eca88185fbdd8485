"""GEPA's reflection: the ask that has one text rewritten from some runs of its step, and its prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.optimizers.shared.components import Component
from engine.optimizers.shared.prompt_values import describe_step, worst_runs
from engine.records import Candidate, Outcome
from engine.search.contract import Problem, Propose
from engine.signature import InputField, OutputField, Signature


def rewrite(
    problem: Problem,
    candidate: Candidate,
    component: Component,
    outcomes: Sequence[Outcome],
    *,
    rollout: int,
    advice: str = "",
    template: str = "",
) -> Propose:
    """Return the ask that has one text of a candidate rewritten from some of its runs. Calls: 1.

    `template` takes the place of the usual words; in it <curr_param> is the text and <side_info> the runs.
    """
    inputs = {
        "program_description": problem.program,
        "step": describe_step(component.path, problem.signatures[component.path]),
        "runs": worst_runs(problem, component.path, outcomes),
        "advice": advice,
    }
    if component.is_description:
        inputs |= {"text_wanted": component.title, "current_description": component.text(candidate)}
    else:
        inputs |= {"current_instructions": component.text(candidate)}
    signature: type[Signature] = RewriteDescription if component.is_description else RewriteInstructions
    if template:
        text = "`current_description`" if component.is_description else "`current_instructions`"
        own = template.replace("<curr_param>", text).replace("<side_info>", "`runs`")
        signature = signature.with_instructions(own)
    return Propose(signature, inputs, rollout=rollout, label=component.title)


class RewriteInstructions(Signature):
    """
    A language model runs one step of a program under the current instructions. You see some of its runs: what
    the step read, what would have been right, what came out, and what was said about it.
    Write better instructions for the step. First find out why the low runs went wrong: a rule of the task that
    the instructions do not state, a fact about the subject, a form the answer must have. Then state those rules
    so that they hold for inputs that are not shown, name the exact output values and when each is right, and
    keep every rule of the current instructions that the runs do not speak against. Do not quote the runs, and
    do not describe the answer's layout: the program adds that.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step: its fields and what they mean.")
    runs: list[dict[str, Any]] = InputField(
        desc="Runs, the worst first: inputs, right outputs, what was answered, score and feedback."
    )
    advice: str = InputField(desc="What to heed; may be empty.")
    current_instructions: str = InputField(desc="The instructions in use now.")
    proposed_instructions: str = OutputField(
        desc="The new instructions, whole, ready to be used as they are."
    )


class RewriteDescription(Signature):
    """
    A language model runs one step of a program. It goes by the descriptions of its fields, and of the tools it may
    call. You see runs of the step: what it read, what would have been right, what it did, and what was said about it.
    Write a better description of the one that is named. Of a tool: what it does, when to call it and when not, and
    what its arguments must look like. Of a field: what it holds, which values it can have and when each is right.
    State only what the runs and the current description support.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step: its fields and what they mean.")
    runs: list[dict[str, Any]] = InputField(
        desc="Runs, the worst first: inputs, right outputs, what was answered, score and feedback."
    )
    advice: str = InputField(desc="What to heed; may be empty.")
    text_wanted: str = InputField(desc="Which description is wanted.")
    current_description: str = InputField(desc="The description in use now; may be empty.")
    proposed_description: str = OutputField(desc="The new description, whole.")
