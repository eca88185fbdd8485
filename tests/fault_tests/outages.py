"""An endpoint that goes away in the middle of a run, in ten ways and for 2 to 120 seconds: the run ends as an undisturbed one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fault_tests.check import Check, Finding
from fault_tests.endpoints import ERROR, KINDS, PAGE, _json
from fault_tests.kills import shape
from support.run_setup import add_run, answer, kill, server_model, start_worker, wait_for
from support.servers.openai_server import Failure, OpenAIServer

from engine.store.store import Store

SECONDS = (2, 12, 45, 120)
AFTER = 40
"""Answers before the endpoint goes away."""

LONGEST_GAP = 0.3
"""Seconds, in the small part."""

OUTAGES: dict[str, Failure | None] = {
    "429 with a wait": _json(ERROR, status=429, headers={"Retry-After": "2"}),
    "429": KINDS["429"],
    "500": KINDS["500"],
    "503": _json(ERROR, status=503),
    "refused": None,
    "reset": KINDS["dropped"],
    "hangs": KINDS["hangs"],
    "half a body": KINDS["cut off"],
    "web page in a 200": KINDS["web page in a 200"],
    "web page in a 502": Failure(502, PAGE, "text/html"),
}
"""What each request gets meanwhile; None: nothing listens."""


@dataclass
class Endpoint:
    """A server that is away from its `AFTER`th request on until `ended` holds."""

    failure: Failure | None
    ended: Callable[[], object]
    stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Endpoint:
        self.server = self.stack.enter_context(OpenAIServer(answer, latency=0.01))
        self.url = self.server.url
        threading.Thread(target=self._go_away, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def _go_away(self) -> None:
        wait_for(lambda: self.server.calls >= AFTER)
        port = self.server.port
        if self.failure is None:
            self.stack.close()
        else:
            self.server.faults = lambda _: self.failure
        wait_for(self.ended, 600)
        if self.failure is None:
            self.server = self.stack.enter_context(OpenAIServer(answer, latency=0.01, port=port))
        else:
            self.server.faults = lambda _: None


def after(seconds: float) -> Callable[[], bool]:
    """Return a function that is true from so many seconds after its first call on."""
    started: list[float] = []

    def ended() -> bool:
        started.append(time.monotonic())
        return started[-1] - started[0] >= seconds

    return ended


def new_run(home: Path, url: str, **changes: Any) -> str:
    """Store a run on a server."""
    model = server_model(url).model_copy(update={"timeout": 1.0})
    return add_run(home, model=model, concurrency=8, **changes)


def undisturbed(home: Path) -> tuple[object, ...]:
    """Carry out the run on a healthy server; return what it ends with."""
    with OpenAIServer(answer, latency=0.01) as server:
        run_id = new_run(home, server.url)
        start_worker(home, run_id).communicate(timeout=300)
    return ending(home, run_id)


def ending(home: Path, run_id: str) -> tuple[object, ...]:
    """Return how a run has ended, without calls and tokens: a request without an answer counts, as it may be billed."""
    return shape(home, run_id)[:4]


def waits(home: Path, run_id: str) -> bool:
    """Return whether a run says that it waits for its endpoint."""
    with Store.open(home, read_only=True) as store:
        run = store.runs.get(run_id)
    return run.state == "paused" and run.message.startswith("No answer from 127.0.0.1")


def measure(folder: Path, small: bool) -> Finding:
    """Compare a run whose endpoint goes away with an undisturbed one, for each kind and duration."""
    whole = undisturbed(folder / "whole")
    if small:
        different = [kind for kind in ("429", "refused") if not same_after_kill(folder, kind, whole)]
        return Finding(f"2 kinds, with a kill meanwhile; ended otherwise: {different}", met=not different)

    def same(one: tuple[str, int]) -> bool:
        kind, seconds = one
        home = folder / f"{kind} {seconds}".replace(" ", "-")
        with Endpoint(OUTAGES[kind], after(seconds)) as endpoint:
            run_id = new_run(home, endpoint.url)
            start_worker(home, run_id).communicate(timeout=900)
        return ending(home, run_id) == whole

    cells = [(kind, seconds) for seconds in SECONDS for kind in OUTAGES]
    with ThreadPoolExecutor(6) as pool:
        equal = dict(zip(cells, pool.map(same, cells), strict=True))
    print(f"| kind | {' | '.join(f'{seconds} s' for seconds in SECONDS)} |")
    for kind in OUTAGES:
        print(f"| {kind} | {' | '.join('yes' if equal[kind, s] else 'NO' for s in SECONDS)} |")
    different = [f"{kind} for {seconds} s" for (kind, seconds), fine in equal.items() if not fine]
    figure = f"{len(cells)} outages, {len(different)} ended otherwise"
    return Finding(figure + (f" ({', '.join(different)})" if different else ""), met=not different)


def same_after_kill(folder: Path, kind: str, whole: tuple[object, ...]) -> bool:
    """Return whether a run that was killed and started again while its endpoint was away ends as one that was not."""
    home, back = folder / kind, threading.Event()
    with Endpoint(OUTAGES[kind], back.is_set) as endpoint:
        run_id = new_run(home, endpoint.url, longest_gap=LONGEST_GAP)
        process = start_worker(home, run_id)
        wait_for(lambda: waits(home, run_id), process=process)
        kill(process)
        with Store.open(home) as store:
            store.runs.set_state(run_id, "running")
        process = start_worker(home, run_id)
        wait_for(lambda: waits(home, run_id), process=process)
        back.set()
        process.communicate(timeout=300)
    return ending(home, run_id) == whole


CHECK = Check(
    "outages",
    "An endpoint that is away for 2 to 120 s, in ten ways",
    "ended as the undisturbed run",
    measure,
    in_tests=False,  # `engine_tests/runs/test_away.py` has an endpoint that is away from a run
)
