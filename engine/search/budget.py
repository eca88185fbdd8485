"""The budget: a limit on calls, tokens, money and seconds, and the ledger that holds it.

The ledger counts and refuses, and nothing else. It is hard: a call that would pass the limit is not made.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Budget(BaseModel):
    """Limits on a run; None means no limit of that kind. `usd` is US dollars."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: int | None = Field(None, ge=1)
    tokens: int | None = Field(None, ge=1)
    usd: float | None = Field(None, gt=0)
    seconds: float | None = Field(None, gt=0)
