"""`Retrieve`: passages for a query, from the retriever in force or the step's; `KNN`: the solved examples most like an input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine import loop
from engine.basics.data import JsonObject
from engine.basics.similarity import NearestTexts
from engine.callbacks import watched
from engine.errors import ConfigurationError
from engine.modules.module import Answerer
from engine.records import Example
from engine.runtime import current
from engine.signature.prediction import Prediction

NO_RETRIEVER = "No retriever is set. Call engine.configure(rm=engine.BM25('folder of texts')) first, or pass one: Retrieve(rm=...)."


class Retrieve(Answerer):
    """Return the `k` best passages for a query as `passages`.

    `rm` is the step's own retriever; without it the one in force (`engine.configure(rm=...)`) is asked. A retriever is
    one of `engine.retrieval`, or any function of (query, k=...) that returns texts or objects with `long_text`.

    >>> from engine import BM25, context
    >>> with context(rm=BM25(["Refunds take five days.", "Parcels go out on Mondays."])):
    ...     Retrieve(k=1)("How long does a refund take?").passages
    ['Refunds take five days.']
    """

    def __init__(self, k: int = 3, callbacks: Sequence[Any] | None = None, *, rm: Any = None) -> None:
        super().__init__(callbacks)
        self.k = k
        self.rm = rm

    async def aforward(self, query: str, k: int | None = None, **options: object) -> Prediction:
        """Search once. Raises ConfigurationError without a retriever, and what the retriever raises."""
        rm = self.rm or current().rm
        if rm is None:
            raise ConfigurationError(NO_RETRIEVER)
        wanted = k or self.k
        work = _ask_retriever(rm, query, wanted, options)
        # Retrievers of our own say themselves that they were asked, with or without this module.
        reports_itself = getattr(rm, "reports_searches", False)
        return await (
            work if reports_itself else watched("retrieve", rm, {"query": query, "k": wanted}, work)
        )


async def _ask_retriever(rm: Any, query: str, k: int, options: JsonObject) -> Prediction:
    if hasattr(rm, "acall"):
        answer = await rm.acall(query, k, **options)
    else:
        answer = await loop.called(rm, query, k=k, **options)
    if isinstance(answer, Prediction):
        return answer
    listed = getattr(answer, "passages", answer)
    return Prediction(passages=[_passage_text(one) for one in list(listed)[:k]])


def _passage_text(one: object) -> str:
    if isinstance(one, dict):
        return str(one.get("long_text") or one.get("text") or one)
    return str(getattr(one, "long_text", one))


class KNN:
    """Finds the `k` examples of `trainset` whose inputs are most like those of a call, the most alike first.

    `vectorizer` turns a list of texts into a list of vectors, which are compared by dot product; it may be async. Without
    one, words and their parts are compared here, offline. Vectors of the training set are made once, when first needed.

    >>> rows = [Example(text=t).with_inputs("text") for t in ("late parcel", "wrong password", "parcel lost")]
    >>> [row.text for row in KNN(2, rows)(text="my parcel is late")]
    ['late parcel', 'parcel lost']
    """

    def __init__(
        self, k: int, trainset: Sequence[Example], vectorizer: Callable[[list[str]], Any] | None = None
    ) -> None:
        self.k = k
        self.trainset = list(trainset)
        self.vectorizer = vectorizer
        self._texts = [_inputs_text(row.input_values() if row.knows_inputs else row) for row in self.trainset]
        self._near = NearestTexts(self._texts) if vectorizer is None else None
        self._vectors: Any = None

    def __call__(self, **inputs: object) -> list[Example]:
        """Return the nearest examples."""
        return loop.run(self.acall(**inputs))

    async def acall(self, **inputs: object) -> list[Example]:
        """Return the nearest examples, in async code."""
        return [self.trainset[i] for i in await self.places(inputs, self.k)]

    async def places(self, inputs: Mapping[str, object], k: int) -> list[int]:
        """Return the places of the `k` nearest examples, the nearest first."""
        text = _inputs_text(inputs)
        if self._near is not None:
            return self._near.nearest(text, k)
        import numpy as np  # only with a vectorizer

        if self._vectors is None:
            self._vectors = np.asarray(await self._vectorized(self._texts), dtype=np.float32)
        wanted = np.asarray(await self._vectorized([text]), dtype=np.float32)[0]
        order = np.argsort(-(self._vectors @ wanted), kind="stable")
        return [int(i) for i in order[:k]]

    async def _vectorized(self, texts: list[str]) -> object:
        return [] if self.vectorizer is None else await loop.called(self.vectorizer, texts)


def _inputs_text(values: Mapping[str, object]) -> str:
    return " | ".join(f"{name}: {value}" for name, value in values.items())
