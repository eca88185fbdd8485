"""BM25 over 100,000 passages: milliseconds a query."""

from __future__ import annotations

import random
import time

from bench_table import Row

from engine.retrieval import BM25

PASSAGES = 100_000
QUERIES = 200


def retrieval() -> list[Row]:
    """Milliseconds of one BM25 query for 5 of 100,000 passages of 60 words."""
    rng = random.Random(0)
    known = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(3, 9))) for _ in range(30_000)]
    # Few words often, most words rarely, as in any language.
    weights = [1 / (rank + 10) for rank in range(len(known))]
    drawn = rng.choices(known, weights, k=PASSAGES * 60)
    passages = [" ".join(drawn[at : at + 60]) for at in range(0, len(drawn), 60)]
    index = BM25(passages)
    queries = [" ".join(rng.choice(passages).split()[:8]) for _ in range(QUERIES)]
    times = []
    for _ in range(3):
        started = time.perf_counter()
        for query in queries:
            index.find(query, 5)
        times.append((time.perf_counter() - started) / QUERIES * 1000)
    return [Row("BM25, one query over 100,000 passages", "ms", tuple(times), limit=5)]
