"""The estimate: what it says is what a run then takes."""

import heapq
from typing import Literal

import pytest
from pydantic import BaseModel
from support.small_optimizers import Relay

from engine import loop
from engine.adapters.two_step import TwoStepAdapter
from engine.lm.base import BaseLM
from engine.lm.calls.speeds import Speed
from engine.metrics.base import Grade, Metric
from engine.modules.best_of_n import BestOfN
from engine.modules.predict import ChainOfThought, Predict
from engine.modules.react import ReAct
from engine.optimizers.base import Optimizer
from engine.optimizers.few_shot import BootstrapFewShot, LabeledFewShot
from engine.optimizers.gepa import GEPA
from engine.optimizers.mipro import MIPROv2
from engine.records import Example
from engine.search.budget import Budget
from engine.search.contract import Score
from engine.search.driver import Driver
from engine.search.estimate import estimate, makespan
from engine.search.stand_ins import invent
from engine.testing.contract import ToyLM, toy_rows, toy_settings

TEST = tuple(range(60, 80))


class Unreachable(BaseLM):
    """Fails the test if it is ever called."""

    def __init__(self, price=None):
        super().__init__("hosted/model")
        self._price = price

    async def complete(self, request):
        raise AssertionError("An estimate calls no model.")

    def price(self):
        return self._price


def settings(lm, **changes):
    return toy_settings(
        lm, rows=toy_rows(80), train=tuple(range(30)), validation=tuple(range(30, 60)), **changes
    )


def whole_run(optimizer: Optimizer, lm: ToyLM) -> int:
    """Do what a run does, and return the calls it paid."""
    run = settings(lm)
    driver = Driver(run)

    async def work():
        await driver.score(driver.seed, run.validation)
        result = await driver.search(optimizer.search)
        await driver.score(result.best, run.validation)
        await driver.compare(result.seed, result.best, TEST)

    loop.run(work())
    return lm.paid


@pytest.mark.parametrize("optimizer", [LabeledFewShot, MIPROv2, GEPA], ids=lambda optimizer: optimizer.name)
def test_the_range_contains_what_a_run_takes(optimizer):
    said = estimate(optimizer().search, settings(Unreachable()), baseline_rows=range(30, 60), test_rows=TEST)
    taken = whole_run(optimizer(), ToyLM())
    assert said.calls.low <= taken <= said.calls.high or abs(said.calls.typical - taken) <= 0.15 * taken
    assert said.calls.low <= said.calls.typical <= said.calls.high
    assert said.seconds.low > 0


def test_it_is_exact_where_nothing_is_left_to_chance():
    said = estimate(
        LabeledFewShot().search, settings(Unreachable()), baseline_rows=range(30, 60), test_rows=TEST
    )
    assert said.calls.low == said.calls.typical == said.calls.high == 30 + 30 + 20 + 20
    assert said.cut == ""


def test_a_range_where_it_depends_on_how_many_rows_are_solved():
    said = estimate(BootstrapFewShot().search, settings(Unreachable()))
    assert (said.calls.low, said.calls.high) == (6, 30)


def test_money_needs_prices_and_follows_them():
    one = estimate(LabeledFewShot().search, settings(Unreachable((1e-6, 2e-6))), test_rows=TEST)
    ten = estimate(LabeledFewShot().search, settings(Unreachable((1e-5, 2e-5))), test_rows=TEST)
    assert one.usd.typical > 0
    assert ten.usd.typical == pytest.approx(10 * one.usd.typical)
    assert estimate(LabeledFewShot().search, settings(Unreachable()), test_rows=TEST).usd is None


def test_the_prompt_models_price_counts_too():
    cheap, dear = Unreachable((0.0, 0.0)), Unreachable((1.0, 1.0))
    said = estimate(MIPROv2().search, settings(cheap, prompt_lm=dear))
    assert said.usd.low > 0
    assert estimate(MIPROv2().search, settings(cheap, prompt_lm=Unreachable())).usd is None


def test_a_budget_is_respected_and_what_it_cuts_is_said():
    said = estimate(MIPROv2().search, settings(Unreachable(), budget=Budget(calls=120)), test_rows=TEST)
    assert said.calls.high <= 120
    assert "the budget leaves about" in said.cut


def test_more_tokens_for_longer_prompts():
    few = estimate(LabeledFewShot(k=1).search, settings(Unreachable()), test_rows=TEST)
    many = estimate(LabeledFewShot(k=16).search, settings(Unreachable()), test_rows=TEST)
    assert many.tokens.typical > 1.5 * few.tokens.typical


class Address(BaseModel):
    street: str
    number: int


def test_typed_fields_and_reasoning_steps_are_stood_in_for():
    signature = Predict("text: str -> kind: Literal['a', 'b'], n: int, ok: bool, tags: list[str]").signature
    rows = {i: Example(text=f"t{i}", kind="a").with_inputs("text") for i in range(6)}
    run = toy_settings(
        Unreachable(), program=ChainOfThought(signature), rows=rows, train=(0, 1, 2), validation=(3, 4, 5)
    )
    assert estimate(BootstrapFewShot().search, run).calls.low == 3
    made = invent(Address)
    assert (type(made.street), made.number) == (str, 1)
    assert invent(Literal["x", "y"]) == "x"
    assert invent(dict[str, int]) == {"key": 1}
    assert invent(int | None) == 1


class KeepingLM(ToyLM):
    caches = True


def test_calls_that_the_cache_will_answer_are_not_counted() -> None:
    """A new wording of the second step leaves the first one's calls as they were."""

    def search(problem):  # type: ignore[no-untyped-def]
        other = problem.seed.with_step("second", instructions="Say it.").derived("New.", problem.seed)
        yield [Score(problem.seed, problem.validation)]
        yield [Score(other, problem.validation)]

    rows = 18
    kept = estimate(search, toy_settings(KeepingLM(), program=Relay())).calls
    free = estimate(search, toy_settings(ToyLM(), program=Relay())).calls
    assert (free.low, free.high) == (4 * rows, 4 * rows)
    assert kept.high == 3 * rows
    assert kept.low == rows + 2


def test_every_call_has_the_price_of_the_model_that_is_asked():
    def usd(step_price: float, extraction_price: float) -> float:
        run = settings(Unreachable((1e-6, 1e-6)))
        step = run.program.predictors()[0]
        step.adapter = TwoStepAdapter(Unreachable((extraction_price, extraction_price)))
        step.lm = Unreachable((step_price, step_price))
        said = estimate(LabeledFewShot().search, run, test_rows=TEST)
        assert said.usd is not None
        return said.usd.typical

    alike = usd(1e-6, 1e-6)
    assert alike < usd(1e-5, 1e-6) < usd(1e-5, 1e-5)
    assert usd(1e-5, 1e-6) + usd(1e-6, 1e-5) == pytest.approx(11 * alike)
    assert usd(1e-5, 1e-5) == pytest.approx(10 * alike)


class Judged(Metric):
    """A metric that asks a judge once a row."""

    calls = 1

    def compare(self, expected, answer):
        return Grade(1.0)


@pytest.mark.parametrize(
    ("changes", "calls_a_row"),
    [
        ({"metric": Judged()}, 2),
        ({"program": ReAct("text -> label", tools=[], max_iters=3)}, 3),
        ({"program": BestOfN(Predict("text -> label"), 3, lambda args, answer: 1.0, threshold=1.0)}, 2),
    ],
)
def test_the_estimate_keeps_back_for_the_final_test_what_a_run_does(changes, calls_a_row):
    run = settings(ToyLM(), budget=Budget(calls=1000), **changes)
    limits = []

    def search(problem):
        limits.append(problem.meter.limit)
        return None
        yield

    estimate(search, run, test_rows=TEST)
    loop.run(Driver(run).search(search, test_rows=len(TEST)))
    assert limits[0] == limits[-1] == 1000 - 2 * len(TEST) * calls_a_row


@pytest.mark.parametrize(
    ("jobs", "slots"),
    [
        ([(1.0, 20)], 16),
        ([(1.0, 3), (5.0, 1), (1.0, 30)], 4),
        ([(2.0, 7), (0.5, 1)], 3),
        ([(1.0, 1)], 8),
        ([], 2),
    ],
)
def test_a_batch_takes_as_long_as_its_jobs_begun_one_by_one_on_free_slots(jobs, slots):
    free_at = [0.0] * slots
    for seconds, number in jobs:
        for _ in range(number):
            heapq.heappush(free_at, heapq.heappop(free_at) + seconds)
    assert makespan(jobs, slots) == pytest.approx(max(free_at))


class Timed(Unreachable):
    """A model whose calls took this long, whatever they wrote."""

    def __init__(self, seconds: float):
        super().__init__((0.0, 0.0))
        self._speed = Speed()
        for tokens in [10] * 200 + [300] * 20:
            self._speed = self._speed.with_call(seconds, tokens)

    def speed(self) -> Speed:
        return self._speed


def test_the_time_follows_the_speed_measured_on_the_models_own_calls():
    def seconds(lm: BaseLM, **changes) -> float:
        return estimate(
            LabeledFewShot().search, settings(lm, concurrency=10, **changes), test_rows=TEST
        ).seconds.typical

    assert seconds(Timed(2.0)) == pytest.approx(2.0 * 4, rel=0.25)
    assert seconds(Timed(20.0)) == pytest.approx(10 * seconds(Timed(2.0)), rel=0.01)
    assert seconds(Unreachable()) < seconds(Timed(2.0))


def test_prompts_written_one_after_another_take_the_time_of_the_model_that_writes_them():
    def seconds(writer: BaseLM) -> float:
        return estimate(
            GEPA().search, settings(Timed(0.1), prompt_lm=writer, budget=Budget(calls=300))
        ).seconds.typical

    assert seconds(Timed(10.0)) > 3 * seconds(Timed(0.1))


def test_rows_that_another_model_answers_take_that_models_time():
    def seconds(other: float) -> float:
        run = settings(Timed(0.1), models={"other/model": Timed(other)})
        return estimate(LabeledFewShot().search, run, test_rows=TEST).seconds.typical

    assert seconds(10.0) > 5 * seconds(0.1)
