"""Reflection on runs: what a step read and wrote, what was right and what was said of it, as rows of a prompt.

The rows of the instruction optimizers that learn from textual feedback (GEPA, SIMBA, AvatarOptimizer), and
the ask that has a text rewritten. It yields nothing itself and calls nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.optimizers.shared.board import Component
from engine.optimizers.shared.proposals import describe_step
from engine.records import Candidate, Outcome
from engine.search.contract import Problem, Propose
from engine.signature import InputField, OutputField, Signature

MAX_TEXT = 8000
"""Characters of a proposed text that are used: it is paid for with every row."""


def shown_run(problem: Problem, path: str, outcome: Outcome) -> dict[str, Any]:
    """Return one run of a step as a row: inputs, right outputs, what was answered, the score and the feedback.

    The inputs are the step's own where the outcome has a trace. A metric without words gets a sentence
    made from the labels.
    """
    row = problem.rows[outcome.row]
    calls = [step for step in outcome.trace if step.path == path]
    inputs: Mapping[str, Any] = (
        calls[-1].inputs if calls else {n: row[n] for n in problem.input_fields if n in row}
    )
    shown: dict[str, Any] = {
        "inputs": _short(inputs),
        "outputs": _short({n: row[n] for n in problem.output_fields if n in row}),
    }
    if calls and len(problem.signatures) > 1:
        shown["this_step_wrote"] = _short(calls[-1].outputs)
    shown["answered"] = _short(outcome.prediction)
    shown["score"] = round(outcome.score, 3)
    shown["feedback"] = feedback_of(problem, outcome)
    return shown


def shown_runs(problem: Problem, path: str, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return runs as rows, the worst first, as many as fit into a prompt (at least one)."""
    shown: list[dict[str, Any]] = []
    size = 0
    for outcome in sorted(outcomes, key=lambda o: o.score):
        shown.append(shown_run(problem, path, outcome))
        size += len(repr(shown[-1]))
        if size > _MAX_RUNS_CHARACTERS:
            break
    return shown


def feedback_of(problem: Problem, outcome: Outcome) -> str:
    """Return what is to be learned from an outcome: its error, the metric's words, or the right labels; and people's words."""
    remark = problem.remarks.get(outcome.row, "")
    told = outcome.feedback.removesuffix(remark).strip()
    return " ".join(part for part in (_told(problem, outcome, told), remark[:500]) if part)


def _told(problem: Problem, outcome: Outcome, told: str) -> str:
    if outcome.error is not None:
        return f"No answer could be read: {outcome.error}"[:1000]
    if told:
        return told[:1000]
    if outcome.score >= 1:
        return "This is right."
    row = problem.rows[outcome.row]
    wanted = ", ".join(f"{n}: {row[n]}" for n in problem.output_fields if n in row)[:600]
    return (
        f"It scored {outcome.score:.2f} of 1. Right is {wanted}."
        if wanted
        else f"It scored {outcome.score:.2f}."
    )


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
    """Return the ask that has one text of a candidate rewritten in the light of some of its runs. Calls: 1.

    `template` takes the place of the usual words; in it <curr_param> is the text and <side_info> the runs.
    """
    inputs = {
        "program_description": problem.program,
        "step": describe_step(component.path, problem.signatures[component.path]),
        "runs": shown_runs(problem, component.path, outcomes),
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
    return Propose(
        signature,
        inputs,
        rollout=rollout,
        label=component.title,
    )


def text_of(output: Mapping[str, Any]) -> str:
    """Return the usable text of a proposal's output, "" when there is none: fences off, cut at `MAX_TEXT`."""
    for name in ("proposed_instructions", "proposed_description", "rules", "advice"):
        value = output.get(name)
        if isinstance(value, str):
            text = value.strip()
            if text.startswith("```") and text.endswith("```") and "\n" in text:
                text = text.split("\n", 1)[1].rsplit("```", 1)[0].strip()
            return text[:MAX_TEXT].strip()
    return ""


def _short(values: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v[:1500] if isinstance(v, str) else v for n, v in values.items()}


# What the runs of one prompt may take: some 3,000 tokens.
_MAX_RUNS_CHARACTERS = 12_000


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
