"""asyncify and syncify: programs and functions, plainly and awaited, with the settings in force."""

import asyncio
import threading

import engine
from engine.runtime import current
from engine.testing import DummyLM


def test_functions_run_in_threads_with_the_settings_in_force():
    def look():
        """Says where it runs."""
        return threading.current_thread().name, current().num_threads

    asynced = engine.asyncify(look)
    assert asynced.__name__ == "look"
    with engine.context(num_threads=3):
        name, threads = asyncio.run(asynced())
    assert name != threading.current_thread().name
    assert threads == 3


def test_programs_are_awaited():
    async def run():
        with engine.context(lm=DummyLM([{"answer": "4"}] * 2)):
            program = engine.asyncify(engine.Predict("question -> answer"))
            return await asyncio.gather(program(question="a"), program(question="b"))

    assert [answer.answer for answer in asyncio.run(run())] == ["4", "4"]


def test_workers_are_limited():
    running, peak = 0, 0
    lock, two = threading.Lock(), threading.Barrier(2, timeout=60)

    def work():
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        two.wait()  # returns when two are here at once
        with lock:
            running -= 1

    limited = engine.asyncify(work, max_workers=2)

    async def run():
        await asyncio.gather(*(limited() for _ in range(8)))

    asyncio.run(run())
    asyncio.run(run())
    assert peak == 2


class OnlyAsync(engine.Module):
    async def aforward(self, x):
        await asyncio.sleep(0)
        return engine.Prediction(y=x + 1)


def test_syncify_waits():
    program = OnlyAsync()
    assert engine.syncify(program) is program
    assert engine.syncify(program)(x=1).y == 2
    assert engine.syncify(len) is len
