"""A batch of documents becomes examples and a task; what cannot be used is one sentence each."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile

import pytest
from support.mixed_pdf import mixed_pdf
from support.pictures import PNG

from engine.dataset import read_dataset
from engine.errors import DatasetError
from engine.pipeline.importers.attachments import GivenFile
from engine.pipeline.importers.document_batch import document_batch
from engine.pipeline.records import infer_fields
from engine.runs.drafting import record_project
from engine.runs.prepare import usable_examples

HEIC = b"\0\0\0\x18ftypheic" + b"\0" * 40


def packed(**files: bytes | str) -> GivenFile:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return GivenFile("pile.zip", out.getvalue())


def texts(number: int = 3) -> dict[str, bytes | str]:
    return {f"in/doc-{n}.txt": f"Total {n}.50 on 2026-05-0{n}" for n in range(1, number + 1)}


def rows_of(*files: GivenFile, written: str = ""):
    made = record_project(document_batch(files), written)
    table = read_dataset(made.table, "documents.csv")
    return made, table, usable_examples(made.draft.pipeline, table, made.draft.mapping)


ANSWERS = [{"file": f"doc-{n}", "total": n + 0.5, "lines": [{"Unit price": n}]} for n in (1, 2)]


@pytest.mark.parametrize(
    "files",
    [
        {"answers.jsonl": "\n".join(map(json.dumps, ANSWERS))},
        {"a/answers.json": json.dumps(ANSWERS)},
        {"answers.json": json.dumps({f"IN/doc-{n}.txt": {k: v for k, v in a.items() if k != "file"}
                                     for n, a in enumerate(ANSWERS, 1)})},
        {f"in/doc-{n}.json": json.dumps({"expected_output": {k: v for k, v in a.items() if k != "file"}})
         for n, a in enumerate(ANSWERS, 1)},
        {"answers.csv": 'which,total,lines\ndoc-1.txt,1.5,"[{""Unit price"": 1}]"\n'
                        'doc-2.txt,2.5,"[{""Unit price"": 2}]"\n'},
    ],
    ids=["lines", "list", "by file", "next to each", "table"],
)  # fmt: skip
def test_answers_find_their_documents_in_every_form(files):
    made, table, usable = rows_of(packed(**texts(), **files))
    total, lines = made.draft.pipeline.outputs
    assert (total.type, lines.type, lines.fields[0].name) == ("float", "list[record]", "unit_price")
    assert table.values("name")[0] == "in/doc-1.txt"
    assert made.draft.pipeline.steps[0].strategy == "extract"
    assert made.draft.metric.options["evaluators"] == "total=number"
    assert {row: e.total for row, e in usable.examples.items()} == {0: 1.5, 1: 2.5}
    assert usable.examples[1].lines[0].unit_price == 2
    # The third document has no answer: it stays in the table, and is named as a row without one.
    assert {p.row for p in usable.problems} == {4}


def test_what_cannot_be_used_is_one_sentence_and_the_rest_goes_on():
    found = document_batch([
        packed(**texts(1), **{
            "photo.heic": HEIC, "torn.pdf": b"%PDF-1.7 no", "empty.txt": " ", "tool.exe": b"MZ\x90\0\x03\0\0\0\x04\0",
            "__MACOSX/._x": b"x", "odd.json": "[1]", "bad.csv": "total,date\n3,now\n",
            "more.json": '[{"file": "doc-1", "total": 1}, {"file": "doc-9", "total": 2}]',
        }),
        GivenFile("broken.zip", b"PK no"),
    ])  # fmt: skip
    said = {p.file: p.sentence for p in found.problems}
    assert [d.name for d in found.documents] == ["in/doc-1.txt"]
    assert set(said) == {
        *("photo.heic", "torn.pdf", "empty.txt", "tool.exe", "odd.json", "bad.csv", "more.json", "broken.zip")
    }
    assert "HEIC" in said["photo.heic"]
    assert "doc-9" in said["more.json"]
    assert "No column of it names the documents" in said["bad.csv"]
    assert all(s.endswith((".", ")")) for s in said.values())
    with pytest.raises(DatasetError, match="no document that can be read"):
        document_batch([GivenFile("photo.heic", HEIC)])


@pytest.mark.parametrize("name", [".", "\\", "//"])
def test_a_file_without_a_name_is_named_as_a_problem_and_the_rest_goes_on(name):
    found = document_batch([packed(**{"a.txt": "A", name: "B", "c.txt": "C"}), GivenFile("", b"x")])
    assert [d.name for d in found.documents] == ["a.txt", "c.txt"]
    assert all("no name" in p.sentence for p in found.problems)
    assert found.problems


def test_a_damaged_file_of_an_archive_or_one_whose_size_is_a_lie_leaves_the_others():
    whole = packed(**{"a.txt": "first one", "b.txt": "second one", "../c.txt": "third one"}).content
    torn = whole.replace(b"second one", b"second 0ne", 1)
    entry = whole.rindex(b"b.txt") - 46
    lie = whole[: entry + 24] + (3).to_bytes(4, "little") + whole[entry + 28 :]
    for content in (torn, lie):
        found = document_batch([GivenFile("pile.zip", content)])
        assert [d.name for d in found.documents] == ["a.txt", "c.txt"]
        assert [p.file for p in found.problems] == ["b.txt"]


def test_a_file_that_unpacks_to_more_than_its_archive_says_takes_no_more_memory():
    for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", kind) as archive:
            archive.writestr("bomb.txt", b"\0" * 48_000_000)
            archive.writestr(zipfile.ZipInfo("a.txt"), "Total 1")
        whole = out.getvalue()
        entry = whole.rindex(b"bomb.txt") - 46
        lie = whole[: entry + 24] + (40_000).to_bytes(4, "little") + whole[entry + 28 :]
        tracemalloc.start()
        try:
            found = document_batch([GivenFile("pile.zip", lie)])
            assert tracemalloc.get_traced_memory()[1] < 16_000_000
        finally:
            tracemalloc.stop()
        assert [d.name for d in found.documents] == ["a.txt"]
        assert [p.file for p in found.problems] == ["bomb.txt"]


def test_a_record_with_a_record_called_like_a_wrapping_keeps_its_other_fields():
    answers = [{"file": "doc-1", "labels": {"kind": "a"}, "total": 3}]
    found = document_batch([packed(**texts(1), **{"answers.json": json.dumps(answers)})])
    assert found.answers == {0: {"labels": {"kind": "a"}, "total": 3}}


def test_answers_that_do_not_fit_a_class_are_named_by_row_and_field():
    answers = [{"file": "doc-1", "total": "much"}, {"file": "doc-2", "total": 2.5}, {"file": "doc-3"}]
    batch = packed(**texts(), **{"answers.json": json.dumps(answers)})
    made, _, usable = rows_of(batch, written="class Bill(BaseModel):\n    total: float\n")
    assert made.draft.pipeline.steps[0].source.startswith("class Bill")
    assert list(usable.examples) == [1]
    assert [(p.row, p.column) for p in usable.problems] == [(2, "correct_total"), (4, "correct_total")]


def test_pictures_are_kept_as_files_and_a_pile_without_answers_has_no_outputs_yet():
    made = record_project(document_batch([GivenFile("a.png", PNG)]))
    assert made.draft.pipeline.inputs[0].type == "Image"
    assert made.draft.mapping == {"document": "file"}
    assert made.draft.pipeline.outputs == ()


def test_a_record_is_inferred_with_what_may_be_missing():
    fields = infer_fields(
        [{"kind": k, "day": "2026-05-01", "paid": True, "from": "x", "sum": s, "who": {"name": "Ann"}}
         for k in ("bill", "offer", "bill") for s in (1, 2.5, None, 4)]
    )  # fmt: skip
    assert [(f.name, f.type, f.choices) for f in fields] == [
        ("kind", "str", ("bill", "offer")),
        ("day", "str", ()),
        ("paid", "bool", ()),
        ("from_value", "str", ()),
        ("sum", "Optional[float]", ()),
        ("who", "record", ()),
    ]
    assert fields[1].description == "As in 2026-05-31"


def test_a_number_with_separators_in_a_table_is_a_number():
    table = b'file,total\na.txt,"1,234.5"\nb.txt,7\n'
    batch = document_batch(
        [GivenFile("a.txt", b"one"), GivenFile("b.txt", b"two"), GivenFile("answers.csv", table)]
    )
    assert [batch.answers[at] for at in (0, 1)] == [{"total": 1234.5}, {"total": 7}]


def test_an_answer_for_several_documents_or_a_second_one_is_named_and_not_taken():
    files = [GivenFile("x/1.txt", b"one"), GivenFile("y/1.txt", b"two"), GivenFile("z/2.txt", b"three")]
    answers = b"file,total\n1.txt,5\nx/1.txt,6\n2.txt,7\n2.txt,8\n"
    batch = document_batch([*files, GivenFile("answers.csv", answers)])
    assert batch.answers == {0: {"total": 6}, 2: {"total": 7}}
    assert [p.sentence for p in batch.problems] == [
        "1 answer is for several documents of that name: 1.txt.",
        "1 answer is for a document that has one already: 2.txt.",
    ]


def test_a_pdf_with_scanned_pages_is_kept_as_a_file_so_that_they_are_seen():
    found = document_batch([GivenFile("a.pdf", mixed_pdf("ts"))])
    assert not found.has_text
    assert record_project(found).draft.pipeline.steps[0].inputs[0].type == "PDF"
    assert document_batch([GivenFile("a.pdf", mixed_pdf("t-"))]).has_text


def test_files_that_a_system_leaves_behind_are_no_documents():
    junk = ("__MACOSX/a/._x.txt", "a/.DS_Store", "a/Thumbs.db", "desktop.ini")
    files = [GivenFile(name, b"\0\5junk") for name in junk] + [GivenFile("a/x.txt", b"Total 3")]
    for given in (files, [packed(**{one.name: one.content for one in files})]):
        batch = document_batch(given)
        assert [one.name for one in batch.documents] == ["a/x.txt"]
        assert batch.problems == []


def test_answers_whose_names_fit_no_document_show_both_names():
    files = [
        GivenFile("d0.txt", b"Total 3"),
        GivenFile("answers.csv", b"file;total\nq1.txt;3\nq2.txt;4\n"),
    ]
    batch = document_batch(files)
    (problem,) = batch.problems
    assert problem.sentence == (
        "Its column 'file' names none of the documents: it has q1.txt, q2.txt, and the documents are d0.txt."
    )


def test_a_decimal_comma_is_a_number():
    text = "file;total;note\na.txt;7,00;1,5 kg\nb.txt;1.234,50;x\nc.txt;;y\n"
    files = [GivenFile(f"{name}.txt", b"A bill") for name in "abc"]
    batch = document_batch([*files, GivenFile("answers.csv", text.encode())])
    assert [batch.answers[at]["total"] for at in range(3)] == [7.0, 1234.5, None]
    made = record_project(batch)
    assert [f.type for f in made.draft.pipeline.outputs] == ["Optional[float]", "str"]


def test_a_key_that_is_no_field_name_is_named_and_one_called_like_the_input_is_kept():
    answers = json.dumps([{"file": "a.txt", "class": "x", "document": "y", "Total amount": 3}])
    made = record_project(
        document_batch([GivenFile("a.txt", b"A bill"), GivenFile("answers.json", answers.encode())])
    )
    (step,) = made.draft.pipeline.steps
    assert [f.name for f in step.outputs] == ["class_value", "document", "total_amount"]
    assert made.notes == ("'class' cannot be a field name; it is called 'class_value' here.",)
    assert made.draft.mapping[step.inputs[0].name] == "document"
    assert b'"a.txt","","A bill","x","y","3"' in made.table


def test_a_class_brings_no_word_of_an_input_that_is_not_there():
    made = record_project(
        document_batch([GivenFile("a.txt", b"A bill")]), "class Bill(BaseModel):\n    total: float\n"
    )
    assert made.notes == ()


def test_the_other_amounts_of_a_column_decide_what_a_comma_or_a_point_means():
    files = [GivenFile(f"{name}.txt", f"total of {name}".encode()) for name in "abc"]
    answers = b'file,weight,people\na,"12,500",1.234\nb,"0,5",2.345.678\nc,"1.000,25",7\n'
    batch = document_batch([*files, GivenFile("answers.csv", answers)])
    assert [batch.answers[at]["weight"] for at in range(3)] == [12.5, 0.5, 1000.25]
    assert [batch.answers[at]["people"] for at in range(3)] == [1234, 2345678, 7]
