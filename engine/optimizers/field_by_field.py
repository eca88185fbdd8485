"""FieldByField: descriptions of fields written from the values that were wrong, each chosen by its own field's score.

The metric's scores by field tell which descriptions to rewrite and which new one is better, so that one evaluation
compares a new description of every field at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from engine.basics.data import JsonObject
from engine.basics.text import counted, listed
from engine.dataset.documents.evidence import evidence_for
from engine.dataset.documents.paged import read_document
from engine.optimizers.base import Optimizer, Options, option
from engine.optimizers.shared.leaderboard import Leaderboard, lowered
from engine.optimizers.shared.texts import (
    Component,
    answers_by_key,
    proposed_texts,
    step_values,
    tunable_parts,
)
from engine.records import Candidate, Evaluation, Outcome, plain_path
from engine.search.contract import Problem, Propose, Score, Search, is_cut
from engine.signature import InputField, OutputField, Signature

_SHOWN_ERRORS, _AROUND = 8, 160


class FieldByFieldOptions(Options):
    """Options of FieldByField."""

    breadth: int = option(
        3, "Wordings a round", "How many new descriptions of each field are compared.", ge=1
    )
    depth: int = option(2, "Rounds", "How often new descriptions are written.", ge=1)
    instructions: bool = option(True, "Instructions too", "Rewrite the instructions of each step as well.")
    sequential: bool = option(
        False,
        "One after another",
        "Each field is tuned by itself, the deepest first: more calls, and safer where fields depend on each other.",
    )
    good_enough: float = option(
        1.0, "Good enough", "A field whose score reaches this is left as it is.", gt=0, le=1
    )
    init_temperature: float = option(
        1.0, "Boldness of proposals", "Temperature they are written at.", ge=0, le=2
    )


class FieldByField(Optimizer):
    """Rewrites the descriptions of fields that came out wrong, from the wrong values and the passages they are about.

    A field whose values are all right is not asked about. New descriptions of all fields are scored together, and each
    field keeps the one with which it scored best itself (the metric's `objective_scores`); the joined ones are scored again.
    With `sequential` the fields take turns (P times the scores). Calls, with P texts that are not good enough, V validation and
    T training rows and c calls a row: V x c, and for each of `depth` rounds T x c + P x `breadth` proposals +
    (`breadth` + 1) x V x c. Source: our own method; that errors by field should drive each field's text is from DSPydantic's use.

    >>> FieldByField(breadth=2).options.breadth
    2
    """

    name = "FieldByField"
    title = "Improve descriptions field by field"
    about = "Rewrites the description of each field that came out wrong. Good for records with many fields."
    pace = "Quick"
    options_model = FieldByFieldOptions
    changes = "wording"
    options: FieldByFieldOptions

    def search(self, problem: Problem) -> Search:
        """Score the start, then write, compare and join descriptions, round by round."""
        leaderboard = Leaderboard(problem)
        evaluations = yield from leaderboard.validate([problem.seed], "starting prompt")
        parts = self._texts_to_rewrite(problem)
        if not evaluations or not parts:
            return None
        breadth, depth = self._plan(problem, len(parts))
        best = evaluations[0]
        for number in range(1, depth + 1):
            if not leaderboard.open or best.score >= 1:
                break
            asks = [Score(leaderboard.best, problem.train, "rows to learn from")]
            (runs,) = yield asks
            if is_cut(asks, [runs]):
                break
            wrong = {part: wrong_runs(part, runs.outcomes, self.options.good_enough) for part in parts}
            groups = [[part for part in parts if wrong[part]]]
            if self.options.sequential:
                groups = [[part] for part in sorted(groups[0], key=lambda part: -part.field.count("."))]
            before = leaderboard.best.id
            for group in groups:
                best = yield from self._improve(
                    problem, leaderboard, best, {p: wrong[p] for p in group}, (breadth, number)
                )
            if leaderboard.best.id == before:
                break
        return None

    def _texts_to_rewrite(self, problem: Problem) -> tuple[Component, ...]:
        """Return the texts to rewrite: outputs' descriptions by path, and the instructions."""
        texts = []
        for part in tunable_parts(problem, fields=True):
            signature, root = problem.signatures[part.path], part.field.partition(".")[0]
            # A record as a whole is described by the instructions.
            is_record = any(
                name.startswith(f"{part.field}.")
                for name in signature.described_fields
                if "." not in part.field
            )
            of_output = root in signature.output_fields and not is_record
            if of_output or (self.options.instructions and not part.is_description):
                texts.append(part)
        return tuple(texts)

    def _plan(self, problem: Problem, parts: int) -> tuple[int, int]:
        """Return breadth and depth, lowered to what the calls left pay for."""
        o, row = self.options, problem.meter.row_cost

        def cost(depth: int, breadth: int) -> float:
            turns = parts if o.sequential else 1
            once = parts * breadth + turns * (breadth + 1) * len(problem.validation) * row
            return depth * (len(problem.train) * row + once)

        depth, breadth = lowered(cost, problem.meter.calls_left, o.depth, o.breadth, least=1)
        return breadth, depth

    def _improve(
        self,
        problem: Problem,
        leaderboard: Leaderboard,
        best: Evaluation,
        wrong: Wrong,
        plan: tuple[int, int],
    ) -> Any:
        """Write new texts of some parts, score them together, and join the best of each; return the best evaluation."""
        breadth, number = plan
        base = leaderboard.best
        if not wrong or not leaderboard.open:
            return best
        asks = {part: self._asks(problem, part, base, runs, breadth) for part, runs in wrong.items()}
        answers = yield list(chain.from_iterable(asks.values()))
        texts = {
            part: [text for text in proposed_texts(some) if text != part.text(base)]
            for part, some in answers_by_key(asks, answers).items()
        }
        choices: list[dict[Component, str]] = []
        for place in range(breadth):
            chosen = {part: some[place % len(some)] for part, some in texts.items() if some}
            if chosen and chosen not in choices:
                choices.append(chosen)
        candidates = [_with(base, chosen, number) for chosen in choices]
        evaluations = yield from leaderboard.validate(candidates, "new descriptions")
        whole = [
            (e, chosen)
            for e, chosen in zip(evaluations, choices, strict=True)
            if len(e.outcomes) == len(problem.validation)
        ]
        joined = _best_of_each(best, whole)
        if leaderboard.open and joined and joined not in choices:
            evaluations = [
                *evaluations,
                *(yield from leaderboard.validate([_with(base, joined, number)], "the best of each field")),
            ]
        return next((e for e in evaluations if e.candidate_id == leaderboard.best.id), best)

    def _asks(
        self, problem: Problem, part: Component, base: Candidate, runs: Sequence[Outcome], breadth: int
    ) -> list[Propose]:
        signature = DescribeField if part.is_description else InstructReader
        kind = "description" if part.is_description else "instructions"
        inputs = {
            **step_values(problem, part.path),
            "wrong_values": [_shown_error(problem, part, run) for run in runs[:_SHOWN_ERRORS]],
            f"current_{kind}": part.text(base),
            **({"field": part.field} if part.is_description else {}),
        }
        label = f"better wording: {part.title}"
        temperature = self.options.init_temperature
        rollouts = [problem.rng.randrange(1, 1_000_000) for _ in range(breadth)]
        return [Propose(signature, inputs, temperature=temperature, rollout=r, label=label) for r in rollouts]


Wrong = dict[Component, list[Outcome]]


def own_scores(part: Component, outcome: Outcome) -> list[float]:
    """Return the scores of a field's values in an outcome; of a text about the whole step, and without any by field, the row's.

    >>> row = Outcome(0, 0.5, objective_scores={"items[0].price": 1.0, "items[1].price": 0.0, "total": 1.0})
    >>> own_scores(Component("read", field="record.items.price"), row), own_scores(Component("read"), row)
    ([1.0, 0.0], [0.5])
    """
    scores = outcome.objective_scores or {}
    inside = part.field.partition(".")[2]
    if not part.field or not scores:
        return [outcome.score]
    if not inside:
        named = [s for path, s in scores.items() if plain_path(path) == part.field]
        return named or [outcome.score]
    return [s for path, s in scores.items() if plain_path(path) in (inside, part.field)]


def wrong_runs(part: Component, outcomes: Sequence[Outcome], good_enough: float) -> list[Outcome]:
    """Return the outcomes in which a field was wrong, the worst first; none where the field is good enough over all."""
    scored = [(sum(own) / len(own), o) for o in outcomes if (own := own_scores(part, o))]
    if not scored or sum(score for score, _ in scored) / len(scored) >= good_enough:
        return []
    return [o for score, o in sorted(scored, key=lambda pair: pair[0]) if score < 1]


def _mean(part: Component, evaluation: Evaluation) -> float:
    values = [s for o in evaluation.outcomes for s in own_scores(part, o)]
    return sum(values) / len(values) if values else 0.0


def _best_of_each(
    before: Evaluation, tried: Sequence[tuple[Evaluation, dict[Component, str]]]
) -> dict[Component, str]:
    """Return, for each text that gained, the wording with which its own field scored best."""
    best: dict[Component, tuple[float, str]] = {}
    for evaluation, chosen in tried:
        for part, text in chosen.items():
            score = _mean(part, evaluation)
            if score > best.get(part, (_mean(part, before), ""))[0]:
                best[part] = (score, text)
    return {part: text for part, (_, text) in best.items()}


def _with(base: Candidate, chosen: dict[Component, str], number: int) -> Candidate:
    candidate = base
    for part, text in chosen.items():
        candidate = part.replaced(candidate, text)
    names = [part.title for part in chosen]
    shown = (
        listed(names)
        if len(names) <= 4
        else f"{listed(names[:3])} and {counted(len(names) - 3, 'more text')}"
    )
    return candidate.derived(f"Round {number}: new wording of {shown}.", base)


def _shown_error(problem: Problem, part: Component, run: Outcome) -> dict[str, object]:
    """Return one wrong value for a prompt: what was expected and read, and the passage around it."""
    row = problem.rows[run.row]
    root, _, inside = part.field.partition(".")
    names = [root] if root else list(problem.output_fields)
    expected = _inside({n: row[n] for n in names if n in row}, part.field)
    answered = _inside({n: run.prediction[n] for n in names if n in run.prediction}, part.field)
    text = "\n".join(str(row[name]) for name in problem.input_fields if isinstance(row.get(name), str))
    lines = [line for line in run.feedback.split(". ") if inside and plain_path(line).startswith(inside)]
    feedback = ". ".join(lines) or run.feedback if part.is_description else run.feedback
    return {
        "expected": expected,
        "read": answered if run.error is None else f"(no answer: {run.error[:200]})",
        "passage": passage_around(text, expected),
        "feedback": feedback[:600],
    }


def passage_around(text: str, value: object) -> str:
    """Return the passage of a document that holds a value, however it is written there; else the document's beginning.

    >>> passage_around("Invoice 7. Total: 1,200 EUR." + 40 * " Thank you.", 1200)[:28]
    'Invoice 7. Total: 1,200 EUR.'
    """
    if not text.strip():
        return ""
    document = read_document(text)
    evidence = next((e for e in evidence_for(document, {"value": value}) if e.page), None)
    page = document.pages[evidence.page - 1 if evidence else 0].text
    at, end = (evidence.start, evidence.end) if evidence else (0, 0)
    start, stop = max(0, at - _AROUND), min(len(page), end + _AROUND)
    return f"{'... ' if start else ''}{page[start:stop].strip()}{' ...' if stop < len(page) else ''}"


def _inside(value: Any, path: str) -> Any:
    """Return the value at a path; lists on the way give a list."""
    for name in path.split(".") if path else ():
        if isinstance(value, list):
            value = [item.get(name) if isinstance(item, dict) else None for item in value]
        else:
            value = value.get(name) if isinstance(value, dict) else None
    return value


class DescribeField(Signature):
    """
    A language model reads records out of documents. It goes by a short description of each field. You see one field, its
    description, and cases in which its value came out wrong: what was expected, what was read, and the passage of the
    document that it should have been read from.
    Work out the rule that the model did not know: which of several candidates is meant, where it stands, in which form it
    is written, what to do where it is missing. Write a new description that states it in general terms, in at most three
    sentences. Do not name the documents of the cases. Keep words in braces such as {kind} as they are.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step: its fields and what they mean.")
    field: str = InputField(desc="The field, by its path in the record.")
    wrong_values: list[JsonObject] = InputField(desc="Cases in which it came out wrong.")
    current_description: str = InputField(desc="The description in use now; may be empty.")
    proposed_description: str = OutputField(desc="The new description, whole.")


class InstructReader(Signature):
    """
    A language model reads records out of documents by these instructions, and by a description of each field. You see
    records that came out wrong: what was expected, what was read, and the passage.
    Write new instructions that hold for the record as a whole: how to treat missing values, several candidates, units,
    dates and spelling. What belongs to one field alone stands in its description, so leave it out. Keep words in braces
    such as {kind} as they are, and do not describe the layout of the answer: the program adds that.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step: its fields and what they mean.")
    wrong_values: list[JsonObject] = InputField(desc="Records that came out wrong.")
    current_instructions: str = InputField(desc="The instructions in use now.")
    proposed_instructions: str = OutputField(desc="The new instructions, ready to be used as they are.")
