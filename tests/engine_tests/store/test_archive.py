"""Runs put away in a file and brought back: the same rows, nothing lost by a kill, nothing let in by a forged file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.results import result_of
from support.run_setup import add_data, add_run, server_model, spec

from engine.errors import AccessError, EngineError, NotFoundError, StoreError, StoreTooNewError
from engine.records import Candidate, Outcome, StepState
from engine.runs.results.archive import archives, bring_back, contents, put_away
from engine.store.migrations import SCHEMA_VERSION
from engine.store.rows import FROM_ELSEWHERE, FeedbackRow
from engine.store.store import FILE_NAME, Store
from engine.store.users import User

pytestmark = pytest.mark.usefixtures("home")

OF_RUN = ("candidates", "trials", "outcomes", "events", "requests")


def recorded(store: Store, run: str, rows: int = 3) -> None:
    """Record something of every kind in a run, and finish it."""
    candidate = Candidate({"sort": StepState("Answer.")})
    store.runs.claim(run, 1)
    store.trials.add_candidate(run, candidate)
    store.trials.start(run, 1, candidate.id, "validation", "first", rows)
    store.trials.add_outcomes(run, 1, [Outcome(i, 1 / (i + 3), {"shelf": "rød \x00"}) for i in range(rows)])
    store.trials.finish(run, 1)
    store.events.add(run, "note", "It began.", {"x": [1, 2.5]})
    store.requests.add(run, "budget", {"calls": 5})
    store.runs.save_result(run, result_of(export_path="/etc/hostname"))
    store.runs.set_note(run, "Keep")
    store.runs.set_tags(run, ["old"])
    store.runs.set_state(run, "finished")


def finished_run(home: Path, **changes: Any) -> str:
    run = add_run(home, **changes)
    with Store.open(home) as store:
        recorded(store, run)
    return run


def all_rows(home: Path, *runs: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every value of runs with its type as it is stored."""
    marks = ", ".join("?" * len(runs))
    with closing(sqlite3.connect(home / FILE_NAME)) as db:
        found = {"runs": db.execute(f"SELECT * FROM runs WHERE id IN ({marks}) ORDER BY id", runs).fetchall()}
        for table in OF_RUN:
            found[table] = db.execute(
                f"SELECT * FROM {table} WHERE run_id IN ({marks}) ORDER BY 1, 2, 3", runs
            ).fetchall()
    return found


def test_runs_come_back_byte_for_byte(home):
    first, second, other = finished_run(home), finished_run(home), finished_run(home)
    before, rest = all_rows(home, first, second), all_rows(home, other)
    assert all(before[table] for table in before)
    with Store.open(home) as store:
        path = put_away(store, [first, second])
        assert [run.id for run in store.runs.all()] == [other]
        with pytest.raises(NotFoundError):
            store.runs.get(first)
    assert all(rows == [] for rows in all_rows(home, first, second).values())
    assert all_rows(home, other) == rest
    assert archives() == [path]
    runs, projects = contents(path)
    assert {run.id for run in runs} == {first, second}
    assert {projects[run.project_id].name for run in runs} == {"P"}
    with Store.open(home) as store:
        assert set(bring_back(store, path).runs) == {first, second}
        with pytest.raises(StoreError, match="here already"):
            bring_back(store, path)
    assert all_rows(home, first, second) == before
    assert all_rows(home, other) == rest


def test_only_some_of_a_file_may_be_missing_here(home):
    first, second = finished_run(home), finished_run(home)
    with Store.open(home) as store:
        both = put_away(store, [first, second])
        bring_back(store, both)
        put_away(store, [first])
        found = bring_back(store, both)
        assert (found.runs, found.here) == ((first,), (second,))


def test_a_run_that_goes_on_an_unknown_one_and_a_taken_name_are_refused(home, tmp_path):
    run = add_run(home)
    with Store.open(home) as store:
        with pytest.raises(StoreError, match="has not ended"):
            put_away(store, [run])
        with pytest.raises(NotFoundError, match="There is no run"):
            put_away(store, ["0" * 12])
        recorded(store, run)
        taken = tmp_path / "taken"
        taken.write_bytes(b"mine")
        with pytest.raises(StoreError, match="already"):
            put_away(store, [run], taken)
        with pytest.raises(StoreError, match="cannot be written"):
            put_away(store, [run], taken / "below")
        assert store.runs.get(run).note == "Keep"
    assert taken.read_bytes() == b"mine"


def test_space_is_given_back(home):
    run = add_run(home)
    with Store.open(home) as store:
        recorded(store, run, rows=5_000)
        store.connection.read("PRAGMA wal_checkpoint(TRUNCATE)")
        before = (home / FILE_NAME).stat().st_size
        put_away(store, [run])
    assert (home / FILE_NAME).stat().st_size < before / 3


def test_a_project_and_a_table_that_are_gone_come_back_too(home, tmp_path):
    run = finished_run(home)
    with Store.open(home) as store:
        row = store.runs.get(run)
        feedback = FeedbackRow(1, run, "c", 1, "Good", "red", 5.0)
        store.feedback.save(row.project_id, row.spec["dataset"], feedback)
        path = put_away(store, [run])
        store.projects.delete(row.project_id)
        store.datasets.drop_unused(row.spec["dataset"])
        assert store.datasets.all() == []
        bring_back(store, path)
        assert store.projects.get(row.project_id).name == "P"
        assert store.datasets.get(row.spec["dataset"]).source == "test"
        assert store.feedback.all(row.project_id, row.spec["dataset"]) == [feedback]


def test_events_of_another_store_get_numbers_of_this_one(home, tmp_path, monkeypatch):
    run = finished_run(home)
    with Store.open(home) as store:
        path = put_away(store, [run], tmp_path / "moved")
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path / "other"))
    there = finished_run(tmp_path / "other")
    with Store.open() as store:
        bring_back(store, path)
        assert [event.text for event in store.events.all(run)] == ["It began."]
        assert [event.text for event in store.events.all(there)] == ["It began."]
        assert len(store.requests.all(run)) == 1


def test_a_file_from_elsewhere_follows_the_rules_of_trust(home, tmp_path, monkeypatch):
    model = server_model("https://gateway.example/v1").model_copy(update={"key_env": "SECRET_KEY"})
    run = finished_run(home, model=model)
    with Store.open(home) as store:
        store.versions.add(store.runs.get(run).project_id, run, "c", {"a": 1})
        path = put_away(store, [run], tmp_path / "moved")
    for trust in (False, True):
        other = tmp_path / f"other-{trust}"
        monkeypatch.setenv("TUNEBOARD_HOME", str(other))
        with Store.open(other) as store:
            bring_back(store, path, trust=trust)
            row = store.runs.get(run)
            assert row.spec["model"]["key_env"] == ("SECRET_KEY" if trust else "")
            assert bool(row.result.export_path) == trust
            assert (store.datasets.all()[0].source == FROM_ELSEWHERE) == (not trust)
            assert bool(store.versions.all(row.project_id)) == trust
            noted = store.settings.get("addresses_from_elsewhere", [])
            assert noted == ([] if trust else ["https://gateway.example/v1"])
            assert [o.row for o in store.trials.outcomes(run, 1)] == [0, 1, 2]


FORGERIES = (
    "UPDATE runs SET state = 'running'",
    "UPDATE runs SET id = '../../../etc'",
    "UPDATE runs SET spec = '{}'",
    "UPDATE runs SET spec = 'no JSON'",
    "UPDATE runs SET cost = 'much'",
    "CREATE TRIGGER evil AFTER INSERT ON runs BEGIN DELETE FROM settings; END",
    "CREATE VIEW evil AS SELECT * FROM runs",
    "CREATE TABLE evil (x)",
    "DROP TABLE events",
    "ALTER TABLE runs ADD COLUMN evil TEXT",
    "UPDATE runs SET cost = -1e9",
    "UPDATE runs SET cost = 9e999",
    "UPDATE runs SET calls = 9223372036854775807",
    "UPDATE runs SET created_at = -1e308",
    "UPDATE runs SET title = printf('%.*c', 5000000, 'x')",
    "UPDATE runs SET result = json_set(result, '$.usage', json('{\"cost\": -5}'))",
    "UPDATE runs SET result = json_set(result, '$.seconds', 1e300)",
    'UPDATE runs SET estimate = \'{"calls": {"high": Infinity}}\'',
    "UPDATE outcomes SET content = 'no JSON'",
    "UPDATE outcomes SET content = json_set(content, '$.usage', json('{\"calls\": -1}'))",
    "UPDATE candidates SET content = '[' || content",
    'UPDATE candidates SET content = replace(content, \'"demos"\', \'"weights": "ollama/x", "demos"\')',
)


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_file_is_refused_and_nothing_is_added(home, tmp_path, forgery):
    run = finished_run(home)
    with Store.open(home) as store:
        path = put_away(store, [run], tmp_path / "moved")
        with closing(sqlite3.connect(path)) as file:
            file.execute(forgery)
            file.commit()
        with pytest.raises(EngineError, match="moved"):
            bring_back(store, path)
        assert store.runs.all() == []


def test_runs_from_elsewhere_count_for_no_user_and_their_tables_get_the_hash_of_their_content(home, tmp_path):
    run = finished_run(home)
    with Store.open(home) as store:
        store.connection.write("UPDATE runs SET started_by = 'ann', calls = 400, cost = 3")
        stored = store.datasets.all()[0]
        spent = store.spend.by("user")
        path = put_away(store, [run], tmp_path / "moved")
        with closing(sqlite3.connect(path)) as file:
            file.execute("INSERT INTO spend VALUES ('ann', '2026-11', 'p', 'r', 'run', 900, 0, 0, 0, 9)")
            file.execute("UPDATE datasets SET id = 'f00df00df00d', content = CAST('a,b\n9,9\n' AS BLOB)")
            file.execute("UPDATE runs SET spec = json_set(spec, '$.dataset', 'f00df00df00d')")
            file.commit()
        bring_back(store, path)
        assert store.spend.by("user") == spent
        assert store.runs.get(run).from_archive
        assert store.runs.get(run).started_by == ""
        forged = next(d for d in store.datasets.all() if d.id == "f00df00df00d")
        assert forged.hash != stored.hash
        again = store.datasets.add(stored.name, b"x", stored.hash, stored.columns, 1, "upload")
        assert again != "f00df00df00d"


def test_files_that_are_none_and_newer_ones_are_refused(home, tmp_path):
    run = finished_run(home)
    with Store.open(home) as store:
        path = put_away(store, [run], tmp_path / "moved")
        whole = path.read_bytes()
        for content in (
            b"",
            b"PK\x03\x04",
            b"{}",
            whole[: len(whole) // 2],
            whole[:2000] + b"\xff" * 5000 + whole[7000:],
        ):
            path.write_bytes(content)
            with pytest.raises(StoreError):
                bring_back(store, path)
        with pytest.raises(StoreError, match="cannot be read"):
            bring_back(store, tmp_path / "nowhere")
        path.write_bytes(whole)
        with closing(sqlite3.connect(path)) as file:
            file.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        with pytest.raises(StoreTooNewError, match="Update Tuneboard"):
            bring_back(store, path)


def test_only_who_may_change_a_run_can_put_it_away(home):
    run = finished_run(home)
    with Store.open(home) as store:
        project = store.runs.get(run).project_id
        store.members.set_role(project, "ada", "owner")
        store.members.set_role(project, "bob", "viewer")
    with Store(home / FILE_NAME, user=User("bob")) as store, pytest.raises(AccessError):
        put_away(store, [run])
    assert archives() == []
    with Store(home / FILE_NAME, user=User("ada")) as store:
        path = put_away(store, [run])
    with Store(home / FILE_NAME, user=User("bob")) as store, pytest.raises(AccessError):
        bring_back(store, path)
    with Store(home / FILE_NAME, user=User("ada")) as store:
        assert bring_back(store, path).runs == (run,)


def test_an_editor_brings_runs_from_elsewhere_into_own_projects(home, tmp_path):
    """Also where the file names an address: the note on it concerns the whole server, which only administrators set up."""
    run = finished_run(home, model=server_model("https://gateway.example/v1"))
    with Store.open(home) as store:
        project = store.runs.get(run).project_id
        for name, role in (("ada", "owner"), ("bob", "editor"), ("eve", "viewer")):
            store.members.set_role(project, name, role)
        path = put_away(store, [run], tmp_path / "moved")
    for name in ("eve", "zoe"):
        with Store(home / FILE_NAME, user=User(name)) as store, pytest.raises(AccessError):
            bring_back(store, path)
    with Store(home / FILE_NAME, user=User("bob")) as store:
        assert bring_back(store, path).runs == (run,)
    with Store.open(home) as store:
        assert store.members.role(project, "bob") == "editor"
        moved = put_away(store, [run], tmp_path / "again")
        store.projects.delete(project)
    with Store(home / FILE_NAME, user=User("zoe")) as store:
        assert bring_back(store, moved).runs == (run,)
    with Store.open(home) as store:
        assert store.members.role(project, "zoe") == "owner"
        assert store.settings.get("addresses_from_elsewhere", []) == ["https://gateway.example/v1"]


PUT_AWAY = """
import sys
from pathlib import Path
from engine.runs.results.archive import put_away
from engine.store.store import Store
with Store.open() as store:
    print("now", flush=True)
    put_away(store, sys.argv[1:])
"""


def test_a_kill_in_the_middle_loses_nothing(home):
    data = add_data(home)
    runs = []
    with Store.open(home) as store, store.transaction():
        project = store.projects.create("P", {})
        for _ in range(40):
            runs.append(store.runs.create(project, spec(data).model_dump(mode="json"), "A run"))
            recorded(store, runs[-1], rows=50)
    before = all_rows(home, *runs)
    for delay in (0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16):
        process = subprocess.Popen(
            [sys.executable, "-c", PUT_AWAY, *runs], env={**os.environ}, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with Store.open(home) as store:
            if not store.runs.all():  # it was quick enough: all of them are in the newest file
                bring_back(store, archives()[0])
        assert all_rows(home, *runs) == before
