"""Settings, recorder, control and result of a run, and the problem that its search sees."""

from __future__ import annotations

import inspect
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from engine.adapters.chat import ChatAdapter
from engine.basics.text import counted
from engine.errors import ConfigurationError
from engine.lm.calls.waiting import LONGEST_GAP
from engine.modules.react import ToolStep
from engine.records import (
    Candidate,
    Example,
    Outcome,
    json_value,
)
from engine.runtime import context, current
from engine.search.budget import Amount, Budget, Ledger
from engine.search.contract import Meter, Problem
from engine.search.events import Event
from engine.search.freeze import Freeze
from engine.search.judging.objective import Objective

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.lm.base import BaseLM
    from engine.metrics.base import Scorer
    from engine.modules.module import Module
    from engine.modules.step import Step
    from engine.search.trainers import Trainer
    from engine.signature import Signature


@dataclass(frozen=True)
class Settings:
    """Everything one tuning needs."""

    program: Module
    metric: Scorer
    rows: Mapping[int, Example]
    """Examples by row id."""
    train: tuple[int, ...]
    """Ids of rows that the search may learn from."""
    validation: tuple[int, ...]
    """Ids of rows that the search may choose by. All others, the test rows, are for `Driver.score` and `Driver.compare`."""
    lm: BaseLM | None = None
    prompt_lm: BaseLM | None = None
    """Model that writes prompts; None for `lm`."""
    teacher_lm: BaseLM | None = None
    """Another model that writes demonstrations."""
    teacher: Module | None = None
    """Another program with the same steps that writes demonstrations."""
    adapter: Adapter | None = None
    teacher_adapter: Adapter | None = None
    """Another adapter for writing demonstrations."""
    budget: Budget = field(default_factory=Budget)
    concurrency: int = 16
    """Rows at a time."""
    seed: int = 0
    payer: str | None = None
    """Name of the run in the call cache: replies that it paid for in an earlier process count as spent, others are free."""
    seconds_before: float = 0.0
    """Share of the time limit that an earlier process of the run has used."""
    frozen: tuple[Freeze, ...] = ()
    feedback: Mapping[int, str] = field(default_factory=dict)
    """Users' words on earlier answers, by row."""
    row_numbers: Mapping[int, int] = field(default_factory=dict)
    """Numbers of rows as people count them."""
    trainers: tuple[Trainer, ...] = ()
    """The user's own trainers; they replace registered ones of the same name."""
    started: Path | None = None
    """Folder for the orders of trainings that were started, for when the run is driven again."""
    models: Mapping[str, BaseLM] = field(default_factory=dict)
    """Other models, by name, that may answer steps in place of `lm`."""
    objective: Objective = field(default_factory=Objective)
    """The choice between the programs that were found."""
    tested_prompts: int = 2
    """Prompts in the final test: 3 where the best may show each input other examples, as the best that does not is tested too."""
    longest_gap: float = LONGEST_GAP
    """Most seconds between two calls of an endpoint that is away."""
    parts: Mapping[str, Settings] = field(default_factory=dict)
    """Settings of the parts of a chain, by name, that have rows, models or a teacher to themselves."""

    def part(self, name: str) -> Settings:
        """Return the settings of a part of a chain."""
        return self.parts.get(name, self)

    @property
    def calls_a_row(self) -> int:
        """Usual number of model calls for one row: those of the program, and those of a metric that asks a judge."""
        return self.program_calls + self.judge_calls

    @property
    def program_calls(self) -> int:
        """Usual number of model calls for one run of the program, with this run's adapter."""
        with context(adapter=self.adapter or current().adapter):
            return max(1, self.program.calls_a_row)

    def keep_back_final_test(
        self, ledger: Ledger, rows: int, tested: Sequence[Sequence[Outcome]] = ()
    ) -> None:
        """Keep back what the prompts tested over the test rows take, by each one's outcomes so far; at most half of what is left."""
        runs = self.tested_prompts * rows
        used = [usages for one in tested if (usages := [o.usage for o in one if o.usage.tokens])]
        # Test rows may be a tenth longer, and a best prompt that is yet to be found a quarter more.
        share = 1.1 * rows * (1 if len(used) > 1 else 1 + 1.25 * (self.tested_prompts - 1))
        tokens = int(share * sum(sum(u.tokens for u in usages) / len(usages) for usages in used))
        usd = share * sum(sum(u.cost or 0.0 for u in usages) / len(usages) for usages in used)
        seconds = (ledger.mean_latency or 0.0) * self.calls_a_row * -(-runs // self.concurrency)
        ledger.keep_back(Amount(runs * self.calls_a_row, tokens, usd, seconds), most=0.5)

    @property
    def own_models(self) -> tuple[BaseLM, ...]:
        """The models set on single steps, the second model of a two-step adapter, and those in place of the run's."""
        steps = self.program.predictors()
        asked = [lm for p in steps for lm in (p.lm, getattr(p.adapter, "extraction_model", None))]
        asked += self.models.values()
        return tuple({id(lm): lm for lm in asked if lm is not None}.values())

    def check_prices(self) -> None:
        """Raise ConfigurationError where a limit in money, or the cheapest program, needs a price that is not known."""
        asked, problem = [self.lm, *self.own_models], ""
        if self.objective.goal == "cheapest":
            problem = "the cheapest program cannot be found. Enter its price on the Settings page, or choose another objective"
        if self.budget.usd is not None:
            asked += (lm for s in (self, *self.parts.values()) for lm in (s.prompt_lm, s.teacher_lm))
            problem = "a budget in money cannot be kept. Set a budget in calls or tokens instead"
        for lm in asked if problem else ():
            if lm is not None and lm.price() is None:
                raise ConfigurationError(f"The price of the model {lm.model} is not known, so {problem}.")

    @property
    def has_teacher(self) -> bool:
        """True if another program, model or adapter than the student's solves rows."""
        return any(one is not None for one in (self.teacher, self.teacher_lm, self.teacher_adapter))

    @property
    def judge_calls(self) -> int:
        """Number of model calls that the metric makes for one row."""
        return int(getattr(self.metric, "calls", 0) or 0)


class Recorder(Protocol):
    """Receiver of every event, in order, on the event loop. It must return at once."""

    def record(self, event: Event) -> None:
        """Receive one event."""


class Stop(Exception):  # noqa: N818 - a signal raised by a Control, not an error
    """Raised by `Control.checkpoint` when the user asked the run to stop."""


class Control(Protocol):
    """Pause and stop."""

    async def checkpoint(self) -> None:
        """Return at once, wait while paused, or raise Stop. Awaited before each row starts."""

    def note_wait(self, why: str) -> None:  # noqa: ARG002 - only some show it
        """Note why calls wait for an endpoint that is away; "" when none does."""
        return


def make_problem(settings: Settings, *, calls: int | None = None) -> Problem:
    """Return the problem of a search over these settings; `calls` limits its calls, None does not."""
    program = settings.program
    signatures = {path: predictor.signature for path, predictor in program.named_predictors()}
    ids = dict.fromkeys((*settings.train, *settings.validation))
    first = next((settings.rows[i] for i in ids), None)
    inputs = tuple(n for n in first if n in first.input_keys) if first is not None else ()
    declared = {n for i in ids for n in settings.rows[i].input_keys}
    optional = frozenset(n for n in declared if not all(n in settings.rows[i] for i in ids))
    rows = {i: {n: json_value(v) for n, v in settings.rows[i].items()} for i in ids}
    return Problem(
        seed=seed_of(program),
        train=settings.train,
        validation=settings.validation,
        rows=rows,
        signatures=signatures,
        input_fields=inputs,
        output_fields=_output_names(signatures, rows, inputs),
        program=describe_program(program, signatures),
        data=describe_data(rows, inputs),
        rng=random.Random(settings.seed),
        teacher=None if settings.teacher is None else settings.teacher.candidate(),
        meter=Meter(calls, settings.calls_a_row),
        calls_per_row=settings.program_calls,
        frozen=settings.frozen,
        layouts={
            path: LAYOUTS for path, step in program.named_predictors() if _default_layout(step, settings)
        },
        feedback={row: words for row, words in settings.feedback.items() if row in ids},
        optional_inputs=optional,
        models=tuple(settings.models),
        objective=settings.objective,
        parts={name: make_problem(part, calls=calls) for name, part in settings.parts.items()},
    )


def _default_layout(step: Step, settings: Settings) -> bool:
    """Return whether a step uses the default adapter, so that others may be tried."""
    if isinstance(step, ToolStep) or (step.adapter is not None and step.tuned_adapter is None):
        return False
    return type(settings.adapter or current().adapter or ChatAdapter()) is ChatAdapter


LAYOUTS = ("json", "xml")
"""The adapters that may do better than the default one with a model that does not follow it."""


def seed_of(program: Module) -> Candidate:
    """Return a program's current state as the starting candidate."""
    return program.candidate(reason="The starting prompt.")


def _output_names(
    signatures: Mapping[str, type[Signature]],
    rows: Mapping[int, Mapping[str, object]],
    inputs: tuple[str, ...],
) -> tuple[str, ...]:
    """Return the program's labelled outputs: fields that a step writes and the rows have."""
    written = {name for signature in signatures.values() for name in signature.output_fields}
    known = dict.fromkeys(name for row in rows.values() for name in row if name not in inputs)
    return tuple(n for n in known if n in written) or tuple(known)


def describe_program(program: Module, signatures: Mapping[str, type[Signature]]) -> str:
    """Return a plain-text description of a program: its steps, their fields and, for own classes, up to 4,000 characters of code."""
    lines = [
        f"Step {number}, {path}: reads {', '.join(s.input_fields)}; writes {', '.join(s.output_fields)}."
        for number, (path, s) in enumerate(signatures.items(), 1)
    ]
    if type(program).__module__.split(".", 1)[0] != "engine":
        with suppress(OSError, TypeError):
            lines.append(f"\n{inspect.cleandoc(inspect.getsource(type(program)))[:4000]}")
    return "\n".join(lines)


def describe_data(rows: Mapping[int, Mapping[str, object]], inputs: tuple[str, ...]) -> str:
    """Return a plain-text profile of the rows: how many, which fields, and the values of short labels.

    >>> print(describe_data({0: {"q": "1+1?", "a": "2"}, 1: {"q": "2-1?", "a": "1"}}, ("q",)))
    2 rows.
    q (input): text of about 4 characters.
    a (label): 2 different values: 2 (1 row), 1 (1 row).
    """
    lines = [f"{counted(len(rows), 'row')}."]
    for name in dict.fromkeys(name for row in rows.values() for name in row):
        texts = [str(row[name]) for row in rows.values() if row.get(name) is not None]
        role = "input" if name in inputs else "label"
        counts = Counter(texts)
        mean = sum(map(len, texts)) // max(1, len(texts))
        if role == "label" and len(counts) <= 20 and mean <= 60:
            shown = ", ".join(f"{v} ({counted(n, 'row')})" for v, n in counts.most_common())
            lines.append(f"{name} ({role}): {len(counts)} different values: {shown}.")
        else:
            lines.append(f"{name} ({role}): text of about {mean} characters.")
    return "\n".join(lines)
