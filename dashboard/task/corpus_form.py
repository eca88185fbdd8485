"""The text a search looks in: pasted passages, or files kept in the data folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.services import (
    CorpusSpec,
    EngineError,
    PipelineError,
    StepOptions,
    StepSpec,
    counted,
    data_home,
    write_whole,
)
from dashboard.state.session import CORPORA_TAKEN
from dashboard.state.writing import check
from dashboard.task.field_editor import set_option, set_options
from dashboard.text import escape_markdown

TABLES = ("csv", "tsv", "json", "jsonl", "xlsx", "parquet")
TEXTS = ("txt", "md", "pdf")
MOST_INSIDE, LONGEST_INSIDE = 300, 200_000
"""Passages and characters up to which a corpus is part of the task itself, and travels with it."""


def pasted_corpus(text: str) -> CorpusSpec:
    """Return the passages in a text: divided by blank lines, or else one a line.

    >>> pasted_corpus("Refunds take five days.\\n\\nParcels go out\\non Mondays.").passages
    ('Refunds take five days.', 'Parcels go out\\non Mondays.')
    """
    text = text.replace("\r\n", "\n").strip()
    parts = re.split(r"\n\s*\n", text) if re.search(r"\n\s*\n", text) else text.split("\n")
    return CorpusSpec(passages=tuple(p.strip() for p in parts if p.strip()))


def uploaded_corpus(files: Sequence[tuple[str, bytes]], column: str = "") -> CorpusSpec:
    """Keep files (name and bytes) in the data folder; return the corpus in them. Small ones become passages.

    Raises PipelineError with a message for files without anything to search.
    """
    from dashboard.services import corpus_of

    check()
    if not files:
        raise PipelineError("Choose a table, or text files, to search.")
    tables = [name for name, _ in files if _ending(name) in TABLES]
    if tables and len(files) > 1:
        raise PipelineError("Choose one table, or several text files; not both.")
    digest = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for _, content in files)).hexdigest()
    folder = data_home() / "corpora" / digest[:16]
    for name, content in files:
        write_whole(folder / _safe(name), content)
    where = folder / _safe(files[0][0]) if tables else folder
    corpus = CorpusSpec(file=str(where), column=column if tables else "")
    rows = corpus_of(corpus)
    if len(rows) <= MOST_INSIDE and sum(map(len, rows.texts)) <= LONGEST_INSIDE:
        return CorpusSpec(passages=rows.texts)
    return corpus


def columns_of(name: str, content: bytes) -> tuple[str, ...]:
    """Return the columns of a table to search, that with the longest texts first; none for a text file.

    Raises DatasetError for a table that cannot be read.
    """
    from dashboard.services import read_dataset

    if _ending(name) not in TABLES:
        return ()
    table = read_dataset(content, name)
    lengths = {c: sum(map(len, table.values(c)[:500])) for c in table.columns}
    return tuple(sorted(table.columns, key=lambda c: -lengths[c]))


def _contents(corpus: CorpusSpec) -> str:
    """Return in words what a corpus holds."""
    if corpus.passages:
        return f"{counted(len(corpus.passages), 'passage')}, kept with the task"
    if corpus.file:
        column = f", column {corpus.column}" if corpus.column else ""
        return f"the file {Path(corpus.file).name}{column}"
    return "nothing yet"


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", Path(name).name).lstrip(".") or "file"


RETRIEVERS = {"bm25": "By words (BM25)", "embeddings": "By meaning (embeddings)"}
PASTE = "Refunds take five working days.\n\nParcels are sent on Mondays and Thursdays."


def corpus_form(project_id: str, step: StepSpec, at: int, key: str) -> None:
    """Show what a step searches, and let the user replace it."""
    options = step.options
    st.markdown(
        f"**Where it looks** · {escape_markdown(_contents(options.corpus), 80)}",
        help=f"{explain('corpus')} {explain('passage')}",
    )
    way = ui.segments(
        "Where the passages come from",
        ("Paste", "Upload"),
        default="Paste" if options.corpus.passages or not options.corpus.file else "Upload",
        key=f"corpus_way_{key}",
    )
    if way == "Paste":
        st.text_area(
            "Passages, with a blank line between them",
            "\n\n".join(options.corpus.passages),
            height=150,
            placeholder=PASTE,
            **ui.saved(f"corpus_text_{key}", _use_text, project_id, at, key),
        )
    else:
        _upload(project_id, at, key)
    left, right = st.columns(2, vertical_alignment="bottom")
    left.number_input(
        "Passages it takes",
        1,
        100,
        options.k,
        **ui.saved(f"corpus_k_{key}", set_option, project_id, at, "k"),
        help="How many of the best-fitting passages are handed on.",
    )
    with right:
        ui.select(
            "How it searches",
            RETRIEVERS,
            options.retriever,
            **ui.saved(f"retriever_{key}", set_option, project_id, at, "retriever"),
            help="By words: passages with the same rare words. By meaning: passages that say something alike.",
        )
    _try(options, key)
    ui.problem_line(f"corpus_problem_{key}")


def _upload(project_id: str, at: int, key: str) -> None:
    number_taken = CORPORA_TAKEN.get(key)
    files = st.file_uploader(
        "A table with the texts in one column, or text, Markdown and PDF files",
        type=[*TABLES, *TEXTS],
        accept_multiple_files=True,
        key=f"corpus_files_{key}_{number_taken}",
        max_upload_size=50,
    )
    if not files:
        return
    try:
        columns = columns_of(files[0].name, files[0].getvalue())
    except EngineError as error:
        ui.show_error(error)
        return
    column = st.selectbox("Column with the texts", columns, key=f"corpus_column_{key}") if columns else ""
    contents = [(f.name, f.getvalue()) for f in files]
    ui.button(
        "Search in these",
        f"use_corpus_{key}",
        type="primary",
        on_click=ui.callback(_use_files, project_id, at, key, contents, column or ""),
    )


def _try(options: StepOptions, key: str) -> None:
    corpus = options.corpus
    if not corpus.passages and not corpus.file:
        return
    with ui.row(f"corpus_try_{key}", "bottom"):
        query = st.text_input("Try a search", key=f"corpus_query_{key}", placeholder="Words to look for")
        why_not = "" if query.strip() else "Write something to look for first."
        pressed = ui.checked_button("Search", why_not, key=f"corpus_search_{key}")
    if not pressed:
        return
    from dashboard.services import CorpusRetriever

    with ui.errors_shown():
        passages = CorpusRetriever(corpus, options.retriever)(query, options.k).passages
        if not passages:
            st.caption("Nothing was found.")
        for passage in passages:
            ui.plain_code(passage)


def _use_text(project_id: str, at: int, key: str, text: str) -> None:
    set_options(project_id, at, corpus=pasted_corpus(text))
    st.session_state.pop(f"corpus_problem_{key}", None)


def _use_files(project_id: str, at: int, key: str, files: list[tuple[str, bytes]], column: str) -> None:
    with ui.problem_kept(f"corpus_problem_{key}"):
        corpus = uploaded_corpus(files, column)
        if set_options(project_id, at, corpus=corpus):
            CORPORA_TAKEN.add_one(key)
            st.session_state.pop(f"corpus_text_{key}", None)
