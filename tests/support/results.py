"""Results of runs to store."""

from __future__ import annotations

from typing import Any

from engine.search.result import RunResult, Verdict


def verdict_of(kind: str = "better", baseline: float = 0.2, best: float = 0.5, **figures: Any) -> Verdict:
    """A verdict with these scores; its interval is half a point wide on each side unless `figures` say otherwise."""
    gain = best - baseline
    usual = {"difference": gain, "low": gain - 0.005, "high": gain + 0.005, "rows": 40, "won": 12, "lost": 0}
    return Verdict(kind, "A verdict.", baseline, best, **(usual | figures))


def result_of(best: str = "b", start: str = "s", /, **parts: Any) -> RunResult:
    """The result of a run with this best prompt and start."""
    return RunResult(best_candidate=best, seed_candidate=start, **({"verdict": verdict_of()} | parts))
