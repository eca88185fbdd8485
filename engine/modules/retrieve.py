"""`Retrieve`: passages for a query, from the retriever in force or the step's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine import loop
from engine.basics.data import JsonObject
from engine.callbacks import watched
from engine.errors import ConfigurationError
from engine.modules.predict import Answerer
from engine.runtime import current
from engine.signature.prediction import Prediction

NO_RETRIEVER = "No retriever is set. Call engine.configure(rm=engine.BM25('folder of texts')) first, or pass one: Retrieve(rm=...)."


class Retrieve(Answerer):
    """Return the `k` best passages for a query as `passages`.

    `rm` is the step's retriever; without it the one in force (`engine.configure(rm=...)`) is asked. A retriever is
    one of `engine.retrieval`, or any function of (query, k=...) that returns texts or objects with `long_text`.

    >>> from engine import BM25, context
    >>> with context(rm=BM25(["Refunds take five days.", "Parcels go out on Mondays."])):
    ...     Retrieve(k=1)("How long does a refund take?").passages
    ['Refunds take five days.']
    """

    def __init__(self, k: int = 3, callbacks: Sequence[object] | None = None, *, rm: object = None) -> None:
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
        # The engine's retrievers report themselves that they were asked, with or without this module.
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
    return Prediction(passages=[_passage_text(passage) for passage in list(listed)[:k]])


def _passage_text(passage: object) -> str:
    if isinstance(passage, dict):
        return str(passage.get("long_text") or passage.get("text") or passage)
    return str(getattr(passage, "long_text", passage))
