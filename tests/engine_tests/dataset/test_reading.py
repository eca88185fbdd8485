from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dataset import paste_dataset, read_dataset, reading
from engine.errors import DatasetError


def read(text: str | bytes, name: str = "rows.csv"):
    return read_dataset(text.encode() if isinstance(text, str) else text, name)


def refusal(content: bytes | str, name: str = "rows.csv") -> str:
    with pytest.raises(DatasetError) as caught:
        read(content, name)
    message = str(caught.value)
    assert "\n" not in message
    assert name in message
    return message


def test_every_value_stays_the_text_it_was():
    data = read("id,code,empty\n007,NA,\n1e5,null,x\nTRUE,3.10,nan\n")
    assert data.values("id") == ["007", "1e5", "TRUE"]
    assert data.values("code") == ["NA", "null", "3.10"]
    assert data.values("empty") == ["", "x", "nan"]
    assert len(data) == 3
    assert data.problems == ()
    assert data.notes == ()


def test_quoted_cells_keep_separators_quotes_and_line_breaks():
    data = read('a,b\n"x, y","say ""hi"""\r\n"two\nlines",z\n')
    assert data.rows() == [{"a": "x, y", "b": 'say "hi"'}, {"a": "two\nlines", "b": "z"}]
    assert data.row_number(1) == 3


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(separator: str):
    text = (
        f"text{separator}label\n1,5 {separator}a\nhello{separator}b\n"
        if separator != ","
        else "text,label\nx,a\ny,b\n"
    )
    assert read(text).columns == ("text", "label")


def test_one_column_of_prose_is_one_column():
    data = read("text\nhello\nwell\n")
    assert data.values("text") == ["hello", "well"]


@pytest.mark.parametrize(
    ("codec", "note"),
    [("utf-8-sig", ""), ("utf-16", "UTF-16"), ("utf-32", "UTF-32"), ("cp1252", "Windows-1252")],
)
def test_encodings_are_recognised(codec: str, note: str):
    data = read("naïve,label\ncafé “ok”,ja\n".encode(codec))
    assert data.columns == ("naïve", "label")
    assert data.values("naïve") == ["café “ok”"]
    assert (note in data.notes[0]) if note else data.notes == ()


def test_utf16_without_a_mark_is_recognised():
    assert read("text,label\nhello,a\n".encode("utf-16-be")).values("text") == ["hello"]


def test_a_few_damaged_bytes_do_not_change_the_encoding():
    data = read(b"text,label\n" + "größe schön äöü ß,a\n".encode() * 3 + b"caf\xe9,b\n")
    assert data.values("text")[0] == "größe schön äöü ß"
    assert "line 5" in data.notes[0]


def test_nuls_are_removed_and_told():
    data = read(b"text,label\nhe\0llo,a\nyou,b\n")
    assert data.values("text") == ["hello", "you"]
    assert data.notes == ("1 NUL character was removed.",)


def test_ragged_rows_are_listed_by_row_and_left_out():
    data = read("text,label\ngood,a\nno label\n\ntoo,many,cells\nfine,b\nspare,c,,\n")
    assert data.values("text") == ["good", "fine", "spare"]
    assert [(p.row, p.message.split(".")[0]) for p in data.problems] == [
        (3, "This row has 1 cell where the header has 2"),
        (5, "This row has 3 cells where the header has 2"),
    ]
    assert [data.row_number(i) for i in range(3)] == [2, 6, 7]


def test_a_quote_that_never_closes_costs_one_row():
    data = read('text,label\nfine,a\n"open,b\nlast,c\nmore,d\n')
    assert data.values("text") == ["fine", "last", "more"]
    assert [p.row for p in data.problems] == [3]
    assert "never closed" in data.problems[0].message


def test_blank_rows_are_skipped_and_the_others_keep_their_numbers():
    data = read("text,label\na,x\n,\nb,y\n")
    assert data.values("text") == ["a", "b"]
    assert data.row_number(1) == 4
    assert data.notes == ("1 blank row was skipped.",)


def test_duplicate_and_blank_column_names_are_repaired_with_notes():
    data = read("text,text,,label,\nq,r,s,t,\n")
    assert data.columns == ("text", "text 2", "column C", "label")
    assert any("(A and B)" in n for n in data.notes)
    assert any("Column C has no name" in n for n in data.notes)


def test_a_blank_last_name_over_data_is_repaired():
    data = read("text,label,\nq,a,note\nr,b\n")
    assert data.columns == ("text", "label", "column C")
    assert data.values("column C") == ["note", ""]


def test_data_in_the_header_row_is_noticed():
    assert "looks like data" in read("hello,positive\nbad,negative\nnice,positive\ngood,positive\n").notes[0]


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"%PDF-1.7 ...", "a.csv", "PDF"),
        (b"\xd0\xcf\x11\xe0rest", "a.xls", "old Excel"),
        (b"\x1f\x8brest", "a.csv.gz", "compressed"),
        (bytes(range(256)) * 20, "a.csv", "not a text file"),
        (b"PK\x03\x04 no zip", "a.xlsx", "not an Excel workbook"),
        (b"PAR1 no parquet", "a.parquet", "not a Parquet file"),
        (b"<!DOCTYPE html><html></html>", "a.csv", "web page"),
        *(
            (blank, "a.csv", "is empty")
            for blank in (b"", b"\n\n  \n", b"\xef\xbb\xbf", b"\xff\xfe", b"\0\0\0")
        ),
        ("text,label\n", "a.csv", "no rows below"),
        ("text,label\n,\n\n", "a.csv", "no rows below"),
        ("text,label\na,b,c\nd,e,f\n", "a.csv", "row 2"),
        (f"{','.join(f'c{i}' for i in range(600))}\n{','.join('x' * 600)}\n", "a.csv", "columns"),
        ('[{"a": 1},\n{"a": }]', "a.json", "line 2"),
        ('{"a": 1}', "a.json", "no list of rows"),
        ("[" * 100_000, "a.json", "nested too deeply"),
        ("[]", "a.json", "is empty"),
        ("[1, 2]", "a.json", "No item"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_what_is_no_table_is_refused_in_words(content: bytes | str, name: str, words: str):
    assert words in refusal(content, name)


def test_paths_are_read_and_bad_ones_refused(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n1,2\n")
    assert read_dataset(file).name == "rows.csv"
    assert read_dataset(file).content_hash == read_dataset(file.read_bytes(), "x.csv").content_hash
    with pytest.raises(DatasetError, match="There is no file"):
        read_dataset(tmp_path / "none.csv")
    with pytest.raises(DatasetError, match="is a folder"):
        read_dataset(tmp_path)


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path: Path):
    file = tmp_path / "huge.csv"
    with file.open("wb") as sparse:
        sparse.truncate(200_000_001)
    with pytest.raises(DatasetError, match="200 MB"):
        read_dataset(file)


def test_fifty_megabytes_are_read():
    row = "a long enough text about nothing in particular,label\n"
    data = read("text,label\n" + row * (50_000_000 // len(row)))
    assert len(data) == 50_000_000 // len(row)
    assert data.values("label")[-1] == "label"


def test_a_very_long_cell_is_read():
    data = read(f"text,label\n{'x' * 300_000},a\nshort,b\n")
    assert len(data.values("text")[0]) == 300_000


cells = st.text(alphabet=st.sampled_from('ab ,;"\n\r\té0'), max_size=6)


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=150, deadline=None)
def test_both_readers_agree(rows: list[tuple[str, str, str]], newline: str):
    lines = ["one,two,three", *(",".join('"' + c.replace('"', '""') + '"' for c in row) for row in rows)]
    text = newline.join(lines) + newline
    by_arrow = reading._read_with_arrow(text, None, ",", [])
    by_python = reading._read_with_python(text, "x", ",", [])
    assert list(map(list, zip(*by_python.cells, strict=True))) == [list(r) for r in rows]
    assert by_python.problems == []
    if by_arrow is not None:
        assert [c.to_pylist() for c in by_arrow.cells] == [list(c) for c in by_python.cells]


@given(st.text(alphabet=st.sampled_from('ab ,"\n\r'), max_size=40))
@settings(max_examples=300, deadline=None)
def test_the_fast_reader_never_disagrees_about_stray_quotes(body: str):
    text = "one,two\n" + body
    by_arrow = reading._read_with_arrow(text, None, ",", [])
    if by_arrow is None:
        return
    by_python = reading._read_with_python(text, "x", ",", [])
    assert by_python.problems == []
    arrow_rows = zip(*(c.to_pylist() for c in by_arrow.cells), strict=True)
    python_rows = zip(*by_python.cells, strict=True)
    assert [r for r in arrow_rows if any(r)] == [r for r in python_rows if any(r)]


@given(st.text(alphabet=st.sampled_from('ab ,"\n\r;\t'), max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_text_crashes_the_reader(text: str):
    try:
        data = read(text)
    except DatasetError:
        return
    assert len(data) > 0
    assert all(isinstance(v, str) for row in data.rows() for v in row.values())


@given(st.binary(max_size=200), st.sampled_from(["x.csv", "x.json", "x.jsonl", "x.xlsx", "x.parquet", "x"]))
@settings(max_examples=100, deadline=None)
def test_no_bytes_crash_the_reader(content: bytes, name: str):
    with contextlib.suppress(DatasetError):
        read(content, name)


def test_json_in_its_usual_shapes():
    rows = [{"q": "1+1", "a": 2, "tags": ["x"], "ok": True}, {"q": "2+2", "a": 4.0, "more": None}]
    expected = [
        {"q": "1+1", "a": "2", "tags": '["x"]', "ok": "true", "more": ""},
        {"q": "2+2", "a": "4", "tags": "", "ok": "", "more": ""},
    ]
    assert read(json.dumps(rows), "x.json").rows() == expected
    assert read(json.dumps({"meta": 1, "data": rows}), "x.json").rows() == expected
    assert read("\n".join(map(json.dumps, rows)), "x.jsonl").rows() == expected
    assert read("\n".join(map(json.dumps, rows)), "x.json").rows() == expected
    assert read('{"q": ["a", "b"], "a": [1, 2]}', "x.json").rows() == [
        {"q": "a", "a": "1"},
        {"q": "b", "a": "2"},
    ]
    assert read('[{"q": "\\ud800 half", "a": 1}]', "x.json").values("q") == ["? half"]


def test_damaged_json_lines_are_listed_by_line():
    data = read('{"a": 1}\n\n{"a": \n5\n{"a": 2}\n', "x.jsonl")
    assert data.values("a") == ["1", "2"]
    assert [p.row for p in data.problems] == [3, 4]
    assert data.row_number(1) == 5
    assert "No line" in refusal("nope\nnope\n", "x.jsonl")


def workbook(*sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for i, rows in enumerate(sheets):
        sheet = book.create_sheet(f"Sheet {i + 1}")
        for row in rows:
            sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_workbooks_are_read_with_their_row_numbers():
    content = workbook(
        [], [["text", "n", "ok"], ["a", 7.0, True], [None, None, None], ["b", 1.5, None]], [["other"]]
    )
    data = read(content, "book.xlsx")
    assert data.rows() == [{"text": "a", "n": "7", "ok": "true"}, {"text": "b", "n": "1.5", "ok": ""}]
    assert data.row_number(1) == 4
    assert data.notes == ("The sheet 'Sheet 2' was read; the others were left aside.",)
    assert read(content, "book.csv").columns == data.columns
    assert "is empty" in refusal(workbook([]), "book.xlsx")
    assert "no rows below" in refusal(workbook([["text", "label"]]), "book.xlsx")


def test_pasted_rows():
    assert paste_dataset("text\tlabel\nhello, you\ta\nbye\tb\n").rows()[0] == {
        "text": "hello, you",
        "label": "a",
    }
    assert paste_dataset("\n\ntext,label\nx,a\n").columns == ("text", "label")
    assert paste_dataset('[{"text": "x"}]').values("text") == ["x"]
    with pytest.raises(DatasetError, match="Nothing was pasted"):
        paste_dataset("  \n")
