"""What a person gives a search to look in: pasted passages, or files kept in the data folder. No Streamlit in here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from dashboard.mode import check
from engine.errors import PipelineError
from engine.home import data_home
from engine.pipeline.spec import CorpusSpec

TABLES = ("csv", "tsv", "json", "jsonl", "xlsx", "parquet")
TEXTS = ("txt", "md", "pdf")
MOST_INSIDE, LONGEST_INSIDE = 300, 200_000
"""Passages and characters up to which a corpus is part of the task itself, and travels with it."""


def pasted_corpus(text: str) -> CorpusSpec:
    """Return the passages in a text: divided by blank lines, or one a line where there are none.

    >>> pasted_corpus("Refunds take five days.\\n\\nParcels go out\\non Mondays.").passages
    ('Refunds take five days.', 'Parcels go out\\non Mondays.')
    """
    text = text.replace("\r\n", "\n").strip()
    parts = re.split(r"\n\s*\n", text) if re.search(r"\n\s*\n", text) else text.split("\n")
    return CorpusSpec(passages=tuple(p.strip() for p in parts if p.strip()))


def uploaded_corpus(files: Sequence[tuple[str, bytes]], column: str = "") -> CorpusSpec:
    """Keep files (name and bytes) in the data folder; return the corpus in them. Small ones become passages.

    Raises PipelineError with a sentence for files that hold nothing to search.
    """
    from engine.pipeline.corpora import corpus_of

    check()
    if not files:
        raise PipelineError("Choose a table, or text files, to search.")
    tables = [name for name, _ in files if _ending(name) in TABLES]
    if tables and len(files) > 1:
        raise PipelineError("Choose one table, or several text files; not both.")
    digest = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for _, content in files)).hexdigest()
    folder = data_home() / "corpora" / digest[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files:
        (folder / _safe(name)).write_bytes(content)
    where = folder / _safe(files[0][0]) if tables else folder
    kept = CorpusSpec(file=str(where), column=column if tables else "")
    found = corpus_of(kept)
    if len(found) <= MOST_INSIDE and sum(map(len, found.texts)) <= LONGEST_INSIDE:
        return CorpusSpec(passages=found.texts)
    return kept


def columns_of(name: str, content: bytes) -> tuple[str, ...]:
    """Return the columns of a table to search, that with the longest texts first; none for a text file.

    Raises DatasetError for a table that cannot be read.
    """
    from engine.dataset import read_dataset

    if _ending(name) not in TABLES:
        return ()
    table = read_dataset(content, name)
    lengths = {c: sum(map(len, table.values(c)[:500])) for c in table.columns}
    return tuple(sorted(table.columns, key=lambda c: -lengths[c]))


def words_of(corpus: CorpusSpec) -> str:
    """Return in words what a corpus holds."""
    if corpus.passages:
        count = len(corpus.passages)
        return f"{count:,} passage{'s' if count != 1 else ''}, kept with the task"
    if corpus.file:
        column = f", column {corpus.column}" if corpus.column else ""
        return f"the file {Path(corpus.file).name}{column}"
    return "nothing yet"


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", Path(name).name).lstrip(".") or "file"
