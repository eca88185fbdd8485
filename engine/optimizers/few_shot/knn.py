"""KNNFewShot: show every input the solved rows that are most like it.

Source: DSPy's KNNFewShot (Khattab et al. 2023, arXiv 2310.03714); choosing examples by similarity is Liu et al.
2021, arXiv 2101.06804. Unlike there, rows are solved once, when it is compiled, and the choice is part of the
program's saved state; texts are compared by `engine.modules.predict`, which needs no embedding model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from engine.modules.module import Module
from engine.optimizers.base import Optimizer, Options
from engine.optimizers.few_shot.bootstrap import Rules, bootstrap, teacher_of
from engine.optimizers.shared.demos import labeled_demo, traced_demos
from engine.records import Demo, Example, Outcome
from engine.search.contract import Keep, Problem, Search


class KNNFewShotOptions(Options):
    """Options of KNNFewShot."""

    k: int = Field(8, ge=1, title="Examples", description="How many of the most similar rows are shown.")
    solve: bool = Field(
        True,
        title="Let the model solve the rows first",
        description="Rows it solves are shown as it solved them, the others as they are labelled.",
    )
    max_labeled_demos: int = Field(
        16, ge=0, title="Examples while solving", description="Labelled rows the teacher is shown."
    )
    max_rounds: int = Field(
        1, ge=1, title="Tries a row", description="How often a row is tried; later tries are fresh samples."
    )
    metric_threshold: float = Field(
        1.0,
        title="Score that counts as solved",
        description="0 to 1. A row below it is shown as it is labelled, where its labels say enough.",
    )


class KNNFewShot(Optimizer):
    """Gives every step a pool of solved rows, of which each input is shown the `k` most similar.

    Calls: at most train rows x `max_rounds` x calls a row, all at once, and none with `solve` off; using the
    program costs no more calls than before. Source: DSPy's KNNFewShot (arXiv 2310.03714).

    >>> KNNFewShot(k=2).options.k
    2
    """

    name = "KNNFewShot"
    title = "Show the rows most like each input"
    options_model = KNNFewShotOptions
    changes = "examples"

    options: KNNFewShotOptions

    def __init__(self, k: int = 8, trainset: Sequence[Example] | None = None, **arguments: Any) -> None:
        self.trainset = trainset
        super().__init__(k=k, **arguments)

    def compile(
        self, student: Module, *, trainset: Sequence[Example] | None = None, **arguments: object
    ) -> Module:
        """Run the search; the trainset may also have been given to the constructor. See `Optimizer.compile`."""
        return super().compile(student, trainset=trainset or self.trainset or [], **arguments)

    def search(self, problem: Problem) -> Search:
        """Solve all training rows at once and keep the starting prompt with all of them to choose from."""
        o = self.options
        solved: Mapping[int, Outcome] = {}
        if o.solve:
            teacher = teacher_of(problem, o.max_labeled_demos, problem.rng)
            solved = yield from bootstrap(teacher, problem.train, len(problem.train), Rules(o.max_rounds))
        steps = {
            path: replace(state, demos=self._pool(problem, path, solved), nearest=o.k)
            if problem.may_change(path, "demos")
            else state
            for path, state in problem.seed.steps.items()
        }
        found = replace(problem.seed, steps=steps)
        most = max((len(state.demos) for state in steps.values()), default=0)
        reason = f"The starting prompt, which shows the {o.k} most similar of {most} rows; {len(solved)} are solved runs."
        yield [Keep(found.derived(reason, problem.seed))]

    def _pool(self, problem: Problem, path: str, solved: Mapping[int, Outcome]) -> tuple[Demo, ...]:
        """Return every training row as an example of a step: as it was solved, else as it is labelled.

        A run that is only partly right still shows a step what the labels do not know of.
        """
        pool: list[Demo] = []
        for row in problem.train:
            labeled = labeled_demo(problem, path, row)
            run = solved.get(row)
            right = run is not None and not run.unmet and run.score >= self.options.metric_threshold
            if run is not None and (labeled is None or right):
                traced = traced_demos([run], path, problem.rng)
            else:
                traced = []
            pool += traced or ([labeled] if labeled is not None else [])
        return tuple(pool)
