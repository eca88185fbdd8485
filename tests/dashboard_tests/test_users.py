"""Pages of several users: each sees own projects, viewers change nothing, owners share, administrators see what is spent."""

from typing import get_args

import pytest
from support.pages.page_frame import html, links, open_page, said

from dashboard.state import launching, models, reading, users
from dashboard.state.editing import drafts, examples
from dashboard.state.editing.project_file import pack
from dashboard.state.writing import check_endpoints
from engine.errors import AccessError, EngineError, NotFoundError, StoreError
from engine.pipeline.templates import SAMPLES
from engine.records import Usage
from engine.runs.child.request import ConnectionRequest, TaskName
from engine.runs.results.report import run_report
from engine.runs.spec import Named, ProjectDraft
from engine.store.rows import FROM_ELSEWHERE
from engine.store.store import Store
from engine.store.users import USERS_VARIABLE, UserFile


@pytest.fixture(autouse=True)
def server(home, monkeypatch):
    """A server with an administrator (root), ada with a project, bob its editor, eve its viewer, and mallory."""
    monkeypatch.setenv(USERS_VARIABLE, str(home / "users.txt"))
    for name in ("root", "ada", "bob", "eve", "mallory"):
        UserFile(home / "users.txt").add(name)


@pytest.fixture
def project():
    with users.acting("ada"):
        made = drafts.project_from_sample(SAMPLES[0])
        drafts.rename_project(made, "Ada's secret")
        users.share(made, "bob", "editor")
        users.share(made, "eve", "viewer")
    return made


@pytest.fixture
def run(project):
    with users.acting("bob"):
        spec = reading.draft(project).to_run(reading.datasets()[0].hash)
        made = launching.create(project, spec.model_dump(mode="json"), "Bob's run")
    with Store.open() as store:
        store.runs.set_meters(made, Usage(12, 0, 3000, 400, 0.25), 1.0)
        store.spend.add_of_run(made, Usage(12, 0, 3000, 400, 0.25), Usage())
    return made


def page(user, name="home", **params):
    return open_page(name, user={users.KEY: user}, **params)


def test_each_user_sees_own_and_shared_projects_with_their_owner(project):
    assert "Yours" in html(page("ada"))
    for member in ("bob", "eve", "root"):
        app = page(member)
        assert "Ada's secret" in links(app)
        assert "ada&#x27;s" in html(app)
        assert member in said(app)
    stranger = page("mallory")
    assert "Ada's secret" not in said(stranger) + html(stranger) + "".join(links(stranger))


@pytest.mark.parametrize(
    "name", ["task", "examples", "tune", "run", "results", "try_it", "export", "history"]
)
def test_a_link_to_a_project_of_others_leads_nowhere(project, run, name):
    app = page("mallory", name, project=project, run=run)
    assert "Ada's secret" not in said(app)
    assert "Bob's run" not in said(app)
    assert ("No runs yet" if name == "history" else "There is no project yet") in said(app)


@pytest.mark.parametrize("name", ["task", "examples", "metric", "tune"])
def test_a_viewer_reads_and_is_shown_why_nothing_can_be_changed(project, run, name):
    app = page("eve", name, project=project)
    assert "You are a viewer of this project" in said(app)
    assert "Viewer of this project" in said(app)
    assert "$0.25 spent" in said(page("eve", "run", project=project, run=run))


def test_an_editor_works_on_it(project):
    app = page("bob", "task", project=project)
    assert "/] Task" in said(app)


def test_a_user_who_was_removed_is_out_at_the_next_click(project, home):
    app = page("eve")
    UserFile(home / "users.txt").remove("eve")
    app.run()
    assert "You are signed out" in said(app)
    assert "Ada's secret" not in said(app)


def changes(project, run):
    return (
        lambda: drafts.rename_project(project, "Mine"),
        lambda: drafts.update(project, seed=7),
        lambda: drafts.set_archived(project),
        lambda: drafts.set_note(run, "x"),
        lambda: launching.create(project, {}, "T"),
        lambda: launching.stop(run),
        lambda: launching.resume(run),
        lambda: drafts.delete_project(project),
        lambda: users.share(project, "mallory", "editor"),
        lambda: users.take_off(project, "bob"),
    )


@pytest.mark.parametrize("user", ["eve", "mallory"])
def test_what_a_page_would_write_for_a_viewer_or_a_stranger_is_refused(project, run, user):
    with users.acting(user):
        for change in changes(project, run):
            with pytest.raises(AccessError):
                change()
    with users.acting("mallory"):
        for asked in (
            lambda: reading.draft(project),
            lambda: reading.run(run),
            lambda: reading.read_store(run_report, run),
        ):
            with pytest.raises(NotFoundError):
                asked()
        assert reading.projects() == reading.runs() == reading.datasets() == []


def test_the_servers_settings_are_for_administrators(project):
    with users.acting("ada"):
        for change in (
            lambda: drafts.set_backend("name", "ray"),
            lambda: drafts.add_model(models.ModelChoice(name="openai/x", base_url="https://evil.example/v1")),
            drafts.clear_answers,
            users.spend,
        ):
            with pytest.raises(AccessError, match="administrator"):
                change()
    app = page("ada", "settings")
    assert "set by an administrator" in said(app)
    assert not {"add_model_button", "clear_cache", "found_again"} & {b.key for b in app.button}
    keys = {b.key for b in page("root", "settings").button}
    assert {"add_model_button", "clear_cache"} <= keys


def test_administrators_see_what_each_user_has_spent(run):
    app = page("root", "settings")
    table = "\n".join(str(h.proto.body) for h in app.get("html"))
    assert "<td>bob<em>" in table.replace("</em>", "<em>")
    assert "in all: 1 run, 12 calls, 3.4k tokens, $0.25" in table
    assert "users_card" not in str(page("ada", "settings").get("html"))


def test_links_are_listed_for_their_makers_and_for_administrators_who_end_them(run):
    with Store.open() as store:
        for name in ("root", "ada", "bob"):
            store.links.make(run, 7, name)

    def ends(user):
        app = page(user, "settings")
        found = [button for button in app.button if button.label == "End this link"]
        assert (f"Shared by {user} until" in said(app)) == bool(found)
        return found

    assert [len(ends(user)) for user in ("root", "ada", "bob", "eve")] == [3, 1, 1, 0]
    ends("bob")[0].click().run()
    assert [len(ends(user)) for user in ("root", "ada", "bob")] == [2, 1, 0]


def test_an_owner_shares_gives_away_and_takes_off(project):
    with users.acting("ada"):
        with pytest.raises(AccessError, match="cannot sign in"):
            users.share(project, "nobody@evil.example", "viewer")
        users.take_off(project, "eve")
        with pytest.raises(StoreError, match="owns this project"):
            users.take_off(project, "ada")
        users.share(project, "bob", "owner")
        assert users.role(project) == "editor"
    app = page("bob", "task", project=project)
    app.button(key=f"share_{project}").click().run()
    assert not app.exception
    assert "ada" in said(app)
    assert "share_go" in {b.key for b in app.button}
    app = page("ada", "task", project=project)
    app.button(key=f"share_{project}").click().run()
    assert "share_go" not in {b.key for b in app.button}


def test_files_of_users_name_no_files_of_the_server(project):
    from engine.dataset import read_dataset

    content = b"picture,label\n/etc/passwd,a\n"
    with users.acting("bob"):
        made = drafts.add_file(read_dataset(content, "x.csv"), content, "upload")
        table = reading.dataset(reading.draft(project).dataset)
        after, _ = examples.change_rows(project, "x", table, cells={(0, table.columns[0]): "/etc/passwd"})
        assert not reading.dataset(after.dataset).local_files
    with Store.open() as store:
        assert store.datasets.get(made).source == FROM_ELSEWHERE


def test_a_run_asks_no_address_that_no_administrator_has_added(project):
    spec = {"model": {"name": "openai/x", "base_url": "https://llm.example/v1", "key_env": "OPENAI_API_KEY"}}
    with users.acting("bob"), pytest.raises(AccessError, match="no administrator has added"):
        launching.create(project, spec, "T")
    with users.acting("root"):
        drafts.add_model(models.ModelChoice.model_validate(spec["model"]))
    with users.acting("bob"):
        launching.create(project, spec, "T")


def endpoint(**changes):
    return models.ModelChoice.model_validate({"name": "openai/x", **changes})


STRANGE = {
    "an address": endpoint(base_url="https://llm.example/v1"),
    "a variable": endpoint(key_env="HOME"),
    "an address with the usual key": endpoint(base_url="https://llm.example/v1", key_env="OPENAI_API_KEY"),
    "a provider that nobody knows": endpoint(name="oobabooga/x"),
    "a server of the machine": endpoint(name="ollama/x"),
    "another key for a known address": endpoint(
        base_url="https://gateway.example/v1", key_env="OPENAI_API_KEY"
    ),
}


@pytest.mark.parametrize("choice", STRANGE.values(), ids=STRANGE)
def test_nothing_leaves_for_a_user_to_where_no_administrator_has_led(project, choice):
    """Every door: what is saved, a run, and each task of the child process."""
    with users.acting("root"):
        drafts.add_model(endpoint(base_url="https://gateway.example/v1", key_env="GATEWAY_KEY"))
    value = choice.model_dump(mode="json")
    place = {"base_url": choice.base_url, "key_env": choice.key_env}
    trained = {"optimizer": {"name": "BootstrapFinetune", "options": place}} if any(place.values()) else {}
    with users.acting("bob"):
        before = reading.draft(project)
        for changes in (
            {"model": choice},
            {"prompt_model": choice},
            {"models": (choice,)},
            {"metric": before.metric.model_copy(update={"options": {"judge": value}})},
        ):
            with pytest.raises(AccessError, match="no administrator has added"):
                drafts.update(project, **changes)
        assert reading.draft(project) == before
        for spec in filter(None, ({"model": value}, {"models": [value]}, trained)):
            with pytest.raises(AccessError, match="no administrator has added"):
                launching.create(project, spec, "T")
        for task in get_args(TaskName):
            with pytest.raises(AccessError, match="no administrator has added"):
                launching.child_result(task, ConnectionRequest(model=choice))


def state(model):
    return {"steps": {"answer": {"instructions": "x", "demos": [], "weights": model}}}


BY_NAME = {
    "a step's model": {"steps": [{"strategy": "predict", "model": "ollama/x"}]},
    "a step's model with settings": {
        "steps": [{"strategy": "predict", "model": {"name": "ollama/x", "temperature": 1}}]
    },
    "the reader of a step's text": {"steps": [{"strategy": "predict", "extraction_model": "oobabooga/x"}]},
    "a judge": {"metric": {"name": "Rubric", "options": {"judge": "ollama/x"}}},
    "a judge of a field": {
        "metric": {"name": "JSONFields", "options": {"fields": {"a": {"judge": "azure/x"}}}}
    },
    "embeddings": {"metric": {"name": "EmbeddingSimilarity", "options": {"model": "hosted_vllm/x"}}},
    "a model to train": {
        "optimizer": {"name": "BootstrapFinetune", "options": {"base_model": "/srv/weights"}}
    },
    "a model to train at a server": {"optimizer": {"options": {"w": {"base_model": "ollama/x"}}}},
    "a prompt's model": {"candidates": {"A": state("ollama/x")}},
    "a teacher's prompt": {"teacher_prompt": {"title": "t", "prompt": state("local//srv/weights")}},
}


@pytest.mark.parametrize("value", BY_NAME.values(), ids=BY_NAME)
def test_a_model_given_by_its_name_alone_passes_the_same_door(project, value):
    with (
        users.acting("bob"),
        users.opened(None) as store,
        pytest.raises(AccessError, match="no administrator"),
    ):
        check_endpoints(store, value)


def test_a_draft_that_names_such_a_model_can_be_edited_and_is_not_sent(project):
    with users.acting("root"):
        drafts.update(project, metric=Named(name="Rubric", options={"judge": "ollama/x"}))
    with users.acting("bob"):
        after = drafts.update(project, seed=7)
        with pytest.raises(AccessError, match="no administrator has added"):
            launching.create(project, after.model_dump(mode="json"), "T")


def test_data_that_reads_like_a_model_and_usual_models_pass_the_door(project):
    added = endpoint(name="ollama/mine", base_url="https://gateway.example/v1", key_env="GATEWAY_KEY")
    with users.acting("root"):
        drafts.add_model(added)
    fine = (
        {"inputs": {"model": "ollama/x", "judge": "a/b"}, "mapping": {"model": "ollama/x"}},
        {"steps": [{"strategy": "predict", "model": "openai/gpt-5-mini"}]},
        {"optimizer": {"options": {"base_model": "Qwen/Qwen3-0.6B"}}},
        {"models": [added.model_dump(mode="json")], "candidates": {"A": state("ollama/mine")}},
        {"candidates": {"A": state("tuned/abc")}, "model": {"name": "tuned/abc", "base_url": None}},
    )
    with users.acting("bob"), users.opened(None) as store:
        for value in fine:
            check_endpoints(store, value)


@pytest.mark.parametrize("address", ["https://llm.example/v1", "http://127.0.0.1:9912/v1"])
def test_an_address_of_a_project_file_is_asked_by_no_page(project, address):
    choice = endpoint(base_url=address)
    with users.acting("bob"):
        drafts.import_project(pack("Theirs", ProjectDraft(model=choice), None))
    for user in ("bob", "root"):
        with users.acting(user), pytest.raises(EngineError, match="came with a project's file"):
            launching.child_result("connection", ConnectionRequest(model=choice))


def test_a_colleagues_run_at_an_address_that_is_gone_is_not_taken_up_again(project):
    choice = endpoint(base_url="https://gateway.example/v1", key_env="GATEWAY_KEY")
    with users.acting("root"):
        drafts.add_model(choice)
    with users.acting("bob"):
        run = launching.create(project, {"model": choice.model_dump(mode="json")}, "T")
    with users.acting("root"):
        drafts.remove_model(choice)
    with Store.open() as store:
        store.runs.set_state(run, "stopped")
    for go_on in (launching.start, launching.resume):
        with users.acting("bob"), pytest.raises(AccessError, match="no administrator has added"):
            go_on(run)
    with Store.open() as store:
        assert store.runs.get(run).state == "stopped"


def test_a_child_gets_the_keys_of_the_models_that_it_asks_and_no_other_secret(project, monkeypatch):
    for name in ("OPENAI_API_KEY", "GROQ_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DB_PASSWORD"):
        monkeypatch.setenv(name, "secret")
    asked = {"model": endpoint().model_dump(mode="json")}
    passed = launching._environment({"TYPED_KEY": "sk"}, asked)
    assert {name for name, value in passed.items() if value in ("secret", "sk")} == {"OPENAI_API_KEY"}
    asked = {"model": endpoint(base_url="https://a.example/v1", key_env="TYPED_KEY").model_dump(mode="json")}
    passed = launching._environment({"TYPED_KEY": "sk"}, asked)
    assert passed["TYPED_KEY"] == "sk"
    assert "GROQ_API_KEY" not in passed
    old, new = "https://a.example/v1", "https://b.example/v1"
    moved = {"model": endpoint(base_url=new, key_env=models.own_key_variable(new)).model_dump(mode="json")}
    assert "sk-old" not in launching._environment({models.own_key_variable(old): "sk-old"}, moved).values()
    for model, variables in {
        "bedrock/claude": {"AWS_SECRET_ACCESS_KEY"},
        "vertex_ai/gemini-2.5-flash": set(),
    }.items():
        cloud = launching._environment(
            {}, {"model": endpoint(name=model, key_env=None).model_dump(mode="json")}
        )
        assert {name for name, value in cloud.items() if value == "secret"} == variables
    monkeypatch.setenv("HF_TOKEN", "hf")
    assert "HF_TOKEN" not in passed
    training = {"optimizer": {"name": "BootstrapFinetune", "options": {"base_model": "Qwen/Qwen3-0.6B"}}}
    assert launching._environment({}, {**asked, **training})["HF_TOKEN"] == "hf"
    assert passed["PATH"]


def test_a_key_typed_by_one_user_is_in_no_other_session(project):
    one, other = page("ada", "settings"), page("bob", "settings")
    one.session_state["page_keys"] = {"OPENAI_API_KEY": "sk-ada"}
    one.run()
    other.run()
    assert "page_keys" not in other.session_state


def test_without_users_nothing_changes(monkeypatch, tmp_path):
    monkeypatch.setenv(USERS_VARIABLE, "")
    app = page("mallory", "task", project=drafts.project_from_sample(SAMPLES[0]))
    assert "/] Task" in said(app)
    assert not [b for b in app.button if b.key and b.key.startswith("share_")]
    assert users.name() == ""
