"""The store: what is written comes back, whatever it holds; flags, states, replacement, order."""

import os
import sqlite3
import threading
import time

import pytest
from support.results import result_of
from support.run_setup import living_process, wait_for

from engine.basics.text import LONGEST_NAME
from engine.errors import NotFoundError, RunError, StoreError, StoreLockedError
from engine.records import Candidate, Demo, Outcome, StepState, TraceStep, Usage
from engine.store.processes import process_lives
from engine.store.rows import FROM_ELSEWHERE, LOST_AFTER, SILENT_AFTER
from engine.store.store import FILE_NAME, Store

NASTY = "NUL \x00, emoji 🙂, half an emoji \ud83d, \u202e, " + "long " * 10_000


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as opened:
        yield opened


@pytest.fixture
def run_id(store):
    return store.runs.create(store.projects.create("P", {}), {"seed": 1}, "A run")


def candidate(text="Be brief.", reason="The starting prompt."):
    return Candidate(
        {"answer": StepState(text, demos=(Demo({"q": "1", "a": 2}, augmented=True),))}, reason=reason
    )


def silence(store, run_id, pid=2**22 + 1, seconds=LOST_AFTER + 1):
    """Make a run look as if its process had been killed a while ago."""
    store.connection.write(
        "UPDATE runs SET pid = ?, heartbeat_at = ? WHERE id = ?", (pid, time.monotonic() - seconds, run_id)
    )


def test_project_round_trip(store):
    name = NASTY[:LONGEST_NAME]
    project = store.projects.create(name, {"text": NASTY, "number": 2**70, "nan": float("nan")})
    row = store.projects.get(project)
    assert row.name == name.replace("\ud83d", "?")
    assert row.draft["text"].startswith("NUL \x00, emoji 🙂")
    store.projects.save_draft(project, {"a": 1}, name="New name")
    assert store.projects.get(project).name == "New name"
    store.projects.save_draft(project, {"a": 2})
    row = store.projects.all()[0]
    assert (row.name, row.draft) == ("New name", {"a": 2})
    assert row.updated_at >= row.created_at


def test_unknown_ids_are_named(store):
    for read in (store.projects.get, store.runs.get, store.datasets.get):
        with pytest.raises(NotFoundError, match="'nothing'"):
            read("nothing")
    with pytest.raises(NotFoundError, match="'nothing'"):
        store.projects.save_draft("nothing", {})
    with pytest.raises(NotFoundError, match="'nothing'"):
        store.trials.candidate("nothing", "c")


def test_dataset_keeps_its_bytes(store):
    content = bytes(range(256)) * 1000
    dataset = store.datasets.add("a.csv", content, "hash", ["x", "y"], 12, "upload")
    row = store.datasets.get(dataset)
    assert (row.content, row.columns, row.rows, row.source) == (content, ("x", "y"), 12, "upload")
    assert store.datasets.add("a.csv", content, "hash", ["x", "y"], 12, "upload") == dataset
    assert [info.id for info in store.datasets.all()] == [dataset]


def test_a_table_from_elsewhere_that_the_user_brings_as_well_is_the_users_own_table(store):
    def added(source):
        return store.datasets.add("a.csv", b"x", "hash", ["x"], 1, source)

    foreign = added(FROM_ELSEWHERE)
    assert added(FROM_ELSEWHERE) == foreign
    own = added("upload")
    assert own != foreign
    assert {added("file"), added("upload"), added(FROM_ELSEWHERE)} == {own}
    assert [store.datasets.get(one).source for one in (foreign, own)] == [FROM_ELSEWHERE, "upload"]


def test_settings(store):
    assert store.settings.get("model", "none") == "none"
    store.settings.set("model", {"name": "offline/learner"})
    store.settings.set("model", {"name": "x"})
    assert store.settings.get("model") == {"name": "x"}


def test_run_life(store, run_id):
    assert store.runs.get(run_id).state == "queued"
    run = store.runs.claim(run_id, os.getpid())
    assert run.state == "running"
    assert run.pid == os.getpid()
    assert run.started_at is not None
    store.runs.request_pause(run_id)
    assert store.runs.get(run_id).pause_requested
    store.runs.request_resume(run_id, "")
    assert not store.runs.get(run_id).pause_requested
    store.runs.request_stop(run_id)
    assert store.runs.get(run_id).stop_requested
    store.runs.set_meters(run_id, Usage(3, 2, 100, 10, 0.5), 1.5)
    store.runs.save_result(run_id, result_of())
    store.runs.set_state(run_id, "stopped", "Stopped when asked.")
    run = store.runs.get(run_id)
    assert run.usage == Usage(3, 2, 100, 10, 0.5)
    assert (run.state, run.message, run.result, run.seconds) == (
        "stopped",
        "Stopped when asked.",
        result_of(),
        1.5,
    )
    assert run.is_over
    assert run.finished_at is not None


def test_stopping_a_queued_run_ends_it(store, run_id):
    store.runs.request_stop(run_id)
    assert store.runs.get(run_id).state == "stopped"


def test_a_silent_process_reads_as_lost_and_can_be_claimed_again(store, run_id):
    store.runs.claim(run_id, os.getpid())
    assert store.runs.heartbeat(run_id, os.getpid())
    silence(store, run_id)
    run = store.runs.get(run_id)
    assert run.state == "lost"
    assert "Go on with it" in run.message
    assert not run.is_over
    assert not store.runs.heartbeat(run_id, os.getpid())  # the run is somebody else's now
    assert store.runs.claim(run_id, os.getpid()).state == "running"


@pytest.mark.parametrize("pid", [os.getpid(), None], ids=["living", "expected"])
def test_a_process_that_is_only_slow_has_time_to_speak(store, run_id, pid):
    store.runs.claim(run_id, os.getpid())
    silence(store, run_id, pid)
    assert store.runs.get(run_id).state == "running"
    silence(store, run_id, pid, SILENT_AFTER + 1)
    assert store.runs.get(run_id).state == "lost"


def test_a_heartbeat_in_the_future_is_of_a_process_that_has_ended(store, run_id):
    store.runs.claim(run_id, os.getpid())
    silence(store, run_id, seconds=-3600)  # the machine has been started again since
    assert store.runs.get(run_id).state == "lost"


def test_a_process_number_that_another_process_has_taken_is_free(store, run_id):
    store.runs.claim(run_id, os.getpid())
    with living_process() as other:
        silence(store, run_id, other.pid)
        assert store.runs.get(run_id).state == "lost"
        assert store.runs.claim(run_id, os.getpid()).state == "running"


def test_a_run_of_a_living_process_cannot_be_claimed(store, run_id):
    with living_process() as child:
        store.runs.claim(run_id, child.pid)
        with pytest.raises(RunError, match=f"process {child.pid}"):
            store.runs.claim(run_id, os.getpid())
        child.kill()
        # It is dead, though nobody has waited for it yet, and its heartbeat is fresh: no need to wait.
        wait_for(lambda: not process_lives(child.pid))
        assert store.runs.claim(run_id, os.getpid()).pid == os.getpid()


def test_a_finished_run_cannot_be_claimed(store, run_id):
    store.runs.claim(run_id, os.getpid())
    store.runs.set_state(run_id, "finished")
    with pytest.raises(RunError, match="finished already"):
        store.runs.claim(run_id, os.getpid())


def test_trials_and_outcomes_round_trip(store, run_id):
    a, b = candidate(), candidate("Think first.")
    assert [store.trials.add_candidate(run_id, c) for c in (a, b, a)] == [0, 1, 0]
    store.trials.start(run_id, 0, a.id, "validation", "Starting prompt", 2)
    outcome = Outcome(
        7,
        0.5,
        {"answer": NASTY.replace("\ud83d", "")},
        "Expected 'x'.",
        None,
        Usage(1, 0, 5, 6, 0.1),
        0.25,
        (TraceStep("answer", {"q": 1}, {"a": [1, None]}),),
        ("Be brief.",),
        {"exact": 0.5, "brief": 0.5},
        number=9,
    )
    failed = Outcome(3, 0.0, error="The reply held no 'answer'.")
    store.trials.add_outcomes(run_id, 0, [outcome])
    running = store.trials.all(run_id)[0]
    assert (running.state, running.rows_done, running.rows_total, running.score) == ("running", 1, 2, 0.5)
    store.trials.add_outcomes(run_id, 0, [failed, outcome])
    store.trials.finish(run_id, 0, usage=Usage(2, 0, 5, 6, 0.1), seconds=0.5)
    trial = store.trials.all(run_id)[0]
    assert (trial.state, trial.rows_done, trial.score) == ("finished", 2, 0.25)
    assert (trial.failed, trial.answered_score) == (1, 0.5)
    assert trial.usage == Usage(2, 0, 5, 6, 0.1)
    assert store.trials.outcomes(run_id, 0) == [failed, outcome]
    rows = store.trials.candidates(run_id)
    assert [r.candidate for r in rows] == [a, b]
    assert [(r.score, r.rows) for r in rows] == [(0.25, 2), (None, 0)]
    assert store.trials.candidate(run_id, b.id) == b


def test_a_trial_written_again_replaces_the_first(store, run_id):
    store.trials.start(run_id, 0, "c", "validation", "", 2)
    store.trials.add_outcomes(run_id, 0, [Outcome(1, 1.0), Outcome(2, 1.0)])
    store.trials.start(run_id, 1, "c", "validation", "", 2)
    store.runs.claim(run_id, os.getpid())
    store.trials.start(run_id, 0, "c", "validation", "", 2)
    assert store.trials.outcomes(run_id, 0) == []
    store.trials.add_outcomes(run_id, 0, [Outcome(1, 0.0)])
    store.trials.drop_earlier(run_id)
    assert [t.number for t in store.trials.all(run_id)] == [0]
    assert store.trials.all(run_id)[0].score == 0.0


def test_candidate_score_prefers_the_most_validation_rows(store, run_id):
    c = candidate()
    store.trials.add_candidate(run_id, c)
    for number, (split, scores) in enumerate(
        [("validation", [1.0, 0.0]), ("validation", [1.0]), ("train", [0.0] * 5), ("test", [0.0] * 9)]
    ):
        store.trials.start(run_id, number, c.id, split, "", len(scores))
        store.trials.add_outcomes(run_id, number, [Outcome(i, s) for i, s in enumerate(scores)])
        store.trials.finish(run_id, number)
    assert store.trials.candidates(run_id)[0].score == 0.5


def test_events_are_read_after_an_id(store, run_id):
    first = store.events.add(run_id, "note", NASTY, {"x": NASTY})
    second = store.events.add(run_id, "note", "two")
    assert [e.id for e in store.events.all(run_id)] == [first, second]
    assert [e.text for e in store.events.all(run_id, after=first)] == ["two"]
    store.events.clear(run_id)
    assert store.events.all(run_id) == []
    assert store.events.add(run_id, "note", "three") > second


def test_version_grows_with_every_change_but_not_with_the_heartbeat(store, run_id):
    seen = [store.runs.version(run_id)]
    store.runs.claim(run_id, os.getpid())
    seen.append(store.runs.version(run_id))
    store.trials.start(run_id, 0, "c", "validation", "", 1)
    seen.append(store.runs.version(run_id))
    store.trials.add_outcomes(run_id, 0, [Outcome(1, 1.0)])
    seen.append(store.runs.version(run_id))
    assert seen == sorted(set(seen))
    store.runs.heartbeat(run_id, os.getpid())
    assert store.runs.version(run_id) == seen[-1]
    assert store.runs.version("gone") == -1


def test_data_version_sees_another_connection(tmp_path, store, run_id):
    with Store.open(tmp_path, read_only=True) as reader:
        before = reader.connection.data_version()
        assert reader.connection.data_version() == before
        store.events.add(run_id, "note", "hello")
        assert reader.connection.data_version() != before


def test_deleting_a_project_deletes_its_runs_alone(store):
    keep, drop = store.projects.create("Keep", {}), store.projects.create("Drop", {})
    kept, dropped = store.runs.create(keep, {}, "r"), store.runs.create(drop, {}, "r")
    for run in (kept, dropped):
        store.events.add(run, "note", "x")
        store.trials.start(run, 0, "c", "test", "", 1)
        store.trials.add_outcomes(run, 0, [Outcome(1, 1.0)])
    store.projects.delete(drop)
    assert [r.id for r in store.runs.all()] == [kept]
    assert [p.id for p in store.projects.all()] == [keep]
    assert store.trials.outcomes(dropped, 0) == []
    assert store.events.all(dropped) == []
    assert len(store.trials.outcomes(kept, 0)) == 1


def test_list_runs_newest_first_by_project(store):
    p, q = store.projects.create("P", {}), store.projects.create("Q", {})
    runs = [store.runs.create(project, {}, str(i)) for i, project in enumerate((p, q, p))]
    assert [r.id for r in store.runs.all()] == runs[::-1]
    assert [r.id for r in store.runs.all(p)] == [runs[2], runs[0]]


def test_reader_makes_an_empty_store_and_cannot_write(tmp_path):
    with Store.open(tmp_path / "new", read_only=True) as reader:
        assert reader.runs.all() == []
        with pytest.raises(StoreError, match="readonly"):
            reader.projects.create("P", {})


RUN_FILES = [f"logs/{'a' * 12}.log", f"exports/{'b' * 12}/program.json", f"programs/{'c' * 12}/program.json"]


def put(path):
    path.parent.mkdir(parents=True)
    path.write_text("{}")


@pytest.mark.parametrize("name", RUN_FILES)
@pytest.mark.parametrize("read_only", [False, True], ids=["to-write", "to-read"])
def test_a_store_that_was_emptied_is_refused_and_one_that_was_deleted_begins_again(
    tmp_path, caplog, name, read_only
):
    put(tmp_path / name)
    (tmp_path / FILE_NAME).touch()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"is empty, though .* delete it to start again"):
            Store.open(tmp_path, read_only=read_only)
    (tmp_path / FILE_NAME).unlink()
    with Store.open(tmp_path, read_only=read_only) as store:
        assert store.runs.all() == []
    assert f"was missing, though {name} is from a run" in caplog.text


@pytest.mark.parametrize("name", ["logs/cli.log", "logs/mine.log", "exports/notes.txt", "programs/x"])
def test_a_file_that_is_not_from_a_run_keeps_nobody_out_of_an_empty_store(tmp_path, caplog, name):
    put(tmp_path / name)
    (tmp_path / FILE_NAME).touch()
    with Store.open(tmp_path) as store:
        assert store.runs.all() == []
    assert not caplog.text


def test_threads_share_a_store(store, run_id):
    store.trials.start(run_id, 0, "c", "validation", "", 100)

    def write(offset):
        for i in range(25):
            store.trials.add_outcomes(run_id, 0, [Outcome(offset + i, 1.0)])

    threads = [threading.Thread(target=write, args=(25 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.trials.all(run_id)[0].rows_done == 100


def test_a_transaction_is_all_or_nothing(store, run_id):
    def half_done():
        with store.transaction():
            store.trials.start(run_id, 0, "c", "validation", "", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_done()
    assert store.trials.all(run_id) == []
    store.trials.start(run_id, 0, "c", "validation", "", 1)  # and the store still works


def test_a_held_file_is_a_sentence(tmp_path):
    Store.open(tmp_path).close()
    holder = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with (
        Store(tmp_path / FILE_NAME, busy_seconds=0.05) as store,
        pytest.raises(StoreLockedError, match="Another program holds"),
    ):
        store.projects.create("P", {})
    holder.execute("ROLLBACK")
    holder.close()


def test_a_file_that_is_no_database_is_a_sentence(tmp_path):
    (tmp_path / FILE_NAME).write_text("This is no database at all. " * 100)
    for read_only in (False, True):
        with pytest.raises(StoreError, match="not a Tuneboard database"):
            Store.open(tmp_path, read_only=read_only)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="TUNEBOARD_HOME"):
        Store.open(tmp_path / "file" / "home")


def test_many_runs_and_trials_read_fast(store):
    project = store.projects.create("P", {})
    with store.transaction():
        for _ in range(200):
            run = store.runs.create(project, {"instructions": "x" * 2000}, "r")
            for n in range(50):
                store.trials.start(run, n, "c", "validation", "", 1)
    plan = " ".join(
        r[3] for r in store.connection.read("EXPLAIN QUERY PLAN SELECT * FROM trials WHERE run_id = 'x'")
    )
    assert "SEARCH" in plan
    plan = " ".join(
        r[3]
        for r in store.connection.read(
            "EXPLAIN QUERY PLAN SELECT * FROM events WHERE run_id = 'x' AND id > 3 ORDER BY id"
        )
    )
    assert "SEARCH" in plan
    assert "TEMP B-TREE" not in plan
    assert len(store.runs.all()) == 200
    assert len(store.trials.all(run)) == 50
