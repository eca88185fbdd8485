"""Records out of documents, on the pages: a pile taken in, read next to its answers, corrected; over a real store."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from support.pages.page_frame import open_page, said, stored_draft

from dashboard.components.document import record_rows, viewer_data
from dashboard.state import reading
from dashboard.state.editing import drafts, examples, records, starting
from engine.errors import DatasetError
from engine.pipeline.importers.attachments import GivenFile
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.pipeline.templates import SAMPLES

pytestmark = pytest.mark.usefixtures("home")


def pile(number: int = 12) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for n in range(number):
            archive.writestr(f"bill-{n}.txt", f"Bill no. {n}\n<b>Total</b> {n}.50 EUR\fSecond page {n}")
        archive.writestr(
            "answers.json",
            json.dumps([{"file": f"bill-{n}", "number": n, "total": n + 0.5} for n in range(number)]),
        )
        archive.writestr("photo.heic", b"\0\0\0\x18ftypheic" + b"\0" * 40)
    return out.getvalue()


def test_a_pile_becomes_a_project_and_names_what_it_could_not_use():
    project = drafts.create_project(drafts.UNTITLED)
    app = open_page("examples", project=project)
    app.button(key=f"source_{project}_use").click().run()
    assert "Paste rows, or drop files" in said(app)
    app.file_uploader[0].upload("bills.zip", pile(), "application/zip").run()
    app.button(key=f"source_{project}_use").click().run()
    assert not app.exception
    assert "Is this what you mean?" in said(app)
    draft = stored_draft(project)
    assert [f.name for f in draft.pipeline.outputs] == ["number", "total"]
    assert draft.metric.name == "JSONMatch"
    assert "1 file has a problem" in said(app)
    assert draft.mapping["total"] == "correct_total"


def bills(number: int = 12) -> str:
    """A project of bills, taken from a pile."""
    project = drafts.create_project(drafts.UNTITLED)
    answers = [
        {"file": f"bill-{n}", "number": f"B-{n}", "total": n + 0.5, "lines": [{"article": "Tea", "price": n}]}
        for n in range(number)
    ]
    files = [
        GivenFile(f"bill-{n}.txt", f"Bill B-{n}\nTotal {n}.50 EUR\fTea {n}".encode()) for n in range(number)
    ]
    records.import_documents(project, [*files, GivenFile("answers.json", json.dumps(answers).encode())])
    return project


def answer(project: str, row: int) -> dict[str, object]:
    draft = stored_draft(project)
    return records.record_at(reading.dataset(draft.dataset), draft.pipeline, draft.mapping, row)


def test_answers_are_corrected_in_place_by_path_and_undone():
    project = bills()
    for act, path, text in (
        ("corrected", "total", "7"),
        ("corrected", "number", ""),
        ("added", "lines", ""),
        ("corrected", "lines[1].price", "2.5"),
        ("corrected", "lines[1].article", "Milk"),
        ("removed", "lines[0]", ""),
    ):
        records.correct(project, 3, act, path, text)
    assert answer(project, 3) == {"number": None, "total": 7, "lines": [{"price": 2.5, "article": "Milk"}]}
    assert answer(project, 4)["number"] == "B-4"
    for _ in range(6):
        examples.undo(project)
    assert answer(project, 3)["lines"] == [{"article": "Tea", "price": 3}]
    with pytest.raises(DatasetError, match="'gone'"):
        records.correct(project, 3, "corrected", "gone", "x")


def test_documents_without_answers_get_columns_for_them_once_their_fields_are_named():
    project = drafts.create_project(drafts.UNTITLED)
    files = [GivenFile(f"bill-{n}.txt", f"Bill B-{n}\nTotal {n}.50 EUR".encode()) for n in range(12)]
    records.import_documents(project, files)
    app = open_page("examples", project=project)
    assert "The record has no fields yet" in said(app)
    app.session_state["example_tabs"] = "One by one"
    app.run()
    assert "Its right answer is filled in here" in said(app)
    (step,) = stored_draft(project).pipeline.steps
    outputs = (FieldSpec(name="number"), FieldSpec(name="total", type="float"))
    spec = PipelineSpec(steps=(step.model_copy(update={"outputs": outputs}),))
    drafts.update(project, pipeline=spec)
    # A correction makes the columns that it needs.
    records.correct(project, 3, "corrected", "total", "3.5")
    assert answer(project, 3) == {"number": None, "total": 3.5}
    examples.undo(project)
    assert "correct_total" not in reading.dataset(stored_draft(project).dataset).columns
    app = open_page("examples", project=project)
    assert "No column holds the right answers of number, total" in said(app)
    app.button(key="make_columns").click().run()
    assert not app.exception
    draft = stored_draft(project)
    assert draft.mapping == {"document": "document", "number": "correct_number", "total": "correct_total"}
    assert reading.dataset(draft.dataset).values("correct_total") == [""] * 12
    assert "The right answers are missing" not in said(app)
    records.correct(project, 5, "corrected", "number", "B-5")
    assert answer(project, 5) == {"number": "B-5", "total": None}


def test_a_document_is_read_next_to_its_answer(home):
    app = open_page("examples", project=bills())
    app.session_state["example_tabs"] = "One by one"
    app.run()
    assert not app.exception
    assert "Press a field to see the place of its value" in said(app)


def test_every_input_of_a_row_is_shown_next_to_its_answer():
    project = drafts.project_from_sample(SAMPLES[0])
    app = open_page("examples", project=project)
    app.session_state["example_tabs"] = "One by one"
    app.run()
    (cells,) = reading.dataset(stored_draft(project).dataset).rows(0, 1)
    assert {cells["plan"], cells["channel"]} <= {text.value for text in app.text}


def test_a_rows_document_and_its_record_are_what_the_viewer_draws():
    project = bills()
    draft = stored_draft(project)
    table, spec = reading.dataset(draft.dataset), draft.pipeline
    document = records.document_at(table, spec, draft.mapping, 3)
    got = {"number": "B-3", "total": 35.0, "lines": [{"article": "Tea", "price": 3}, {"article": "Milk"}]}
    lines = record_rows(spec.outputs, answer(project, 3), got)
    data = viewer_data(document, lines, judged=True)
    by_path = {row["path"]: row for row in data["rows"]}
    assert [page["text"] for page in data["pages"]] == ["Bill B-3\nTotal 3.50 EUR", "Tea 3"]
    status = {path: row["status"] for path, row in by_path.items() if row["kind"] == "leaf"}
    assert status == {
        **{"number": "right", "total": "wrong", "lines[0].article": "right", "lines[0].price": "right"},
        **{"lines[1].article": "invented", "lines[1].price": "right"},
    }
    # The wrong total stands nowhere; the right one does, and is what is marked.
    (place,) = by_path["total"]["places"]
    assert data["pages"][0]["text"][place["start"] : place["end"]] == "3.50"
    assert by_path["lines[0].price"]["places"][0]["page"] == 1


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def test_texts_and_pictures_in_one_pile_are_all_files_of_the_task():
    project = drafts.create_project(drafts.UNTITLED)
    answers = [{"file": f"bill-{n}.{('txt', 'png')[n % 2]}", "number": f"B-{n}"} for n in range(12)]
    files = [
        GivenFile(one["file"], f"Bill B-{n}".encode() if n % 2 == 0 else PNG) for n, one in enumerate(answers)
    ]
    records.import_documents(project, [*files, GivenFile("answers.json", json.dumps(answers).encode())])
    draft = stored_draft(project)
    table = reading.dataset(draft.dataset)
    assert draft.mapping["document"] == "file"
    assert all(table.values("file"))
    document = records.document_at(table, draft.pipeline, draft.mapping, 0)
    assert [page.text for page in document.pages] == ["Bill B-0"]
    app = open_page("examples", project=project)
    assert not app.exception
    assert "cannot be used" not in said(app)
    assert "not found" not in said(app)
    app = open_page("tune", project=project)
    assert not app.exception
    assert "It has no eyes: 6 documents are pictures that it cannot read." in said(app)


def test_documents_become_rows_of_the_task_that_a_project_has():
    project = drafts.create_project(drafts.UNTITLED)
    step = StepSpec(
        inputs=(FieldSpec(name="photo", type="Image"),),
        outputs=(FieldSpec(name="animal"), FieldSpec(name="age")),
    )
    spec = PipelineSpec(steps=(step,))
    drafts.update(project, pipeline=spec)
    answers = [{"file": f"{n}.png", "animal": "cat"} for n in range(3)]
    files = [GivenFile(f"{n}.png", PNG + bytes([n])) for n in range(3)]
    open_page("examples", project=project)
    assert not starting.bring_rows(
        project, "", [*files, GivenFile("answers.json", json.dumps(answers).encode())]
    )
    draft = stored_draft(project)
    assert draft.pipeline == spec
    assert draft.mapping == {"photo": "file", "animal": "correct_animal"}
    app = open_page("examples", project=project)
    assert "No column holds the right answers of age" in said(app)


def test_more_documents_are_added_to_those_that_are_there():
    project = bills()
    answer = {"file": "bill-12", "number": "B-12", "total": 12.5}
    open_page("examples", project=project)
    more = [
        GivenFile("bill-12.txt", b"Bill B-12"),
        GivenFile("answers.json", json.dumps([answer]).encode()),
    ]
    rows, left = starting.rows_to_add(project, "", more)
    assert (rows[0]["name"], rows[0]["correct_number"], left) == ("bill-12.txt", "B-12", [])


def test_a_text_or_a_whole_project_in_the_box_for_rows_is_refused_with_what_to_do():
    project = bills()
    open_page("examples", project=project)
    with pytest.raises(DatasetError, match=r"'task.py' holds no rows. Bring a table"):
        starting.bring_rows(project, "", [GivenFile("task.py", b"import dspy")])
    with pytest.raises(DatasetError, match="has a task already"):
        starting.bring_rows(project, "Sort it: {{mail}}", [GivenFile("rows.csv", b"a,b\n1,2\n")])
    with pytest.raises(DatasetError, match="old Excel file"):
        starting.bring_rows(project, "", [GivenFile("rows.xls", b"\xd0\xcf\x11\xe0" + bytes(600))])
