"""What a step searches: pasted or uploaded, how many passages, and a search to try it."""

from __future__ import annotations

import streamlit as st

from dashboard import corpora
from dashboard.components.guard import guarded
from dashboard.components.page import press
from dashboard.glossary import explain
from dashboard.plain import plain
from dashboard.step_edits import change_step
from engine.errors import EngineError
from engine.pipeline.spec import CorpusSpec, StepOptions, StepSpec
from engine.runs.spec import ProjectDraft

RETRIEVERS = {
    "bm25": "By words (BM25)",
    "embeddings": "By meaning (embeddings)",
}
PASTE = "Refunds take five working days.\n\nParcels are sent on Mondays and Thursdays."


def corpus_form(project_id: str, step: StepSpec, at: int, key: str) -> None:
    """Show what a step searches, and let the person replace it."""
    options = step.options
    st.markdown(
        f"**Where it looks** · {plain(corpora.words_of(options.corpus), 80)}",
        help=f"{explain('corpus')} {explain('passage')}",
    )
    way = st.segmented_control(
        "Where the passages come from",
        ("Paste", "Upload"),
        default="Paste" if options.corpus.passages or not options.corpus.file else "Upload",
        key=f"corpus_way_{key}",
        label_visibility="collapsed",
        required=True,
    )
    if way == "Paste":
        _paste(project_id, options.corpus, at, key)
    else:
        _upload(project_id, at, key)
    left, right = st.columns(2, gap="small", vertical_alignment="bottom")
    left.number_input(
        "Passages it takes",
        1,
        100,
        options.k,
        key=f"corpus_k_{key}",
        on_change=_set,
        args=(project_id, at, f"corpus_k_{key}", "k"),
        help="How many of the best-fitting passages are handed on.",
    )
    right.selectbox(
        "How it searches",
        list(RETRIEVERS),
        index=list(RETRIEVERS).index(options.retriever),
        format_func=lambda name: RETRIEVERS[name],
        key=f"retriever_{key}",
        on_change=_set,
        args=(project_id, at, f"retriever_{key}", "retriever"),
        help="By words: passages with the same rare words. By meaning: passages that say something alike.",
    )
    _try(options, key)
    problem = st.session_state.get(f"corpus_problem_{key}")
    if problem:
        with st.container(horizontal=True, vertical_alignment="center", key="corpus_problem"):
            st.badge("Not usable", icon=":material/error:", color="red", width="content")
            st.text(problem)


def _paste(project_id: str, corpus: CorpusSpec, at: int, key: str) -> None:
    st.text_area(
        "Passages, with a blank line between them",
        "\n\n".join(corpus.passages),
        key=f"corpus_text_{key}",
        height=150,
        placeholder=PASTE,
        on_change=_pasted,
        args=(project_id, at, key),
    )


def _upload(project_id: str, at: int, key: str) -> None:
    taken = st.session_state.get(f"corpora_taken_{key}", 0)
    files = st.file_uploader(
        "A table with the texts in one column, or text, Markdown and PDF files",
        type=[*corpora.TABLES, *corpora.TEXTS],
        accept_multiple_files=True,
        key=f"corpus_files_{key}_{taken}",
        max_upload_size=50,
    )
    if not files:
        return
    try:
        columns = corpora.columns_of(files[0].name, files[0].getvalue())
    except EngineError as error:
        st.text(str(error))
        return
    column = st.selectbox("Column with the texts", columns, key=f"corpus_column_{key}") if columns else ""
    st.button(
        "Search in these",
        key=f"use_corpus_{key}",
        type="primary",
        on_click=_uploaded,
        args=(project_id, at, key, [(f.name, f.getvalue()) for f in files], column or ""),
    )


def _try(options: StepOptions, key: str) -> None:
    corpus = options.corpus
    if not corpus.passages and not corpus.file:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"corpus_try_{key}"):
        query = st.text_input("Try a search", key=f"corpus_query_{key}", placeholder="Words to look for")
        why_not = "" if query.strip() else "Write something to look for first."
        pressed = press("Search", why_not, key=f"corpus_search_{key}")
    if not pressed:
        return
    from engine.pipeline.corpora import CorpusRetriever

    try:
        found = CorpusRetriever(corpus, options.retriever)(query, options.k).passages
    except EngineError as error:
        st.text(str(error))
        return
    if not found:
        st.caption("Nothing was found.")
    for passage in found:
        st.code(passage, language=None, wrap_lines=True)


def set_options(project_id: str, at: int, **changes: object) -> bool:
    """Save some of a step's options; return whether they were saved."""

    def change(draft: ProjectDraft) -> ProjectDraft:
        return change_step(
            draft, at, lambda s: s.model_copy(update={"options": s.options.model_copy(update=changes)})
        )

    return guarded(project_id, change)


def _set(project_id: str, at: int, key: str, name: str) -> None:
    set_options(project_id, at, **{name: st.session_state[key]})


def _pasted(project_id: str, at: int, key: str) -> None:
    set_options(project_id, at, corpus=corpora.pasted_corpus(st.session_state[f"corpus_text_{key}"]))
    st.session_state[f"corpus_problem_{key}"] = None


def _uploaded(project_id: str, at: int, key: str, files: list[tuple[str, bytes]], column: str) -> None:
    try:
        corpus = corpora.uploaded_corpus(files, column)
    except EngineError as error:
        st.session_state[f"corpus_problem_{key}"] = str(error)
        return
    st.session_state[f"corpus_problem_{key}"] = None
    if set_options(project_id, at, corpus=corpus):
        taken = f"corpora_taken_{key}"
        st.session_state[taken] = st.session_state.get(taken, 0) + 1
        st.session_state.pop(f"corpus_text_{key}", None)
