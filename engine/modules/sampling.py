"""Fresh samples of a whole program: every call inside gets a number of its own and a temperature.

It changes requests on their way and knows nothing of what they ask.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.runtime import current

if TYPE_CHECKING:
    from engine.lm.base import BaseLM, Reply, Request
    from engine.runtime import Send

TEMPERATURE = 1.0
_INNER = 1000


def sampled(number: int, temperature: float = TEMPERATURE) -> Send:
    """Return a `Runtime.send` that makes calls the `number`-th sample (0, 1 ...), by way of the one in force now.

    One inside another gives each combination a number of its own.
    """
    outer = current().send

    async def send(lm: BaseLM, request: Request) -> Reply:
        inner = request.rollout_id
        request = replace(
            request,
            rollout_id=number if inner is None else inner * _INNER + number,
            params={**request.params, "temperature": temperature},
        )
        return await (lm.complete(request) if outer is None else outer(lm, request))

    return send
