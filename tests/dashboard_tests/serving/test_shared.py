"""Links to a report: answered without signing in, with nothing else; ended at once, by their date, or with the run."""

import re
import sqlite3
import time
from contextlib import closing
from datetime import datetime

import pytest
from starlette.testclient import TestClient
from support.run_setup import add_run

from dashboard.serving.access import OneToken
from dashboard.serving.front import Front
from dashboard.serving.shared import PATH
from engine.errors import AccessError, RunError
from engine.runs.spec import Named
from engine.runs.worker import work
from engine.store.store import FILE_NAME, Store
from engine.store.users import USERS_VARIABLE, User, UserFile, token_hash


@pytest.fixture
def run(home):
    run_id = add_run(home, optimizer=Named(name="LabeledFewShot"))
    assert work(home, run_id) == 0
    return run_id


@pytest.fixture
def client(home):
    """A browser that has not signed in, at a server with a door; the site behind it never comes."""

    def load():
        raise RuntimeError("not in this test")

    with TestClient(
        Front(load, lambda: None, lambda: None, OneToken("secret")).app, base_url="http://127.0.0.1"
    ) as browser:
        yield browser


def link(home, run_id, days=7):
    with Store.open(home) as store:
        return f"{PATH}{store.links.make(run_id, days)}"


def test_a_link_shows_the_report_and_nothing_else(home, run, client):
    answer = client.get(link(home, run))
    assert answer.status_code == 200
    assert "test rows" in answer.text
    assert "<script" not in answer.text
    headers = answer.headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "script-src" not in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "set-cookie" not in headers
    for other in ("/", "/results", f"/results?run={run}"):
        assert client.get(other).status_code == 401
    assert client.post(link(home, run)).status_code == 405


def test_a_link_can_be_ended_at_once(home, run, client):
    address, other = link(home, run), link(home, run)
    assert client.get(address).status_code == 200
    with Store.open(home) as store:
        for made in store.links.all():
            store.links.end(made.hash)
    assert client.get(address).status_code == client.get(other).status_code == 404
    assert "has ended" in client.get(address).text


def test_a_link_has_an_end_date(home, run, client):
    over = link(home, run)
    with closing(sqlite3.connect(home / FILE_NAME)) as other, other:
        other.execute("UPDATE links SET ends_at = ?", (time.time() - 1,))
    with Store.open(home) as store:
        assert store.links.all() == []
        with pytest.raises(RunError, match="7, 30"):
            store.links.make(run, 400)
        days = store.links.make(run, 30)
        (kept,) = store.links.all()
        assert 29.9 < (kept.ends_at - time.time()) / 86_400 < 30.1
        assert store.links.find(days).run_id == run
    assert client.get(over).status_code == 404


def test_a_link_goes_with_its_project(home, run, client):
    address = link(home, run)
    with Store.open(home) as store:
        store.projects.delete(store.runs.get(run).project_id)
    assert client.get(address).status_code == 404


def test_a_token_is_not_stored(home, run):
    token = link(home, run).removeprefix(PATH)
    assert re.fullmatch(r"[\w-]{32,}", token)
    with closing(sqlite3.connect(home / FILE_NAME)) as other:
        assert token not in "\n".join(other.iterdump())


def test_a_guessed_link_shows_nothing(home, run, client):
    for guess in ("", "x", token_hash("x"), "%00"):
        assert client.get(f"{PATH}{guess}").status_code == 404


def test_only_users_who_may_change_a_project_share_it(home, run):
    with (
        Store(home / FILE_NAME, user=User("eva")) as store,
        pytest.raises((AccessError, RunError)),
    ):
        store.links.make(run, 7)


def test_a_link_says_who_made_it_and_ends_with_the_rights_of_its_maker(home, run, client, monkeypatch):
    monkeypatch.setenv(USERS_VARIABLE, str(home / "users.txt"))
    file = UserFile(home / "users.txt")
    for name in ("root", "ada", "bob"):
        file.add(name)
    with Store.open(home) as store:
        project = store.runs.get(run).project_id
        store.members.set_role(project, "ada", "owner")
        store.members.set_role(project, "bob", "editor")
        links = {name: PATH + store.links.make(run, 7, name) for name in ("root", "ada", "bob")}

        def statuses():
            return [client.get(links[name]).status_code for name in ("root", "ada", "bob")]

        assert statuses() == [200, 200, 200]
        until = datetime.fromtimestamp(store.links.all()[0].ends_at).astimezone()
        assert f"Shared by bob until {until:%d %b %Y, %H:%M}" in client.get(links["bob"]).text
        store.members.set_role(project, "bob", "viewer")
        assert statuses() == [200, 200, 404], "viewers make no links"
        store.members.set_role(project, "bob", "editor")
        file.remove("ada")
        assert statuses() == [200, 404, 200]
        store.members.remove(project, "bob")
        assert statuses() == [200, 404, 404]
        file.remove("root")
        assert statuses() == [404, 404, 404]
