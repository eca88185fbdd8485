"""Users' roles in projects, and what each user's runs have used."""

import pytest

from engine.errors import NotFoundError, StoreError
from engine.records import Usage
from engine.store.rows import MemberRow, UserSpend
from engine.store.store import Store


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as store:
        yield store


def owned(store):
    project = store.projects.create("P", {})
    store.members.set_role(project, "ada", "owner")
    return project


def test_a_project_has_one_owner_who_can_give_it_away(store):
    project = owned(store)
    store.members.set_role(project, "bob", "viewer")
    store.members.set_role(project, "bob", "editor")
    assert store.members.role(project, "bob") == "editor"
    store.members.set_role(project, "bob", "owner")
    assert store.members.of(project) == [
        MemberRow(project, "bob", "owner"),
        MemberRow(project, "ada", "editor"),
    ]
    store.members.remove(project, "ada")
    assert store.members.role(project, "ada") is None
    assert store.members.all() == [MemberRow(project, "bob", "owner")]


def test_no_project_loses_its_owner(store):
    project = owned(store)
    with pytest.raises(StoreError, match="ada owns this project"):
        store.members.remove(project, "ada")
    with pytest.raises(StoreError, match="ada owns this project"):
        store.members.set_role(project, "ada", "viewer")
    with pytest.raises(StoreError, match="no role 'admin'"):
        store.members.set_role(project, "bob", "admin")
    with pytest.raises(NotFoundError, match="no project"):
        store.members.set_role("gone", "bob", "viewer")
    assert store.members.of(project) == [MemberRow(project, "ada", "owner")]


def test_a_deleted_projects_members_go_with_it(store):
    kept, gone = owned(store), owned(store)
    store.projects.delete(gone)
    assert [member.project_id for member in store.members.all()] == [kept]
    assert store.members.of(store.projects.create("no users", {})) == []


def test_spend_per_user_is_the_sum_over_their_runs_since_a_time(store):
    project = store.projects.create("P", {})
    for user, cost in (("ada", 0.5), ("ada", 0.25), ("bob", None), ("", 1.0)):
        run = store.runs.create(project, {}, "T", started_by=user)
        store.runs.set_meters(run, Usage(3, 1, 20, 5, cost), 2.0)
        assert store.runs.get(run).started_by == user
    assert store.runs.spend() == [
        UserSpend("", 1, Usage(3, 1, 20, 5, 1.0)),
        UserSpend("ada", 2, Usage(6, 2, 40, 10, 0.75)),
        UserSpend("bob", 1, Usage(3, 1, 20, 5, None)),
    ]
    first = store.runs.all()[-1]
    store.connection.write("UPDATE runs SET created_at = 100 WHERE id = ?", (first.id,))
    assert [(one.user, one.runs) for one in store.runs.spend(since=101.0)] == [
        ("", 1),
        ("ada", 1),
        ("bob", 1),
    ]
