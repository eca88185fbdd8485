"""Endpoints that fail in thirteen ways, now and then or always, or refuse calls at random, under the runs of every optimizer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from fault_tests.check import Check, Finding
from support.run_setup import add_run, answer, server_model, start_worker
from support.servers.openai_server import Failure, OpenAIServer, body_hash
from support.small_optimizers import PROMPT_OPTIMIZERS, SMALL

from engine.runs.spec import Named
from engine.store.rows import RunRow
from engine.store.store import Store

SHARE = 0.3
MOST_REQUESTS = 1.35
MOST_TIMES = 2.0
LONGEST_SECONDS = 60.0
LATENCY = 0.4
REFUSED_TIMES, REFUSED_LATENCY = 3.0, 0.1
TIMEOUT = 1.0
"""Seconds that one request may take in these runs, which is what an endpoint that hangs costs."""


def _json(value: object, **more: Any) -> Failure:
    return Failure(body=orjson.dumps(value), **more)


def _completion(content: object) -> Failure:
    message = {"role": "assistant", "content": content}
    return _json({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


ERROR = {"error": {"message": "Not now.", "type": "error", "code": None}}
PAGE = b"<!DOCTYPE html><html><body>Welcome</body></html>"
KINDS: dict[str, Failure] = {
    "429 with a wait": _json(ERROR, status=429, headers={"Retry-After": "0.1"}),
    "429": _json(ERROR, status=429),
    "500": _json(ERROR, status=500),
    "502 page": Failure(502, PAGE, "text/html"),
    "503 with a wait": _json(ERROR, status=503, headers={"Retry-After": "0.1"}),
    "504": _json(ERROR, status=504),
    "dropped": Failure(drop=True),
    "cut off": Failure(body=b'{"id": "x", "choices": [{"index": 0, "message": {"role": "assi'),
    "empty body": Failure(),
    "web page in a 200": Failure(200, PAGE, "text/html"),
    "no choices": _json({"choices": []}),
    "null": _completion(None),
    "hangs": Failure(hang=True),
}


def now_and_then() -> Callable[[dict[str, Any]], Failure | None]:
    """Return what fails the first request of a share of all calls, in each kind in turn; which calls follows from their bodies."""
    seen: set[str] = set()
    kinds = list(KINDS.values())

    def fault(body: dict[str, Any]) -> Failure | None:
        key = body_hash(body)
        first = key not in seen
        seen.add(key)
        return kinds[int(key[8:16], 16) % len(kinds)] if first and int(key[:8], 16) < SHARE * 2**32 else None

    return fault


def some_faults(folder: Path, small: bool) -> Finding:
    """Run every optimizer on a healthy endpoint and on one where a share of the calls fails first."""
    return slowed(folder, small, LATENCY, now_and_then, MOST_REQUESTS, MOST_TIMES)


def refusals(folder: Path, small: bool) -> Finding:
    """Run every optimizer on a healthy endpoint and on one that refuses a share of all requests, and names no wait."""

    def at_random() -> Callable[[dict[str, Any]], Failure | None]:
        chance = random.Random(1)
        return lambda _: KINDS["429"] if chance.random() < SHARE else None

    return slowed(folder, small, REFUSED_LATENCY, at_random, 1.6, REFUSED_TIMES)


def slowed(
    folder: Path,
    small: bool,
    latency: float,
    faults: Callable[[], Callable[[dict[str, Any]], Failure | None]],
    requests_limit: float,
    times_limit: float,
) -> Finding:
    """Compare runs on a healthy endpoint with runs on one with faults: requests for each call, and time."""
    names = (
        ["BootstrapFewShotWithRandomSearch"] if small else [optimizer.name for optimizer in PROMPT_OPTIMIZERS]
    )
    missed, most_requests, most_times = [], 0.0, 0.0
    for name in names:
        with OpenAIServer(answer, latency=latency) as server:
            healthy = carried_out(folder / name / "healthy", server, name)
            server.forget()
            server.faults = faults()
            faulty = carried_out(folder / name / "faulty", server, name)
            requests = server.calls / max(1, faulty.calls)
        times = faulty.seconds / max(0.1, healthy.seconds)
        most_requests, most_times = max(most_requests, requests), max(most_times, times)
        slow = times > times_limit and not small  # the tests run side by side, where a time says little
        if faulty.state != "finished" or requests > requests_limit or slow:
            missed.append(f"{name}: {faulty.state}, {requests:.2f} requests, {times:.1f} x")
    runs = "1 optimizer" if small else f"{len(names)} optimizers"
    figure = f"{runs}: at most {most_requests:.2f} requests a call, {most_times:.1f} x the healthy time"
    return Finding(f"{figure}; missed by {'; '.join(missed)}" if missed else figure, met=not missed)


def only_faults(folder: Path, small: bool) -> Finding:
    """Start a run on an endpoint that fails in one way, always."""
    longest, missed = 0.0, []
    kinds = {kind: KINDS[kind] for kind in ("null", "hangs")} if small else KINDS
    for kind, failure in kinds.items():
        with OpenAIServer(answer) as server:
            server.faults = lambda _, failure=failure: failure
            started = time.monotonic()
            run = carried_out(folder / kind.replace(" ", "-"), server, "COPRO")
            seconds = time.monotonic() - started
        longest = max(longest, seconds)
        if run.state != "failed" or "127.0.0.1" not in run.message or seconds > LONGEST_SECONDS:
            missed.append(f"{kind}: {run.state} after {seconds:.0f} s")
    figure = f"{len(kinds)} kinds: each ended with the reason, after at most {longest:.0f} s"
    return Finding(f"{figure}; missed by {'; '.join(missed)}" if missed else figure, met=not missed)


def carried_out(home: Path, server: OpenAIServer, name: str) -> RunRow:
    """Carry out a run in its own process, however it ends; return it."""
    run_id = add_run(
        home,
        model=server_model(server.url).model_copy(update={"timeout": TIMEOUT}),
        optimizer=Named(name=name, options=SMALL.get(name, {})),
        concurrency=16,
    )
    start_worker(home, run_id).communicate(timeout=600)
    with Store.open(home, read_only=True) as store:
        return store.runs.get(run_id)


CHECKS = (
    Check(
        "some-faults",
        "30 % of the calls fail first, in thirteen ways, for every optimizer",
        f"ends; at most {MOST_REQUESTS} requests a call and {MOST_TIMES:.0f} x the healthy time",
        some_faults,
        in_tests=False,  # `engine_tests/lm/test_retries.py` has every fault that may pass
    ),
    Check(
        "refusals",
        "30 % of all answers are 429 without Retry-After, at 100 ms, for every optimizer",
        f"ends; at most {REFUSED_TIMES:.0f} x the healthy time",
        refusals,
        in_tests=False,  # `engine_tests/lm/test_retries.py` has the limit that falls with refusals and grows back
    ),
    Check(
        "only-faults",
        "An endpoint that always fails, in thirteen ways",
        f"ends within {LONGEST_SECONDS:.0f} s with the reason",
        only_faults,
    ),
)
