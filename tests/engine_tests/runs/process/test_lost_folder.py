"""A run whose data folder goes away, or is taken over by a newer version, while it is under way."""

import shutil
import sqlite3
from contextlib import closing

from support.run_setup import answer, held_run
from support.servers.openai_server import OpenAIServer

from engine.store.migrations import SCHEMA_VERSION
from engine.store.store import FILE_NAME, Store


def test_a_run_whose_folder_was_moved_and_replaced_ends_says_so_and_can_go_on_there(tmp_path):
    home, other = tmp_path / "home", tmp_path / "other"
    with OpenAIServer(answer, latency=0.01) as server:
        run_id, process = held_run(home, server, 30)
        home.rename(other)
        Store.open(home).close()
        before = server.calls
        _, errors = process.communicate(timeout=30)
        assert server.calls == before
    assert process.returncode == 1
    with Store.open(other) as store:
        run = store.runs.get(run_id)
    assert run.state == "failed"
    for message in (run.message, errors.decode().replace("\n", " ")):
        assert f"{home} was moved, deleted or replaced" in message
        assert "Traceback" not in message


def test_a_run_whose_folder_was_deleted_ends_and_makes_no_other_store(tmp_path):
    home = tmp_path / "home"
    with OpenAIServer(answer, latency=0.01) as server:
        _, process = held_run(home, server, 30)
        shutil.rmtree(home)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"{home} was moved, deleted or replaced" in errors.decode().replace("\n", " ")
    assert not (home / FILE_NAME).exists()


def test_a_run_ends_when_a_newer_version_takes_the_store_over(tmp_path):

    def set_version(number):
        with closing(sqlite3.connect(tmp_path / FILE_NAME, timeout=30)) as file:
            file.execute(f"PRAGMA user_version = {number}")

    with OpenAIServer(answer, latency=0.01) as server:
        run_id, process = held_run(tmp_path, server, 30)
        set_version(SCHEMA_VERSION + 1)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "written by a newer version of Tuneboard" in errors.decode().replace("\n", " ")
    set_version(SCHEMA_VERSION)
    with Store.open(tmp_path) as store:
        run = store.runs.get(run_id)
    assert run.state == "failed"
    assert "Go on from its new place or version" in run.message
