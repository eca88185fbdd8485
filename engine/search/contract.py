"""The contract between an optimizer and its driver: a search yields asks and receives the answers.

A search does no I/O. It never sees a store, a model or a clock; its randomness is `problem.rng`. The
driver (`engine.search.driver`) owns calls, concurrency, budget, storage, pause and stop for all searches.
Asks yielded together run together: yield in batches wherever the algorithm allows.

When the budget is spent or the run is stopped inside a batch, evaluations that could not be finished have
fewer outcomes than rows asked for. A search compares only complete evaluations, may yield one more batch of
`Keep`, and gets no answer to anything else. The shape is that of httpx's auth flows and Optuna's ask and tell.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from engine.basics.data import Values
from engine.records import Candidate, Evaluation, PartCredit, TraceStep
from engine.search.freeze import Freeze, Part, is_frozen, restored
from engine.search.judging.objective import Objective

if TYPE_CHECKING:
    from engine.search.trainers import Trained, TrainSettings
    from engine.signature import Signature

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Score:
    """Ask: run this candidate on these rows and score it. Answered by an `Evaluation`.

    `rows` are row ids, answered in this order. With `trace` the outcomes carry each step's inputs and outputs.
    `teacher` runs it on the teacher model, that of the `part` of a chain where one is named. `rollout` other than 0
    asks for a fresh sample at temperature 1.
    `hide_own_row` hides from each row a demonstration made from it. `label` describes the trial in a few words.
    """

    candidate: Candidate
    rows: tuple[int, ...]
    label: str = ""
    trace: bool = False
    teacher: bool = False
    rollout: int = 0
    hide_own_row: bool = False
    part: str = ""

    @property
    def asked(self) -> Asked:
        """Everything that decides the answer, so not the label."""
        teacher = self.teacher and (self.part or True)
        return (self.candidate.id, self.rows, self.trace, teacher, self.rollout, self.hide_own_row)


Asked = tuple[str, tuple[int, ...], bool, bool | str, int, bool]


@dataclass(frozen=True, slots=True)
class Propose:
    """Ask: write something with the prompt model. Answered by a `Proposal`.

    `signature` has the fields read and written, `inputs` are its values; `n` independent samples at `temperature`.
    A user's own `writer` takes the model's place: a function of nothing, plain or async, that returns the values; what it
    asks models is counted, and an estimate invents the values as for any other proposal.
    """

    signature: type[Signature]
    inputs: Values
    n: int = 1
    temperature: float = 1.0
    rollout: int = 0
    label: str = ""
    writer: Callable[[], Any] | None = None
    part: str = ""


@dataclass(frozen=True, slots=True)
class Keep:
    """Ask: make this candidate the search's result unless another is kept later. Costs nothing; answered by None.

    A search that ends without one keeps the candidate it started from. `credits` say what its rules and examples do, where
    the search has found that out.
    """

    candidate: Candidate
    score: float | None = None
    credits: tuple[PartCredit, ...] = ()


@dataclass(frozen=True, slots=True)
class Train:
    """Ask: train one model that answers these steps from then on. Answered by a `Training`.

    `candidate` is the program as it is, with the wording and demonstrations that the model will be asked with. `steps` are
    the paths of the steps that the tuned model will answer. `calls` are (row id, call of a step) to learn from: the driver
    writes each as the step's adapter will ask it. For the method "grpo" there are none: `rows` are ids for rollouts.
    """

    candidate: Candidate
    steps: tuple[str, ...]
    settings: TrainSettings
    calls: tuple[tuple[int, TraceStep], ...] = ()
    rows: tuple[int, ...] = ()
    label: str = ""


@dataclass(frozen=True, slots=True)
class Training:
    """Answer to `Train`: the candidate whose steps answer by the tuned model, and how it scored on all validation rows.

    `candidate` is None where there is no model: it failed (`problem` says why), or the trainer only writes a file.
    `evaluation` is None where not all rows could be scored.
    """

    candidate: Candidate | None = None
    trained: Trained | None = None
    evaluation: Evaluation | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Answer to `Propose`: one dict of output values for each sample that could be read; it may be empty."""

    outputs: tuple[Values, ...]


Ask = Score | Propose | Train | Keep
Steps = Generator[Sequence[Ask], Sequence[Any], T]
"""Part of a search that returns a T."""

Search = Steps[Any]
"""May return a closing message for the user."""


@dataclass
class Meter:
    """Calls left of a budget and calls that a row costs: kept by the driver or a simulation, read by a search.

    `limit` is how many calls the search may make in all, None without a budget in calls; `made` is how many it has
    made, without those that the cache spared. `most_per_row` is how many calls one scored row takes at most. Both
    change only between batches, and are the same when a run is driven again. The driver enforces the budget itself.

    >>> meter = Meter(limit=100, most_per_row=2)
    >>> meter.rows_left, meter.affordable(9, rows=20)
    (50, 2)
    >>> meter.note(calls=24, rows=20, samples=4)
    >>> meter.row_cost, meter.rows_left, meter.affordable(9, rows=20, other_calls=10)
    (1.0, 76, 3)
    """

    limit: int | None = None
    most_per_row: int = 1
    made: float = 0
    _observed: float = 0.0
    _parts: tuple[Meter, ...] = ()

    @property
    def calls_left(self) -> float:
        """Calls left, infinite without a limit."""
        return math.inf if self.limit is None else max(0, self.limit - self.made)

    @property
    def row_cost(self) -> float:
        """Calls of a row: the mean of the dearest batch so far, at most `most_per_row`."""
        return min(self._observed or math.inf, float(self.most_per_row))

    @property
    def rows_left(self) -> float:
        """Rows that the calls left pay for, infinite without a limit."""
        return math.inf if self.limit is None else int(self.calls_left / self.row_cost)

    def affordable(self, evaluations: int, rows: int, other_calls: float = 0) -> int:
        """Return how many of these evaluations the calls left pay for, next to other calls."""
        if self.limit is None:
            return evaluations
        return max(0, min(evaluations, int((self.calls_left - other_calls) / max(1, rows * self.row_cost))))

    def note(self, calls: float, rows: float = 0, samples: float = 0) -> None:
        """Add the calls made in a batch for rows that were run and for samples of proposals."""
        self.made += calls
        if rows:
            self._observed = max(1.0, self._observed, (calls - samples) / rows)
        for part in self._parts:
            n = len(self._parts)
            part.note(calls / n, rows / n, samples / n)

    def split(self, limit: int | None, searches: int) -> tuple[Meter, ...]:
        """Return a meter for each of some searches that run together from now on, each with this limit.

        Calls of searches in one batch cannot be attributed, so each is assumed to make the same share of them.
        """
        self._parts = tuple(Meter(limit, self.most_per_row, 0, self._observed) for _ in range(searches))
        return self._parts


@dataclass(frozen=True)
class Problem:
    """Everything that a search may know."""

    seed: Candidate
    """The candidate to start from."""
    train: tuple[int, ...]
    """Ids of the rows to learn from."""
    validation: tuple[int, ...]
    """Ids of the rows to choose by."""
    rows: Mapping[int, Values]
    """Each row's values (inputs and labels by field name)."""
    signatures: Mapping[str, type[Signature]]
    """The steps' signatures, by path."""
    input_fields: tuple[str, ...] = ()
    output_fields: tuple[str, ...] = ()
    program: str = ""
    """Description of the program, for prompts."""
    data: str = ""
    """Description of the rows, for prompts."""
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    teacher: Candidate | None = None
    """The prompt of another program that solves rows."""
    meter: Meter = field(default_factory=Meter)
    """What is left of the budget."""
    calls_per_row: int = 1
    """Usual number of model calls of one program run."""
    frozen: tuple[Freeze, ...] = ()
    """Parts that stay as they are in the first candidate. The driver ensures that; `may_change` saves useless calls."""
    feedback: Mapping[int, str] = field(default_factory=dict)
    """Users' feedback on earlier answers, by row; outcomes carry it too."""
    layouts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Adapters that may be tried in a step, by path: none where the user has chosen one."""
    optional_inputs: frozenset[str] = frozenset()
    """Inputs that some rows lack, such as pictures. Other values that rows lack come from the program's own steps."""
    models: tuple[str, ...] = ()
    """Names of models that may answer steps in place of the run's (a step's `weights`)."""
    objective: Objective = field(default_factory=Objective)
    simulated: bool = False
    """True in an estimate, whose answers are invented: they are not worth the import of a heavy library."""
    parts: Mapping[str, Problem] = field(default_factory=dict)
    """Problems of the parts of a chain, by name, that have rows, models or a teacher to themselves."""

    def may_change(self, path: str, part: Part) -> bool:
        """Return whether a part ("instructions", "demos", "fields", "tools", "weights") of a step may change at all."""
        return not is_frozen(self.frozen, path, part)

    @property
    def worded(self) -> tuple[str, ...]:
        """The steps whose instructions may change, by path."""
        return tuple(path for path in self.signatures if self.may_change(path, "instructions"))


def is_cut(asks: Sequence[Score], answers: Sequence[Evaluation]) -> bool:
    """Return whether a row that was asked for has no outcome: the budget is spent or the run was stopped."""
    return any(len(e.outcomes) < len(a.rows) for a, e in zip(asks, answers, strict=True))


def together(searches: Sequence[Search]) -> Steps[list[Any]]:
    """Run independent searches in lockstep, asks merged into shared batches: `results = yield from together([...])`."""
    results: list[object] = [None] * len(searches)
    waiting: dict[int, Sequence[Ask]] = {}
    for i, search in enumerate(searches):
        try:
            waiting[i] = next(search)
        except StopIteration as end:
            results[i] = end.value
    while waiting:
        answers = yield [ask for asks in waiting.values() for ask in asks]
        at, upcoming = 0, {}
        for i, asks in waiting.items():
            part, at = answers[at : at + len(asks)], at + len(asks)
            try:
                upcoming[i] = searches[i].send(part)
            except StopIteration as end:
                results[i] = end.value
        waiting = upcoming
    return results


def relay(
    search: Search,
    on_asks: Callable[[Sequence[Ask]], Sequence[Ask] | None] | None = None,
    on_answers: Callable[[Sequence[Ask], Sequence[object]], Sequence[object] | None] | None = None,
) -> Search:
    """Pass on a search's asks and answers through two hooks, and return what the search returns.

    `on_asks` receives each batch; `on_answers` receives the batch as the search made it, and the answers. What a
    hook returns takes their place, None leaves them unchanged. A batch that `on_asks` empties is not yielded.

    >>> seen: list[Ask] = []
    >>> list(relay((batch for batch in [[Keep(Candidate({}))]]), seen.extend)) == [seen]
    True
    """
    answers: Any = None
    with closing(search):
        while True:
            try:
                asks = search.send(answers)
            except StopIteration as end:
                return end.value
            changed = on_asks(asks) if on_asks is not None else None
            passed_on = asks if changed is None else changed
            answers = (yield passed_on) if passed_on or changed is None else ()
            replaced = on_answers(asks, answers) if on_answers is not None else None
            answers = answers if replaced is None else replaced


MakeSearch = Callable[[Problem], Search]


async def drive(
    make: MakeSearch, problem: Problem, answer: Callable[[Sequence[Ask]], Awaitable[Sequence[object] | None]]
) -> Any:
    """Answer the batches of a problem's search until it ends or `answer` returns None; return what the search returns."""
    answers: Any = None
    with closing(_with_frozen_parts(make(problem), problem)) as search:
        while True:
            try:
                asks = search.send(answers)
            except StopIteration as end:
                return end.value
            answers = await answer(asks)
            if answers is None:
                return None


def _with_frozen_parts(search: Search, problem: Problem) -> Search:
    """Return the search, unable to change what `problem.frozen` names."""
    if not problem.frozen:
        return search
    restored_ids: dict[str, str] = {}

    def restored_ask(ask: Ask) -> Ask:
        # A teacher is another program, and what it answers is no result.
        of_teacher = isinstance(ask, Score) and ask.teacher and problem.parts.get(ask.part, problem).teacher
        if isinstance(ask, Propose) or of_teacher:
            return ask
        if isinstance(ask, Train):
            ask = replace(ask, steps=tuple(p for p in ask.steps if problem.may_change(p, "weights")))
        candidate = restored(ask.candidate, problem.seed, problem.frozen)
        restored_ids[ask.candidate.id] = candidate.id
        parents = tuple(dict.fromkeys(restored_ids.get(p, p) for p in ask.candidate.parents))
        if candidate is not problem.seed and parents != candidate.parents:
            candidate = replace(candidate, parents=parents)
        return replace(ask, candidate=candidate)

    def with_own_ids(asks: Sequence[Ask], answers: Sequence[Any]) -> Sequence[Any]:
        return [
            replace(answer, candidate_id=ask.candidate.id) if isinstance(ask, Score) else answer
            for ask, answer in zip(asks, answers, strict=True)
        ]

    return relay(search, lambda asks: [restored_ask(ask) for ask in asks], with_own_ids)
