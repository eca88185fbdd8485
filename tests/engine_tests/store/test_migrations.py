"""The schema: every step from the oldest on, with rows in it; newer files are refused; two openers agree."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest

from engine.errors import StoreFullError, StoreTooNewError
from engine.records import Outcome, Usage
from engine.store.migrations import SCHEMA_VERSION, STEPS, migrate
from engine.store.store import FILE_NAME, Store


def schema(connection):
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%migrations%'"
    ).fetchall()
    columns = {
        name: [tuple(c[1:]) for c in connection.execute(f"PRAGMA table_info({name})")]
        for name, sql in rows
        if sql and sql.startswith("CREATE TABLE")
    }
    return columns, sorted(name for name, _ in rows)


def old_file(path, version):
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, upto=version)
    return connection


def test_the_number_is_the_number_of_steps():
    assert len(STEPS) == SCHEMA_VERSION


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
@pytest.mark.parametrize("read_only", [False, True])
def test_old_files_are_brought_up_to_date_with_their_rows(tmp_path, version, read_only):
    old = old_file(tmp_path / FILE_NAME, version)
    assert old.execute("PRAGMA user_version").fetchone()[0] == version
    old.execute(
        "INSERT INTO projects (id, name, draft, created_at, updated_at) VALUES ('p', 'Old', '{\"a\": 1}', 1.0, 2.0)"
    )
    old.execute(
        "INSERT INTO runs (id, project_id, title, spec, state, created_at, calls, cost) "
        "VALUES ('r', 'p', 'T', '{}', 'finished', 1, 7, 0.5), ('forged', 'p', 'T', '{}', 'finished', 1, -7, 'x')"
    )
    old.execute(
        "INSERT INTO trials (run_id, number, candidate_id, split, label, rows_total, started_at) "
        "VALUES ('r', 0, 'c', 'test', 'x', 1, 1.0)"
    )
    old.execute(
        "INSERT INTO outcomes (run_id, trial, row, score, content) "
        "VALUES ('r', 0, 1, 0, '{\"error\": \"No answer.\"}'), ('r', 0, 2, 1, '{\"error\": null}')"
    )
    old.close()
    with Store.open(tmp_path, read_only=read_only) as store:
        assert store.projects.get("p").draft == {"a": 1}
        assert store.runs.get("r").state == "finished"
        assert (store.runs.get("r").started_by, store.members.of("p")) == ("", [])
        failed = 1 if version < 6 else 0  # counted by the step that has added the column
        assert (store.trials.all("r")[0].split, store.trials.all("r")[0].failed) == ("test", failed)
        if version < 12:  # the step that has added the ledger begins it with the runs that are there
            spent = store.spend.by("user")[""]
            assert (spent.usage, spent.runs) == (Usage(7, cost=0.5), 1)
            assert store.spend.by("project_id", "1970-01") == {"p": spent}
        fresh = sqlite3.connect(":memory:", isolation_level=None)
        migrate(fresh)
        assert schema(store.connection._db) == schema(fresh)
        fresh.close()
    assert {path.name for path in tmp_path.glob("*.db")} == {FILE_NAME, f"tuneboard.schema-{version}.db"}
    with closing(sqlite3.connect(tmp_path / f"tuneboard.schema-{version}.db")) as copy:
        assert copy.execute("PRAGMA user_version").fetchone()[0] == version
        assert copy.execute("SELECT name FROM projects").fetchall() == [("Old",)]


def test_an_upgrade_that_finds_no_room_for_the_copy_changes_nothing(tmp_path, monkeypatch):
    old_file(tmp_path / FILE_NAME, 3).close()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    for read_only in (False, True):
        with pytest.raises(StoreFullError, match="A copy of "):
            Store.open(tmp_path, read_only=read_only)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as file:
        assert file.execute("PRAGMA user_version").fetchone()[0] == 3


def test_a_newer_file_is_refused_and_left_alone(tmp_path):
    Store.open(tmp_path).close()
    newer = sqlite3.connect(tmp_path / FILE_NAME)
    newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.commit()
    newer.close()
    for read_only in (False, True):
        with pytest.raises(StoreTooNewError, match="newer version"):
            Store.open(tmp_path, read_only=read_only)


def test_processes_that_open_a_fresh_folder_together_agree(tmp_path):
    code = (
        "import sys, pathlib; from engine.store.store import Store\n"
        "with Store.open(pathlib.Path(sys.argv[1])) as s: s.projects.create('P', {})"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(4)]
    assert [child.wait(timeout=300) for child in children] == [0] * 4
    with Store.open(tmp_path) as store:
        assert len(store.projects.all()) == 4
        assert store.connection.read("PRAGMA journal_mode")[0][0] == "wal"


def test_events_and_outcomes_stored_before_rows_had_numbers_are_read(tmp_path):
    old = old_file(tmp_path / FILE_NAME, 4)
    old.execute("INSERT INTO runs (id, project_id, title, spec, created_at) VALUES ('r', 'p', 'T', '{}', 1)")
    old.execute(
        "INSERT INTO events (run_id, at, kind, text, data) "
        "VALUES ('r', 1, 'row_scored', 'x', '{\"trial\": 1, \"row\": 3}'), ('r', 1, 'note', 'x', '{}')"
    )
    old.execute(
        "INSERT INTO outcomes VALUES ('r', 1, 3, 0.5, "
        '\'{"prediction":{"a":1},"feedback":"","error":null,"usage":[1,0,2,3,null],"seconds":0.1,"trace":[]}\')'
    )
    old.close()
    with Store.open(tmp_path) as store:
        assert [e.data for e in store.events.all("r")] == [{"trial": 1, "row": 3, "number": 5}, {}]
        assert store.trials.outcomes("r", 1) == [
            Outcome(3, 0.5, {"a": 1}, usage=Usage(1, 0, 2, 3), seconds=0.1)
        ]
