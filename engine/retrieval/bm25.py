"""Passages by the words they share with the query: `BM25`.

Sources: Robertson et al. 1994, "Okapi at TREC-3"; computed by bm25s (Lù 2024), which keeps every word's scores ready.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import orjson

from engine import loop
from engine.retrieval.base import Hit, Retriever, checked_k
from engine.retrieval.corpus import CHUNK, Corpus
from engine.similarity import search_words

if TYPE_CHECKING:
    import bm25s

_MANY_PASSAGES = 5_000


class BM25(Retriever):
    """Search by words (BM25, Lucene's variant). Plural endings and accents are overlooked.

    `k1` is how soon repeats stop counting, `b` how much long passages are penalised.

    >>> handbook = BM25(["Refunds take five days.", "Parcels go out on Mondays."], k=1)
    >>> handbook("When does my parcel go?").passages
    ['Parcels go out on Mondays.']
    """

    kind = "bm25"

    def __init__(
        self, corpus: Any, k: int = 5, *, chunk: int = CHUNK, k1: float = 1.5, b: float = 0.75, **columns: Any
    ) -> None:
        super().__init__(corpus, k, chunk=chunk, **columns)
        self._settings = {"k1": k1, "b": b}
        self._vocabulary: dict[str, int] = {}
        known = self._vocabulary
        ids = [
            [known.setdefault(word, len(known)) for word in search_words(text)] for text in self.corpus.texts
        ]
        self._index = self._new()
        if self._vocabulary:
            self._index.index((ids, self._vocabulary), show_progress=False)

    def _new(self) -> bm25s.BM25:
        import bm25s

        return bm25s.BM25(method="lucene", **self._settings)

    async def search(self, query: str, k: int | None = None) -> list[Hit]:
        """Return the best passages that share a word with the query, best first."""
        if len(self.corpus) > _MANY_PASSAGES:
            return await loop.in_thread(self.find, query, k)
        return self.find(query, k)

    def find(self, query: str, k: int | None = None) -> list[Hit]:
        """Search at once, on this thread."""
        import numpy as np

        wanted = self.k if k is None else checked_k(k)
        ids = [self._vocabulary[w] for w in dict.fromkeys(search_words(query)) if w in self._vocabulary]
        if not ids:
            return []
        scores = self._index.get_scores_from_ids(ids)
        best = np.flatnonzero(scores > 0)
        if len(best) > wanted:
            # All that are as good as the last one wanted: which of them is taken is settled below.
            best = best[scores[best] >= np.partition(scores[best], -wanted)[-wanted]]
        # Equal scores in the order of the corpus, so that an answer never depends on chance.
        order = sorted(((float(scores[i]), int(i)) for i in best), key=lambda pair: (-pair[0], pair[1]))
        return [Hit(self.corpus.passages[i], i, score) for score, i in order[:wanted]]

    def write_index(self, folder: Path) -> dict[str, Any]:
        """Write the index's arrays into a folder; return its settings."""
        if self._vocabulary:
            self._index.save(folder / "bm25", show_progress=False)
        (folder / "vocabulary.json").write_bytes(orjson.dumps(self._vocabulary))
        return dict(self._settings)

    @classmethod
    def read_index(cls, folder: Path, corpus: Corpus, settings: dict[str, Any], **_options: object) -> Self:
        """Read what `write_index` wrote."""
        made = cls.__new__(cls)
        made.corpus, made._settings = corpus, settings
        made._vocabulary = orjson.loads((folder / "vocabulary.json").read_bytes())
        made._index = made._new()
        if made._vocabulary:
            import bm25s

            made._index = bm25s.BM25.load(folder / "bm25", show_progress=False)
        return made
