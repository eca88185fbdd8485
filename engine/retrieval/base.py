"""The retriever's contract: passages, an index over them, and a search.

An index is saved with its corpus's hash: it is used again for exactly that corpus and built again for any
other. Knows no particular index.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import orjson

from engine import loop
from engine.callbacks import watched
from engine.errors import ConfigurationError, ProgramFileError
from engine.prediction import Prediction
from engine.retrieval.corpus import CHUNK, Corpus, Passage, read_corpus

_FORMAT = "tuneboard.index"
_MAIN = "index.json"


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found: its place in the corpus and its score, higher is better."""

    passage: Passage
    index: int
    score: float

    @property
    def long_text(self) -> str:
        """The passage as a prompt shows it, under DSPy's name."""
        return self.passage.shown


class Retriever(ABC):
    """Base of retrievers over a corpus. Subclasses build an index and search it.

    `corpus` is what `read_corpus` takes: a list, a file or a folder. `k` is how many passages a search returns.
    """

    kind: ClassVar[str]
    corpus: Corpus
    callbacks: Sequence[Any] = ()
    reports_searches = True

    def __init__(self, corpus: Any, k: int = 5, *, chunk: int = CHUNK, **columns: Any) -> None:
        self.corpus = read_corpus(corpus, chunk=chunk, **columns)
        self.k = checked_k(k)
        self.chunk = chunk

    def __call__(self, query: str, k: int | None = None) -> Prediction:
        """Search and wait: a Prediction with `passages` (texts) and `indices` (places in the corpus)."""
        return loop.run(self.acall(query, k))

    async def acall(self, query: str, k: int | None = None) -> Prediction:
        """Search, in async code."""
        inputs = {"query": query, "k": self.k if k is None else k}
        return await watched("retrieve", self, inputs, self.answered(query, k))

    def forward(self, query: str, k: int | None = None) -> Prediction:
        """Search and wait: what a call does, under the name DSPy gives it."""
        return self(query, k)

    async def answered(self, query: str, k: int | None) -> Prediction:
        """Return what a search found as a Prediction."""
        hits = await self.search(query, k)
        return Prediction(passages=[h.long_text for h in hits], indices=[h.index for h in hits])

    @abstractmethod
    async def search(self, query: str, k: int | None = None) -> list[Hit]:
        """Return the best passages, best first: `k`, or fewer where the corpus has fewer."""

    # Files

    @abstractmethod
    def write_index(self, folder: Path) -> dict[str, Any]:
        """Write the index's arrays into a folder; return its settings as JSON values."""

    @classmethod
    @abstractmethod
    def read_index(cls, folder: Path, corpus: Corpus, settings: dict[str, object], **options: object) -> Self:
        """Read what `write_index` wrote."""

    def save(self, path: str | Path) -> None:
        """Write corpus and index to a folder, which is made, or replaced if it holds an index. No pickle is written."""
        folder = Path(path)
        if folder.exists() and any(folder.iterdir()) and not (folder / _MAIN).exists():
            raise ConfigurationError(f"{str(folder)!r} holds other files. Choose an empty or new folder.")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        settings = self.write_index(folder)
        data = {
            "format": _FORMAT,
            "version": 1,
            "kind": self.kind,
            "k": self.k,
            "chunk": self.chunk,
            "source": self.corpus.source,
            "hash": self.corpus.hash,
            "settings": settings,
            "passages": [[p.text, p.title, p.source] for p in self.corpus.passages],
        }
        # The main file last: a folder without it is an index that was not finished.
        (folder / _MAIN).write_bytes(orjson.dumps(data))

    @classmethod
    def load(cls, path: str | Path, corpus: object = None, **options: object) -> Self:
        """Read a saved index. With `corpus` it is used only if it was built from that corpus, and built again if not.

        Raises ProgramFileError for a folder that holds no index, a damaged one, or one of another kind.
        """
        return load_retriever(path, corpus, kinds=(cls,), **options)

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        # Copies of a program share their index, which is read only.
        return self

    from_saved = load


R = TypeVar("R", bound=Retriever)


def load_retriever(
    path: str | Path, corpus: object = None, *, kinds: Sequence[type[R]], **options: object
) -> R:
    """Read a saved index of one of these kinds; see `Retriever.load`."""
    folder = Path(path)
    try:
        data = orjson.loads((folder / _MAIN).read_bytes())
    except OSError:
        raise ProgramFileError(f"{str(folder)!r} holds no saved index.") from None
    except orjson.JSONDecodeError as error:
        raise ProgramFileError(
            f"The index in {str(folder)!r} is damaged at line {error.lineno}. Build it again."
        ) from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise ProgramFileError(
            f"{str(folder / _MAIN)!r} is no index of this program: its key 'format' is not {_FORMAT!r}."
        )
    if data.get("version") != 1:
        raise ProgramFileError(
            f"The index in {str(folder)!r} has version {data.get('version')!r}; this program reads 1."
        )
    kind = next((k for k in kinds if k.kind == data.get("kind")), None)
    if kind is None:
        raise ProgramFileError(
            f"The index in {str(folder)!r} is of the kind {data.get('kind')!r}, not {' or '.join(repr(k.kind) for k in kinds)}."
        )
    try:
        saved = Corpus(tuple(Passage(*map(str, p)) for p in data["passages"]), str(data["source"]))
        settings, k, chunk = dict(data["settings"]), int(data["k"]), int(data["chunk"])
        expected = str(data["hash"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProgramFileError(f"The index in {str(folder)!r} is damaged: {error}. Build it again.") from None
    if corpus is not None:
        given = read_corpus(corpus, chunk=chunk)
        if given.hash != expected:
            return kind(given, k, **{**settings, **options})
    if saved.hash != expected:
        raise ProgramFileError(f"The index in {str(folder)!r} does not fit its passages. Build it again.")
    try:
        made = kind.read_index(folder, saved, settings, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ProgramFileError(f"The index in {str(folder)!r} is damaged: {error}. Build it again.") from None
    made.k, made.chunk = k, chunk
    return made


def checked_k(k: object) -> int:
    """Return a number of passages. Raises ConfigurationError unless it is a whole number above 0."""
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ConfigurationError(f"k must be a whole number of passages, 1 or more, not {k!r}.")
    return k
