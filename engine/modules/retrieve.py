"""`Retrieve`: passages for a query, from the retriever in force or the step's. Knows no index."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from engine import loop
from engine.callbacks import watched
from engine.errors import ConfigurationError
from engine.modules.module import Module
from engine.prediction import Prediction
from engine.runtime import current

NO_RETRIEVER = "No retriever is set. Call engine.configure(rm=engine.BM25('folder of texts')) first, or pass one: Retrieve(rm=...)."


class Retrieve(Module):
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
        work = _asked(rm, query, wanted, options)
        # Retrievers of our own say themselves that they were asked, with or without this module.
        own = getattr(rm, "reports_searches", False)
        return await (work if own else watched("retrieve", rm, {"query": query, "k": wanted}, work))


async def _asked(rm: Any, query: str, k: int, options: dict[str, Any]) -> Prediction:
    if hasattr(rm, "acall"):
        found = await rm.acall(query, k, **options)
    elif inspect.iscoroutinefunction(rm):
        found = await rm(query, k=k, **options)
    else:
        found = await loop.in_thread(rm, query, k=k, **options)
    if isinstance(found, Prediction):
        return found
    listed = getattr(found, "passages", found)
    return Prediction(passages=[_text(one) for one in list(listed)[:k]])


def _text(one: object) -> str:
    if isinstance(one, str):
        return one
    if isinstance(one, dict):
        return str(one.get("long_text") or one.get("text") or one)
    return str(getattr(one, "long_text", one))
