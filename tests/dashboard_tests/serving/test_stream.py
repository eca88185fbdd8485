"""The event stream of a run: one watcher for all tabs, only what changed, nobody from elsewhere; on a real store."""

import json
import os
import sqlite3

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from support.run_setup import add_run, wait_for

from dashboard.serving import stream
from dashboard.serving.access import SameOrigin
from dashboard.state.live.snapshot import SnapshotReader, parts
from engine.records import Candidate, Outcome, StepState
from engine.store.store import FILE_NAME, Store

PAGE = {"origin": "http://127.0.0.1:8501", "host": "127.0.0.1:8501"}


@pytest.fixture
def run(home):
    run_id = add_run(home)
    with Store.open(home) as store:
        store.runs.claim(run_id, os.getpid())
        store.trials.add_candidate(run_id, CANDIDATE)
    return run_id


@pytest.fixture
def client():
    with TestClient(SameOrigin(Starlette(routes=[WebSocketRoute(stream.PATH, stream.live)]))) as found:
        yield found
    wait_for(lambda: stream.watcher.tabs == 0 and stream.watcher.idle)


CANDIDATE = Candidate({"sort": StepState("Sort it.")}, reason="The starting prompt.")


def trial(store, run, number, score=1.0):
    with store.transaction():  # nobody is told of one half
        store.trials.start(run, number, CANDIDATE.id, "validation", "full validation", 1)
        store.trials.add_outcomes(run, number, [Outcome(0, score)])


def until(socket, part, wanted):
    """Return the value of a part once it is as wanted."""
    for _ in range(100):
        news = json.loads(socket.receive_text())
        if part in news and wanted(news[part]):
            return news[part]
    raise AssertionError("It was never told.")


def test_a_tab_is_told_all_there_is_then_only_what_changes(client, home, run):
    with Store.open(home) as store:
        trial(store, run, 1, 0.5)
        with client.websocket_connect(f"/live/{run}", headers=PAGE) as socket:
            first = json.loads(socket.receive_text())
            assert first == {**json.loads(json.dumps(parts(SnapshotReader(run).read(store)))), "trouble": ""}
            trial(store, run, 2, 1.0)
            told = until(socket, "chart", lambda chart: chart["stamp"] == "2")
            dots = [t for t in told["figure"]["traces"] if t["name"] == "Being scored"]
            assert dots[0]["customdata"] == [0], "the number of the prompt"
            store.runs.heartbeat(run, os.getpid())
            store.events.add(run, "note", "<b>Something</b> happened.")
            news = json.loads(socket.receive_text())
            assert set(news) == {"feed"}, "nothing else has changed"
            assert news["feed"]["lines"][-1][3] == "<b>Something</b> happened."
            store.runs.set_state(run, "stopped", "Stopped.")
            assert until(socket, "end", lambda end: end["over"])["title"] == "A run was stopped"


def test_trials_that_were_taken_away_are_gone_from_the_chart_too(client, home, run):
    with Store.open(home) as store, client.websocket_connect(f"/live/{run}", headers=PAGE) as socket:
        for number in (1, 2, 3):
            trial(store, run, number)
        until(socket, "chart", lambda chart: chart["stamp"] == "3")
        with store.transaction():
            store.runs.claim(run, os.getpid())
            store.trials.drop_earlier(run)
            store.runs.set_state(run, "finished")
        assert until(socket, "chart", lambda chart: chart["stamp"] == "0")["figure"] is None


def test_many_tabs_share_one_look_and_leave_nothing_behind(client, home, run):
    with Store.open(home) as store:
        sockets = [client.websocket_connect(f"/live/{run}", headers=PAGE) for _ in range(20)]
        opened = [socket.__enter__() for socket in sockets]
        wait_for(lambda: stream.watcher.tabs == 20)
        trial(store, run, 1)
        for socket in opened:
            until(socket, "chart", lambda chart: chart["stamp"] == "1")
        for socket in sockets:
            socket.__exit__(None, None, None)
    wait_for(lambda: stream.watcher.tabs == 0)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/live/{run}", {**PAGE, "origin": "http://evil.example"}),
        ("/live/{run}", {"origin": "http://evil.example", "host": "evil.example"}),
        ("/live/{run}", {"host": "127.0.0.1:8501"}),
        ("/live/{run}", {**PAGE, "origin": "http://127.0.0.1:9999"}),
        ("/live/%27%20or%201", PAGE),
        ("/live/{run}x", PAGE),
    ],
    ids=["another site", "rebound name", "no page", "another port", "path", "no id"],
)
def test_only_pages_of_this_server_are_told_anything(client, run, path, headers):
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        client.websocket_connect(path.format(run=run), headers=headers) as socket,
    ):
        socket.receive_text()
    assert refused.value.code == 1008
    assert stream.watcher.tabs == 0


def test_a_locked_store_is_told_in_a_sentence_and_the_stream_goes_on_after(client, home, run):
    holder = sqlite3.connect(home / FILE_NAME, isolation_level=None, timeout=20)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with client.websocket_connect(f"/live/{run}", headers=PAGE) as socket:
            told = json.loads(socket.receive_text())
            assert set(told) == {"trouble"}
            assert told["trouble"].startswith("Another program holds the database"), "no more and no less"
            holder.execute("ROLLBACK")
            holder.close()
            assert until(socket, "trouble", lambda words: True) == "", "it is over"
            with Store.open(home) as store:
                trial(store, run, 1)
            until(socket, "chart", lambda chart: chart["stamp"] == "1")
    finally:
        holder.close()


def test_a_store_of_a_newer_version_is_told_in_a_sentence_and_looked_at_again(client, home, run):
    database = sqlite3.connect(home / FILE_NAME, isolation_level=None)
    version = database.execute("PRAGMA user_version").fetchone()[0]
    database.execute(f"PRAGMA user_version = {version + 1}")
    with client.websocket_connect(f"/live/{run}", headers=PAGE) as socket:
        told = json.loads(socket.receive_text())
        assert set(told) == {"trouble"}
        assert "written by a newer version of Tuneboard. Update Tuneboard" in told["trouble"]
        database.execute(f"PRAGMA user_version = {version}")
        database.close()
        assert until(socket, "trouble", lambda words: True) == ""


def test_a_store_that_becomes_newer_while_it_is_followed_is_told_too(client, home, run):
    with client.websocket_connect(f"/live/{run}", headers=PAGE) as socket:
        socket.receive_text()
        database = sqlite3.connect(home / FILE_NAME, isolation_level=None)
        version = database.execute("PRAGMA user_version").fetchone()[0]
        database.execute(f"PRAGMA user_version = {version + 1}")
        assert "newer version" in until(socket, "trouble", bool)
        database.execute(f"PRAGMA user_version = {version}")
        database.close()
        assert until(socket, "trouble", lambda words: not words) == ""


def test_a_database_that_is_damaged_is_told_in_a_sentence(client, home, run):
    for file in home.glob(f"{FILE_NAME}*"):
        file.unlink()
    (home / FILE_NAME).write_bytes(b"no database " * 400)
    with client.websocket_connect(f"/live/{run}", headers=PAGE) as socket:
        assert "is damaged or not a Tuneboard database" in until(socket, "trouble", bool)


def test_a_run_that_is_deleted_is_told_in_a_sentence(client, home, run):
    with Store.open(home) as store, client.websocket_connect(f"/live/{run}", headers=PAGE) as socket:
        socket.receive_text()
        store.projects.delete(store.runs.get(run).project_id)
        said = until(socket, "trouble", bool)
        assert "may have been deleted" in said
        assert said.count(". ") <= 1, "a sentence, and what to do"
        assert "Traceback" not in said
