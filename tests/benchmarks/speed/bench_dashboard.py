"""Response times of the dashboard: first page, page changes, a new trial, a large table, many sessions and tabs.

A real server in a process of its own, a real Chromium, real websockets, a real store that is being written to.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench_table import Row
from support.pages.browser_frame import chromium, put_rows
from support.pages.dashboard_server import Server

from engine.records import Candidate, Outcome, StepState
from engine.store.store import Store

SESSIONS = 100
EVERY = 2.0
ROUNDS = 10
BURSTS = 3
TRIALS = 40
TABS = 20
PAGES = (
    "Task",
    "Examples",
    "Metric",
    "Tune",
    "Run",
    "Results",
    "Try it",
    "Export",
    "History",
    "Settings",
    "Home",
)


def dashboard() -> Sequence[Row]:
    """Measure all of them."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as full:
        home = Path(folder)
        run, project = _watched_run(home)
        return [
            *_first_page(home),
            *_page_changes(Path(full)),
            *_live(home, project, run),
            Row("100,000-row CSV read, profiled, previewed", "s", _large_table(home), limit=2.0),
            Row("100,000-row CSV uploaded in the browser, preview shown", "s", _upload(home), limit=2.0),
        ]


def _first_page(home: Path) -> list[Row]:
    """Start the server and open its page in a browser that has never seen it; the first time nothing is compiled."""
    times = []
    with _own_compiled_files():
        for _ in range(6):
            with _page() as page:
                started = time.perf_counter()
                server = Server(home).start()
                try:
                    page.goto(server.url)
                    page.get_by_text("Better prompts, measured").wait_for()
                    page.locator("[class*=st-key-open_] button").first.wait_for()
                    times.append(time.perf_counter() - started)
                finally:
                    server.stop()
    what = "Server start to usable first page"
    return [Row(what, "s", times[1:], limit=1.8), Row(f"{what}, nothing compiled yet", "s", times[:1])]


@contextmanager
def _own_compiled_files() -> Iterator[None]:
    """Have Python's compiled files in a folder of their own: an installation has them, a test machine may not want any."""
    names = ("PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    with tempfile.TemporaryDirectory() as folder:
        os.environ[names[0]] = folder
        try:
            yield
        finally:
            del os.environ[names[0]]
            os.environ.update(kept)


def _page_changes(home: Path) -> list[Row]:
    """Go through the pages of a project with a long history: once as the first visitor, then again."""
    _long_history(home)
    server = Server(home).start()
    first: list[float] = []
    again: list[float] = []
    try:
        with _page() as page:
            page.goto(server.url)
            page.get_by_text("Better prompts, measured").wait_for()
            page.wait_for_timeout(4000)
            for times in (first, again, again):
                for name in PAGES:
                    started = time.perf_counter()
                    page.locator(".st-key-side_pages").get_by_role("link", name=name).first.click()
                    page.wait_for_function(_SHOWN, arg=name, polling=20)
                    times.append(time.perf_counter() - started)
                    page.wait_for_timeout(400)
    finally:
        server.stop()
    what = "200 runs, 10,000 trials, 100,000 rows"
    return [
        Row(f"Page change, {what}, median", "s", [statistics.median(again)], limit=0.7),
        Row("The slowest page, visited first", "s", [max(first)]),
    ]


# The page says its name, the script has ended and nothing of the page before is left.
_SHOWN = """(name) => {
  const app = document.querySelector("[data-testid=stApp]");
  return document.querySelector("[data-testid=stMain] h1")?.innerText.includes(name)
    && app.dataset.testScriptState === "notRunning" && !document.querySelector("[data-stale=true]");
}"""


def _live(home: Path, project: str, run: str) -> list[Row]:
    server = Server(home).start()
    query = f"project={project}&run={run}"
    try:
        delays = sorted(_chart_delays(server, home, query, run))
        everywhere = _all_tabs(server, home, query, run)
        stop = threading.Event()
        writer = threading.Thread(target=_write, args=(home, run, stop))
        writer.start()
        try:
            seen = asyncio.run(_sessions(server, run, query))
        finally:
            stop.set()
            writer.join()
    finally:
        server.stop()
    return [
        Row("New trial on the chart, 90th percentile", "s", [delays[int(0.9 * len(delays))]], limit=0.5),
        Row(f"New trial on the charts of {TABS} tabs of one browser, all of them", "s", everywhere),
        Row(
            f"{SESSIONS} sessions on a running run, each redrawn every {EVERY:.0f} s at different times, p95",
            "ms",
            [1000 * sorted(seen.single)[int(0.95 * len(seen.single))]],
            limit=100,
        ),
        Row(f"The same {SESSIONS} sessions, server CPU", "cores", [seen.cores], limit=1.0),
        Row(
            f"All {SESSIONS} redrawn at the same time, the last of them",
            "ms",
            [1000 * t for t in seen.together],
        ),
    ]


def _chart_delays(server: Server, home: Path, query: str, run: str) -> Iterator[float]:
    with _page() as page, Store.open(home) as store:
        page.goto(f"{server.url}/run?{query}")
        page.locator(".plot").wait_for(state="attached")
        _trial(store, run, 1)
        page.wait_for_function("document.querySelector('.plot')?.dataset.stamp === '1'", polling=10)
        page.wait_for_timeout(2000)
        for number in range(2, TRIALS + 1):
            page.wait_for_timeout(137 + 31 * (number % 11))
            _trial(store, run, number)
            stored = time.perf_counter()
            page.wait_for_function(
                f"document.querySelector('.plot')?.dataset.stamp === '{number}'", polling=10
            )
            yield time.perf_counter() - stored


def _all_tabs(server: Server, home: Path, query: str, run: str) -> list[float]:
    """Return how long it takes until every one of many tabs shows a new trial."""
    with _page() as first, Store.open(home) as store:
        pages = [first, *(first.context.new_page() for _ in range(TABS - 1))]
        for page in pages:
            page.goto(f"{server.url}/run?{query}")
            page.wait_for_function(
                f"document.querySelector('.plot')?.dataset.stamp === '{TRIALS}'", timeout=90_000
            )
            store.runs.heartbeat(run, os.getpid())
        times = []
        for number in range(TRIALS + 1, TRIALS + 4):
            _trial(store, run, number)
            stored = time.perf_counter()
            for page in pages:
                page.wait_for_function(
                    f"document.querySelector('.plot')?.dataset.stamp === '{number}'",
                    polling=20,
                    timeout=90_000,
                )
            times.append(time.perf_counter() - stored)
            time.sleep(1)
        return times


def _trial(store: Store, run: str, number: int) -> None:
    store.runs.heartbeat(run, os.getpid())
    store.trials.start(run, number, CANDIDATE.id, "validation", "full validation", 1)
    store.trials.add_outcomes(run, number, [Outcome(0, 1.0, {"queue": "billing"})])


def _write(home: Path, run: str, stop: threading.Event) -> None:
    with Store.open(home) as store:
        number = TRIALS + 3
        while not stop.wait(0.25):
            number += 1
            _trial(store, run, number)


class _Sessions(NamedTuple):
    """Measurements of many sessions on one run: times of single reruns, of reruns asked for at once, and the server's share."""

    single: list[float]
    together: list[float]
    cores: float


async def _sessions(server: Server, run: str, query: str) -> _Sessions:
    """Have every session's page drawn again at moments of its own, as people click; then all of them at once."""
    rng = random.Random(7)
    opened: list[_Session] = []
    async with AsyncExitStack() as stack:
        for _ in range(SESSIONS):
            opened.append(await stack.enter_async_context(_session(server.port, run, query)))
        started, before = time.perf_counter(), _cpu_seconds(server)
        found = await asyncio.gather(*(_at_times_of_its_own(s, random.Random(rng.random())) for s in opened))
        cores = (_cpu_seconds(server) - before) / (time.perf_counter() - started)
        together = []
        for _ in range(BURSTS):
            await asyncio.sleep(EVERY)
            together.append(max(await asyncio.gather(*(s.rerun() for s in opened))))
        return _Sessions([t for times in found for t in times], together, cores)


def _cpu_seconds(server: Server) -> float:
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class _Session(NamedTuple):
    """One browser tab's page, as the server sees it."""

    socket: Any
    query: str
    fragment: str

    async def rerun(self) -> float:
        """Have the live part of the page drawn again; return how long it took until all of it had come."""
        started = time.perf_counter()
        await self.socket.send(_asking(self.query, self.fragment))
        await _until_done(self.socket)
        return time.perf_counter() - started


async def _at_times_of_its_own(session: _Session, rng: random.Random) -> list[float]:
    times = []
    for _ in range(ROUNDS):
        await asyncio.sleep(rng.expovariate(1 / EVERY))
        times.append(await session.rerun())
    return times


@asynccontextmanager
async def _session(port: int, run: str, query: str) -> AsyncIterator[_Session]:
    """One browser tab's websockets: the page is open, and follows the run's event stream."""
    from websockets.asyncio.client import connect

    headers = {"Origin": f"http://127.0.0.1:{port}"}
    host = f"ws://127.0.0.1:{port}"
    async with (
        connect(
            f"{host}/_stcore/stream", additional_headers=headers, subprotocols=["streamlit"], max_size=None
        ) as socket,
        connect(f"{host}/live/{run}", additional_headers=headers, max_size=None) as stream,
    ):
        following = asyncio.create_task(_read(stream))
        await socket.send(_asking(query))
        yield _Session(socket, query, await _until_done(socket))
        following.cancel()


def _asking(query: str, fragment: str = "") -> bytes:
    from streamlit.proto.BackMsg_pb2 import BackMsg

    asking = BackMsg()
    asking.rerun_script.query_string = query
    asking.rerun_script.page_name = "run"
    asking.rerun_script.fragment_id = fragment
    text: bytes = asking.SerializeToString()
    return text


async def _read(stream: Any) -> None:
    async for _ in stream:
        pass


async def _until_done(socket: Any) -> str:
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    fragment = ""
    while True:
        message = ForwardMsg()
        message.ParseFromString(await asyncio.wait_for(socket.recv(), 60))
        kind = message.WhichOneof("type")
        if kind == "delta" and message.delta.fragment_id:
            fragment = message.delta.fragment_id
        elif kind == "script_finished":
            return fragment


def _upload(home: Path) -> list[float]:
    """Upload a large file on the Examples page, each time another one; until the drafted task is there to be reviewed."""
    server = Server(home).start()
    times = []
    content = (home / "large.csv").read_text()
    try:
        for number in range(3):
            with Store.open(home) as store:
                project = store.projects.create(f"Upload {number}", {})
            with _page() as page:
                page.goto(f"{server.url}/examples?project={project}")
                upload = page.locator("input[type=file]").first
                upload.wait_for(state="attached")
                page.wait_for_timeout(3000)
                other = home / f"large {number}.csv"
                # A table that is known is not read again.
                other.write_text(content.replace("room", f"room {number}-", 1))
                started = time.perf_counter()
                put_rows(page, other)
                page.get_by_text("100,000 rows").first.wait_for(timeout=60_000)
                times.append(time.perf_counter() - started)
    finally:
        server.stop()
    return times


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
    from dashboard.state import launching
    from dashboard.state.editing import drafts
    from engine.pipeline.templates import SAMPLES

    project = drafts.project_from_sample(SAMPLES[0])
    draft = drafts.edit(project, lambda d: d)
    with Store.open(home) as store:
        dataset = next(d for d in store.datasets.all() if d.id == draft.dataset)
        run = launching.create(project, draft.to_run(dataset.hash).model_dump(mode="json"), "Watched")
        store.runs.claim(run, os.getpid())
        store.trials.add_candidate(run, CANDIDATE)
    return run, project


def _long_history(home: Path, runs: int = 200, trials: int = 50, rows: int = 100_000) -> None:
    """Store a project with many rows, runs and trials."""
    os.environ["TUNEBOARD_HOME"] = str(home)
    from dashboard.state.editing import drafts
    from engine.pipeline.templates import SAMPLES

    project = drafts.project_from_sample(SAMPLES[0])
    names = ("message", "channel", "plan", "queue")
    queues = ("billing", "technical", "shipping", "security")
    lines = (
        f"Ticket {i}: nothing on the display in room {i % 977},mail,pro,{queues[i % 4]}" for i in range(rows)
    )
    content = "\n".join((",".join(names), *lines)).encode()
    digest = hashlib.sha256(content).hexdigest()
    with Store.open(home) as store:
        dataset = store.datasets.add("history.csv", content, digest, names, rows, "upload")
        drafts.update(project, dataset=dataset, mapping={name: name for name in names})
        spec = drafts.edit(project, lambda d: d).to_run("").model_dump(mode="json")
        for number in range(runs):
            with store.transaction():
                run = store.runs.create(project, spec, f"Run {number}")
                _past_trials(store, run, number, trials)
                store.runs.set_state(run, "finished")


def _past_trials(store: Store, run: str, seed: int, trials: int) -> None:
    parents: tuple[str, ...] = ()
    for number in range(1, trials + 1):
        text = f"Choose the queue, version {seed} {number}. " + "Read the whole message first. " * 20
        candidate = Candidate({"route": StepState(text)}, parents, f"Version {number}.")
        parents = (candidate.id,)
        store.trials.add_candidate(run, candidate)
        store.trials.start(run, number, candidate.id, "validation", "full validation", 10)
        outcomes = [Outcome(i, float((i * number + seed) % 3 == 0), {"queue": "billing"}) for i in range(10)]
        store.trials.add_outcomes(run, number, outcomes)
        store.trials.finish(run, number)
        store.events.add(run, "trial_finished", f"Trial {number} scored 33 % over 10 rows.")


@contextmanager
def _page() -> Iterator[Any]:
    with chromium() as browser:
        yield browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
