"""The retriever's contract: passages, an index over them, and a search.

An index is saved with its corpus's hash: it is used again for exactly that corpus and built again for any
other. Knows no particular index.
"""

from __future__ import annotations

import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import orjson

from engine import loop
from engine.basics.data import JsonObject, Values
from engine.basics.home import write_whole
from engine.callbacks import watched
from engine.errors import ConfigurationError, EngineError, ProgramFileError, ProgramFileMissingError
from engine.retrieval.corpus import CHUNK, Corpus, Passage, read_corpus
from engine.signature.prediction import Prediction

_FORMAT = "tuneboard.index"
_MAIN = "index.json"
_ARRAYS = "arrays-"


@dataclass(frozen=True, slots=True)
class Hit(Values):
    """A passage that was found: its place in the corpus and its score, higher is better.

    As in DSPy it can be read as a mapping: text, long_text, title, pid, score, rank (from 1; 0 where it is not known).

    >>> hit = Hit(Passage("Refunds take five days."), 7, 0.5)
    >>> hit["text"], hit.pid, dict(hit)["score"]
    ('Refunds take five days.', 7, 0.5)
    """

    passage: Passage
    index: int
    score: float
    rank: int = 0

    @property
    def text(self) -> str:
        """The passage's text, without its title."""
        return self.passage.text

    @property
    def title(self) -> str:
        """The passage's title."""
        return self.passage.title

    @property
    def pid(self) -> int:
        """Its place in the corpus, under DSPy's name."""
        return self.index

    def __getitem__(self, name: str) -> Any:
        if name not in _HIT:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(_HIT)

    def __len__(self) -> int:
        return len(_HIT)

    @property
    def long_text(self) -> str:
        """The passage as a prompt shows it, under DSPy's name."""
        return self.passage.shown


_HIT = ("text", "long_text", "title", "pid", "score", "rank")


class Searcher(ABC):
    """Base of what finds passages for a query. `k` is how many a search returns."""

    k: int
    callbacks: Sequence[object] = ()
    reports_searches = True
    with_scores = False

    async def acall(self, query: str, k: int | None = None) -> Prediction:
        """Search, in async code: a Prediction with `passages` (texts) and `indices` (places in the corpus)."""
        inputs = {"query": query, "k": self.k if k is None else k}
        return await watched("retrieve", self, inputs, self.answered(query, k))

    async def answered(self, query: str, k: int | None) -> Prediction:
        """Return what a search found as a Prediction."""
        hits = await self.search(query, k)
        scores: JsonObject = {"scores": [h.score for h in hits]} if self.with_scores else {}
        return Prediction(passages=[h.long_text for h in hits], indices=[h.index for h in hits], **scores)

    @abstractmethod
    async def search(self, query: str, k: int | None = None) -> list[Hit]:
        """Return the best passages, best first: `k`, or fewer where the corpus has fewer."""

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        # Copies of a program share their index, which is read only.
        return self


class Retriever(Searcher):
    """Base of retrievers over a corpus. Subclasses build an index and search it.

    `corpus` is what `read_corpus` takes: a list, a file or a folder.
    """

    kind: ClassVar[str]
    corpus: Corpus

    def __init__(self, corpus: object, k: int = 5, *, chunk: int = CHUNK, **columns: Any) -> None:
        self.corpus = read_corpus(corpus, chunk=chunk, **columns)
        self.k = checked_k(k)
        self.chunk = chunk

    def __call__(self, query: str, k: int | None = None) -> Prediction:
        """Search and wait; see `acall`."""
        return loop.run(self.acall(query, k))

    forward = __call__

    # Files

    @abstractmethod
    def write_index(self, folder: Path) -> dict[str, object]:
        """Write the index's arrays into a folder; return its settings as JSON values."""

    @classmethod
    @abstractmethod
    def read_index(cls, folder: Path, corpus: Corpus, settings: dict[str, object], **options: object) -> Self:
        """Read what `write_index` wrote."""

    def save(self, path: str | Path) -> None:
        """Write corpus and index to a folder, which is made, or replaced if it holds an index. No pickle is written."""
        folder = Path(path)
        # A hidden file, or arrays without a main file, are what is left of a save that was cut off.
        others = folder.exists() and any(
            not path.name.startswith((".", _ARRAYS)) for path in folder.iterdir()
        )
        if others and not (folder / _MAIN).exists():
            raise ConfigurationError(f"{str(folder)!r} holds other files. Choose an empty or new folder.")
        # In a separate folder: until the main file names them, the arrays of the index before are there, and used.
        arrays = folder / f"{_ARRAYS}{secrets.token_hex(4)}"
        arrays.mkdir(parents=True)
        settings = self.write_index(arrays)
        data = {
            "format": _FORMAT,
            "version": 1,
            "kind": self.kind,
            "k": self.k,
            "chunk": self.chunk,
            "source": self.corpus.source,
            "hash": self.corpus.hash,
            "settings": settings,
            "arrays": arrays.name,
            "passages": [[p.text, p.title, p.source] for p in self.corpus.passages],
        }
        write_whole(folder / _MAIN, orjson.dumps(data))
        for older in folder.iterdir():
            if older.name not in (_MAIN, arrays.name):
                shutil.rmtree(older) if older.is_dir() else older.unlink()

    @classmethod
    def load(cls, path: str | Path, corpus: object = None, **options: object) -> Self:
        """Read a saved index. With `corpus` it is used only if it was built from that corpus, and built again if not.

        Raises ProgramFileError for a folder that holds no index, a damaged one, or one of another kind.
        """
        folder = Path(path)

        def refused(reason: object) -> ProgramFileError:
            return ProgramFileError(f"The index in {str(folder)!r} {reason}. Build it again.")

        try:
            data = orjson.loads((folder / _MAIN).read_bytes())
        except OSError:
            raise ProgramFileMissingError(f"{str(folder)!r} holds no saved index.") from None
        except orjson.JSONDecodeError as error:
            raise refused(f"is damaged at line {error.lineno}") from None
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise ProgramFileError(
                f"{str(folder / _MAIN)!r} is no index of this program: its key 'format' is not {_FORMAT!r}."
            )
        if (data.get("version"), data.get("kind")) != (1, cls.kind):
            raise refused(
                f"is of the kind {data.get('kind')!r} in version {data.get('version')!r}; {cls.kind!r} in version 1 is read here"
            )
        try:
            saved = Corpus(tuple(Passage(*map(str, p)) for p in data["passages"]), str(data["source"]))
            settings, k, chunk = dict(data["settings"]), int(data["k"]), int(data["chunk"])
            expected = str(data["hash"])
        except (KeyError, TypeError, ValueError) as error:
            raise refused(f"is damaged: {error}") from None
        if corpus is not None and (given := read_corpus(corpus, chunk=chunk)).hash != expected:
            return cls(given, k=k, **{**settings, **options})
        if saved.hash != expected:
            raise refused("does not fit its passages")
        try:
            arrays = folder / Path(str(data.get("arrays", ""))).name
            retriever = cls.read_index(arrays, saved, settings, **options)
        except EngineError:
            raise
        except (OSError, ValueError, KeyError) as error:
            raise refused(f"is damaged: {error}") from None
        retriever.k, retriever.chunk = k, chunk
        return retriever

    from_saved = load


def checked_k(k: object) -> int:
    """Return a number of passages. Raises ConfigurationError unless it is a whole number above 0."""
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ConfigurationError(f"k must be a whole number of passages, 1 or more, not {k!r}.")
    return k
