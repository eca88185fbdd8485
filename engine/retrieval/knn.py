"""`KNN`: the solved examples most like an input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine import loop
from engine.basics.similarity import NearestTexts
from engine.records import Example


class KNN:
    """Finds the `k` examples of `trainset` whose inputs are most like those of a call, the most alike first.

    `vectorizer` turns a list of texts into a list of vectors, which are compared by dot product; it may be async.
    Without one, words and their parts are compared here, offline. Vectors of the training set are made once, when
    first needed.

    >>> rows = [Example(text=t).with_inputs("text") for t in ("late parcel", "wrong password", "parcel lost")]
    >>> [row.text for row in KNN(2, rows)(text="my parcel is late")]
    ['late parcel', 'parcel lost']
    """

    def __init__(
        self, k: int, trainset: Sequence[Example], vectorizer: Callable[[list[str]], object] | None = None
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
