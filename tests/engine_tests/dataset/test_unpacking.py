"""Files that unpack: ordinary ones as before, hugely unpacking ones refused in little memory and time."""

from __future__ import annotations

import io
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from support.bombs import BOMBS, repeated_parquet, workbook

from engine.dataset import read_dataset
from engine.dataset.unpacking import SMALL_WORKBOOK, _safe_rows
from engine.errors import DatasetError

REFUSED = "|".join(
    (
        "unpacks to",
        "below row 1,048,576",
        "columns; at most 500",
        "takes more than",
        "is not an Excel workbook",
    )
)


@pytest.mark.parametrize(
    "name",
    [n for n in BOMBS if n not in ("crowded.xlsx", "numbers.parquet", "nested.parquet", "prefix.parquet")],
)
def test_a_small_file_that_unpacks_hugely_is_refused(name: str):
    content = BOMBS[name]()
    assert len(content) < 1_100_000
    began = time.monotonic()
    with pytest.raises(DatasetError, match=REFUSED):
        read_dataset(content, name)
    assert time.monotonic() - began < 30, "10 seconds on a machine that does nothing else"


def test_a_workbook_above_the_small_size_is_read_in_a_child_to_the_same_table():
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Tickets")
    sheet.append(["text", "number", "text", None])
    sheet.append([])
    for i in range(40):
        sheet.append([f"ünï {i}" * 10, i / 2, True, None, None])
    book.create_sheet("More").append(["x"])
    out = io.BytesIO()
    book.save(out)
    here = read_dataset(out.getvalue(), "x.xlsx")
    heavy = io.BytesIO(out.getvalue())
    with zipfile.ZipFile(heavy, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("docProps/thumbnail.bin", bytes(SMALL_WORKBOOK))
    child = read_dataset(heavy.getvalue(), "x.xlsx")
    assert child.frame.equals(here.frame)
    assert (child.columns, child.notes, child.numbers) == (here.columns, here.notes, here.numbers)
    assert here.numbers is not None
    assert here.numbers[0] == 3


def test_a_parquet_file_keeps_its_types_as_text():
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table(
        {
            "text": ["a", None, "ü"],
            "n": [1.0, 2.5, None],
            "list": [[1, 2], [], None],
            "bytes": [b"\xff", b"b", None],
        }
    )
    out = io.BytesIO()
    parquet.write_table(table, out)
    assert read_dataset(out.getvalue(), "x.parquet").rows() == [
        {"text": "a", "n": "1", "list": "[1, 2]", "bytes": "\ufffd"},
        {"text": "", "n": "2.5", "list": "[]", "bytes": "b"},
        {"text": "ü", "n": "", "list": "", "bytes": ""},
    ]


def test_text_that_is_not_utf8_is_read_with_marks():
    import pyarrow as pa
    from pyarrow import parquet

    out = io.BytesIO()
    text = pa.array([b"fine", b"\xff!"], pa.binary()).view(pa.string())
    parquet.write_table(pa.table({"text": text}), out)
    assert read_dataset(out.getvalue(), "x.parquet").values("text") == ["fine", "\ufffd!"]


@pytest.mark.parametrize("content", [b"PAR1", b"PAR1" * 9, b"PK\x03\x04", b"PK\x03\x04" * 99])
def test_a_damaged_file_is_one_sentence(content: bytes):
    with pytest.raises(DatasetError, match="can be read"):
        read_dataset(content, "x.parquet" if content.startswith(b"PAR1") else "x.xlsx")


def test_blank_cells_beyond_the_last_name_do_not_count_as_columns():
    row = '<row><c r="A1" t="inlineStr"><is><t>text</t></is></c><c r="XFD1"/></row>'
    assert read_dataset(workbook(row * 3), "x.xlsx").columns == ("text",)


def test_what_a_child_prints_is_not_the_answer(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "engine.dataset.unpacking"],
        input=b'{"kind": "parquet", "name": "x"}\nPAR1',
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.count(b"\n") == 1
    assert b"problem" in done.stdout


def test_a_small_parquet_file_of_flat_columns_starts_no_child():
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"text": [f"text number {i}" for i in range(2000)], "n": list(range(2000))})
    out = io.BytesIO()
    parquet.write_table(table, out)
    content = out.getvalue()
    assert _safe_rows(content)
    assert read_dataset(content, "x.parquet").rows()[-1] == {"text": "text number 1999", "n": "1999"}
    for changes in ({"compression": "zstd"}, {"row_group_size": 1}):
        other = io.BytesIO()
        parquet.write_table(table, other, **changes)
        assert not _safe_rows(other.getvalue())
        assert read_dataset(other.getvalue(), "x.parquet").frame.equals(
            read_dataset(content, "x.parquet").frame
        )


def test_a_child_reads_the_same_wherever_tuneboard_was_started(tmp_path, monkeypatch):
    content = repeated_parquet(rows=300, size=500_000, compression="snappy")
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "__init__.py").write_text("")
    (tmp_path / "pyarrow.py").write_text("raise SystemExit('foreign')")
    monkeypatch.chdir(tmp_path)
    assert len(read_dataset(content, "x.parquet")) == 300


def test_a_child_that_ends_for_another_reason_than_memory_says_which(tmp_path, monkeypatch):
    content = repeated_parquet(rows=300, size=500_000, compression="snappy")
    (tmp_path / "zipfile.py").write_text("raise ImportError('no such library here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DatasetError, match=r"x\.parquet' ended early: ImportError: no such library here"):
        read_dataset(content, "x.parquet")


def test_a_large_table_in_a_small_file_is_read_in_a_child():
    content = repeated_parquet(rows=300, size=500_000, compression="snappy")
    assert _safe_rows(content)
    table = read_dataset(content, "x.parquet")
    assert len(table) == 300
    assert len(table.values("text")[-1]) == 500_000
