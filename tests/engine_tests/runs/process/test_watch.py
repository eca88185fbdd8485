"""The watch over a run: heartbeat and stop, also while something blocks the event loop."""

import asyncio
import os
import sqlite3
import threading
import time
from contextlib import closing

import pytest
from support.run_setup import add_run, wait_for

from engine import loop
from engine.errors import NotFoundError
from engine.runs.recorder import PatientWriter, RunControl
from engine.store.store import FILE_NAME, Store


async def block(begun, until):
    begun.set()
    until.wait(60)


def test_a_stop_ends_a_run_whose_event_loop_is_blocked_and_its_heart_beats_on(tmp_path):
    run_id = add_run(tmp_path)
    gave_up, begun, until = threading.Event(), threading.Event(), threading.Event()
    with Store.open(tmp_path) as store:
        store.runs.claim(run_id, os.getpid())
        with RunControl(store, run_id, os.getpid(), lambda: None, gave_up.set, stuck_after=0.5):
            blocked = loop.submit(block(begun, until))
            try:
                begun.wait(60)
                before = time.monotonic()
                wait_for(lambda: (store.runs.get(run_id).heartbeat_at or 0) > before)
                assert not gave_up.is_set()
                store.runs.request_stop(run_id)
                assert gave_up.wait(60)
            finally:
                until.set()
            blocked.result(60)


def test_a_stop_with_a_free_event_loop_is_left_to_the_search(tmp_path):
    run_id = add_run(tmp_path)
    gave_up = threading.Event()
    with Store.open(tmp_path) as store:
        store.runs.claim(run_id, os.getpid())
        with RunControl(store, run_id, os.getpid(), lambda: None, gave_up.set, stuck_after=0.5) as watch:
            store.runs.request_stop(run_id)
            wait_for(lambda: watch.stopping)
            assert not gave_up.wait(1.5)


def test_what_waits_for_a_locked_store_ends_the_run_where_it_fails_otherwise(tmp_path):
    run_id = add_run(tmp_path)
    written = []

    async def drive(store, other):
        other.execute("BEGIN IMMEDIATE")
        writer = PatientWriter()
        watch = RunControl(store, run_id, os.getpid(), lambda: None, writer=writer)

        def start():
            store.runs.set_phase(run_id, "Searching")
            store.runs.get(run_id)

        writer.write(start)
        writer.write(lambda: written.append("after it"))
        assert "Another program holds" in writer.trouble
        waits = asyncio.create_task(watch.no_trouble())
        other.execute("DELETE FROM runs")
        other.execute("COMMIT")
        for waiting in (writer.all_written(), waits, watch.checkpoint()):
            with pytest.raises(NotFoundError):
                await asyncio.wait_for(waiting, 10)
        with pytest.raises(NotFoundError):
            writer.write(lambda: written.append("later"))
        assert not writer.trouble

    with (
        Store(tmp_path / FILE_NAME, busy_seconds=0.05) as store,
        closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other,
    ):
        asyncio.run(drive(store, other))
    assert not written
