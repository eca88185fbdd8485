"""Projects put away, saved as a file and opened again; a dashboard that only looks."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from support.pages.page_frame import open_page as start
from support.pages.page_frame import said

from dashboard.state import launching, reading
from dashboard.state.editing import drafts
from dashboard.state.editing.project_file import attached, pack, unpack
from dashboard.state.models import asked_models, refusal
from engine.dataset import read_dataset
from engine.errors import ConfigurationError, RunError, StoreError
from engine.pipeline.importers.attachments import keep_file
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import ModelChoice, ProjectDraft, RunSpec
from engine.runs.trust import agree, wishes
from engine.store.store import Store

PAGES = (
    "home",
    "task",
    "examples",
    "metric",
    "tune",
    "run",
    "results",
    "try_it",
    "export",
    "history",
    "settings",
)


pytestmark = pytest.mark.usefixtures("home")


def row_of(project):
    return next(p for p in reading.projects(archived=True) if p.id == project)


def test_projects_of_one_name_are_numbered():
    first, second = (drafts.project_from_sample(SAMPLES[0]) for _ in range(2))
    assert row_of(second).name == f"{row_of(first).name} (2)"
    for _ in range(2):
        drafts.duplicate_project(row_of(first))
    named = drafts.create_project(drafts.UNTITLED)
    drafts.name_after(named, "Route_support tickets.csv")
    assert {p.name.removeprefix(row_of(first).name) for p in reading.projects()} == {
        "",
        " (2)",
        " (3)",
        " (copy)",
        " (copy) (2)",
    }
    drafts.create_project(drafts.UNTITLED)
    assert row_of(drafts.create_project(drafts.UNTITLED)).name == drafts.UNTITLED


def test_a_project_goes_out_as_a_file_and_comes_back_whole():
    project = drafts.project_from_sample(SAMPLES[0])
    content = reading.project_file(row_of(project))
    drafts.rename_project(project, "The first one")
    again = drafts.import_project(content)
    assert again != project
    assert row_of(again).name == SAMPLES[0].title
    before, after = reading.draft_of(row_of(project)), reading.draft_of(row_of(again))
    assert after == before
    assert not after.problems()


PIXEL = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"


def with_pictures(tmp_path):
    """Return a project with one uploaded picture, one picture by its path, and the name of the uploaded one."""
    kept = keep_file("dot.gif", PIXEL)
    elsewhere = tmp_path / "elsewhere.gif"
    elsewhere.write_bytes(PIXEL + b"2")
    content = (
        f"picture,colour\n{kept},red\n{elsewhere},blue\n{kept},red\n000000000000-none.gif,red\n".encode()
    )
    project = drafts.create_project("Pictures")
    step = StepSpec(
        name="see", inputs=(FieldSpec(name="picture", type="Image"),), outputs=(FieldSpec(name="colour"),)
    )
    drafts.update(
        project,
        pipeline=PipelineSpec(steps=(step,)),
        dataset=drafts.add_file(read_dataset(content, "p.csv"), content, "upload"),
        mapping={"picture": "picture", "colour": "colour"},
    )
    return project, kept


def _saving(project):
    from dashboard.home.projects import save_as_file
    from dashboard.state import reading

    save_as_file(next(p for p in reading.projects() if p.id == project))


def test_uploaded_pictures_travel_in_the_projects_file(tmp_path, monkeypatch):
    project, kept = with_pictures(tmp_path)
    app = AppTest.from_function(_saving, args=(project,)).run()
    assert "1 picture or file" in said(app)
    assert "1 cell names a file by where it lies" in said(app)
    draft = reading.draft_of(row_of(project))
    files, stay = attached(draft, reading.dataset(draft.dataset))
    assert [f.name for f in files] == [kept]
    assert stay == 1
    content = reading.project_file(row_of(project), files)

    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path / "another"))
    again = reading.draft_of(row_of(drafts.import_project(content)))
    assert (tmp_path / "another" / "files" / kept).read_bytes() == PIXEL
    rows = reading.usable(again.dataset, again.pipeline, again.mapping)
    assert reading.examples_at(again, [0])[0].picture.url.startswith("data:image/gif;base64,")
    # A path in a table from elsewhere is not read; in the same table, when the user brings it, it is.
    table = base64.b64decode(json.loads(content)["examples"]["content"])
    own = drafts.add_file(read_dataset(table, "p.csv"), table, "upload")
    assert len(reading.usable(own, again.pipeline, again.mapping)) == len(rows) + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../../../evil.gif"}, "not the one it was saved with"),
        ({"name": "aaaaaaaaaaaa-evil.gif"}, "not the one it was saved with"),
        ({"name": "/etc/evil.gif"}, "not the one it was saved with"),
        ({"sha256": "0" * 64}, "not the one it was saved with"),
        ({"content": base64.b64encode(b"#!/bin/sh").decode()}, "not the one it was saved with"),
        ({"content": "%%%"}, "cannot be read"),
        ({"content": "A" * 90_000_000}, "more than 60 MB"),
        ({"mode": "0777"}, r"damaged at 'files\.0\.mode'"),
    ],
)
def test_a_file_in_a_project_file_is_checked_before_it_is_kept(change, words, tmp_path, monkeypatch):
    project, _ = with_pictures(tmp_path)
    draft = reading.draft_of(row_of(project))
    table = reading.dataset(draft.dataset)
    content = json.loads(reading.project_file(row_of(project), attached(draft, table)[0]))
    content["files"][0] |= change
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path / "another"))
    with pytest.raises(ConfigurationError, match=words):
        drafts.import_project(json.dumps(content).encode())
    assert not (tmp_path / "another" / "files").exists()
    assert not reading.projects()


def test_pictures_that_are_too_large_together_stay_behind_with_a_sentence(tmp_path, monkeypatch):
    project, _ = with_pictures(tmp_path)
    names = [keep_file("large.gif", PIXEL + bytes([i]) + bytes(16 * 2**20)) for i in range(4)]
    rows = "picture,colour\n" + "".join(f"{name},red\n" for name in names)
    drafts.update(
        project, dataset=drafts.add_file(read_dataset(rows.encode(), "l.csv"), rows.encode(), "upload")
    )
    app = AppTest.from_function(_saving, args=(project,)).run()
    assert "carries at most 60 MB" in said(app)
    assert app.get("download_button")


def test_a_project_file_names_no_variable_that_holds_a_key():
    model = ModelChoice(
        name="openai/x", base_url="http://elsewhere.example/v1", key_env="AWS_SECRET_ACCESS_KEY"
    )
    content = pack("Mine", ProjectDraft(model=model), None)
    assert b"AWS_SECRET" not in content
    smuggled = json.loads(content)
    smuggled["draft"]["model"]["key_env"] = "AWS_SECRET_ACCESS_KEY"
    assert unpack(json.dumps(smuggled).encode()).draft.model.key_env == ""  # none is looked for


def test_a_project_file_carries_the_steps_models_without_the_names_of_their_keys():
    own = ModelChoice(
        name="openai/x",
        base_url="http://elsewhere.example/v1",
        key_env="AWS_SECRET_ACCESS_KEY",
        temperature=0.2,
    )
    pipeline = PipelineSpec(steps=(StepSpec(adapter="two_step", model=own, extraction_model=own),))
    content = pack("Mine", ProjectDraft(pipeline=pipeline), None)
    assert b"AWS_SECRET" not in content
    (step,) = unpack(content).draft.pipeline.steps
    assert step.model == step.extraction_model == own.model_copy(update={"key_env": ""})
    smuggled = json.loads(content)
    smuggled["draft"]["pipeline"]["steps"][0]["model"]["key_env"] = "AWS_SECRET_ACCESS_KEY"
    assert unpack(json.dumps(smuggled).encode()).draft.pipeline.models == (step.model,)


ELSEWHERE = "http://elsewhere.example/v1"


def asking(address):
    return ProjectDraft(model=ModelChoice(name="openai/x", base_url=address))


def asked(draft):
    """Start a run of a draft as far as the store; raises RunError where its model's address may not be asked."""
    return launching.create(drafts.create_project("p", draft), draft.model_dump(mode="json"), "A run")


def test_an_address_that_only_a_projects_file_has_named_is_not_asked():
    drafts.import_project(pack("Theirs", asking(ELSEWHERE), None))
    with pytest.raises(RunError, match="came with a project's file"):
        asked(asking(ELSEWHERE))
    assert "came with a project's file" in refusal([asking(ELSEWHERE).model])
    drafts.add_model(asking(ELSEWHERE).model)
    assert asked(asking(ELSEWHERE))


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:11434/v1", "http://localhost:8000/v1", "http://[::1]:8000/v1"]
)
def test_a_projects_file_may_name_a_server_of_this_machine(address):
    drafts.import_project(pack("Theirs", asking(address), None))
    assert asked(asking(address))
    assert "came with" not in refusal([asking(address).model])


def test_a_projects_file_takes_no_address_from_those_who_use_it_already():
    step = StepSpec(model=asking(ELSEWHERE).model)
    drafts.create_project("Mine", ProjectDraft(pipeline=PipelineSpec(steps=(step,))))
    drafts.import_project(pack("Theirs", asking(ELSEWHERE), None))
    assert asked(asking(ELSEWHERE))


def test_an_address_agreed_to_in_a_terminal_is_agreed_to_in_a_projects_file():
    spec = asking(ELSEWHERE).model_copy(update={"pipeline": PipelineSpec(steps=(StepSpec(),))})
    with Store.open() as store:
        agree(store, wishes(RunSpec.model_construct(**spec.__dict__), Path(), None))
    drafts.import_project(pack("Theirs", spec, None))
    assert asked(spec)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b"[]", "not a project"),
        (b'{"format": "tuneboard.program"}', "not a project"),
        (b'{"format": "tuneboard.project", "version": 9}', "another version"),
        (b'{"format": "tuneboard.project", "version": 1, "name": 3}', "damaged at 'name'"),
        (
            b'{"format": "tuneboard.project", "version": 1, "name": "x", "draft": {}, '
            b'"examples": {"name": "a.csv", "content": "%%%"}}',
            "examples or its files cannot be read",
        ),
    ],
)
def test_a_file_that_is_no_project_is_one_sentence(content, words):
    with pytest.raises(ConfigurationError, match=words):
        unpack(content)


def test_a_project_is_put_away_and_taken_back():
    project = drafts.project_from_sample(SAMPLES[0])
    drafts.set_archived(project)
    app = start()
    assert project not in [p.id for p in reading.projects()]
    app.button(key=f"take_back_{project}").click().run()
    assert project in [p.id for p in reading.projects()]


@pytest.fixture
def looking(tuned, monkeypatch):
    monkeypatch.setenv("TUNEBOARD_READ_ONLY", "1")
    return tuned


@pytest.mark.parametrize("page", PAGES)
def test_a_read_only_dashboard_shows_outcomes_and_changes_nothing(looking, page):
    project, run = looking
    app = start(page, project=project, run=run)
    if page in ("task", "examples", "metric", "tune", "settings"):
        assert "This is a read-only look" in said(app)
    else:
        assert "This is a read-only look" not in said(app)
    assert not [b for b in app.button if b.key in ("start_run", "settings_again", "clear_cache", "box_use")]


def test_every_door_is_shut_in_a_read_only_dashboard(looking):
    project, run = looking
    for act in (
        lambda: drafts.create_project("x"),
        lambda: drafts.delete_project(project),
        lambda: drafts.set_note(run, "x"),
        lambda: drafts.clear_answers(),
        lambda: drafts.import_project(pack("x", ProjectDraft(), None)),
        lambda: launching.create(project, {}, "x"),
        lambda: launching.start(run),
        lambda: launching.stop(run),
    ):
        with pytest.raises(StoreError, match="read-only look"):
            act()


def test_whoever_only_looks_sees_projects_with_runs(tuned, monkeypatch):
    drafts.create_project("nothing in it yet")
    assert len(reading.projects()) == 2
    monkeypatch.setenv("TUNEBOARD_READ_ONLY", "1")
    assert [p.id for p in reading.projects()] == [tuned.project]


def test_a_read_only_dashboard_asks_no_steps_model_that_costs(looking):
    own = StepSpec(model=ModelChoice(name="openai/gpt-5-mini"))
    models = asked_models(None, PipelineSpec(steps=(own,)))
    assert "read-only look" in refusal(models)
    assert refusal(asked_models(None, PipelineSpec())) == ""


def test_an_empty_read_only_dashboard_says_so(monkeypatch):
    monkeypatch.setenv("TUNEBOARD_READ_ONLY", "1")
    assert "nothing to look at yet" in said(start())


def test_a_sample_is_stored_as_the_reader_of_uploads_would_store_it(home):
    for sample in SAMPLES:
        with Store.open(home) as store:
            stored = store.datasets.get(drafts.add_sample_file(sample.file))
        read = read_dataset(stored.content, sample.file)
        assert (stored.name, stored.hash) == (read.name, read.content_hash)
        assert (stored.columns, stored.rows) == (tuple(read.columns), len(read))


def test_texts_to_search_travel_inside_and_no_file_of_this_machine_can_be_named(tmp_path):
    from dashboard.state.editing.project_file import pack, unpack
    from engine.pipeline.spec import CorpusSpec, FieldSpec, PipelineSpec, StepOptions, StepSpec

    def draft(corpus):
        step = StepSpec(
            strategy="retrieve", inputs=(FieldSpec(name="q"),), options=StepOptions(corpus=corpus)
        )
        return ProjectDraft(pipeline=PipelineSpec(steps=(step,)))

    def opened(content):
        return unpack(content).draft.pipeline.steps[0].options.corpus

    file = tmp_path / "notes.txt"
    file.write_text("Refunds take five days.")
    assert "five days" in opened(pack("P", draft(CorpusSpec(file=str(file))), None)).passages[0]
    gone = CorpusSpec(file=str(tmp_path / "gone.txt"))
    assert opened(pack("P", draft(gone), None)) == CorpusSpec()
    for name in ("/etc/passwd", "sample_data/../../secret.txt"):
        assert opened(pack("P", draft(CorpusSpec(file=name)), None)).file == ""
    kept = CorpusSpec(file="sample_data/festival_corpus.csv", column="text")
    assert opened(pack("P", draft(kept), None)) == kept
