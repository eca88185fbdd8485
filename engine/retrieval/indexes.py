"""Passages by the words they share with a query (`BM25`), and by how near they are to it as vectors (`Embeddings`).

BM25 is that of Robertson et al. 1994, "Okapi at TREC-3", computed by bm25s (Lù 2024). Of vectors every one is compared
(numpy); past 20,000 passages an approximate index of faiss chooses which, where it is installed (`pip install
"tuneboard[faiss]"`). It knows nothing of where vectors come from: that is the embedder's.
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import orjson

from engine import loop
from engine.basics.data import JsonObject
from engine.basics.similarity import search_words, unit
from engine.errors import ConfigurationError
from engine.lm.embedder import Embedder
from engine.retrieval.base import Hit, Retriever, checked_k
from engine.retrieval.corpus import CHUNK, Corpus

if TYPE_CHECKING:
    import bm25s
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]


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
        self,
        corpus: object,
        k: int = 5,
        *,
        chunk: int = CHUNK,
        k1: float = 1.5,
        b: float = 0.75,
        **columns: object,
    ) -> None:
        super().__init__(corpus, k, chunk=chunk, **columns)
        self._settings = {"k1": k1, "b": b}
        self._vocabulary: dict[str, int] = {}
        known = self._vocabulary
        ids = [
            [known.setdefault(word, len(known)) for word in search_words(text)] for text in self.corpus.texts
        ]
        self._index = self._new_index()
        if self._vocabulary:
            self._index.index((ids, self._vocabulary), show_progress=False)

    def _new_index(self) -> bm25s.BM25:
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

    def write_index(self, folder: Path) -> dict[str, object]:
        """Write the index's arrays into a folder; return its settings."""
        if self._vocabulary:
            self._index.save(folder / "bm25", show_progress=False)
        (folder / "vocabulary.json").write_bytes(orjson.dumps(self._vocabulary))
        return dict(self._settings)

    @classmethod
    def read_index(cls, folder: Path, corpus: Corpus, settings: JsonObject, **_options: object) -> Self:
        """Read what `write_index` wrote."""
        retriever = cls.__new__(cls)
        retriever.corpus, retriever._settings = corpus, settings
        retriever._vocabulary = orjson.loads((folder / "vocabulary.json").read_bytes())
        retriever._index = retriever._new_index()
        if retriever._vocabulary:
            import bm25s

            retriever._index = bm25s.BM25.load(folder / "bm25", show_progress=False)
        return retriever


_GROUPS = 2
"""Groups, as a multiple of the square root of the number of vectors."""

_LOOKED_INTO = 16


def approximate(vectors: Vectors, centres: Vectors | None = None) -> Groups | None:
    """Return an index over vectors (compared by dot product), or None where faiss is not installed.

    `centres` are those of an earlier index over the same vectors.
    """
    return Groups(vectors, centres) if importlib.util.find_spec("faiss") else None


class Groups:
    """Finds the places of vectors near another; `centres` are worth saving with them."""

    def __init__(self, vectors: Vectors, centres: Vectors | None) -> None:
        import faiss
        import numpy as np

        plain = np.ascontiguousarray(vectors)
        groups = max(1, int(_GROUPS * math.sqrt(len(plain))))
        if centres is None or centres.shape != (groups, plain.shape[1]):
            means = faiss.Clustering(plain.shape[1], groups)
            means.min_points_per_centroid, means.spherical = 1, True
            means.train(plain, faiss.IndexFlatIP(plain.shape[1]))
            centres = faiss.vector_to_array(means.centroids).reshape(groups, plain.shape[1])
        middle = faiss.IndexFlatIP(plain.shape[1])
        middle.add(np.ascontiguousarray(centres))
        self._index: Any = faiss.IndexIVFFlat(middle, plain.shape[1], groups, faiss.METRIC_INNER_PRODUCT)
        self._index.add(plain)
        self._index.nprobe = min(groups, max(_LOOKED_INTO, groups // _LOOKED_INTO))
        self._middle = middle  # faiss keeps a bare pointer to it
        self.centres: Vectors = centres

    def __call__(self, vector: Vectors, n: int) -> npt.NDArray[np.int64]:
        """Return about the `n` nearest places, in no order that counts."""
        import numpy as np

        places = np.asarray(self._index.search(vector[None, :], n)[1][0], np.int64)
        return places[places >= 0]  # fewer than asked for are filled up with -1


BRUTE_FORCE_THRESHOLD = 20_000
"""Passages up to which every vector is compared."""

_CENTRES = "centres.npy"
_RERANKED = 10
_FEW = 2_000


class Embeddings(Retriever):
    """Search by vectors. `embedder` is an `Embedder`, a model's name, or a function of a list of texts.

    The default embedder works offline, on words and letters. Passages are embedded at the first search, or by
    `await build()`. With `normalize` vectors are compared by direction (cosine).

    >>> from engine.retrieval import Embeddings
    >>> near = Embeddings(["Refunds take five days.", "Parcels go out on Mondays."], k=1)
    >>> near("refunding").indices
    [0]
    """

    kind = "embeddings"

    def __init__(
        self,
        corpus: object,
        embedder: Any = None,
        k: int = 5,
        *,
        brute_force_threshold: int = BRUTE_FORCE_THRESHOLD,
        normalize: bool = True,
        chunk: int = CHUNK,
        **columns: Any,
    ) -> None:
        if isinstance(embedder, int):  # as in BM25(corpus, k)
            embedder, k = None, embedder
        model = columns.pop("model", None)
        super().__init__(corpus, k, chunk=chunk, **columns)
        self.embedder = (
            embedder if isinstance(embedder, Embedder) else Embedder(embedder or model or Embedder().model)
        )
        self.normalize = normalize
        self.brute_force_threshold = brute_force_threshold
        self._vectors: Vectors | None = None
        self._near: Groups | None = None
        self._building: asyncio.Future[None] | None = None

    @property
    def corpus_embeddings(self) -> Vectors:
        """The passages' vectors, one row a passage; made now if no request has made them."""
        loop.run(self.build())
        if self._vectors is None:
            raise ConfigurationError("The index has no vectors: its corpus could not be embedded.")
        return self._vectors

    async def build(self) -> None:
        """Embed the corpus, once, at the first request."""
        await loop.here_or_there(self._build())

    async def _build(self) -> None:
        if self._vectors is not None:
            return
        if self._building is None:
            self._building = asyncio.ensure_future(self._embed())
        try:
            await asyncio.shield(self._building)
        finally:
            if self._building is not None and self._building.done():
                self._building = None

    async def _embed(self) -> None:
        vectors = await self.embedder.acall(list(self.corpus.texts))
        self._vectors = unit(vectors) if self.normalize else vectors
        await self._index()

    async def _index(self, centres: Vectors | None = None) -> None:
        if self._vectors is not None and len(self._vectors) > self.brute_force_threshold:
            self._near = await loop.in_thread(approximate, self._vectors, centres)

    @classmethod
    def load(
        cls, path: str | Path, corpus: object = None, embedder: object = None, **options: object
    ) -> Self:
        """Read a saved index; see `Retriever.load`. As in DSPy the second argument may be the embedder."""
        if isinstance(corpus, Embedder) or callable(corpus):
            corpus, embedder = None, corpus
        return super().load(path, corpus, **options, **({} if embedder is None else {"embedder": embedder}))

    from_saved = load

    async def search(self, query: str, k: int | None = None) -> list[Hit]:
        """Return the nearest passages, nearest first; a score is a cosine (or a dot product)."""
        wanted = self.k if k is None else checked_k(k)
        await self.build()
        vector = await self.embedder.acall(query)
        if self.normalize:
            vector = unit(vector[None, :])[0]
        if len(self.corpus) > _FEW:
            return await loop.in_thread(self._find, vector, wanted)
        return self._find(vector, wanted)

    def _find(self, vector: Vectors, k: int) -> list[Hit]:
        import numpy as np

        vectors = self._vectors
        if vectors is None or vectors.shape[1] != vector.shape[0]:
            raise ConfigurationError(
                f"The query has {vector.shape[0]} dimensions and the index {0 if vectors is None else vectors.shape[1]}: "
                f"the index was made with another embedding model than {self.embedder.name!r}. Build it again."
            )
        some = None if self._near is None else self._near(vector, k * _RERANKED)
        scores = vectors @ vector if some is None else vectors[some] @ vector
        best = np.argpartition(scores, -k)[-k:] if len(scores) > k else np.arange(len(scores))
        places = best if some is None else some[best]
        ranked = sorted(
            zip(scores[best].tolist(), places.tolist(), strict=True), key=lambda pair: (-pair[0], pair[1])
        )
        return [Hit(self.corpus.passages[i], i, score) for score, i in ranked]

    def write_index(self, folder: Path) -> dict[str, object]:
        """Write the vectors into a folder; return the settings."""
        import numpy as np

        loop.run(self.build())
        np.save(
            folder / "vectors.npy", self._vectors if self._vectors is not None else [], allow_pickle=False
        )
        if self._near is not None:
            np.save(folder / _CENTRES, self._near.centres, allow_pickle=False)
        return {
            "model": self.embedder.name,
            "normalize": self.normalize,
            "brute_force_threshold": self.brute_force_threshold,
        }

    @classmethod
    def read_index(cls, folder: Path, corpus: Corpus, settings: JsonObject, **options: object) -> Self:
        """Read what `write_index` wrote. Pass `embedder` where the index was made with a user-defined function."""
        import numpy as np

        retriever = cls(
            corpus,
            options.get("embedder") or settings["model"],
            normalize=bool(settings["normalize"]),
            brute_force_threshold=int(settings.get("brute_force_threshold", BRUTE_FORCE_THRESHOLD)),
        )
        vectors = np.load(folder / "vectors.npy", allow_pickle=False)
        if len(vectors) != len(corpus):
            raise ValueError("its vectors are not those of its passages")
        retriever._vectors = vectors
        centres = folder / _CENTRES
        known = np.load(centres, allow_pickle=False) if centres.exists() else None
        loop.run(retriever._index(known))
        return retriever


class EmbeddingsWithScores(Embeddings):
    """`Embeddings` whose predictions also have `scores`.

    >>> found = EmbeddingsWithScores(["Refunds take five days.", "Parcels go out on Mondays."], k=2)("refunds")
    >>> found.indices, found.scores[0] > found.scores[1]
    ([0, 1], True)
    """

    with_scores = True
