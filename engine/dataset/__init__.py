"""Files and tables of examples: read, profiled, split, and made into rows a program can run on.

    reading     bytes or a path -> Dataset; which reader, which limits
    encoding    bytes -> text, whatever wrote them
    delimited   CSV, TSV and what a spreadsheet pastes
    structured  JSON, JSON Lines, Excel, Parquet
    table       the Dataset record, column names, rows by number
    profiling   what each column holds
    roles       which column is an input, which the answer, which field it fills
    examples    rows -> typed Examples, and the rows that cannot be used
    findings    what is doubtful in a table, and what would mend it
    preflight   looks for it: blanks, repeats, leaks, odd answers
    alike       which texts are alike
    editing     a table with cells changed, rows added or taken out, as a new file
    splitting   seeded, stratified, leak-free train, validation and test rows

Everything is text until a signature says otherwise: "007" stays "007", "NA" stays "NA". A row that
cannot be used is a `RowProblem` with its row number, never an exception; a file that cannot be used is
a `DatasetError` with one sentence. This package must not know signatures, models or adapters: parsing
a value into a type is passed in. Importing it loads neither pandas nor pyarrow.
"""

from __future__ import annotations

from engine.dataset.examples import UsableRows, to_examples, usable_rows
from engine.dataset.profiling import (
    KIND_TITLES,
    ColumnProfile,
    Kind,
    Role,
    guess_mapping,
    guess_roles,
    profile,
)
from engine.dataset.reading import EXTENSIONS, paste_dataset, read_dataset
from engine.dataset.splitting import Split, split_rows
from engine.dataset.table import Dataset, RowProblem

__all__ = [
    "EXTENSIONS",
    "KIND_TITLES",
    "ColumnProfile",
    "Dataset",
    "Kind",
    "Role",
    "RowProblem",
    "Split",
    "UsableRows",
    "guess_mapping",
    "guess_roles",
    "paste_dataset",
    "profile",
    "read_dataset",
    "split_rows",
    "to_examples",
    "usable_rows",
]
