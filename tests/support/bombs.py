"""Small files that unpack hugely: Parquet and workbooks."""

from __future__ import annotations

import io
import zipfile


def repeated_parquet(rows: int = 5300, size: int = 1_000_000, compression: str = "zstd") -> bytes:
    """Return a Parquet file whose one text of a megabyte is repeated in every row: less than a kilobyte for gigabytes."""
    import pyarrow as pa
    from pyarrow import parquet

    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["a" * size]))
    out = io.BytesIO()
    parquet.write_table(pa.table({"text": text}), out, compression=compression, store_schema=False)
    return out.getvalue()


def snappy_parquet() -> bytes:
    """Return the same in the compression of ordinary files: half a megabyte in each row of a small file."""
    return repeated_parquet(rows=100_000, size=500_000, compression="snappy")


def prefix_parquet(rows: int = 2500, size: int = 200_000) -> bytes:
    """Return a Parquet file whose every text is written as the one before it, and nothing more."""
    import pyarrow as pa
    from pyarrow import parquet

    out = io.BytesIO()
    options = {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY", "compression": "snappy"}
    schema = pa.schema({"text": pa.string()})
    with parquet.ParquetWriter(out, schema, store_schema=False, data_page_size=2**30, **options) as writer:
        writer.write_table(pa.table({"text": ["a" * size] * rows}), row_group_size=rows)
    return out.getvalue()


def numbers_parquet(rows: int = 200_000_000) -> bytes:
    """Return a Parquet file of one number repeated in hundreds of millions of rows."""
    import pyarrow as pa
    from pyarrow import parquet

    out = io.BytesIO()
    schema = pa.schema({"n": pa.int64()})
    part = pa.table({"n": pa.repeat(pa.scalar(7, pa.int64()), 10_000_000)})
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for _ in range(rows // 10_000_000):
            writer.write_table(part, row_group_size=10_000_000)
    return out.getvalue()


def nested_parquet(items: int = 300_000_000) -> bytes:
    """Return a Parquet file of one row that is a list of hundreds of millions of empty values."""
    import pyarrow as pa
    from pyarrow import parquet

    values = pa.nulls(items, pa.bool_())
    out = io.BytesIO()
    column = pa.ListArray.from_arrays(pa.array([0, items], pa.int32()), values)
    parquet.write_table(pa.table({"list": column}), out, compression="zstd")
    return out.getvalue()


def workbook(rows: str, shared: str = "", sheets: int = 1) -> bytes:
    """Return a workbook whose sheets hold these rows, as they are written in its XML."""
    names = range(1, sheets + 1)
    space = "http://schemas.openxmlformats.org"
    main, office = f"{space}/spreadsheetml/2006/main", f"{space}/officeDocument/2006/relationships"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{space}/package/2006/content-types">'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{kind}.worksheet+xml"/>'
            for n in names
        )
        + f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}.sharedStrings+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{space}/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        + "".join(f'<sheet name="S{n}" sheetId="{n}" r:id="r{n}"/>' for n in names)
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{space}/package/2006/relationships">'
        + "".join(
            f'<Relationship Id="r{n}" Type="{office}/worksheet" Target="worksheets/sheet{n}.xml"/>'
            for n in names
        )
        + f'<Relationship Id="s" Type="{office}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/sharedStrings.xml": f'<sst xmlns="{main}">{shared}</sst>',
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        for n in names:
            archive.writestr(
                f"xl/worksheets/sheet{n}.xml",
                f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>',
            )
    return out.getvalue()


HEADER = '<row r="1"><c r="A1" t="inlineStr"><is><t>text</t></is></c></row>'


def endless_workbook() -> bytes:
    """Return a workbook with a row of number 99,999,999,999."""
    return workbook(HEADER + '<row r="99999999999"><c r="A99999999999"><v>1</v></c></row>')


def gaps_workbook() -> bytes:
    """Return a workbook of hundreds of sheets with nothing above their last row."""
    return workbook('<row r="1048576"></row>', sheets=400)


def wide_workbook(rows: int = 100_000, column: str = "XFD") -> bytes:
    """Return a workbook whose every row has one cell, in the last column that there is."""
    return workbook(HEADER + f'<row><c r="{column}1"><v>1</v></c></row>' * rows)


def blank_wide_workbook(rows: int = 100_000) -> bytes:
    """Return a workbook whose every row has an empty cell in the last column."""
    return workbook(HEADER + '<row><c r="XFD1"/></row>' * rows)


def repeated_workbook(rows: int = 50_000, size: int = 1_000_000) -> bytes:
    """Return a workbook whose one shared text of a megabyte is in every row."""
    return workbook(HEADER + '<row><c t="s"><v>0</v></c></row>' * rows, f"<si><t>{'a' * size}</t></si>")


def crowded_workbook(cells: int = 30_000_000) -> bytes:
    """Return a workbook with one row of millions of empty cells."""
    return workbook(f"{HEADER}<row>{'<c/>' * cells}</row>")


def entities_workbook() -> bytes:
    """Return a workbook whose text is a reference to a reference to a reference."""
    entities = '<!ENTITY a0 "lol">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    whole = io.BytesIO(workbook(HEADER))
    out = io.BytesIO()
    with zipfile.ZipFile(whole) as read, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for item in read.infolist():
            text = read.read(item)
            if item.filename == "xl/sharedStrings.xml":
                text = f"<!DOCTYPE sst [{entities}]><sst><si><t>&a9;</t></si></sst>".encode()
            archive.writestr(item.filename, text)
    return out.getvalue()


BOMBS = {
    "repeated.parquet": repeated_parquet,
    "snappy.parquet": snappy_parquet,
    "prefix.parquet": prefix_parquet,
    "numbers.parquet": numbers_parquet,
    "nested.parquet": nested_parquet,
    "endless.xlsx": endless_workbook,
    "gaps.xlsx": gaps_workbook,
    "wide.xlsx": wide_workbook,
    "blank-wide.xlsx": blank_wide_workbook,
    "repeated.xlsx": repeated_workbook,
    "crowded.xlsx": crowded_workbook,
    "entities.xlsx": entities_workbook,
}
