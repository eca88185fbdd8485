"""Learning curves of the offline model: `python tests/benchmarks/offline_curves.py`, `--save FILE`, `--against FILE`.

For each sample, its metric on unseen rows, averaged over seeds: without anything, with 4, 8 and 16 demos, with 16 demos
whose labels are shuffled, with a good instruction, with both, and with an instruction that the model wrote from 20 rows.
`--against` compares row by row with an earlier measurement: the difference of each sample's mean, with a 95 % interval.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist, fmean, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.good_instructions import GOOD_JUDGE, GOOD_ROUTE

from engine import ChatAdapter, Example, context
from engine.lm.offline.learner import OfflineLM, reply_text
from engine.modules.react import Trajectory
from engine.optimizers.mipro.proposals import ProposeInstructions
from engine.pipeline.build import Pipeline, build_program
from engine.pipeline.templates import SAMPLES, Sample
from engine.registry import get_metric
from engine.runs.spec import sample_bytes

Fields = Mapping[str, str]
LM, CHAT = OfflineLM(), ChatAdapter()
POINTS = ("zero", "4 demos", "8 demos", "16 demos", "shuffled", "good", "both", "own")


class Curve:
    """One sample's rows, and its score at each point."""

    def __init__(self, sample: Sample, tested: int) -> None:
        self.sample, self.tested = sample, tested
        table = csv.DictReader(sample_bytes(sample.file).decode().splitlines())
        self.rows = [{field: row[column] for field, column in sample.mapping.items()} for row in table]
        name, options = sample.metric
        self.metric = get_metric(name)(**options)
        self.step, self.instruction = GOOD[sample.name]
        self.outputs = [f.name for f in sample.pipeline.outputs]
        self.seconds, self.asked = 0.0, 0

    def scores(self, point: str, seed: int) -> list[float]:
        """Score of each row tested, at a point of the curve."""
        mixed = random.Random(seed).sample(self.rows, len(self.rows))
        shown, rest = mixed[:16], mixed[20 : 20 + self.tested]
        program = build_program(self.sample.pipeline)
        predictor = dict(program.named_predictors())[self.step]
        if point in ("good", "both"):
            self._instruct(predictor)
        if point == "own":
            predictor.signature = predictor.signature.with_instructions(self._written(mixed[:20], seed))
        if point == "shuffled":
            shown = self._shuffled(shown, seed)
        count = 16 if point in ("shuffled", "both") else int(point.split()[0]) if "demos" in point else 0
        if count:
            self._show(program, shown[:count])
        return asyncio.run(self._scores(program, rest))

    def _instruct(self, predictor: Any) -> None:
        text = self.instruction.replace("{now}", predictor.signature.instructions)
        predictor.signature = predictor.signature.with_instructions(text)

    def _show(self, program: Pipeline, rows: Sequence[Fields]) -> None:
        """Give a step demos: the rows as they are, or what an agent with a good instruction did on them."""
        predictors = dict(program.named_predictors())
        if not self.step.endswith(".react"):
            predictors[self.step].demos = [Example(row) for row in rows]
            return
        teacher = build_program(self.sample.pipeline)
        self._instruct(dict(teacher.named_predictors())[self.step])
        with context(lm=LM):
            for row in rows:
                answer = teacher(**self._inputs(row))
                if self.metric(Example(row), answer).score == 1:
                    past = Trajectory()
                    for i in range(sum(key.startswith("tool_name_") for key in answer.trajectory)):
                        parts = ("thought", "tool_name", "tool_args", "observation")
                        step = {part: answer.trajectory[f"{part}_{i}"] for part in parts}
                        action = {f"next_{part}": step[part] for part in parts[:3]}
                        demo = Example({**self._inputs(row), "trajectory": past.text(), **action})
                        predictors[self.step].demos.append(demo)
                        past.add(**step)

    def _shuffled(self, rows: Sequence[Fields], seed: int) -> list[Fields]:
        changed = [dict(row) for row in rows]
        for name in self.outputs:
            values = [row[name] for row in rows]
            random.Random(seed + 100).shuffle(values)
            for row, value in zip(changed, values, strict=True):
                row[name] = value
        return changed

    def _inputs(self, row: Fields) -> dict[str, str]:
        return {name: value for name, value in row.items() if name not in self.outputs}

    def _written(self, rows: Sequence[Fields], seed: int) -> str:
        given = {
            "program_description": "",
            "step": f"It writes {', '.join(self.outputs)}",
            "data_summary": "",
            "labelled_examples": [
                {"inputs": self._inputs(row), "outputs": {name: row[name] for name in self.outputs}}
                for row in rows
            ],
            "solved_examples": [],
            "failed_examples": [],
            "current_instructions": dict(build_program(self.sample.pipeline).named_predictors())[
                self.step
            ].signature.instructions,
            "tip": "",
        }
        request = LM.request(CHAT.format(ProposeInstructions, [], given), rollout_id=seed, temperature=1.0)
        return str(CHAT.parse(ProposeInstructions, reply_text(request))["proposed_instructions"])

    async def _scores(self, program: Pipeline, rows: Sequence[Fields]) -> list[float]:
        scores = []
        with context(lm=LM):
            for row in rows:
                started = time.process_time()
                try:
                    answer = await program.acall(**self._inputs(row))
                    scores.append(self.metric(Example(row), answer).score)
                except Exception as error:  # noqa: BLE001 - a failed row is a row without points
                    print(self.sample.name, repr(error)[:200])
                    scores.append(0.0)
                self.seconds += time.process_time() - started
                self.asked += 1
        return scores


def main() -> None:
    """Measure, print the table, and keep it where asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=4)
    options.add_argument("--rows", type=int, default=60)
    options.add_argument("--only", nargs="*", default=[])
    options.add_argument("--save", type=Path)
    options.add_argument("--against", type=Path)
    given = options.parse_args()
    before = json.loads(given.against.read_text()) if given.against else {}
    measured: dict[str, dict[str, list[float]]] = {}
    changes: list[list[float]] = []
    print(f"{'sample':20}", *(f"{point:>8}" for point in POINTS), f"{'ms a row':>9}", "  change")
    for sample in SAMPLES:
        if given.only and sample.name not in given.only:
            continue
        curve = Curve(sample, given.rows)
        points = {
            point: [100 * score for seed in range(given.seeds) for score in curve.scores(point, seed)]
            for point in POINTS
        }
        measured[sample.name] = points
        change = ""
        if sample.name in before:
            changes.append(_row_changes(before[sample.name], points))
            change = _mean_with_interval([changes[-1]])
        print(
            f"{sample.name:20}",
            *(f"{fmean(scores):8.1f}" for scores in points.values()),
            f"{1000 * curve.seconds / curve.asked:9.2f}",
            f"  {change}",
            flush=True,
        )
    if changes:
        print(f"mean of {len(changes)} samples: {_mean_with_interval(changes)}")
    if given.save:
        given.save.write_text(json.dumps(measured))


def _row_changes(before: Mapping[str, list[float]], now: Mapping[str, list[float]]) -> list[float]:
    """Return by how much each row's score changed, averaged over the points."""
    rows = zip(*(zip(before[point], now[point], strict=True) for point in POINTS), strict=True)
    return [fmean(new - old for old, new in row) for row in rows]


def _mean_with_interval(samples: Sequence[list[float]]) -> str:
    """Return the mean change of some samples, each weighing the same, and half of its 95 % interval."""
    error = sum(stdev(changes) ** 2 / len(changes) for changes in samples) ** 0.5 / len(samples)
    mean = fmean(map(fmean, samples))
    return f"{mean:+.2f} +- {NormalDist().inv_cdf(0.975) * error:.2f}"


_SHORT = (
    "Answer in as few words as possible, copied from the passages. If they do not say, answer 'not stated'."
)
GOOD = {
    "support_tickets": (
        "route",
        GOOD_ROUTE,
    ),
    "reviews": (
        "judge",
        GOOD_JUDGE,
    ),
    "math_problems": (
        "solve.predict",
        "Add when the question says altogether, total, all or together. Subtract when something is left, remains, lost, "
        "sold, gave, spent, older, less or missing. Multiply when it says each, every, rows, times, an hour or cost. "
        "Divide when things are shared equally, split, packed, cut, or for groups and pieces.",
    ),
    "booking_mails": (
        "extract",
        """Read the mail and fill in the booking.
The room is terrace for the garden side, outside, a dog, sun or a smoker.
The room is parlour for a quiet corner, somewhere calm or a private table.
The room is hall for anything else, such as music, dance, a presentation or a company dinner.""",
    ),
    "lending_questions": ("answer", _SHORT),
    "festival_questions": ("answer", _SHORT),
    "shop_questions": (
        "agent.react",
        "To answer, divide when the text mentions many or how many. Subtract when it says left, back, still or remains.\n{now}",
    ),
    "shift_notes": (
        "write",
        "The summary is the sentence of the input with must, needs, order, please, still, not or until.",
    ),
    "invoices": (
        "read",
        """Read the document and fill in the record.
The kind is credit note for a document that takes back or credits what was sent.
The kind is delivery note when goods were delivered or packed.
The kind is invoice for anything else, such as what is payable or due.""",
    ),
}
"""Sample -> the step that is taught, and a good instruction for it ({now}: the one it has)."""


if __name__ == "__main__":
    main()
