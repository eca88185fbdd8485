"""The site: nothing is loaded for features it lacks, and pages of a large table find their caches filled."""

import asyncio
import hashlib
import logging
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
import streamlit as st
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.runtime.session_manager import SessionInfo
from support.pages.dashboard_server import Server
from support.run_setup import csv_bytes, spec, wait_for

from dashboard.serving.hosting import MOST_CLOSED, ClosedPages, warm
from dashboard.state import reading
from dashboard.state.editing import examples
from engine.errors import DatasetError, RunError
from engine.runs.spec import ModelChoice, ProjectDraft
from engine.search.budget import Budget
from engine.store.store import FILE_NAME, Store


def project(home, content):
    digest = hashlib.sha256(content).hexdigest()
    with Store.open(home) as store:
        dataset = store.datasets.add("shelves.csv", content, digest, ["text", "shelf"], 400, "test")
        parts = spec(dataset).model_dump(include={"pipeline", "mapping", "metric", "optimizer", "budget"})
        draft = ProjectDraft(dataset=dataset, **parts)
        store.projects.create("Wide", draft.model_dump(mode="json"))
    return draft, digest


def test_what_the_pages_ask_for_is_there_already(home, caplog):
    draft, digest = project(home, csv_bytes(400))
    with caplog.at_level(logging.WARNING):
        warm()
    assert caplog.text == "", "no warning that no page was drawn"
    asked = [
        lambda: reading.profiles(draft.dataset),
        lambda: reading.usable(draft.dataset, draft.pipeline, draft.mapping),
        lambda: examples.split_of(draft),
        lambda: examples.findings_of(draft),
        lambda: reading.estimate(draft.model_copy(update={"model": ModelChoice()}).to_run(digest)),
    ]
    # The stored file is taken away: what is still answered was worked out before.
    database = sqlite3.connect(home / FILE_NAME)
    database.execute("UPDATE datasets SET content = x'00'")
    database.commit()
    database.close()
    for ask in asked:
        ask()
    st.cache_resource.clear()
    with pytest.raises(DatasetError):
        reading.dataset(draft.dataset)


def test_a_table_that_cannot_be_read_is_no_trouble_here(home):
    draft, _ = project(home, b'a,b\n"open')
    warm()
    with pytest.raises(DatasetError):
        reading.profiles(draft.dataset)


def test_no_project_is_no_trouble_either(home):
    with Store.open(home):
        warm()


def test_why_a_run_cannot_start_is_worked_out_once(home):
    draft, digest = project(home, csv_bytes(400))
    small = draft.model_copy(update={"model": ModelChoice(), "budget": Budget(calls=3)}).to_run(digest)
    with pytest.raises(RunError, match="too small") as first:
        reading.estimate(small)
    database = sqlite3.connect(home / FILE_NAME)
    database.execute("UPDATE datasets SET content = x'00'")
    database.commit()
    database.close()
    with pytest.raises(RunError) as again:
        reading.estimate(small)
    assert str(again.value) == str(first.value)


STARTED = """
import importlib.metadata, sys
from dashboard.serving.hosting import hosted
hosted(8599)
from streamlit.components.v2.component_manager import BidiComponentManager
looked = []
importlib.metadata.distributions = lambda **_: looked.append("installed packages") or []
BidiComponentManager().discover_and_register_components(start_file_watching=False)
print(looked + sorted({name.partition(".")[0] for name in sys.modules} & {"plotly", "pandas", "numpy", "litellm"}))
"""


def test_starting_loads_no_plotly_and_looks_for_no_components():
    """Fails when Streamlit loads Plotly or finds components in another way than `dashboard.serving.hosting` expects."""
    done = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LARGE_BLOCKS = """
import threading
from dashboard.serving.hosting import hosted
from engine.dataset.memory import release_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def read(all_started):
    all_started.wait()
    for size in (20_000_000, 15_000_000):  # the first one freed decides how much is kept of the second
        b"x" * size

hosted(8599)
before = resident()
together = threading.Barrier(4)
threads = [threading.Thread(target=read, args=[together]) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
release_memory()
print(resident() - before)
"""


def test_no_thread_that_read_a_large_file_keeps_its_memory():
    done = subprocess.run([sys.executable, "-c", LARGE_BLOCKS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10_000_000


def test_a_closed_page_ends_after_its_time_unless_it_connects_again():
    ended = []

    def info(name):
        session = SimpleNamespace(id=name, shutdown=lambda: ended.append(name))
        return SessionInfo(None, session)

    async def close_two():
        pages = ClosedPages(ttl_seconds=0)
        pages.save(info("gone"))
        pages.save(info("back"))
        pages.delete("back")
        await asyncio.sleep(0.01)
        return pages.list()

    assert asyncio.run(close_two()) == []
    assert ended == ["gone"]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors as Linux lists them")
def test_the_server_limits_the_event_loops_of_closed_pages(tmp_path):
    async def open_and_close(server, pages):
        draw = BackMsg()
        draw.rerun_script.query_string = ""
        async with aiohttp.ClientSession() as session:
            for _ in range(pages):
                async with session.ws_connect(
                    f"{server.url}/_stcore/stream", headers={"Origin": server.url}, max_msg_size=0
                ) as page:
                    await page.send_bytes(draw.SerializeToString())
                    await page.receive()

    def descriptors():
        return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))

    server = Server(tmp_path).start()
    try:
        asyncio.run(open_and_close(server, 1))
        before = descriptors()
        asyncio.run(open_and_close(server, MOST_CLOSED + 20))
        wait_for(lambda: descriptors() < before + 3 * MOST_CLOSED + 10, 60)
    finally:
        server.stop()
