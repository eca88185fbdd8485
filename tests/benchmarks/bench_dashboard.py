"""How quickly the dashboard shows things: first page, a new trial, a large table, many sessions at once.

A real server in a process of its own, a real Chromium, real websockets, a real store that is being written to.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench_table import Row
from dashboard_server import BROWSERS, FLAGS, Server

from engine.records import Candidate, Outcome, StepState
from engine.store.store import Store

SESSIONS = 20
ROUNDS = 20
TRIALS = 40


def dashboard() -> Sequence[Row]:
    """Measure all four."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run, project = _watched_run(home)
        return [
            Row("First usable page after the server is up", "s", _first_page(home), limit=2.0),
            *_live(home, project, run),
            Row("100,000-row CSV read, profiled, previewed", "s", _large_table(home), limit=2.0),
        ]


def _first_page(home: Path) -> list[float]:
    times = []
    for _ in range(3):
        server = Server(home).start()
        try:
            with _page() as page:
                started = time.perf_counter()
                page.goto(server.url)
                page.get_by_text("Better prompts, measured").wait_for()
                page.locator("[class*=st-key-open_] button").first.wait_for()
                times.append(time.perf_counter() - started)
        finally:
            server.stop()
    return times


def _live(home: Path, project: str, run: str) -> list[Row]:
    server = Server(home).start()
    try:
        delays = sorted(_chart_delays(server, home, project, run))
        stop = threading.Event()
        writer = threading.Thread(target=_write, args=(home, run, stop))
        writer.start()
        try:
            times = sorted(asyncio.run(_sessions(server.port, f"project={project}&run={run}")))
        finally:
            stop.set()
            writer.join()
    finally:
        server.stop()
    return [
        Row("New trial on the chart, 90th percentile", "s", [delays[int(0.9 * len(delays))]], limit=1.1),
        Row(
            f"{SESSIONS} sessions on a running run, rerun p95",
            "ms",
            [1000 * times[int(0.95 * len(times))]],
            limit=100,
        ),
    ]


def _chart_delays(server: Server, home: Path, project: str, run: str) -> Iterator[float]:
    with _page() as page, Store.open(home) as store:
        page.goto(f"{server.url}/run?project={project}&run={run}")
        page.locator(".st-key-run_head").wait_for()
        page.wait_for_timeout(2000)
        for number in range(1, TRIALS + 1):
            page.wait_for_timeout(137 + 31 * (number % 11))
            _trial(store, run, number)
            stored = time.perf_counter()
            page.wait_for_function(
                f"document.querySelector('.plot')?.dataset.stamp === '{number}'", polling=10
            )
            yield time.perf_counter() - stored


def _trial(store: Store, run: str, number: int) -> None:
    store.heartbeat(run, os.getpid())
    store.start_trial(run, number, CANDIDATE.id, "validation", "full validation", 1)
    store.add_outcomes(run, number, [Outcome(0, 1.0, {"queue": "billing"})])


def _write(home: Path, run: str, stop: threading.Event) -> None:
    with Store.open(home) as store:
        number = TRIALS
        while not stop.wait(0.25):
            number += 1
            _trial(store, run, number)


async def _sessions(port: int, query: str) -> list[float]:
    found = await asyncio.gather(*(_session(port, query, i) for i in range(SESSIONS)))
    return [t for times in found for t in times]


async def _session(port: int, query: str, number: int) -> list[float]:
    """One browser tab's websocket: open the page, then run its live fragment as often as its timer would."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from websockets.asyncio.client import connect

    await asyncio.sleep(0.1 * number)
    headers = {"Origin": f"http://127.0.0.1:{port}"}
    async with connect(
        f"ws://127.0.0.1:{port}/_stcore/stream",
        additional_headers=headers,
        subprotocols=["streamlit"],
        max_size=None,
    ) as socket:
        first = BackMsg()
        first.rerun_script.query_string = query
        first.rerun_script.page_name = "run"
        await socket.send(first.SerializeToString())
        fragment = await _until_done(socket)
        times = []
        for _ in range(ROUNDS):
            await asyncio.sleep(0.5)
            again = BackMsg()
            again.rerun_script.query_string = query
            again.rerun_script.page_name = "run"
            again.rerun_script.fragment_id = fragment
            again.rerun_script.is_auto_rerun = True
            started = time.perf_counter()
            await socket.send(again.SerializeToString())
            await _until_done(socket)
            times.append(time.perf_counter() - started)
        return times


async def _until_done(socket: Any) -> str:
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    fragment = ""
    while True:
        message = ForwardMsg()
        message.ParseFromString(await asyncio.wait_for(socket.recv(), 30))
        kind = message.WhichOneof("type")
        if kind == "auto_rerun":
            fragment = message.auto_rerun.fragment_id
        elif kind == "script_finished":
            return fragment


def _large_table(home: Path) -> list[float]:
    file = home / "large.csv"
    lines = (
        f'"Ticket {i}: the display in room {i % 977} shows nothing, please look",team {i % 7},{i % 5}'
        for i in range(100_000)
    )
    file.write_text("message,queue,priority\n" + "\n".join(lines) + "\n")
    code = (
        "import sys, time; started = time.perf_counter()\n"
        "from pathlib import Path\nfrom engine.dataset import profile, read_dataset\n"
        "table = read_dataset(Path(sys.argv[1]).read_bytes(), 'large.csv')\n"
        "found = profile(table); shown = table.rows(0, 50)\n"
        "assert len(table) == 100_000 and len(found) == 3 and len(shown) == 50\n"
        "print(time.perf_counter() - started)"
    )
    done = [
        subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    return [float(d.stdout) for d in done]


CANDIDATE = Candidate({"route": StepState("Choose the queue.")})


def _watched_run(home: Path) -> tuple[str, str]:
    """Store the sample project and a run of it that this process pretends to work on."""
    os.environ["TUNEBOARD_HOME"] = str(home)
    from dashboard import drafts, launch
    from engine.pipeline.templates import SAMPLES

    project = drafts.project_from_sample(SAMPLES[0])
    draft = drafts.edit(project, lambda d: d)
    with Store.open(home) as store:
        dataset = next(d for d in store.list_datasets() if d.id == draft.dataset)
        run = launch.create(project, draft.to_run(dataset.hash).model_dump(mode="json"), "Watched")
        store.claim_run(run, os.getpid())
        store.add_candidate(run, CANDIDATE)
    return run, project


@contextmanager
def _page() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    named = os.environ.get("TUNEBOARD_CHROMIUM") or next(
        (p for n in BROWSERS if (p := shutil.which(n))), None
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=named, args=FLAGS)
        try:
            yield browser.new_page(viewport={"width": 1280, "height": 900})
        finally:
            browser.close()
