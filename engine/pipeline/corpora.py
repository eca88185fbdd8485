"""The passages that a pipeline's steps search: read once, indexed once a process, and identified by their hash.

It knows corpora and retrievers, and nothing of steps.
"""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

from engine import loop
from engine.errors import DatasetError, PipelineError
from engine.pipeline.spec import CorpusSpec, PipelineSpec, StepSpec
from engine.retrieval.base import Retriever
from engine.retrieval.corpus import Corpus, read_corpus
from engine.retrieval.indexes import BM25, Embeddings
from engine.signature.prediction import Prediction

SHIPPED = "sample_data/"
"""A corpus whose file starts with this and is not on disk is one of those that are installed with Tuneboard."""

RetrieverName = Literal["bm25", "embeddings"]

_KINDS: dict[str, type[Retriever]] = {"bm25": BM25, "embeddings": Embeddings}
_KEPT = 16
_looked: dict[str, tuple[float, tuple[object, ...]]] = {}
_LOOK_EVERY = 2.0
_lock = threading.RLock()


def corpus_of(spec: CorpusSpec) -> Corpus:
    """Return a corpus's passages. A file is read again only when it has changed on disk.

    Raises PipelineError if there is none, its file is missing or unreadable, or its passages are no longer those
    that the spec's hash belongs to.

    >>> len(corpus_of(CorpusSpec(passages=("Refunds take five days.", "Parcels go out on Mondays."))))
    2
    """
    if not spec.passages and not spec.file:
        raise PipelineError("There is nothing to search. Add passages, or choose a file or folder of texts.")
    with _lock:
        corpus = _read(spec.passages, spec.file, spec.column, _stamp_of(spec))
    if spec.hash and corpus.hash != spec.hash:
        where = repr(spec.file) if spec.file else "the list"
        raise PipelineError(
            f"The passages of {where} are not those this program was made with: they have changed since. "
            "Put the former ones back, or set the corpus up again and tune again."
        )
    return corpus


def pinned(spec: CorpusSpec, largest: int = 0) -> CorpusSpec:
    """Return a corpus with its hash; one from a file of at most `largest` characters with its passages in the file's place.

    Raises what `corpus_of` raises.
    """
    corpus = corpus_of(spec)
    if spec.passages or sum(map(len, corpus.texts)) > largest:
        return spec.model_copy(update={"hash": corpus.hash})
    inside = CorpusSpec(passages=corpus.texts)
    return inside.model_copy(update={"hash": corpus_of(inside).hash})


def with_passages(spec: PipelineSpec, largest: int = 0, *, refresh: bool = False) -> PipelineSpec:
    """Return a pipeline whose corpora are `pinned`: with their hash, and small ones from files with their passages.

    With `refresh` they are taken as they are now, whatever hash the spec has.
    """

    def changed(step: StepSpec) -> StepSpec:
        if not searches(step):
            return step
        corpus = step.options.corpus.model_copy(update={"hash": ""}) if refresh else step.options.corpus
        options = step.options.model_copy(update={"corpus": pinned(corpus, largest)})
        return step.model_copy(update={"options": options})

    return PipelineSpec(steps=tuple(map(changed, spec.steps)))


def searches(step: StepSpec) -> bool:
    """Return whether a step searches its own corpus."""
    return step.strategy == "retrieve" or (
        step.strategy in ("react", "tool") and "search" in step.options.tools
    )


class CorpusRetriever:
    """The retriever of a corpus, whose index is made at the first search and shared by the whole process.

    >>> CorpusRetriever(CorpusSpec(passages=("Refunds take five days.", "Parcels go out on Mondays.")))("refund", 1).passages
    ['Refunds take five days.']
    """

    def __init__(self, spec: CorpusSpec, kind: RetrieverName = "bm25") -> None:
        self.spec = spec
        self.kind = kind
        self._index: tuple[object, Retriever] | None = None

    def __call__(self, query: str, k: int) -> Prediction:
        """Search and wait."""
        return loop.run(self.acall(query, k))

    async def acall(self, query: str, k: int) -> Prediction:
        """Search. Raises what `corpus_of` raises."""
        stamp = _stamp_of(self.spec)
        if self._index is None or self._index[0] != stamp:
            self._index = stamp, await loop.in_thread(_shared_index, self.spec, self.kind)
        return await self._index[1].acall(query, k)

    def __deepcopy__(self, memo: dict[int, object]) -> CorpusRetriever:
        return self


def corpus_path(file: str) -> Path:
    """Return where a corpus's file or folder is; of those installed with Tuneboard by `sample_data/NAME`."""
    path = Path(file).expanduser()
    if not path.exists() and file.startswith(SHIPPED):
        with resources.as_file(
            resources.files("sample_data").joinpath(file.removeprefix(SHIPPED))
        ) as shipped:
            return Path(shipped)
    return path


@lru_cache(maxsize=_KEPT)
def _read(passages: tuple[str, ...], file: str, column: str, _stamp: object) -> Corpus:
    try:
        if passages:
            return read_corpus(passages)
        return read_corpus(corpus_path(file), text_column=column or None)
    except DatasetError as error:
        raise PipelineError(f"The passages to search cannot be read: {error}") from error


def _shared_index(spec: CorpusSpec, kind: RetrieverName) -> Retriever:
    with _lock:
        return _index_of(corpus_of(spec), kind)


@lru_cache(maxsize=_KEPT)
def _index_of(corpus: Corpus, kind: RetrieverName) -> Retriever:
    return _KINDS[kind](corpus)


def _stamp_of(spec: CorpusSpec) -> object:
    """Return a value that changes when a corpus's file does."""
    return () if spec.passages else _stamp(corpus_path(spec.file))


def _stamp(path: Path) -> tuple[object, ...]:
    """Return a value that changes when a file, or a file in a folder, changes. A folder is looked through every few seconds at most."""
    if not path.is_dir():
        return _stat(path) if path.exists() else ()
    known = _looked.get(str(path))
    if known is not None and time.monotonic() - known[0] < _LOOK_EVERY:
        return known[1]
    stamps = tuple(
        pair for file in sorted(path.rglob("*")) if file.is_file() for pair in (str(file), *_stat(file))
    )
    _looked[str(path)] = time.monotonic(), stamps
    return stamps


def _stat(path: Path) -> tuple[int, int]:
    seen = path.stat()
    return seen.st_mtime_ns, seen.st_size
