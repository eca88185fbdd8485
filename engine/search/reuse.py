"""Which calls of a pipeline the call cache will answer: a step asks nothing new where nothing before it has changed.

For the estimate. It knows candidates and rows, and calls nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.records import Candidate, content_hash
from engine.search.settings import Settings


class Reuse:
    """Counts, candidate by candidate, which steps of which rows are asked about for the first time.

    A step's call is new unless it and every step before it stood as they do now when the row was run before. At
    `least`, what a step writes is taken to be the same whatever its wording, and a step that reads no column of the
    data to be asked one thing only: a topic out of six, say.
    """

    def __init__(self, settings: Settings, *, least: bool) -> None:
        steps = settings.program.named_predictors()
        self._cached = len(steps) > 1 and getattr(settings.lm, "caches", False)
        self._least = least
        row = next(iter(settings.rows.values()), None)
        columns = row.input_keys if row is not None and row.knows_inputs else frozenset()
        self._inner = {path for path, step in steps if columns.isdisjoint(step.signature.input_fields)}
        self._keys: dict[str, dict[str, str]] = {}
        self._seen: dict[tuple[str, str, bool, int], set[int]] = {}

    def share(self, candidate: Candidate, rows: Sequence[int], taught: bool, rollout: int) -> float:
        """Return the share of these rows' calls that are new, and take note of them."""
        if not self._cached or not rows:
            return 1.0
        new = 0
        for path, key in self._keys_of(candidate).items():
            seen = self._seen.setdefault((path, key, taught, rollout), set())
            once = self._least and path in self._inner
            fresh = [] if once and seen else [row for row in (rows[:1] if once else rows) if row not in seen]
            seen.update(fresh)
            new += len(fresh)
        return new / (len(candidate.steps) * len(rows))

    def _keys_of(self, candidate: Candidate) -> dict[str, str]:
        """Return for each step what its call depends on, as far as the candidate decides it."""
        if candidate.id not in self._keys:
            keys, before = dict[str, str](), ""
            for path, state in candidate.steps.items():
                own = content_hash(state.as_dict())
                before = own if self._least else content_hash([before, own])
                keys[path] = before
            self._keys[candidate.id] = keys
        return self._keys[candidate.id]
