"""The watch over a run: heartbeat and stop, also while something blocks the event loop."""

import os
import threading
import time

from run_setup import add_run, wait_for

from engine import loop
from engine.runs.recorder import Watch
from engine.store.store import Store


async def block(begun, until):
    begun.set()
    until.wait(60)


def test_a_stop_ends_a_run_whose_event_loop_is_blocked_and_its_heart_beats_on(tmp_path):
    run_id = add_run(tmp_path)
    gave_up, begun, until = threading.Event(), threading.Event(), threading.Event()
    with Store.open(tmp_path) as store:
        store.runs.claim(run_id, os.getpid())
        with Watch(store, run_id, os.getpid(), lambda: None, gave_up.set, stuck_after=0.5):
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
        with Watch(store, run_id, os.getpid(), lambda: None, gave_up.set, stuck_after=0.5) as watch:
            store.runs.request_stop(run_id)
            wait_for(lambda: watch.stopping)
            assert not gave_up.wait(1.5)
