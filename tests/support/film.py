"""Makes the film of the first page (`make film`): the first sample tuned for real by the offline model, as a small JSON file.

Every figure and sentence in it is the engine's own, as the Results page and the chart of the run show them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.pages.finished_runs import finished_runs

from dashboard.state.live.score_chart import score_chart
from dashboard.state.live.snapshot import Snapshot, SnapshotReader
from engine.basics.data import JsonObject
from engine.basics.text import duration, price
from engine.export.hero import hero, result_sentences
from engine.pipeline.templates import SAMPLES
from engine.runs.results.report import rows_of
from engine.runs.spec import Named
from engine.search.judging.leader import outlines
from engine.store.store import Store

FILM = Path(__file__).parents[2] / "dashboard" / "home" / "film.json"


def film() -> JsonObject:
    """Tune the first sample as it is set up and return what the film shows of it."""
    name, options = SAMPLES[0].optimizer
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEBOARD_HOME", folder)
        made = finished_runs(Path(folder), "film", optimizer=Named(name=name, options=dict(options)))
        with Store.open(made.home, read_only=True) as store:
            seen = SnapshotReader(made.runs[0]).read(store)
            rows = [row.turn for row in rows_of(store, seen.run)]
            start, best = (store.trials.candidate(seen.run.id, c) for c in (seen.run.start, seen.run.best))
    result = seen.run.require_result()
    shown = hero(result, rows)
    return {
        "title": SAMPLES[0].title,
        **{part: shown[part] for part in ("before", "after", "turned", "gain")},
        "spent": [price(seen.run.cost), duration(seen.run.seconds)],
        "sentence": result_sentences(result)[0],
        "rows": [[before, after] for _, before, after in rows],
        "prompts": [next(iter(c.steps.values())).instructions for c in (start, best)],
        "reason": best.reason,
        **_chart(seen),
    }


def _chart(seen: Snapshot) -> JsonObject:
    """Return the dots of the chart and the outlines of its best line, in percent by prompt number."""
    chart = score_chart(seen.trials, seen.parents, seen.leads, seen.run.best)
    dots = sorted(chart.prompts)
    line, band = outlines(chart.best, dots[-1].number)
    return {
        "dots": [[dot.number, dot.score, dot.rows] for dot in dots],
        "line": [[place, round(100 * score, 1)] for place, score in line],
        "band": [[place, round(100 * score, 1)] for place, score in band],
    }


if __name__ == "__main__":
    parts = [f'"{name}": {orjson.dumps(part).decode()}' for name, part in film().items()]
    FILM.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
