"""The contract tests every optimizer must pass, shipped so that an optimizer from elsewhere can run them too.

    @pytest.mark.parametrize("check", CHECKS)
    def test_contract(check):
        check(MyOptimizer)

A check takes a function that returns a fresh optimizer and raises AssertionError where it breaks its
contract. They run the toy task below: words
whose labels a prompt can teach by showing or stating them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import replace
from typing import Any

from engine import loop
from engine.errors import InvalidRequestError
from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.modules.predict import Predict
from engine.optimizers.base import Optimizer
from engine.records import Demo, Example, StepState, Usage
from engine.search.budget import Budget
from engine.search.contract import Keep, Problem, Propose, Score, Train, relay
from engine.search.driver import Driver
from engine.search.events import CandidateFound, Event
from engine.search.freeze import Freeze, Part, demo_key
from engine.search.result import SearchResult
from engine.search.settings import Control, Settings, Stop
from engine.testing.training import LookupTrainer

_LABELS = ("red", "green", "blue")
_WORDS = ("apple", "leaf", "sky", "rose", "grass", "sea", "brick", "moss", "ice", "ruby", "fern", "denim")


def toy_rows(n: int = 36) -> dict[int, Example]:
    """Return rows of the toy task: `text` is a word and a number, `label` depends on the word."""
    return {
        i: Example(text=f"{_WORDS[i % 12]} {i}", label=_LABELS[i % 12 % 3]).with_inputs("text")
        for i in range(n)
    }


def toy_metric(example: Any, prediction: Any, trace: object = None) -> float:  # noqa: ARG001 - a metric's signature
    """Score 1 for the right label."""
    return float(prediction.label == example.label)


class ToyLM(BaseLM):
    """Knows a word's label only if the prompt shows or states it; writes what it saw when asked for instructions.

    It keeps replies like the persistent cache: the same request again is not paid for, and names its payer.
    `refuse` are words on which the call fails. `paid` counts calls that were really made.
    """

    def __init__(self, refuse: Sequence[str] = (), payer: str = "toy") -> None:
        super().__init__("toy")
        self.refuse = refuse
        self.paid = 0
        self.cache: dict[str, Reply] = {}
        self._payer = payer

    async def complete(self, request: Request) -> Reply:
        """Answer from the messages, or from the cache."""
        last = str(request.messages[-1]["content"])
        if any(word in last for word in self.refuse):
            raise InvalidRequestError("The toy model refuses this word.")
        contents = [str(m["content"]) for m in request.messages]
        return await self.reply(request, request.key(), _toy_answer(contents, request.rollout_id or 0))

    async def reply(self, request: Request, key: str, text: str) -> Reply:
        """Return a text as the reply, paid for unless the key is in the cache."""
        if key in self.cache:
            return replace(self.cache[key], cached=True)
        self.paid += 1
        read = sum(len(str(m["content"])) for m in request.messages) // 4
        usage = Usage(calls=1, input_tokens=read, output_tokens=8)
        self.cache[key] = Reply((Choice(text),), usage, key=key, payer=self._payer)
        return self.cache[key]


def _toy_answer(contents: list[str], rollout: int) -> str:
    asked = contents[0]
    for name in ("proposed_instructions", "observations", "summary", "rules", "advice"):
        if f"`{name}`" in asked.split("You write these output fields:")[-1]:
            pairs = re.findall(r'"text": ?"(\w+) \d+".*?"label": ?"(\w+)"', contents[-1])
            known = ", ".join(f"{word} is {label}" for word, label in pairs[: 3 + rollout % 3])
            return f"[[ ## {name} ## ]]\nNote {rollout}: {known}.\n\n[[ ## completed ## ]]"
    word = contents[-1].split("]]\n", 1)[-1].split(" ", 1)[0]
    shown = re.search(rf"{word} \d+.*?\[\[ ## label ## \]\]\n(\w+)", "\n".join(contents[1:-1]), re.DOTALL)
    stated = re.search(rf"{word} is (\w+)", asked)
    match = shown or stated
    return f"[[ ## label ## ]]\n{match.group(1) if match else 'red'}\n\n[[ ## completed ## ]]"


def toy_trainer(lm: ToyLM) -> LookupTrainer:
    """Return a trainer whose models are paid for at this model's counter, and guess a colour while they know nothing."""
    guesses = [
        f"[[ ## hint ## ]]\nnone\n\n[[ ## label ## ]]\n{label}\n\n[[ ## completed ## ]]" for label in _LABELS
    ]
    return LookupTrainer(lm.reply, guesses)


def toy_settings(lm: BaseLM, **changes: Any) -> Settings:
    """Return the settings of a run of the toy task, 18 rows to train on and 18 to validate."""
    settings = Settings(
        program=Predict("text -> label"),
        metric=toy_metric,
        rows=toy_rows(),
        train=tuple(range(18)),
        validation=tuple(range(18, 36)),
        lm=lm,
        concurrency=8,
        seed=1,
        payer="toy",
        trainers=(toy_trainer(lm) if isinstance(lm, ToyLM) else LookupTrainer(),),
    )
    return replace(settings, **changes)


def frozen_program() -> Predict:
    """Return the toy task's program with two examples and two sentences, for parts of it to be frozen."""
    program = Predict("text -> label")
    shown = tuple(Demo({"text": f"coal {i}", "label": "red"}) for i in range(2))
    state = {"instructions": "Say the colour. Never guess.", "demos": shown}
    return program.with_candidate(program.candidate().with_step("self", **state))


# ruff: noqa: S101 - a check asserts

Make = Callable[[], Optimizer]


class RecordedEvents(list[Event]):
    """Events of a search in the order of their arrival."""

    def of(self, *kinds: type[Event]) -> list[Event]:
        """Return the events of these kinds."""
        return [event for event in self if isinstance(event, kinds)]

    def record(self, event: Event) -> None:
        """Note an event, as `Driver` asks of an observer."""
        self.append(event)


class StopAfter(Control):
    """Stops the run once this number of rows have started."""

    def __init__(self, rows: int) -> None:
        self._left = rows

    async def checkpoint(self) -> None:
        """Raise Stop after the last of them."""
        self._left -= 1
        if self._left < 0:
            raise Stop


class _PauseOften(Control):
    """Holds every third row back for many turns of the loop."""

    def __init__(self) -> None:
        self._rows = 0

    async def checkpoint(self) -> None:
        self._rows += 1
        for _ in range(0 if self._rows % 3 else 10):
            await asyncio.sleep(0)


class _FatalLM(ToyLM):
    """Ends whatever is waiting for it after `calls` paid calls, as if the process had been killed."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls
        self.kill: Callable[[], object] = bool

    async def reply(self, request: Request, key: str, text: str) -> Reply:
        """Answer; the last answer before the end is in the cache and is lost."""
        reply = await super().reply(request, key, text)
        if self.paid >= self.calls:
            self.kill()
            await asyncio.sleep(0)
        return reply


async def _doomed(work: Coroutine[object, object, object], lm: _FatalLM) -> bool:
    """Run something until the model ends it; return whether it did."""
    task = asyncio.ensure_future(work)
    lm.kill = task.cancel
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


_Run = tuple[SearchResult, list[Any], list[Event]]


def _run(make: Make, settings: Settings, control: Control | None = None) -> _Run:
    """Drive a fresh optimizer; return the result, every ask and every event."""
    asks, events = list[object](), RecordedEvents()
    driver = Driver(settings, events, control)
    return loop.run(driver.search(_noting(make, asks))), asks, events


def _noting(make: Make, asks: list[object]) -> Callable[[Problem], Generator[Any, Any, None]]:
    """Return a fresh optimizer's search, which adds every ask to `asks`."""

    return lambda problem: relay(make().search(problem), asks.extend)


def _shape(ask: Any) -> Any:
    """Return the parts of an ask that two runs of the same search share."""
    if isinstance(ask, Propose):
        return ask.signature.__name__, repr(ask.inputs), ask.n, ask.temperature, ask.rollout
    rows = ask.score if isinstance(ask, Keep) else ask.rows
    if isinstance(ask, Train):
        return "Train", ask.candidate.id, ask.steps, rows, repr(ask.calls), ask.settings
    return type(ask).__name__, ask.candidate.id, ask.candidate.reason, rows


def _assert_same(first: _Run, second: _Run) -> None:
    """Raise AssertionError where two runs differ in an ask, the result or the calls that count."""
    (expected, asks, _), (result, again, _) = first, second
    assert [_shape(a) for a in again] == [_shape(a) for a in asks]
    assert (result.best.id, result.score) == (expected.best.id, expected.score)
    assert result.usage.calls == expected.usage.calls


def check_same_seed_same_search(make: Make) -> None:
    """The same seed and answers give the same asks and the same result."""
    _assert_same(_run(make, toy_settings(ToyLM())), _run(make, toy_settings(ToyLM())))


def check_asks_are_valid(make: Make) -> None:
    """Asks stay inside the rows and steps of the problem, and batches are not empty."""
    settings = toy_settings(ToyLM())
    _, asks, _ = _run(make, settings)
    allowed = set(settings.train) | set(settings.validation)
    paths = {path for path, _ in settings.program.named_predictors()}
    assert asks, "The search asked nothing at all."
    for ask in asks:
        if isinstance(ask, Score):
            assert ask.rows
            assert set(ask.rows) <= allowed
        if isinstance(ask, Train):
            assert ask.steps
            assert paths.issuperset(ask.steps)
            assert allowed.issuperset(ask.rows)
            assert allowed.issuperset(row for row, _ in ask.calls)
        if isinstance(ask, Propose):
            assert ask.n >= 1
        else:
            assert set(ask.candidate.steps) == paths


def check_budget_holds(make: Make) -> None:
    """No budget is passed by a single call, and a spent one ends in a result, not in an error."""
    for calls in (1, 2, 5, 17, 18, 19, 40, 75):
        lm = ToyLM()
        result, _, _ = _run(make, toy_settings(lm, budget=Budget(calls=calls)))
        assert lm.paid <= calls, f"{lm.paid} calls were made on a budget of {calls}."
        assert result.usage.calls == lm.paid
    for tokens in (60, 1000, 4000):
        lm = ToyLM()
        result, _, _ = _run(make, toy_settings(lm, budget=Budget(tokens=tokens)))
        assert result.usage.tokens <= tokens


def check_result_is_earned(make: Make) -> None:
    """A kept candidate with a score was scored on every row that the search validated with."""
    for calls in (None, 30, 60):
        result, asks, _ = _run(make, toy_settings(ToyLM(), budget=Budget(calls=calls)))
        keeps = [ask for ask in asks if isinstance(ask, Keep) and ask.score is not None]
        complete = {t.candidate.id for t in result.trials if t.complete and t.split == "validation"}
        assert all(ask.candidate.id in complete for ask in keeps)
        validated = {c.id: s for s, c in result.validated()}
        if result.score is not None and result.best.id in validated:
            assert abs(result.score - validated[result.best.id]) < 1e-9


def check_student_is_left_alone(make: Make) -> None:
    """The program that is tuned is the same afterwards, and what compile returns is another."""
    optimizer = make()
    optimizer.metric = toy_metric
    optimizer.task_model = lm = ToyLM()
    optimizer.trainers = (toy_trainer(lm),)
    student = Predict("text -> label")
    before = student.candidate().as_dict()
    rows = list(toy_rows().values())
    compiled = optimizer.compile(student, trainset=rows[:18], valset=rows[18:])
    assert student.candidate().as_dict() == before
    assert compiled is not student
    assert isinstance(compiled, Predict)


def check_lineage_is_complete(make: Make) -> None:
    """Every candidate but the first has a reason in words and parents that were found before it."""
    _, _, events = _run(make, toy_settings(ToyLM()))
    known: set[str] = set()
    for event in events:
        if isinstance(event, CandidateFound):
            if event.number:
                assert event.candidate.reason.strip()
                assert event.candidate.parents
                assert known.issuperset(event.candidate.parents)
            known.add(event.candidate.id)


def check_resume_is_the_same_run(make: Make) -> None:
    """A run that died and is driven again makes the same asks, ends alike and pays for nothing twice."""
    whole = ToyLM()
    expected = _run(make, toy_settings(whole))
    for rows in (3, 25, 60):
        lm = ToyLM()
        _run(make, toy_settings(lm), StopAfter(rows))
        _assert_same(expected, _run(make, toy_settings(lm)))
        assert lm.paid == whole.paid


def check_pauses_change_nothing(make: Make) -> None:
    """A run that was paused over and over makes the same asks, the same calls and ends alike."""
    _assert_same(_run(make, toy_settings(ToyLM())), _run(make, toy_settings(ToyLM()), _PauseOften()))


def check_a_killed_run_goes_on(make: Make) -> None:
    """A run that was killed in the middle of a call ends, driven again, like one that was not, and pays nothing twice."""
    whole = ToyLM()
    expected = _run(make, toy_settings(whole))
    for calls in (1, 30):
        lm = _FatalLM(calls)
        killed = loop.submit(_doomed(Driver(toy_settings(lm)).search(_noting(make, [])), lm)).result()
        assert killed == (lm.paid >= calls), "The run outlived its end."
        lm.kill = bool
        _assert_same(expected, _run(make, toy_settings(lm)))
        assert lm.paid == whole.paid


def check_compile_takes_a_budget(make: Make) -> None:
    """`compile(..., budget=...)` never passes it, and ends in a program and a closing message."""
    rows = list(toy_rows().values())
    for budget in (Budget(calls=1), Budget(calls=25), Budget(tokens=500), Budget(seconds=1e-9)):
        optimizer, lm = make(), ToyLM()
        optimizer.metric, optimizer.task_model = toy_metric, lm
        optimizer.trainers = (toy_trainer(lm),)
        compiled: Any = optimizer.compile(
            Predict("text -> label"), trainset=rows[:18], valset=rows[18:], budget=budget
        )
        assert lm.paid <= (25 if budget.calls is None else budget.calls)
        assert compiled.tuning.usage.tokens <= (budget.tokens or 10**9)
        assert compiled.tuning.reason.strip()


def check_stop_keeps_what_there_is(make: Make) -> None:
    """A stopped search ends with a result."""
    for rows in (0, 5, 30):
        result, _, events = _run(make, toy_settings(ToyLM()), StopAfter(rows))
        assert result.stopped in ("stopped", "finished")
        known = {e.candidate.id for e in events if isinstance(e, CandidateFound)}
        assert result.best.id in known


def check_failures_are_survived(make: Make) -> None:
    """Rows that fail, all of them even, end in a result."""
    some, _, _ = _run(make, toy_settings(ToyLM(refuse=("leaf", "sky"))))
    assert some.stopped == "finished"
    for score in (0.0, 1.0, float("nan")):
        result, _, _ = _run(make, toy_settings(ToyLM(), metric=lambda *_, s=score: s))
        assert result.stopped == "finished", result.reason


def check_frozen_parts_stay(make: Make) -> None:
    """Frozen parts are the same in every candidate, and no wording is proposed where none may change."""
    program = frozen_program()
    seed = program.candidate().steps["self"]
    sentence, key = "Never guess.", demo_key(seed.demos[1])
    keeps: dict[Part, Callable[[StepState], bool]] = {
        "step": lambda s: s == seed,
        "instructions": lambda s: s.instructions == seed.instructions,
        "sentence": lambda s: sentence in s.instructions,
        "demos": lambda s: (s.demos, s.nearest) == (seed.demos, seed.nearest),
        "demo": lambda s: seed.demos[1] in s.demos,
        "fields": lambda s: s.field_descriptions == seed.field_descriptions,
        "tools": lambda s: s.tool_descriptions == seed.tool_descriptions,
        "weights": lambda s: s.weights == seed.weights,
    }
    for part, kept in keeps.items():
        frozen = (Freeze(step="self", part=part, text={"sentence": sentence, "demo": key}.get(part, "")),)
        lm = ToyLM()
        settings = toy_settings(lm, program=program, frozen=frozen)
        result, asks, events = _run(make, settings)
        candidates = [e.candidate for e in events if isinstance(e, CandidateFound)]
        assert all(kept(c.steps["self"]) for c in (*candidates, result.best)), part
        known = {c.id for c in candidates}
        assert all(known.issuperset(c.parents) for c in candidates)
        assert result.stopped == "finished", result.reason
        if part in ("step", "instructions"):
            # Where only the instructions are frozen, a description may still be written.
            free = {"proposed_description"} if part == "instructions" else set()
            asked = [a.signature.output_fields.keys() for a in asks if isinstance(a, Propose)]
            assert not [names for names in asked if not names & free], (
                "It asked for wordings that cannot be used."
            )
        again, _, _ = _run(make, settings)
        assert (again.best.id, again.usage.calls) == (result.best.id, result.usage.calls)


CHECKS: tuple[Callable[[Make], None], ...] = (
    check_same_seed_same_search,
    check_asks_are_valid,
    check_budget_holds,
    check_result_is_earned,
    check_student_is_left_alone,
    check_lineage_is_complete,
    check_resume_is_the_same_run,
    check_pauses_change_nothing,
    check_a_killed_run_goes_on,
    check_compile_takes_a_budget,
    check_stop_keeps_what_there_is,
    check_failures_are_survived,
    check_frozen_parts_stay,
)
