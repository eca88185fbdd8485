"""The limit of requests at once to an endpoint, over several processes, counted at a real server."""

import subprocess
import sys
import time

import pytest
from support.run_setup import wait_for
from support.servers.openai_server import OpenAIServer

from engine.lm.calls.limits import EndpointSlots

CALLER = """
import asyncio, sys
from pathlib import Path
from engine import loop
from engine.lm.client import LM
from engine.lm.calls.limits import SharedLimit, shared_limit
folder, url, name, at_once, calls = sys.argv[1:]

async def main():
    shared_limit.set(SharedLimit(Path(folder), int(at_once)))
    lm = LM("openai/test-model", api_base=url, api_key="sk-test", cache=False)
    await asyncio.gather(*(lm.acall(f"{name} {number}") for number in range(int(calls))))

print("ready", flush=True)
sys.stdin.readline()
loop.run(main())
print("done", flush=True)
"""


@pytest.fixture
def callers(tmp_path):
    started = []

    def call(url, name, at_once, calls):
        process = subprocess.Popen(
            [sys.executable, "-c", CALLER, str(tmp_path), url, name, str(at_once), str(calls)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield call
    for process in started:
        process.kill()
        process.communicate()


def begin(process):
    process.stdin.write("go\n")
    process.stdin.flush()


def asked_by(server, name):
    return sum(str(body["messages"]).count(f"{name} ") for body in server.requests)


def test_three_processes_together_keep_to_the_limit_and_use_it(callers):
    with OpenAIServer(latency=0.05) as server:
        processes = [callers(server.url, name, 4, 40) for name in "abc"]
        started = time.monotonic()
        for process in processes:
            begin(process)
        assert [process.stdout.readline() for process in processes] == ["done\n"] * 3
        took = time.monotonic() - started
    assert len(server.requests) == 120
    assert server.peak <= 4
    assert server.peak >= 3, "slots that are free are used"
    print(f"120 calls of 50 ms, 4 at once, by 3 processes: {took:.2f} s (ideal 1.5 s)")


def test_a_process_that_comes_later_gets_its_share_and_a_killed_one_frees_its_slots(callers):
    with OpenAIServer() as server:
        server.hold(after=0)
        first, second = callers(server.url, "first", 4, 100), callers(server.url, "second", 4, 30)
        begin(first)
        wait_for(lambda: server.active == 4)
        begin(second)
        time.sleep(0.3)
        assert asked_by(server, "second") == 0, "there is no slot yet"
        first.kill()
        first.wait()
        wait_for(lambda: asked_by(server, "second") == 4)
        server.release()
        assert second.stdout.readline() == "done\n"


def test_a_busy_process_leaves_a_later_one_its_share(callers):
    with OpenAIServer(latency=0.05) as server:
        busy, late = callers(server.url, "busy", 4, 400), callers(server.url, "late", 4, 20)
        begin(busy)
        wait_for(lambda: asked_by(server, "busy") > 20)
        begin(late)
        assert late.stdout.readline() == "done\n"
        assert asked_by(server, "busy") < 400, "it is still at work"
        assert server.peak <= 4


def test_slots_that_cannot_be_shared_out_evenly_go_round(callers):
    with OpenAIServer(latency=0.05) as server:
        busy = [callers(server.url, name, 2, 400) for name in ("first", "second")]
        late = callers(server.url, "late", 2, 10)
        for process in busy:
            begin(process)
        wait_for(lambda: min(asked_by(server, name) for name in ("first", "second")) > 10)
        begin(late)
        assert late.stdout.readline() == "done\n"
        assert max(asked_by(server, name) for name in ("first", "second")) < 400, "they are still at work"
        assert server.peak <= 2


def test_the_limit_can_change_and_end_meanwhile(tmp_path):
    slots = EndpointSlots(tmp_path / "one.lock", 1)
    assert (slots.take(), slots.take()) == (True, False)
    slots.limit = 2
    wait_for(slots.take)
    slots.limit = 1
    slots.give()
    assert not slots.take()
    slots.limit = None
    assert slots.take()
    for _ in range(5):
        slots.give()  # also of requests from before there was a limit
