"""The teachable model in this process, without a server: for measuring our own searches quickly, and for tests."""

from __future__ import annotations

from dataclasses import replace

from teachable.model import Model

from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.records import Usage


class TeachableLM(BaseLM):
    """Answers with the model. The same request again is answered from memory and is no call, as with the persistent cache."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._model = Model()
        self._known: dict[str, Reply] = {}

    async def complete(self, request: Request) -> Reply:
        """Return the model's reply."""
        key = str(request.key())
        if key in self._known:
            return replace(self._known[key], usage=Usage(cached=1), cached=True)
        body = {"model": self.model, "messages": request.messages, **request.params}
        texts = [self._model.answer(body) for _ in range(int(request.params.get("n") or 1))]
        self._known[key] = Reply(tuple(Choice(t) for t in texts), Usage(calls=1))
        return self._known[key]
