"""A number of the whole set of test rows next to the verdict: macro F1 and correlation, as a run reports them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.run_setup import COLOURS, add_run

from engine.cli.tune import report
from engine.metrics import ExactMatch
from engine.metrics.whole_set import Correlation, MacroF1, whole_set_figure
from engine.records import Evaluation, Outcome
from engine.runs.results.report import run_report
from engine.runs.spec import Named
from engine.runs.worker import work
from engine.store.store import Store


def evaluation(name: str, answers: list[Any], failed: tuple[int, ...] = ()) -> Evaluation:
    return Evaluation(
        name,
        tuple(
            Outcome(i, 0.0, error="gone") if i in failed else Outcome(i, 1.0, {"shelf": a})
            for i, a in enumerate(answers)
        ),
    )


def macro_f1(home: Path, run_id: str, candidate: str) -> float:
    """Macro F1 by its definition, from what the store holds of the final test."""
    with Store.open(home, read_only=True) as store:
        tests = [t for t in store.trials.all(run_id) if t.split == "test" and t.candidate_id == candidate]
        outcomes = store.trials.outcomes(run_id, tests[-1].number)
        rows = run_rows(store, run_id)
    pairs = [(rows[o.row], o.prediction.get("shelf")) for o in outcomes]
    scores = []
    for colour in sorted({expected for expected, _ in pairs}):
        hits = sum(e == a == colour for e, a in pairs)
        precision = hits / max(1, sum(a == colour for _, a in pairs))
        recall = hits / sum(e == colour for e, _ in pairs)
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    return sum(scores) / len(scores)


def run_rows(store: Store, run_id: str) -> dict[int, str]:
    dataset = store.datasets.get(store.runs.get(run_id).spec["dataset"])
    lines = dataset.content.decode().splitlines()[1:]
    return {i: line.rpartition(",")[2] for i, line in enumerate(lines)}


def test_a_run_says_macro_f1_of_all_test_rows_beside_its_verdict(home):
    run_id = add_run(home, metric=Named(name="MacroF1"), optimizer=Named(name="LabeledFewShot"))
    assert work(home, run_id) == 0
    with Store.open(home, read_only=True) as store:
        run = store.runs.get(run_id)
        html = run_report(store, run_id)
    result = run.result
    figure = result.whole_set
    assert figure.metric == "MacroF1"
    assert figure.rows == result.verdict.rows
    assert figure.baseline == pytest.approx(macro_f1(home, run_id, result.seed_candidate))
    assert figure.best == pytest.approx(macro_f1(home, run_id, result.best_candidate))
    assert figure.low <= figure.difference <= figure.high
    sentence = figure.sentence
    assert sentence.startswith(f"Every label alike (macro F1), over all {figure.rows} test rows: ")
    # Where it is read: the report, the terminal, and the file that the program leaves in.
    assert sentence in html
    told = io.StringIO()
    report(run, Console(file=told, width=300))
    assert sentence in told.getvalue()
    saved = json.loads(Path(result.export_path).read_text())
    assert saved["metadata"]["verdict"] == f"{result.verdict.sentence} {sentence}"


ROWS = {i: {"text": str(i), "shelf": COLOURS[i % 3]} for i in range(30)}
RIGHT = [row["shelf"] for row in ROWS.values()]


def test_the_figure_counts_failed_rows_and_the_interval_is_that_of_the_difference():
    failed = evaluation("a", RIGHT, failed=tuple(range(0, 30, 3)))
    found = whole_set_figure(MacroF1(), ROWS, failed, evaluation("b", RIGHT))
    assert (found.baseline, found.best) == (pytest.approx(2 / 3), 1.0)
    assert found.low == pytest.approx(found.high) == pytest.approx(1 / 3), "the same in every draw"
    again = whole_set_figure(MacroF1(), ROWS, evaluation("a", RIGHT), evaluation("b", RIGHT))
    assert (again.difference, again.low, again.high) == (0.0, 0.0, 0.0)
    worse = whole_set_figure(MacroF1(), ROWS, evaluation("b", RIGHT), evaluation("a", ["red"] * 30))
    assert worse.high < 0 > worse.difference
    assert "a difference of \u22120.83" in worse.sentence


def test_an_unchanged_prompt_and_no_rows():
    same = whole_set_figure(MacroF1(), ROWS, evaluation("a", RIGHT), evaluation("a", RIGHT))
    assert (
        same.sentence == "Every label alike (macro F1), over all 30 test rows: 1.00, the starting prompt's."
    )
    assert whole_set_figure(MacroF1(), ROWS, evaluation("a", []), evaluation("b", [])) is None
    assert whole_set_figure(ExactMatch(), ROWS, evaluation("a", RIGHT), evaluation("b", RIGHT)) is None
    every = evaluation("a", RIGHT, failed=tuple(range(30)))
    assert whole_set_figure(MacroF1(field="shelf"), ROWS, every, evaluation("b", RIGHT)).baseline == 0.0


def test_several_outputs_and_numbers():
    numbers = {i: {"n": i, "shelf": COLOURS[i % 3]} for i in range(12)}
    outcomes = tuple(Outcome(i, 1.0, {"n": 3 * i, "shelf": "red"}) for i in range(12))
    both = whole_set_figure(
        MacroF1(every_output=True), numbers, Evaluation("a", outcomes), Evaluation("b", outcomes)
    )
    alone = whole_set_figure(
        MacroF1(field="shelf"), numbers, Evaluation("a", outcomes), Evaluation("b", outcomes)
    )
    assert alone.best == pytest.approx(0.5 / 3)
    assert both.best == pytest.approx((alone.best + 1 / 12) / 2)
    ordered = whole_set_figure(
        Correlation(field="n"), numbers, Evaluation("a", outcomes[::-1]), Evaluation("b", outcomes)
    )
    assert (ordered.baseline, ordered.best) == (1.0, 1.0)
    assert ordered.sentence.startswith("Numbers rise together (correlation), over all 12 test rows: 1.00 ")
