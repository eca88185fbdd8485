"""What has been spent so far, by project, worked out from the runs. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from engine.store.rows import RunRow


class ProjectSpending(NamedTuple):
    """One project's total. `cost` is in US dollars, None where no run's price is known; `unpriced` runs have none."""

    project: str
    runs: int
    calls: int
    tokens: int
    cost: float | None
    unpriced: int


def by_project(runs: Iterable[RunRow], names: Mapping[str, str]) -> list[ProjectSpending]:
    """Return what the projects with runs have spent, the dearest first; runs of deleted projects stand together."""
    groups: dict[str, list[RunRow]] = {}
    for run in runs:
        groups.setdefault(names.get(run.project_id, "Deleted projects"), []).append(run)
    found = [_total(name, group) for name, group in groups.items()]
    return sorted(found, key=lambda s: (-(s.cost or 0.0), -s.calls, s.project))


def _total(name: str, runs: list[RunRow]) -> ProjectSpending:
    priced = [run.cost for run in runs if run.cost is not None]
    return ProjectSpending(
        name,
        len(runs),
        sum(run.calls for run in runs),
        sum(run.usage.tokens for run in runs),
        sum(priced) if priced else None,
        sum(run.cost is None and run.calls > 0 for run in runs),
    )
