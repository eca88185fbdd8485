"""The cost of a final test, as the driver expects it: which prompts, which rows, what a call takes."""

import pytest

from engine import loop
from engine.records import Usage
from engine.search.budget import Budget
from engine.search.contract import Keep, Score
from engine.search.driver import Driver
from engine.search.result import FinalTestCost
from engine.testing.contract import ToyLM, toy_rows, toy_settings

ROWS = tuple(range(36, 48))


class Counting(ToyLM):
    """Counts its calls."""

    calls = 0

    async def complete(self, request):
        self.calls += 1
        return await super().complete(request)


def scored_driver(budget=None):
    """A driver that has scored the start and two other prompts, and the two: the best, and the best static one."""
    driver = Driver(toy_settings(Counting(), rows=toy_rows(48), budget=budget or Budget()))
    best, static = (driver.seed.with_step("self", instructions=text) for text in ("Best.", "Static."))
    for candidate in (driver.seed, best, static):
        loop.run(driver.score(candidate, driver.settings.validation))
    return driver, best, static


def cost(driver, best, static, **more):
    return loop.submit(driver.test_cost(best, static, ROWS, **more)).result()


def test_each_prompt_is_tested_once_and_rows_that_have_an_outcome_cost_nothing():
    driver, best, static = scored_driver()
    assert cost(driver, driver.seed, None).calls == 12
    assert cost(driver, best, None).calls == 24
    assert cost(driver, best, static).calls == 36
    before = driver.settings.lm.calls
    loop.run(driver.compare(driver.seed, best, ROWS))
    assert driver.settings.lm.calls - before == 24
    assert cost(driver, best, static).calls == 12
    loop.run(driver.score(static, ROWS))
    assert driver.settings.lm.calls - before == 36
    assert cost(driver, best, static) == FinalTestCost(0, usd=None, seconds=0.0)


@pytest.mark.parametrize(("left", "calls"), [(36, 36), (35, 24), (24, 24), (17, 16), (0, 0)])
def test_a_limit_leaves_out_the_third_prompt_first_and_then_rows(left, calls):
    driver, best, static = scored_driver(Budget(calls=3 * 18 + left))
    assert driver.ledger.spent.calls == 3 * 18
    driver.settings.keep_back_final_test(driver.ledger, len(ROWS))
    assert cost(driver, best, static).calls == calls
    assert cost(driver, best, static, limited=False).calls == 36
    before = driver.settings.lm.calls
    loop.run(driver.compare(driver.seed, best, ROWS))
    assert driver.settings.lm.calls - before == min(calls, 24)


def test_what_a_call_takes_is_measured_or_the_estimates():
    estimate = {"calls": {"high": 100}, "usd": {"high": 1.0}, "seconds": {"high": 10.0}, "final_calls": 3}
    assert FinalTestCost(50).completed(estimate) == FinalTestCost(50, 0.5, 5.0)
    assert FinalTestCost(50, 0.2, 3.0).completed(estimate) == FinalTestCost(50, 0.2, 3.0)
    assert FinalTestCost(50).completed({**estimate, "usd": None}) == FinalTestCost(50, None, 5.0)
    assert FinalTestCost(50).completed(None) == FinalTestCost(50)
    assert FinalTestCost(1, 0.0, 0.1).words == "1 call, free, 1 s"
    driver, best, static = scored_driver()
    usage = sum((t.evaluation.usage for t in driver.trials), Usage())
    assert usage.calls == 54
    assert cost(driver, best, static).usd == pytest.approx(usage.cost / 54 * 36) if usage.cost else True


def test_the_reserve_is_that_of_the_prompts_tested_not_of_the_starts_size():
    driver = Driver(toy_settings(Counting(), rows=toy_rows(48), budget=Budget(tokens=100_000)))
    loop.run(driver.score(driver.seed, driver.settings.validation))
    best = driver.seed.with_step("self", instructions="A much longer prompt. " * 100)

    def search(problem):
        yield [Score(best, problem.validation)]
        kept.append(driver.ledger._kept_back.tokens)
        yield [Keep(best, 1.0)]
        yield [Score(driver.seed, problem.train[:1])]
        kept.append(driver.ledger._kept_back.tokens)

    kept = []
    loop.run(driver.search(search, test_rows=len(ROWS)))
    before = driver.ledger.spent.tokens
    loop.run(driver.compare(driver.seed, best, ROWS))
    used = driver.ledger.spent.tokens - before
    assert kept[0] < used <= kept[1] <= 1.2 * used
