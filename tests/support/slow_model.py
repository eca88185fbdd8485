"""A model that answers nobody before a number of calls wait together, and counts how many do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.records import Usage


class SlowModel(BaseLM):
    """Answers with the text that `text_for` gives for a request."""

    def __init__(self, text_for: Callable[[Request], str], together: int = 1) -> None:
        super().__init__("slow")
        self.text_for, self.together, self.now, self.most = text_for, together, 0, 0

    async def complete(self, request: Request) -> Reply:
        self.now += 1
        self.most = max(self.most, self.now)
        while self.most < self.together:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)  # time for one too many to come
        self.now -= 1
        return Reply((Choice(self.text_for(request)),), Usage(1, 0, 10, 2, 0.001))
