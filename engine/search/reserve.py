"""Which share of the budget is whose: the search's, and the final comparison's, judged by what rows have cost so far.

It computes, and keeps nothing itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.records import Usage
from engine.search.budget import Amount, Ledger
from engine.search.contract import Allowance
from engine.search.settings import Settings, Trial


def for_final_test(
    settings: Settings, ledger: Ledger, trials: Sequence[Trial], test_rows: int
) -> tuple[Amount, float]:
    """Return what two prompts over the test rows will take, and its seconds; at most half of what is left."""
    runs = 2 * test_rows
    known = [o.usage for t in trials for o in t.evaluation.outcomes if o.usage.tokens]
    # The best prompt is longer than the first: a quarter more, and what the evaluations so far showed.
    share = 1.25 / max(1, len(known))
    tokens, usd = share * sum(u.tokens for u in known), share * sum(u.cost or 0.0 for u in known)
    left = ledger.allowance()
    amount = Amount(
        min(runs * settings.calls_a_row, (left.calls or 0) // 2),
        min(int(runs * tokens), (left.tokens or 0) // 2),
        min(runs * usd, (left.usd or 0.0) / 2),
    )
    rounds = -(-runs // settings.concurrency)
    seconds = (ledger.mean_latency or 0.0) * settings.calls_a_row * rounds
    return amount, min(seconds, (left.seconds or 0.0) / 2)


def for_whole_search(ledger: Ledger, before: Usage) -> Allowance:
    """Return what a search may take from its beginning on: what is left, and what it has spent since `before`."""
    left, spent = ledger.allowance(), ledger.spent
    return Allowance(
        None if left.calls is None else left.calls + spent.calls - before.calls,
        None if left.tokens is None else left.tokens + spent.tokens - before.tokens,
        None if left.usd is None else left.usd + (spent.cost or 0.0) - (before.cost or 0.0),
        left.seconds,
    )


def rows_to_compare(
    settings: Settings, ledger: Ledger, rows: Sequence[int], candidates: int
) -> tuple[int, ...]:
    """Return the rows on which so many candidates can still be compared: all, or as many as calls are left for."""
    allowed = ledger.allowance().calls
    return tuple(rows if allowed is None else rows[: allowed // (settings.calls_a_row * candidates)])
