"""Rows on workers: the same outcomes as here, one budget, and nothing paid twice when a worker is lost.

The workers are objects of this process here; `tests/ray_tests` has real ones on a cluster.
"""

import asyncio
import contextlib
from dataclasses import replace

import pytest
from support import run_setup
from support.servers.openai_server import OpenAIServer

from engine import loop
from engine.errors import ConfigurationError, RunError
from engine.lm.calls.cache import Cache
from engine.lm.client import LM
from engine.metrics import ExactMatch
from engine.optimizers.few_shot_search import BootstrapFewShotWithRandomSearch
from engine.pipeline.build import build_program
from engine.records import Example
from engine.runs.backends import messages
from engine.runs.backends.worker import Worker
from engine.runs.backends.workers import MOST_LOSSES, LinkLostError, Workers
from engine.search.budget import Budget
from engine.search.driver import Driver
from engine.search.settings import Settings
from engine.testing.contract import StopAfter, ToyLM


class HereLink:
    """The way to a worker of this process, through bytes as to any other; `cut` loses it."""

    def __init__(self, settings):
        self.worker = Worker()
        self.worker.set_up(messages.SetUp(settings, "no folder"))
        self.gone = asyncio.get_running_loop().create_future()

    def cut(self):
        if not self.gone.done():
            self.gone.set_exception(LinkLostError("It is gone."))

    async def send(self, data):
        self.worker.take(data)

    async def receive(self):
        found = asyncio.ensure_future(loop.in_thread(self.worker.give))
        await asyncio.wait((found, self.gone), return_when=asyncio.FIRST_COMPLETED)
        if self.gone.done():
            self.gone.result()
        return found.result()

    def close(self):
        self.worker._outbox.put(messages.End(0))  # lets its waiting thread go


def settings_of(lm, rows=24, **changes):
    examples = {
        i: Example(
            text=f"a {run_setup.ADJECTIVES[i % 8]} {run_setup.THINGS[i % 10]} number {i}",
            shelf=run_setup.COLOURS[i % 10 % 3],
        ).with_inputs("text")
        for i in range(rows)
    }
    return Settings(
        program=build_program(run_setup.PIPELINE),
        metric=ExactMatch(),
        rows=examples,
        train=tuple(range(rows // 2)),
        validation=tuple(range(rows // 2, rows)),
        lm=lm,
        concurrency=6,
        seed=1,
        **changes,
    )


@contextlib.asynccontextmanager
async def workers(settings, size=2, links=None):
    links = [] if links is None else links

    async def start():
        links.append(HereLink(settings))
        return links[-1]

    async with Workers(start, size, [settings.lm]) as backend:
        yield backend


SEARCH = BootstrapFewShotWithRandomSearch(num_candidate_programs=2, max_bootstrapped_demos=2).search


def searched(settings, backend=None, control=None):
    driver = Driver(settings, control=control, backend=backend)
    return loop.here_or_there(driver.search(SEARCH))


async def spread(settings, *, links=None, control=None, meanwhile=None):
    async with workers(settings, links=links) as backend:
        task = asyncio.ensure_future(searched(settings, backend, control))
        if meanwhile is not None:
            await meanwhile()
        return await task


def without_times(result):
    return [
        [replace(outcome, seconds=0.0) for outcome in trial.evaluation.outcomes] for trial in result.trials
    ]


@pytest.fixture
def server():
    with OpenAIServer(answer=run_setup.answer) as server:
        yield server


def hosted(server, path=None):
    return LM("openai/test-model", api_base=server.url, api_key="sk-test", cache=Cache(path))


def test_the_search_is_the_same_as_here(server):
    here = loop.run(searched(settings_of(hosted(server))))
    paid = server.calls
    there = loop.run(spread(settings_of(hosted(server))))
    assert (there.best.id, there.score, there.usage) == (here.best.id, here.score, here.usage)
    assert without_times(there) == without_times(here)
    assert server.calls == 2 * paid


def test_the_offline_model_answers_on_the_workers():
    lm = LM("offline/learner", cache=False)
    here, there = loop.run(searched(settings_of(lm))), loop.run(spread(settings_of(lm)))
    assert (there.best.id, there.usage) == (here.best.id, here.usage)
    assert without_times(there) == without_times(here)


@pytest.mark.parametrize("calls", [1, 13, 40])
def test_no_call_passes_the_budget(server, calls):
    result = loop.run(spread(settings_of(hosted(server), budget=Budget(calls=calls))))
    assert server.calls <= calls
    assert result.usage.calls == server.calls


def test_a_lost_workers_rows_run_again_and_nothing_is_paid_twice(server):
    here = loop.run(searched(settings_of(hosted(server))))
    paid, links = server.calls, []
    server.hold(after=paid + 9)

    async def lose():
        while server.calls < paid + 12:
            await asyncio.sleep(0.01)
        links[0].cut()
        while len(links) < 3:
            await asyncio.sleep(0.01)
        server.release()

    there = loop.run(spread(settings_of(hosted(server)), links=links, meanwhile=lose))
    assert (there.best.id, there.usage) == (here.best.id, here.usage)
    assert without_times(there) == without_times(here)
    assert server.calls == 2 * paid


def test_a_row_that_kills_its_workers_fails_alone(server):
    settings = settings_of(hosted(server))
    links = []

    class Deadly(HereLink):
        async def send(self, data):
            if any(isinstance(m, messages.Row) and m.row == 20 for m in messages.unpacked(data)):
                self.cut()
            await super().send(data)

    async def run():
        async def start():
            links.append(Deadly(settings))
            return links[-1]

        async with Workers(start, 1, [settings.lm]) as backend:
            driver = Driver(replace(settings, concurrency=1), backend=backend)
            return await driver.score(driver.seed, (19, 20, 21))

    evaluation = loop.run(run())
    assert [outcome.error is None for outcome in evaluation.outcomes] == [True, False, True]
    assert f"{MOST_LOSSES} workers died" in evaluation.outcomes[1].error
    assert len(links) == 1 + MOST_LOSSES


def test_a_stop_ends_it_with_the_best_so_far(server):
    result = loop.run(spread(settings_of(hosted(server)), control=StopAfter(20)))
    assert result.stopped == "stopped"
    assert server.calls <= 21


def test_an_endpoint_that_is_away_is_waited_for_also_by_rows_on_workers(server):
    async def an_outage():
        while server.calls < 20:
            await asyncio.sleep(0.01)
        server.fail_with(503)
        await asyncio.sleep(12)  # longer than the tries of one call take
        server.recover()

    server.latency = 0.02
    result = loop.run(spread(settings_of(hosted(server)), meanwhile=an_outage))
    assert result.stopped == "finished"
    assert not [o.error for trial in result.trials for o in trial.evaluation.outcomes if o.error]


def test_failed_rows_have_the_same_error_as_here(server):
    server.fail_with(400)
    errors = []
    for run in (searched, spread):
        with pytest.raises(RunError) as raised:
            loop.run(run(settings_of(hosted(server))))
        errors.append(str(raised.value))
    assert errors[0] == errors[1]


def test_no_message_holds_a_key(server):
    lm = LM(
        "openai/test-model", api_base=server.url, api_key="sk-very-secret", extra_headers={"X": "sk-other"}
    )
    data = messages.packed([messages.SetUp(settings_of(lm), "")]) + messages.model_as_bytes(lm)
    assert b"sk-very-secret" not in data


def test_a_model_of_ones_own_is_refused():
    with pytest.raises(ConfigurationError, match="one machine only"):
        messages.model_as_bytes(ToyLM())


def test_a_worker_that_cannot_be_started_is_the_runs_error(server):
    settings = settings_of(hosted(server))

    async def start():
        raise RunError("The cluster has no Tuneboard.")

    async def run():
        async with Workers(start, 2, []):
            pass

    with pytest.raises(RunError, match="no Tuneboard"):
        loop.run(run())
    assert settings.lm is not None
