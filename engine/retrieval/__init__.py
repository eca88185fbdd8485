"""Passages for a query.

    corpus.py      documents as passages: a list, a table, a folder of text, Markdown and PDF files
    base.py        what a retriever is, how its index is saved, and when it must be made again
    indexes.py     by words, by vectors; colbert.py  by a ColBERTv2 server
    knn.py         `KNN`: solved examples, instead of passages

`engine.Retrieve` is the module that asks the retriever in force (`engine.configure(rm=...)`). They know nothing of
modules, programs or metrics.
"""

from __future__ import annotations

from engine.retrieval.base import Hit, Retriever
from engine.retrieval.colbert import ColBERTv2
from engine.retrieval.corpus import Corpus, Passage, read_corpus
from engine.retrieval.indexes import BM25, Embeddings, EmbeddingsWithScores

__all__ = [
    "BM25",
    "ColBERTv2",
    "Corpus",
    "Embeddings",
    "EmbeddingsWithScores",
    "Hit",
    "Passage",
    "Retriever",
    "read_corpus",
]
