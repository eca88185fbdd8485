"""A disk that is full, a database that another program holds, and one that was emptied, while runs are under way."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from fault_tests.check import Check, Finding
from support.run_setup import add_run, answer, server_model, start_worker, wait_for
from support.servers.openai_server import OpenAIServer

from engine.errors import StoreError
from engine.store.store import FILE_NAME, Store


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path | None]:
    """A file system of its own with little room, as long as the block runs; None where none can be mounted."""
    place = folder / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)], capture_output=True
    )
    if not made or made.returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path) -> None:
    """Write a file until the disk has no room left for one byte."""
    with path.open("wb", buffering=0) as filler:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    filler.write(b"\0" * size)
            except OSError:
                continue


def full_disk(folder: Path, small: bool) -> Finding:
    """Fill the disk in the middle of a run, wait, make room again, and count what was bought and kept."""
    with small_disk(folder, 48) as home, OpenAIServer(answer, latency=0.02) as server:
        if home is None:
            return Finding("not measured: no file system can be mounted here", met=True)
        run_id = add_run(home, model=server_model(server.url))
        server.hold(after=60)
        process = start_worker(home, run_id)
        wait_for(lambda: server.held >= 4, process=process)
        filler = home / "filler"
        fill(filler)
        server.release()
        with Store.open(home, read_only=True) as store:
            paused = wait_for(lambda: (run := store.runs.get(run_id)).state == "paused" and run, 30, process)
            said = "is full" in paused.message
            wait_for(lambda: server.active == 0)
            before = server.calls
            time.sleep(2 if small else 10)
            meanwhile = server.calls - before
            filler.unlink()
            _, errors = process.communicate(timeout=300)
            state = store.runs.get(run_id).state
        twice = sum(times - 1 for times in server.served.values())
    if process.returncode:
        raise AssertionError(errors.decode()[-500:])
    figure = f"paused and said so: {'yes' if said else 'no'}; {meanwhile} calls while full; {twice} answers bought twice; {state}"
    return Finding(figure, met=said and not meanwhile and not twice and state == "finished")


def foreign_lock(folder: Path, small: bool) -> Finding:
    """Hold the database and the call cache from another connection in the middle of a run."""
    seconds = 8 if small else 30
    with OpenAIServer(answer, latency=0.02) as server:
        run_id = add_run(folder, model=server_model(server.url))
        server.hold(after=60)
        process = start_worker(folder, run_id)
        wait_for(lambda: server.held >= 4, process=process)
        with (
            closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None, timeout=30)) as held,
            closing(sqlite3.connect(folder / "cache.sqlite3", isolation_level=None, timeout=30)) as kept,
        ):
            for one in (held, kept):
                one.execute("BEGIN IMMEDIATE")
            server.release()
            time.sleep(seconds)
            for one in (held, kept):
                one.execute("ROLLBACK")
        process.communicate(timeout=300)
        with Store.open(folder, read_only=True) as store:
            run = store.runs.get(run_id)
        twice = sum(times - 1 for times in server.served.values())
    figure = f"{seconds} s: {run.state}, {twice} answers bought twice"
    return Finding(figure, met=run.state == "finished" and not twice and not process.returncode)


def emptied_store(folder: Path, small: bool) -> Finding:
    """Empty the database of a folder in which a run was carried out, and open it."""
    run_id = add_run(folder)
    start_worker(folder, run_id).communicate(timeout=300)
    for path in folder.glob(f"{FILE_NAME}-*"):
        path.unlink()
    (folder / FILE_NAME).write_bytes(b"")
    refused = 0
    for read_only in (False, True):
        try:
            Store.open(folder, read_only=read_only).close()
        except StoreError as error:
            refused += "is empty" in str(error)
    return Finding(f"refused {refused} times of 2", met=refused == 2)


CHECKS = (
    Check(
        "full-disk",
        "A disk that fills up in a run",
        "pauses, says so, buys nothing, loses nothing",
        full_disk,
    ),
    Check(
        "lock",
        "A database held by another program in a run",
        "30 s: the run finishes, nothing lost",
        foreign_lock,
    ),
    Check("emptied", "A store that was emptied", "refused with the reason", emptied_store),
)
