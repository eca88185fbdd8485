"""Users' roles in projects, and what each user's runs have used."""

import pytest

from engine.errors import NotFoundError, StoreError
from engine.store.rows import MemberRow
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
