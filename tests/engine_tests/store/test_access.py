"""One user's limits on the store: other users' projects are not there, and viewers change nothing, whatever is asked."""

import sqlite3

import pytest

from engine.errors import AccessError, NotFoundError
from engine.records import Candidate, Outcome, StepState, Usage
from engine.store import access
from engine.store.migrations import migrate
from engine.store.rows import FeedbackRow
from engine.store.store import FILE_NAME, Store
from engine.store.users import User

ROOT = User("root", administrator=True)
FEEDBACK = FeedbackRow(1, "r", "c", 1, "Right.", "a", 1.0)


@pytest.fixture
def home(tmp_path):
    """A project of ada's with a run and everything that belongs to one, bob its editor and eve its viewer; one of before."""
    with opened(tmp_path, User("ada")) as store:
        dataset = store.datasets.add("rows.csv", b"a\n1\n", "h", ["a"], 1)
        project = store.projects.create("Ada's", {"dataset": dataset})
        store.members.set_role(project, "bob", "editor")
        store.members.set_role(project, "eve", "viewer")
        run = store.runs.create(project, {"dataset": dataset}, "T", started_by="ada")
        candidate = Candidate({"s": StepState("Sort.")}, reason="The start.")
        store.trials.add_candidate(run, candidate)
        store.trials.start(run, 1, candidate.id, "test", "x", 1)
        store.trials.add_outcomes(run, 1, [Outcome(0, 1.0)])
        store.events.add(run, "note", "x")
        store.requests.add(run, "budget", {})
        store.links.make(run, 7)
        store.spend.add_of_run(run, Usage(1), Usage(1))
        store.runs.note_sends(run, [(1, 1, 5, 0.1)], ())
        store.feedback.save(project, dataset, FEEDBACK)
        store.feedback.save_grade(project, dataset, 1, "a", 1.0)
        store.versions.add(project, run, candidate.id, {})
    with Store.open(tmp_path) as store:
        store.projects.create("Of before", {})
    return tmp_path


def opened(home, user, *, read_only=False):
    return Store(home / FILE_NAME, read_only=read_only, user=user)


def rows(store, table):
    return store.connection.read(f"SELECT count(*) FROM {table}")[0][0]


def tables():
    with sqlite3.connect(":memory:", isolation_level=None) as fresh:
        migrate(fresh)
        found = fresh.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        )
        return {name for (name,) in found}


def test_every_table_has_a_rule():
    assert tables() == {"projects", "datasets", "settings", "audit", *access.OF_PROJECT, *access.OF_RUN}


@pytest.mark.parametrize("user", ["ada", "bob", "eve"])
def test_members_read_their_project_and_no_other(home, user):
    with opened(home, User(user), read_only=True) as store:
        assert [p.name for p in store.projects.all()] == ["Ada's"]
        one_row = tables() - {"settings", "members", "audit"}
        assert {table: rows(store, table) for table in one_row} == dict.fromkeys(one_row, 1)
        run = store.runs.all()[0]
        assert len(store.trials.all(run.id)) == len(store.trials.outcomes(run.id, 1)) == 1
        assert store.datasets.get(run.spec["dataset"]).content == b"a\n1\n"
        assert len(store.datasets.all()) == len(store.requests.all(run.id)) == 1


@pytest.mark.parametrize("user", ["mallory", "ad' OR '1'='1", "", "ADA", "root"])
def test_others_read_nothing_of_it(home, user):
    with Store.open(home) as store:
        project, run = store.members.all()[0].project_id, store.runs.all()[0]
    with opened(home, User(user), read_only=True) as store:
        assert {rows(store, table) for table in tables() - {"settings"}} == {0}
        for asked in (
            lambda: store.projects.get(project),
            lambda: store.runs.get(run.id),
            lambda: store.datasets.get(run.spec["dataset"]),
        ):
            with pytest.raises(NotFoundError):
                asked()
        assert (
            store.trials.candidates(run.id) == store.events.all(run.id) == store.versions.all(project) == []
        )


def test_administrators_read_everything(home):
    with opened(home, ROOT, read_only=True) as store:
        assert {p.name for p in store.projects.all()} == {"Ada's", "Of before"}


def changes(store, project, run, dataset):
    """Every change of a project that the dashboard makes, by name."""
    candidate = Candidate({"s": StepState("Better.")}, reason="A try.")
    return {
        "draft": lambda: store.projects.save_draft(project, {}),
        "archive": lambda: store.projects.set_archived(project),
        "run": lambda: store.runs.create(project, {}, "T"),
        "stop": lambda: store.runs.request_stop(run),
        "note": lambda: store.runs.set_note(run, "n"),
        "meters": lambda: store.runs.set_meters(run, Usage(1), 1.0),
        "candidate": lambda: store.trials.add_candidate(run, candidate),
        "outcomes": lambda: store.trials.add_outcomes(run, 1, [Outcome(7, 1.0)]),
        "event": lambda: store.events.add(run, "note", "x"),
        "request": lambda: store.requests.add(run, "budget", {}),
        "link": lambda: store.links.make(run, 7),
        "feedback": lambda: store.feedback.save(project, dataset, FEEDBACK),
        "no feedback": lambda: store.feedback.delete(project, dataset, 1, "c"),
        "grade": lambda: store.feedback.save_grade(project, dataset, 2, "b", 1.0),
        "version": lambda: store.versions.add(project, run, candidate.id, {}),
        "in use": lambda: store.versions.set_in_use(project, 1),
    }


def owners(store, project):
    return {
        "share": lambda: store.members.set_role(project, "zoe", "viewer"),
        "grant": lambda: store.members.set_role(project, "eve", "editor"),
        "take off": lambda: store.members.remove(project, "bob"),
        "take over": lambda: store.members.set_role(project, "mallory", "owner"),
        "delete": lambda: store.projects.delete(project),
    }


def ids(home):
    with Store.open(home) as store:
        run = store.runs.all()[-1]
        return run.project_id, run.id, run.spec["dataset"]


@pytest.mark.parametrize("user", ["eve", "mallory"])
def test_viewers_and_strangers_change_nothing(home, user):
    with opened(home, User(user)) as store:
        before = list(store.connection._db.iterdump())
        project, run, dataset = ids(home)
        for change in (*changes(store, project, run, dataset).values(), *owners(store, project).values()):
            with pytest.raises(AccessError):
                change()
        assert list(store.connection._db.iterdump()) == before


def test_editors_change_everything_but_who_is_in(home):
    project, run, dataset = ids(home)
    with opened(home, User("bob")) as store:
        for change in changes(store, project, run, dataset).values():
            change()
        for change in owners(store, project).values():
            with pytest.raises(AccessError):
                change()
        assert len(store.members.of(project)) == 3


def test_owners_share_give_away_and_delete(home):
    project, _, _ = ids(home)
    with opened(home, User("ada")) as store:
        acts = owners(store, project)
        for name in ("share", "grant", "take off"):
            acts[name]()
        assert store.members.role(project, "eve") == "editor"
        store.projects.delete(store.projects.create("Another", {}))
        acts["take over"]()
        assert store.members.role(project, "ada") == "editor"
        with pytest.raises(AccessError):
            acts["delete"]()
    with opened(home, User("mallory")) as store:
        store.projects.delete(project)
        assert store.members.all() == []


def test_projects_of_before_belong_to_administrators(home):
    with Store.open(home) as store:
        before = next(p.id for p in store.projects.all() if p.name == "Of before")
    with opened(home, User("mallory")) as store, pytest.raises(AccessError):
        store.members.set_role(before, "mallory", "owner")
    with opened(home, ROOT) as store:
        store.members.set_role(before, "root", "owner")
        assert store.members.of(store.projects.create("Root's", {}))[0].user == "root"


def test_settings_and_files_of_others_are_for_administrators(home):
    with opened(home, User("ada")) as store:
        with pytest.raises(AccessError, match="administrator"):
            store.settings.set("models", [])
        with pytest.raises(AccessError):
            store.connection.write("UPDATE datasets SET name = 'x'")
    with opened(home, ROOT) as store:
        store.settings.set("models", [])


def test_settings_of_a_project_belong_to_its_members(home):
    project, _, _ = ids(home)
    with opened(home, User("bob")) as store:
        store.settings.set(f"undo:{project}", ["secret"])
    for user in ("eve", "mallory"):
        with opened(home, User(user)) as store, pytest.raises(AccessError):
            store.settings.set(f"undo:{project}", [])
        with opened(home, User(user), read_only=True) as store:
            assert store.settings.get(f"undo:{project}") == (["secret"] if user == "eve" else None)
            assert store.settings.get("models") is None


def test_a_refused_change_leaves_nothing_of_its_transaction(home):
    project, _, _ = ids(home)
    with opened(home, User("eve")) as store:
        made = []

        def two_changes():
            with store.transaction():
                made.append(store.projects.create("Eve's", {}))
                store.projects.save_draft(project, {})

        with pytest.raises(AccessError):
            two_changes()
        with pytest.raises(NotFoundError):
            store.projects.get(made[0])
        store.projects.create("Eve's", {})
