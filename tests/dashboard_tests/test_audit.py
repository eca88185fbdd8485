"""The audit log: each action in it once with its user, none that failed, nothing changed or deleted, for administrators alone."""

import pytest
from support.pages.page_frame import open_page

from dashboard.components import ui
from dashboard.state import launching, reading, users
from dashboard.state.editing import drafts
from engine.basics.home import READ_ONLY_VARIABLE
from engine.errors import AccessError
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import ModelChoice
from engine.store.store import Store
from engine.store.users import USERS_VARIABLE, UserFile


def entries(words=""):
    with Store.open() as store:
        return [(entry["user"], entry["action"], entry["about"]) for entry in reversed(store.audit(words))]


@pytest.fixture
def team(home, monkeypatch):
    monkeypatch.setenv(USERS_VARIABLE, str(home / "users.txt"))
    for name in ("root", "ada", "bob"):
        UserFile(home / "users.txt").add(name)


def test_what_users_do_is_in_it_with_who_did_it(team, monkeypatch):
    with users.acting("ada"):
        project = drafts.project_from_sample(SAMPLES[0])
        drafts.rename_project(project, "<b>Routing</b>")
        drafts.update(project, seed=5)
        drafts.update(project, seed=5)  # changes nothing
        users.share(project, "bob", "viewer")
        spec = reading.draft(project).to_run(reading.datasets()[0].hash).model_dump(mode="json")
        run = launching.create(project, spec, "A run")
        launching.pause(run)
        launching.stop(run)
        users.take_off(project, "bob")
        drafts.set_archived(project)
        drafts.delete_project(project)
    with users.acting("root"):
        drafts.add_model(ModelChoice(name="openai/x", key_env="SECRET_KEY"))
        drafts.set_limit("runs", 3)
    assert entries() == [
        ("ada", "created project", f"{project} ({SAMPLES[0].title})"),
        ("ada", "renamed project", f"{project} to <b>Routing</b>"),
        ("ada", "changed project", project),
        ("ada", f"made viewer of project {project}", "bob"),
        ("ada", "created run", f"A run of project {project}"),
        ("ada", "paused run", run),
        ("ada", "stopped run", run),
        ("ada", f"took off project {project}", "bob"),
        ("ada", "put away project", project),
        ("ada", "deleted project", project),
        ("root", "set model", "openai/x"),
        ("root", "set limit", "runs: 3"),
    ]


def test_what_was_refused_is_not_in_it_and_nothing_comes_out_of_it(team):
    with users.acting("ada"):
        project = drafts.project_from_sample(SAMPLES[0])
    with users.acting("bob"), pytest.raises(AccessError):
        drafts.delete_project(project)
    with Store.open() as store:
        for change in ("DELETE FROM audit", "UPDATE audit SET user = 'eve'"):
            with pytest.raises(AccessError, match="never changed"):
                store.connection.write(change)
    assert {action for _, action, _ in entries()} <= {"created project", "added file"}
    with users.acting("ada"), users.opened(users.current()) as store:
        assert store.audit() == []


def test_signing_in_and_exporting_are_in_it_once_and_work_where_it_cannot_be_written(team, monkeypatch):
    app = open_page("home", user={users.KEY: "ada"})
    app.run()
    made = []
    monkeypatch.setattr(ui.st, "download_button", lambda *args, **_: made.append(args[1]))
    with users.acting("ada"):
        ui.download("Report", lambda: "content", "report.html", "key")
    assert made[0]() == "content"
    assert [entry[:2] for entry in entries("ada")] == [("ada", "opened the dashboard"), ("ada", "exported")]
    assert "report.html" in entries("ada")[1][2]
    monkeypatch.setenv(READ_ONLY_VARIABLE, "1")
    assert made[0]() == "content"
    assert len(entries("ada")) == 2


def test_administrators_filter_it_on_the_settings_page(team):
    for action in ("renamed project", "stopped run"):
        with Store.open() as store:
            store.noted = (action, "<script>alert(1)</script>")
    app = open_page("settings", user={users.KEY: "root"})
    assert list(app.dataframe[-1].value["action"])[-2:] == ["stopped run", "renamed project"]
    app.text_input(key="audit_words").set_value("RENAMED").run()
    assert list(app.dataframe[-1].value["about"]) == ["<script>alert(1)</script>"]
    assert "audit_words" not in [one.key for one in open_page("settings", user={users.KEY: "ada"}).text_input]
