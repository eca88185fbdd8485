"""MIPROv2's proposer: asks a prompt model for instructions, from the program, the data and solved rows.

After the proposer of Opsahl-Ong et al. 2024, arXiv 2406.11695. Code describes the program (`engine.search.settings`),
so an instruction costs one call. Every proposal sees as many rows as fit, in another order, all notes of the readers
of the rows (a summary would lose the rare rules), and the runs that went wrong.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.optimizers.mipro.plan import MIPROv2Options
from engine.optimizers.shared.demos import traced_demos
from engine.optimizers.shared.prompt_values import describe_step, drawn_rows, labelled_rows, shortened
from engine.records import Evaluation, Outcome
from engine.search.contract import Problem, Proposal, Propose
from engine.signature import InputField, OutputField, Signature

# Solved runs that a proposal is shown, of the only step and of one of several; wrong answers that it is shown.
_RUNS, _RUNS_OF_SEVERAL, _WRONG = 3, 16, 10

# Characters of one reader's notes; rows drawn for a proposal (its prompt has no room for more).
_MAX_NOTE_CHARACTERS, _MOST_ROWS = 2000, 300


@dataclass(frozen=True, slots=True)
class Material:
    """Material for proposals and trials: the start's scores, notes on the data, solved rows by set, and wrong runs."""

    baseline: Evaluation
    notes: str
    solved: Sequence[Mapping[int, Outcome]]
    wrong: Mapping[int, Outcome]


def observe_data(
    problem: Problem, *, readers: int, rows_each: int
) -> Generator[Sequence[Propose], Sequence[Any], str]:
    """Return notes on the training rows, taken by several readers at once. Calls: `readers`.

    Rows are dealt out in two random orders, one after the other: what one reader misses another may see.
    """
    if not readers:
        return problem.data
    size = len(problem.train)
    order = [row for _ in range(2) for row in problem.rng.sample(problem.train, size)]
    batches = [b for i in range(readers) if (b := order[i * rows_each : (i + 1) * rows_each])]
    asks = [
        Propose(
            ObserveRows,
            {"labelled_examples": labelled_rows(problem, batch)},
            label="observations on the data",
        )
        for batch in batches
    ]
    answers: Sequence[Proposal] = yield asks
    notes = [text for a in answers for out in a.outputs if (text := _stripped(out.get("observations")))]
    lines = dict.fromkeys(line for note in notes for line in note[:_MAX_NOTE_CHARACTERS].splitlines())
    return "\n".join([problem.data, *lines]).strip()


def propose_instructions(
    problem: Problem, path: str, n: int, o: MIPROv2Options, material: Material
) -> list[Propose]:
    """Return `n` asks for instructions of one step, each with its own rows, runs and tip. Calls: `n`."""
    rng = problem.rng
    solved = {row: outcome for rows in material.solved for row, outcome in rows.items()}
    wrong = [outcome for row, outcome in material.wrong.items() if row not in solved]
    show_rows = o.fewshot_aware_proposer
    asks = []
    for _ in range(n):
        rows = drawn_rows(problem, _MOST_ROWS, rng) if show_rows else []
        asks.append(
            Propose(
                ProposeInstructions,
                {
                    "program_description": problem.program if o.program_aware_proposer else "",
                    "step": describe_step(path, problem.signatures[path]),
                    "data_summary": material.notes,
                    "labelled_examples": labelled_rows(problem, rows),
                    "solved_examples": _solved_runs(
                        problem, path, tuple(solved.values()) if show_rows else (), rng
                    ),
                    "failed_examples": _wrong_runs(problem, wrong if show_rows else (), rng),
                    "current_instructions": problem.seed.steps[path].instructions,
                    "tip": rng.choice(TIPS) if o.tip_aware_proposer else "",
                },
                temperature=o.init_temperature,
                rollout=rng.randrange(1, 1_000_000),
                label=f"instructions for the step {path}",
            )
        )
    return asks


def _solved_runs(
    problem: Problem, path: str, solved: Sequence[Outcome], rng: random.Random
) -> list[dict[str, Any]]:
    """Return solved runs: of an only step its demonstrations, of several steps whole runs, as labels miss what passes between."""
    if len(problem.signatures) == 1:
        runs = traced_demos(solved, path, rng)
        return [dict(d.values) for d in rng.sample(runs, min(_RUNS, len(runs)))]
    chosen = rng.sample(list(solved), min(_RUNS_OF_SEVERAL, len(solved)))
    return [_whole_run(problem, outcome) for outcome in chosen]


def _wrong_runs(problem: Problem, wrong: Sequence[Outcome], rng: random.Random) -> list[dict[str, Any]]:
    chosen = rng.sample(list(wrong), min(_WRONG, len(wrong)))
    return [
        {
            **_whole_run(problem, outcome),
            "answered": {n: shortened(v) for n, v in outcome.prediction.items()},
            "said_of_it": outcome.feedback[:500],
        }
        for outcome in chosen
    ]


def _whole_run(problem: Problem, outcome: Outcome) -> dict[str, Any]:
    (shown,) = labelled_rows(problem, [outcome.row])
    if len(problem.signatures) > 1:
        shown["steps_wrote"] = {
            s.path: {n: shortened(v) for n, v in s.outputs.items()} for s in outcome.trace
        }
    return shown


def proposed_texts(answers: Sequence[Proposal], *, max_characters: int = 8000) -> list[str]:
    """Return the distinct usable instructions of some proposals, in order.

    Empty texts are dropped and a text over `max_characters` is cut: it would be paid for on every row.
    """
    texts: dict[str, None] = {}
    for answer in answers:
        for output in answer.outputs:
            text = _stripped(output.get("proposed_instructions"))[:max_characters].strip()
            if text:
                texts.setdefault(text)
    return list(texts)


def _stripped(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


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

    labelled_examples: list[dict[str, Any]] = InputField(desc="Rows of the data: inputs and right outputs.")
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
    labelled_examples: list[dict[str, Any]] = InputField(
        desc="Rows of the data: the program's inputs and the right outputs."
    )
    solved_examples: list[dict[str, Any]] = InputField(
        desc="Runs of this very step that led to right outputs."
    )
    failed_examples: list[dict[str, Any]] = InputField(
        desc="Runs under the current instructions that went wrong, with the right outputs."
    )
    current_instructions: str = InputField(desc="The instructions in use now.")
    tip: str = InputField(desc="Advice on how to write them.")
    proposed_instructions: str = OutputField(desc="The new instructions, ready to be used as they are.")
