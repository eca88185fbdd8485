"""MIPROv2's proposals: notes on the data, instructions written from rows and runs, and their prompts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from engine.basics.data import JsonObject
from engine.optimizers.few_shot import traced_demos
from engine.optimizers.mipro.options import MIPROv2Options
from engine.optimizers.shared.texts import drawn_rows, labelled_rows, shortened_values, step_values
from engine.records import Outcome
from engine.search.contract import Problem, Propose, Steps
from engine.signature import InputField, OutputField, Signature

Runs = dict[int, Outcome]
"""Runs by row."""

# Solved runs that a proposal is shown, of the only step and of one of several; wrong answers that it is shown.
_RUNS, _RUNS_OF_SEVERAL, _WRONG = 3, 16, 10
# Characters of one reader's notes; rows drawn for a proposal (its prompt has no room for more).
_MAX_NOTE_CHARACTERS, _MOST_ROWS = 2000, 300


def observe_data(problem: Problem, *, readers: int, rows_each: int) -> Steps[str]:
    """Return notes on the training rows, which several readers take at once, every row twice. Calls: `readers`."""
    if not readers:
        return problem.data
    size = len(problem.train)
    order = [row for _ in range(2) for row in problem.rng.sample(problem.train, size)]
    batches = [b for i in range(readers) if (b := order[i * rows_each : (i + 1) * rows_each])]
    shown = [{"labelled_examples": labelled_rows(problem, batch)} for batch in batches]
    asks = [Propose(ObserveRows, inputs, label="observations on the data") for inputs in shown]
    answers = yield asks
    notes = [str(output.get("observations") or "").strip() for a in answers for output in a.outputs]
    lines = dict.fromkeys(line for note in notes for line in note[:_MAX_NOTE_CHARACTERS].splitlines())
    return "\n".join([problem.data, *lines]).strip()


def propose_instructions(
    problem: Problem, path: str, n: int, o: MIPROv2Options, notes: str, solved: Runs, wrong: Runs
) -> list[Propose]:
    """Return `n` asks for instructions of one step, each with its own rows, runs and tip. Calls: `n`."""
    rng = problem.rng
    show_rows = o.fewshot_aware_proposer
    right, bad = (list(runs.values()) if show_rows else [] for runs in (solved, wrong))
    described = problem if o.program_aware_proposer else replace(problem, program="")
    asks, label = [], f"instructions for the step {path}"
    for _ in range(n):
        rows = drawn_rows(problem, _MOST_ROWS, rng) if show_rows else []
        inputs = {
            **step_values(described, path),
            "data_summary": notes,
            "labelled_examples": labelled_rows(problem, rows),
            "solved_examples": _solved_runs(problem, path, right, rng),
            "failed_examples": _wrong_runs(problem, bad, rng),
            "current_instructions": problem.seed.steps[path].instructions,
            "tip": rng.choice(TIPS) if o.tip_aware_proposer else "",
        }
        rollout, temperature = rng.randrange(1, 1_000_000), o.init_temperature
        asks.append(
            Propose(ProposeInstructions, inputs, temperature=temperature, rollout=rollout, label=label)
        )
    return asks


def _solved_runs(
    problem: Problem, path: str, solved: Sequence[Outcome], rng: random.Random
) -> list[dict[str, object]]:
    """Return solved runs: of an only step its demonstrations, of several steps whole runs, as labels miss what passes between."""
    if len(problem.signatures) == 1:
        runs = traced_demos(solved, path, rng)
        return [dict(d.values) for d in rng.sample(runs, min(_RUNS, len(runs)))]
    chosen = rng.sample(list(solved), min(_RUNS_OF_SEVERAL, len(solved)))
    return [_whole_run(problem, outcome) for outcome in chosen]


def _wrong_runs(problem: Problem, wrong: Sequence[Outcome], rng: random.Random) -> list[dict[str, object]]:
    chosen = rng.sample(list(wrong), min(_WRONG, len(wrong)))
    return [
        {
            **_whole_run(problem, outcome),
            "answered": shortened_values(outcome.prediction),
            "said_of_it": outcome.feedback[:500],
        }
        for outcome in chosen
    ]


def _whole_run(problem: Problem, outcome: Outcome) -> dict[str, object]:
    (shown,) = labelled_rows(problem, [outcome.row])
    if len(problem.signatures) > 1:
        shown["steps_wrote"] = {s.path: shortened_values(s.outputs) for s in outcome.trace}
    return shown


# Prompts: the tips, and the signatures whose docstrings are what the prompt model reads.

TIPS: tuple[str, ...] = (
    "",
    "Look for the rule that separates rows that read alike but have different outputs, and state it.",
    "Be brief: a few plain sentences, no examples.",
    "Be thorough: name every rule and every exception that the rows show.",
    "Say what the reader is expert in, and what depends on a right answer.",
    "Write the rules as a list, the most frequent first, each with the words that give it away.",
)


class ObserveRows(Signature):
    """
    You see labelled rows of a data set: inputs, and the outputs that were judged right.
    Write down what is typical of them: the subject, how inputs are phrased, which outputs occur, and above
    all which features of an input go with which output, rare ones too. State only what the rows show.
    """

    labelled_examples: list[JsonObject] = InputField(desc="Rows of the data: inputs and right outputs.")
    observations: str = OutputField(desc="What holds for these rows, as short sentences.")


class ProposeInstructions(Signature):
    """
    Write instructions for one step of a program that is run by a language model.
    The labelled rows show what the program must answer. Find out what the right outputs depend on, including
    rules that the current instructions do not mention and that an outsider would not guess, and put them into
    the instructions as general rules. Name the exact output values and when each is right. Do not mention the
    rows themselves, and do not describe the answer's layout: the program adds that.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step whose instructions are wanted: its fields and what they mean.")
    data_summary: str = InputField(desc="What is known about the data.")
    labelled_examples: list[JsonObject] = InputField(
        desc="Rows of the data: the program's inputs and the right outputs."
    )
    solved_examples: list[JsonObject] = InputField(desc="Runs of this very step that led to right outputs.")
    failed_examples: list[JsonObject] = InputField(
        desc="Runs under the current instructions that went wrong, with the right outputs."
    )
    current_instructions: str = InputField(desc="The instructions in use now.")
    tip: str = InputField(desc="Advice on how to write them.")
    proposed_instructions: str = OutputField(desc="The new instructions, ready to be used as they are.")
