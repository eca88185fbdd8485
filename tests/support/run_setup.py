"""Small runs for tests: a made-up sorting task, its rows, a spec, and an answerer that gets better with demonstrations."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from support.servers.openai_server import OpenAIServer, default_answer

from engine.dataset import read_dataset
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.runs.spec import ModelChoice, Named, RunSpec
from engine.store.store import Store

COLOURS = ("red", "green", "blue")
ADJECTIVES = ("small", "round", "heavy", "bright", "cheap", "broken", "wooden", "old")
THINGS = ("lamp", "chair", "cup", "book", "door", "boat", "hat", "drum", "kite", "shoe")


def csv_bytes(rows: int = 40) -> bytes:
    """A table of texts and the shelf each belongs on; the shelf follows from the thing."""
    lines = ["text,shelf"]
    for i in range(rows):
        thing = THINGS[i % len(THINGS)]
        lines.append(f"a {ADJECTIVES[i % 8]} {thing} number {i},{COLOURS[THINGS.index(thing) % 3]}")
    return "\n".join(lines).encode()


PIPELINE = PipelineSpec(
    steps=(
        StepSpec(
            name="sort",
            instructions="Say on which shelf it belongs.",
            inputs=(FieldSpec(name="text"),),
            outputs=(FieldSpec(name="shelf", choices=COLOURS),),
        ),
    )
)


def spec(dataset: str = "", **changes: Any) -> RunSpec:
    """A run on the offline model; `changes` are RunSpec fields."""
    values: dict[str, Any] = {
        "pipeline": PIPELINE,
        "dataset": dataset,
        "mapping": {"text": "text", "shelf": "shelf"},
        "metric": Named(name="ExactMatch"),
        "optimizer": Named(
            name="BootstrapFewShotWithRandomSearch",
            options={"num_candidate_programs": 3, "max_bootstrapped_demos": 2, "max_labeled_demos": 3},
        ),
        "concurrency": 4,
    }
    return RunSpec(**{**values, **changes})


def add_data(home: Path, content: bytes | None = None, name: str = "shelves.csv") -> str:
    """Store a table; return its id."""
    content = csv_bytes() if content is None else content
    with Store.open(home) as store:
        dataset = read_dataset(content, name)
        return store.datasets.add(
            name, content, hashlib.sha256(content).hexdigest(), dataset.columns, len(dataset), "test"
        )


def add_run(home: Path, **changes: Any) -> str:
    """Store a run over the made-up table; return its id."""
    run = spec(changes.pop("dataset", None) or add_data(home), **changes)
    with Store.open(home) as store:
        return store.runs.create(store.projects.create("P", {}), run.model_dump(mode="json"), "A run")


def server_model(url: str) -> ModelChoice:
    """The model of a local test server."""
    return ModelChoice(name="openai/test-model", base_url=url)


def answer(body: dict[str, Any]) -> str:
    """Answer the sorting task: right for things that a demonstration shows, else by a hash of the prompt."""
    asked = str(body["messages"][-1]["content"])
    system = str(body["messages"][0]["content"])
    if "shelf" not in system or "Say on which" not in system:
        return default_answer(body)
    shown = {}
    messages = body["messages"]
    for question, reply in zip(messages[1:-1:2], messages[2:-1:2], strict=True):
        shelf = re.search(r"\b(red|green|blue)\b", str(reply["content"]))
        for thing in THINGS:
            if thing in str(question["content"]) and shelf:
                shown[thing] = shelf[1]
    thing = next((t for t in THINGS if t in asked), None)
    if thing is None:
        return default_answer(body)
    guess = COLOURS[hashlib.sha256(json.dumps(messages).encode()).digest()[0] % 3]
    return f"[[ ## shelf ## ]]\n{shown.get(thing, guess)}\n\n[[ ## completed ## ]]"


def start_worker(home: Path, run_id: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start a run's process as the dashboard does."""
    return subprocess.Popen(
        [sys.executable, "-m", "engine", "run", run_id],
        env={**os.environ, "TUNEBOARD_HOME": str(home), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for(
    condition: Callable[[], Any], seconds: float = 180.0, process: subprocess.Popen[bytes] | None = None
) -> Any:
    """Wait until a condition holds; return what it returned. (The seconds are a backstop: no machine is that slow.)

    With a process, its end before that is an error at once, which holds what it said.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended = process is not None and process.poll() is not None
        found = condition()
        if found:
            return found
        if process is not None and ended:
            raise AssertionError(f"It ended with {process.returncode}: {process.communicate()[1].decode()}")
        time.sleep(0.01)
    raise AssertionError("It did not happen in time.")


def wait_for_looks(home: Path, run_id: str) -> None:
    """Wait until a run's process has surely looked at what it is asked: it does so before each heartbeat."""
    with Store.open(home, read_only=True) as store:
        for _ in range(2):  # the first may have been on its way
            before = store.runs.get(run_id).heartbeat_at or 0.0
            wait_for(lambda before=before: (store.runs.get(run_id).heartbeat_at or 0.0) > before)


def answers_kept(home: Path) -> int:
    """Return the number of answers that the runs of a data folder have kept."""
    path = home / "cache.sqlite3"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as kept:
        try:
            return int(kept.execute("SELECT replies FROM kept").fetchone()[0])
        except sqlite3.OperationalError:  # its table is being made
            return 0


@contextmanager
def living_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until the block ends, or until it is ended there."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and wait for its end."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


def served(server: OpenAIServer) -> int:
    """Return how many answers a server has given."""
    return sum(server.served.values())


def held_run(
    home: Path, server: OpenAIServer, at: int, **changes: Any
) -> tuple[str, subprocess.Popen[bytes]]:
    """Return a run in its own process, and the process; its model holds its answers from the one numbered `at` on."""
    run_id = add_run(home, model=server_model(server.url), concurrency=2, **changes)
    server.hold(after=at)
    process = start_worker(home, run_id)
    wait_for(lambda: server.held == 2, process=process)
    wait_for_looks(home, run_id)
    return run_id, process


def let_end(server: OpenAIServer, process: subprocess.Popen[bytes]) -> int:
    """Let the model answer, and the run end; return how many calls it made since, without those under way."""
    before, under_way = served(server), server.held
    server.release()
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    return served(server) - before - under_way
