"""How long each optimizer waits: rounds of calls, counted without a clock, next to what its calls alone would take.

Where every call takes the same time, a run's wall time is its number of rounds times that: the model here answers all
calls that wait for it together, once no other comes. So what is measured is the whole engine, on any machine.
"""

import asyncio
from dataclasses import replace

import pytest
from support.small_optimizers import PROMPT_OPTIMIZERS, HintLM, TwoSteps

from engine import loop
from engine.lm.base import Choice
from engine.metrics import ExactMatch
from engine.modules.predict import Predict
from engine.optimizers.few_shot import BootstrapFewShot
from engine.search.budget import Budget
from engine.search.driver import Driver
from engine.testing.contract import toy_rows, toy_settings

AT_ONCE = 64
ROWS = 200


class RoundsLM(HintLM):
    """Answers in rounds: everybody who waits at once, when nobody else comes any more."""

    def __init__(self):
        super().__init__()
        self.rounds = []
        self._waiting = {}

    async def complete(self, request):
        key = request.key()
        if key in self.cache:
            return await super().complete(request)
        if not self._waiting:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        joined = key in self._waiting  # the same request twice at once is one call, as with any client
        answered = self._waiting.setdefault(key, (request, asyncio.get_running_loop().create_future()))[1]
        reply = await answered
        return replace(reply, cached=True) if joined else reply

    async def _close(self):
        known = 0
        while known != len(self._waiting):
            known = len(self._waiting)
            for _ in range(100):  # nothing here waits for anything but the loop's own turns
                await asyncio.sleep(0)
        self.rounds.append(known)
        waiting, self._waiting = self._waiting, {}
        for request, answered in waiting.values():
            answered.set_result(await self._answered(request))

    async def _answered(self, request):
        return await super().complete(request)


def rounds(kind, program, budget=None, lm=None):
    """Tune with the optimizer's defaults, 64 calls at once; return how many calls each round had."""
    lm = lm or RoundsLM()
    settings = toy_settings(
        lm,
        program=program,
        rows=toy_rows(ROWS),
        train=tuple(range(ROWS // 2)),
        validation=tuple(range(ROWS // 2, ROWS)),
        metric=ExactMatch(),  # one of the engine's own runs on the loop, not in a thread
        concurrency=AT_ONCE,
        budget=budget or Budget(),
    )
    result = loop.run(Driver(settings).search(kind().search))
    assert result.stopped in ("finished", "budget"), result.reason
    assert sum(lm.rounds) == lm.paid
    assert max(lm.rounds, default=0) <= AT_ONCE
    return lm.rounds


@pytest.mark.parametrize(("program", "calls_a_row"), [(Predict("text -> label"), 1), (TwoSteps(), 2)])
@pytest.mark.parametrize("kind", PROMPT_OPTIMIZERS, ids=lambda o: o.name)
def test_a_run_waits_at_most_twice_as_long_as_its_calls_take(kind, program, calls_a_row):
    # No run can end before the calls of one row have, one after the other.
    made = rounds(kind, program)
    most = 1.5 if kind.name in ("MIPROv2", "BootstrapFewShot") else 2
    assert len(made) <= most * max(sum(made) / AT_ONCE, calls_a_row), made


class SelfTaughtLM(RoundsLM):
    """Solves a row by what its last digit says, whatever it is shown: one of ten."""

    async def _answered(self, request):
        reply = await super()._answered(request)
        text = str(request.messages[-1]["content"]).split("]]\n", 1)[-1].split("\n", 1)[0]
        right = text.endswith("7")
        label = toy_rows(ROWS)[int(text.split()[1])].label if right else "wrong"
        return replace(reply, choices=(Choice(f"[[ ## label ## ]]\n{label}\n\n[[ ## completed ## ]]"),))


def test_rare_solved_rows_are_looked_for_in_ever_larger_batches():
    made = rounds(BootstrapFewShot, Predict("text -> label"), lm=SelfTaughtLM())
    assert len(made) <= 8  # row by row it would be 38, four at a time some 20
    assert sum(made) <= 57  # the fourth solved row is the 38th; in the mean looking ahead costs a third more
