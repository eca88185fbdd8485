"""The examples page: rows edited in the grid, left out, added, fixed and undone; over a real store."""

from __future__ import annotations

import json
import time

import pytest
from streamlit.testing.v1 import AppTest
from support.pages.page_frame import open_page, said
from support.pages.page_frame import stored_draft as draft
from support.servers.openai_server import OpenAIServer

from dashboard.examples.grid import USE, WHY
from dashboard.state import reading
from dashboard.state.editing import drafts, examples
from dashboard.state.editing.drafts import ChangedElsewhereError, state_of
from dashboard.state.editing.examples import findings_of, split_of
from engine.dataset import read_dataset
from engine.errors import DatasetError
from engine.pipeline.infer import infer_mapping, infer_pipeline
from engine.runs.spec import ModelChoice
from engine.store.store import Store

DIRTY = "message,team\n" + "".join(
    f"the {('bill', 'parcel', 'screen')[i % 3]} number {i} is {('late', 'wrong')[i % 2]},{('billing', 'shipping')[i % 2]}\n"
    for i in range(60)
)
DIRTY += ",billing\nthe same again,billing\nThe same  again,billing\nplease read this letter,Biling\n"


pytestmark = pytest.mark.usefixtures("home")


def start(page="examples", **params):
    return open_page(page, **params)


def table(project):
    return reading.dataset(draft(project).dataset)


def mine(content=DIRTY, name="dirty.csv"):
    project = drafts.create_project("mine")
    read = read_dataset(content.encode(), name)
    spec = infer_pipeline(read)
    drafts.update(
        project,
        pipeline=spec,
        mapping=infer_mapping(read, spec),
        dataset=drafts.add_file(read, content.encode(), "upload"),
    )
    return project


def test_cells_change_in_a_new_version_and_undo_goes_back():
    project = mine()
    before = draft(project)
    examples.change_rows(project, "Change one", table(project), cells={(0, "team"): "shipping"})
    assert table(project).values("team")[0] == "shipping"
    assert draft(project).dataset != before.dataset
    app = start(project=project)
    assert not app.button(key="undo_examples").disabled
    app.button(key="undo_examples").click().run()
    assert draft(project) == before
    assert not [b for b in app.button if b.key == "undo_examples"]  # nothing is left to take back


def _long_cell(project):
    from dashboard.examples.grid import edit_long_cell

    edit_long_cell(project, 0, "message", 2)


def _cut_cell(project):
    import streamlit as st

    from dashboard.components import ui
    from dashboard.examples import grid

    st.session_state["cut"] = {"edited_rows": {0: {"message": "a piece of it", grid.USE: False}}}
    grid._edited(project, "cut", [0], {(0, "message"): 5000})
    ui.problem_line(grid.problem_key(project))


def test_a_text_that_the_grid_shows_cut_is_not_changed_there_and_says_so():
    project = mine()
    before = table(project).values("message")[0]
    app = AppTest.from_function(_cut_cell, args=(project,)).run()
    assert "The cell in row 2 is too long" in said(app).replace("\\", "")
    assert table(project).values("message")[0] == before
    assert list(draft(project).excluded) == [0]  # the row's other changes are saved


def test_a_long_text_is_opened_changed_and_undone():
    long = "word " * 200_000
    project = mine(f"message,team\n{long},billing\n" + "short one,shipping\n" * 30)
    before = draft(project)
    app = start(project=project)
    assert max(len(str(text)) for text in app.dataframe[0].value["message"]) < 3000
    (choice,) = [s for s in app.selectbox if s.key.startswith("long_cell_")]
    assert choice.options == ["Row 2, message: 1,000,000 characters"]
    box = AppTest.from_function(_long_cell, args=(project,)).run()
    assert box.text_area[0].value == long
    box.text_area[0].set_value(long + "the end").run()
    box.button(key="save_long_cell").click().run()
    assert not box.exception
    assert table(project).values("message")[0] == long + "the end"
    app.run()
    app.button(key="undo_examples").click().run()
    assert draft(project) == before


def test_a_long_text_that_was_not_changed_is_not_saved():
    long = "line one\r\n" * 400
    project = mine(f'message,team\n"{long}",billing\n' + "short one,shipping\n" * 30)
    before = draft(project)
    box = AppTest.from_function(_long_cell, args=(project,)).run()
    box.text_area[0].set_value(long.replace("\r", "")).run()
    box.button(key="save_long_cell").click().run()
    assert not box.exception
    assert draft(project) == before


def test_rows_left_out_follow_their_rows_and_are_not_used():
    project = mine()
    examples.leave_out(project, "out", {5: "by hand", 10: "odd"})
    assert not {5, 10} & {
        r for side in ("train", "validation", "test") for r in getattr(split_of(draft(project)), side)
    }
    columns = dict.fromkeys(table(project).columns, "")
    examples.change_rows(project, "blank", table(project), cells={(2, c): "" for c in columns})
    assert draft(project).excluded == {4: "by hand", 9: "odd"}
    examples.take_back(project, "back", [4])
    assert draft(project).excluded == {9: "odd"}
    for _ in range(3):
        examples.undo(project)
    assert draft(project).excluded == {}
    assert not examples.undo(project)


def test_versions_nobody_can_have_back_are_deleted():
    project = mine()
    for i in range(examples.MOST_UNDONE + 4):
        examples.change_rows(project, "x", table(project), cells={(0, "message"): f"text {i}"})
    with Store.open() as store:
        made = [d for d in store.datasets.all() if d.source == examples.SOURCE]
    assert len(made) <= examples.MOST_UNDONE + 1


def test_what_people_said_follows_the_rows():
    from engine.store.rows import FeedbackRow

    project = mine()
    first = draft(project).dataset
    with Store.open() as store:
        store.feedback.save(project, first, FeedbackRow(7, "r", "c", -1, "Too long.", "x", 0.0))
        store.feedback.save_grade(project, first, 8, "billing", 1.0)
    examples.change_rows(project, "blank", table(project), cells={(2, "message"): "", (2, "team"): ""})
    with Store.open() as store:
        assert [r.row for r in store.feedback.all(project, draft(project).dataset)] == [6]
        assert store.feedback.grades(project, draft(project).dataset) == {(7, "billing"): 1.0}


def test_another_tab_is_not_overwritten():
    project = mine()
    seen = state_of(draft(project), "examples")
    examples.leave_out(project, "other tab", {1: "x"})
    with pytest.raises(ChangedElsewhereError):
        examples.change_rows(project, "stale", table(project), cells={(0, "team"): "z"}, seen=seen)
    assert table(project).values("team")[0] == "billing"


@pytest.mark.parametrize("kind", ["blank", "duplicate", "spelling"])
def test_a_finding_is_fixed_on_the_page_and_undone(kind):
    project = mine()
    before = draft(project)
    (rows,) = [len(f.rows) for f in findings_of(before) if f.kind == kind]
    app = start(project=project)
    app.session_state[f"finding_{kind}_{project}_{rows}"] = True
    app.run()
    app.button(key=f"fix_{kind}_0").click().run()
    assert not app.exception
    after = draft(project)
    assert kind not in {f.kind for f in findings_of(after)}
    if kind == "spelling":
        assert after.pipeline.outputs[0].choices == ("billing", "shipping")
    app.button(key="undo_examples").click().run()
    assert draft(project) == before


def test_a_filled_template_fits_the_task():
    project = drafts.create_project("mine", draft(mine()).model_copy(update={"dataset": None, "mapping": {}}))
    app = start("examples", project=project)
    assert "template" in [b.key for b in app.get("download_button")]
    empty = examples.template(draft(project).pipeline)
    with pytest.raises(DatasetError, match="row"):
        read_dataset(empty, "examples.csv")
    filled = read_dataset(empty + b"a letter,billing\r\n", "examples.csv")
    assert infer_mapping(filled, draft(project).pipeline) == {"message": "message", "team": "team"}


def test_good_rows_say_so():
    clean = "message,team\n" + "".join(f"{'aeiou'[i % 5] * (i + 3)} {i},{'ab'[i % 2]}\n" for i in range(40))
    assert "No blanks, no rows that are there twice" in said(start(project=mine(clean)))


def test_pasted_rows_are_added_and_shown():
    project = mine()
    app = start(project=project)
    app.session_state["example_tabs"] = "Add rows"
    app.session_state[f"add_way_{project}"] = "Text or files"
    app.run()
    app.text_area(key=f"add_{project}_text_0").set_value("a,b\n1,2")
    app.button(key=f"add_{project}_use").click().run()
    assert "None of the columns (a, b) is in the table: message, team." in said(app)
    pasted = "Team\tMessage\tOther\nbilling\tnew one\tx\n"
    app.text_area(key=f"add_{project}_text_0").set_value(pasted)
    app.button(key=f"add_{project}_use").click().run()
    assert not app.exception
    assert any("Other" in toast.value for toast in app.toast)
    assert table(project).rows()[-1] == {"message": "new one", "team": "billing"}
    assert app.session_state[f"grid_rows_{project}"] == (64,)


def test_rows_of_a_model_are_reviewed_marked_and_never_tested(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    rows = [{"message": f"made {i}", "team": "billing"} for i in range(3)]
    with OpenAIServer(answer=lambda _: f"[[ ## rows ## ]]\n{json.dumps(rows)}") as server:
        project = mine()
        drafts.update(project, model=ModelChoice(name="openai/test-model", base_url=server.url))
        app = start(project=project)
        app.session_state["example_tabs"] = "Add rows"
        app.session_state[f"add_way_{project}"] = "Written by a model"
        app.run()
        app.number_input(key=f"made_count_{project}").set_value(3).run()
        app.button(key="write_rows").click().run(timeout=180)
        assert not app.exception
        assert len(table(project)) == 64
        app.button(key="add_made").click().run()
    found = draft(project)
    assert found.synthetic == (64, 65, 66)
    assert not set(found.synthetic) & {*split_of(found).test, *split_of(found).validation}


def test_the_offline_model_says_why_it_writes_no_rows():
    project = mine()
    app = start(project=project)
    app.session_state["example_tabs"] = "Add rows"
    app.session_state[f"add_way_{project}"] = "Written by a model"
    app.run()
    assert app.button(key="write_rows").disabled
    assert "cannot make up" in said(app)


def test_pictures_become_rows_of_an_image_task(home):
    from dashboard.state.editing.starting import with_attachments
    from engine.dataset import profile
    from engine.pipeline.importers.attachments import keep_file

    png = bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
    )
    kept = [keep_file(f"{i}.png", png + bytes([i])) for i in range(12)]
    lines = [f"{name[13:]},{name},{'cat' if i < 6 else 'dog'}" for i, name in enumerate(kept)]
    filled = "\n".join(["name,file,animal", *lines]).encode()
    read = read_dataset(filled, "files.csv")
    spec = infer_pipeline(read, {"name": "ignore", "file": "input", "animal": "output"})
    typed = with_attachments(spec, profile(read), infer_mapping(read, spec))
    assert typed.inputs[0].type == "Image"
    project = drafts.create_project("pictures")
    drafts.update(
        project,
        pipeline=typed,
        mapping=infer_mapping(read, spec),
        dataset=drafts.add_file(read, filled, "upload"),
    )
    app = start(project=project)
    assert "The first rows of file" in said(app)


def test_markup_rtl_long_cells_and_formulas_are_text():
    evil = [
        "![x](http://evil.example/p.png)",
        "<script>alert(1)</script>",
        "=cmd|' /C calc'!A0",
        "שלום",
        "🎛️",
        "x" * 1_000_000,
    ]
    rows = "text,label\n" + "".join(f'"{evil[i % 6]} {i}",{"ab"[i % 2]}\n' for i in range(36))
    project = mine(rows)
    app = start(project=project)
    for element in (*app.markdown, *app.caption, *app.title):
        assert "](http" not in str(element.value), element.value
    assert not app.exception


def test_a_hundred_thousand_rows_stay_smooth():
    words = ("bill", "parcel", "screen", "door", "lamp")
    big = "message,team\n" + "".join(
        f"the {words[i % 5]} {words[i * 7 % 5]} number {i} is here,{'abc'[i % 3]}\n" for i in range(100_000)
    )
    project = mine(big)
    start(project=project)
    before = time.process_time()
    app = start(project=project)
    assert time.process_time() - before < 3.0
    before = time.process_time()
    examples.change_rows(project, "x", table(project), cells={(99_999, "team"): "b"})
    assert time.process_time() - before < 2.0
    assert table(project).values("team")[99_999] == "b"
    assert not app.exception


def test_the_grids_own_columns_are_not_the_tables():
    assert USE not in ("Use", "use")
    assert WHY not in ("Why", "why")


def test_a_project_without_a_name_is_named_after_its_file(home):
    mine, named = drafts.create_project(drafts.UNTITLED), drafts.create_project("Mail")
    for project in (mine, named):
        drafts.name_after(project, "support_tickets 2024.csv")
    drafts.name_after(mine, "another.csv")
    assert {p.id: p.name for p in reading.projects()} == {mine: "Support tickets 2024", named: "Mail"}


def test_a_sample_of_many_rows_is_offered_with_both_prices_and_taken_back():
    project = mine(
        "message,team\n" + "".join(f"letter {i} of many,{'abc'[i % 3]}\n" for i in range(3200)), "many.csv"
    )
    drafts.update(project, model=ModelChoice(name="openai/gpt-4o-mini"))
    app = start(project=project)
    assert "3,200 rows are more than a search needs" in said(app)
    assert said(app).count("about $") >= 2
    app.button(key="sample_some").click().run()
    assert sum(split_of(draft(project)).sizes) == 300
    assert "300 of 3,200 rows are used" in said(app)
    app.button(key="sample_none").click().run()
    assert draft(project).split.sample is None
