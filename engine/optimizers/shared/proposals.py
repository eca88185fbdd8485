"""The grounded proposer: asks a prompt model for instructions, from the program, the data and solved rows.

After the proposer of MIPROv2 (Opsahl-Ong et al. 2024, arXiv 2406.11695). What the program does is
rendered by code (`engine.search.settings`), so an instruction costs one call. Rules can only be read off rows:
every proposal is shown as many as fit, in an order of its own, with what readers of all the rows have noted (whole:
a summary of two or three sentences would lose the rare rules) and the runs that went wrong.
It yields asks and calls nothing.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.optimizers.shared.demos import traced_demos
from engine.records import Outcome
from engine.search.contract import Problem, Proposal, Propose
from engine.signature import InputField, OutputField, Signature


@dataclass(frozen=True, slots=True)
class Grounding:
    """What proposals are grounded in besides the problem itself; each part can be left out."""

    notes: str = ""
    show_program: bool = True
    show_rows: bool = True
    use_tips: bool = True
    temperature: float = 1.0
    solved: tuple[Outcome, ...] = ()
    wrong: tuple[Outcome, ...] = ()


def observe_data(
    problem: Problem, *, readers: int, rows_each: int
) -> Generator[Sequence[Propose], Sequence[Any], str]:
    """Return notes on the training rows, taken by several readers at once; nothing that one of them noted is lost.

    Rows are dealt out in two random orders, one after the other: what one reader misses another may see. Calls: `readers`.
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
    notes = [text for a in answers for out in a.outputs if (text := _text(out.get("observations")))]
    lines = dict.fromkeys(line for note in notes for line in note[:_MAX_NOTE_CHARACTERS].splitlines())
    return "\n".join([problem.data, *lines]).strip()


def propose_instructions(problem: Problem, path: str, n: int, grounding: Grounding) -> list[Propose]:
    """Return `n` asks for instructions of one step, each with its own rows, runs and tip. Calls: `n`."""
    rng = problem.rng
    asks = []
    for _ in range(n):
        rows = drawn_rows(problem, _MOST_ROWS, rng) if grounding.show_rows else []
        asks.append(
            Propose(
                ProposeInstructions,
                {
                    "program_description": problem.program if grounding.show_program else "",
                    "step": describe_step(path, problem.signatures[path]),
                    "data_summary": grounding.notes,
                    "labelled_examples": labelled_rows(problem, rows),
                    "solved_examples": _runs(problem, path, grounding.solved, rng),
                    "failed_examples": _wrong(problem, grounding.wrong, rng),
                    "current_instructions": problem.seed.steps[path].instructions,
                    "tip": rng.choice(TIPS) if grounding.use_tips else "",
                },
                temperature=grounding.temperature,
                rollout=rng.randrange(1, 1_000_000),
                label=f"instructions for the step {path}",
            )
        )
    return asks


def _runs(problem: Problem, path: str, solved: Sequence[Outcome], rng: random.Random) -> list[dict[str, Any]]:
    """Solved runs of the only step; of one among several whole runs, and more: labels say nothing of what goes between."""
    if len(problem.signatures) == 1:
        runs = traced_demos(solved, path, rng)
        return [dict(d.values) for d in rng.sample(runs, min(_RUNS, len(runs)))]
    chosen = rng.sample(list(solved), min(_RUNS_OF_SEVERAL, len(solved)))
    return [_whole(problem, outcome) for outcome in chosen]


def _wrong(problem: Problem, wrong: Sequence[Outcome], rng: random.Random) -> list[dict[str, Any]]:
    chosen = rng.sample(list(wrong), min(_WRONG, len(wrong)))
    return [
        {
            **_whole(problem, outcome),
            "answered": {n: _short(v) for n, v in outcome.prediction.items()},
            "said_of_it": outcome.feedback[:500],
        }
        for outcome in chosen
    ]


def _whole(problem: Problem, outcome: Outcome) -> dict[str, Any]:
    (shown,) = labelled_rows(problem, [outcome.row])
    if len(problem.signatures) > 1:
        shown["steps_wrote"] = {s.path: {n: _short(v) for n, v in s.outputs.items()} for s in outcome.trace}
    return shown


def proposed_texts(answers: Sequence[Proposal], *, max_characters: int = 8000) -> list[str]:
    """Return the distinct usable instructions of some proposals, in order.

    Empty texts are dropped and a text over `max_characters` is cut: it would be paid for on every row.
    """
    texts: dict[str, None] = {}
    for answer in answers:
        for output in answer.outputs:
            text = _text(output.get("proposed_instructions"))[:max_characters].strip()
            if text:
                texts.setdefault(text)
    return list(texts)


def labelled_rows(problem: Problem, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Return rows as {"inputs": {...}, "outputs": {...}}, long texts cut, and as many as fit into a prompt."""
    shown: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        values = problem.rows[row]
        outputs = [name for name in problem.output_fields if name in values]
        shown.append(
            {
                "inputs": {n: _short(values[n]) for n in problem.input_fields if n in values},
                "outputs": {n: _short(values[n]) for n in outputs},
            }
        )
        if row in problem.remarks:
            shown[-1]["said_of_earlier_answers"] = problem.remarks[row][:500]
        size += len(repr(shown[-1]))
        if size > _MAX_ROW_CHARACTERS:
            break
    return shown


def describe_step(path: str, signature: type[Signature]) -> str:
    """Return a step's name, inputs and outputs with types and descriptions, a line each."""
    lines = [f"The step {path}."]
    for role, fields in (("reads", signature.input_fields), ("writes", signature.output_fields)):
        for name in fields:
            annotation = signature.annotation(name)
            kind = (
                annotation.__name__
                if isinstance(annotation, type)
                else str(annotation).replace("typing.", "")
            )
            description = signature.description(name)
            lines.append(f"It {role} {name} ({kind}){': ' + description if description else ''}")
    return "\n".join(lines)


def drawn_rows(problem: Problem, n: int, rng: random.Random) -> list[int]:
    """Return up to `n` training rows, drawn so that rare labels are among them: one of each label in turn."""
    groups: dict[str, list[int]] = {}
    for row in rng.sample(list(problem.train), len(problem.train)):
        label = repr([problem.rows[row].get(name) for name in problem.output_fields])
        groups.setdefault(label, []).append(row)
    drawn: list[int] = []
    while len(drawn) < min(n, len(problem.train)):
        for group in groups.values():
            if group and len(drawn) < n:
                drawn.append(group.pop())
    return drawn


def _short(value: Any) -> Any:
    return value[:1500] if isinstance(value, str) else value


# Solved runs that a proposal is shown, for the only step and for one of several.
_RUNS, _RUNS_OF_SEVERAL = 3, 16

# Wrong answers that a proposal is shown.
_WRONG = 10

# What is kept of one reader's notes.
_MAX_NOTE_CHARACTERS = 2000

# What the labelled rows of one prompt may take: some 3,000 tokens. More rows than this have no room in it.
_MAX_ROW_CHARACTERS = 12_000
_MOST_ROWS = 300


def _text(value: Any) -> str:
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
