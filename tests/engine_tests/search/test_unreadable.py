"""A model whose every answer is unreadable: the search ends after its first trial, whatever the optimizer."""

import pytest
from support.small_optimizers import PROMPT_OPTIMIZERS, small

from engine import loop
from engine.errors import RunError
from engine.search.driver import Driver
from engine.testing.contract import ToyLM, toy_settings


class Mumbling(ToyLM):
    async def complete(self, request):
        return await self.reply(request, request.key(), "<b>Hm.</b> " * 100)


TRIES = 3
"""Requests for a row: as it is, once more, and as JSON."""


@pytest.mark.parametrize("optimizer", PROMPT_OPTIMIZERS, ids=lambda optimizer: optimizer.name)
def test_it_ends_after_one_trials_calls_and_shows_an_answer(optimizer):
    driver = Driver(toy_settings(Mumbling()))
    rows = driver.settings.validation

    async def run():
        await driver.score(driver.seed, rows)
        await driver.search(small(optimizer)().search)

    with pytest.raises(RunError, match=r"No answer to the first \d+ rows can be read.*<b>Hm") as ended:
        loop.run(run())
    assert len(str(ended.value)) < 400
    assert driver.settings.lm.paid <= TRIES * len(rows)
