"""Files and tables of examples: read, profiled, split, and made into rows a program can run on.

    reading     bytes, a path or a paste -> Dataset: CSV, TSV, encodings, limits
    logs        logs of model calls: chat completions, OpenTelemetry spans, exports of Langfuse and Phoenix
    logged      the parts of their records
    doubt       which rows to label first
    structured  JSON, JSON Lines, Excel, Parquet
    unpacking   Excel, Parquet and large JSON in a child process with limits
    table       the Dataset record, column names, rows by number; a table with changes as a new file
    profiling   what each column holds; which is an input, which the answer, which field it fills
    examples    rows -> typed Examples, and the rows that cannot be used
    preflight   what is doubtful in a table (blanks, repeats, leaks, odd answers), and what would fix it
    memory      memory given back to the system after a large file
    splitting   seeded, stratified, leak-free train, validation and test rows
    documents   pages of texts, PDFs and pictures, and where a value is found in them

Everything is text until a signature says otherwise: "007" stays "007", "NA" stays "NA". A row that
cannot be used is a `RowProblem` with its row number, never an exception; a file that cannot be used is
a `DatasetError` with one sentence. This package must not know models or adapters: parsing
a value into a type is passed in. Importing it loads neither pandas nor pyarrow.
"""

from __future__ import annotations

from engine.dataset.examples import UsableRows, usable_rows
from engine.dataset.profiling import (
    KIND_TITLES,
    ColumnProfile,
    guess_mapping,
    guess_roles,
    profile,
)
from engine.dataset.reading import paste_dataset, read_dataset
from engine.dataset.splitting import Split, sample_rows, split_rows
from engine.dataset.table import Dataset, RowProblem

__all__ = [
    "KIND_TITLES",
    "ColumnProfile",
    "Dataset",
    "RowProblem",
    "Split",
    "UsableRows",
    "guess_mapping",
    "guess_roles",
    "paste_dataset",
    "profile",
    "read_dataset",
    "sample_rows",
    "split_rows",
    "usable_rows",
]
