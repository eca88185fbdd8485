"""A stored run whose search chose a prompt that looks examples up, while a fixed prompt is surely better on the test rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from support.run_setup import add_data, csv_bytes, spec

from engine.pipeline.build import build_program
from engine.records import Candidate, Demo, Evaluation, Outcome, Usage
from engine.runs.prepare import prepare
from engine.runs.results.exports import export_run
from engine.runs.spec import Named, ProjectDraft, RunSpec
from engine.search.judging.verdict import verdict
from engine.search.result import PromptFigures, RunResult, StaticFigures
from engine.store.store import Store

DEMOS = 30


class FixedPromptRun(NamedTuple):
    """Ids: the project, the run, its start, the prompt that looks examples up (the search's), the fixed one, an untested one."""

    project: str
    run: str
    start: str
    best: str
    fixed: str
    untested: str


def fixed_prompt_run(home: Path, *, fixed: bool = True) -> FixedPromptRun:
    """Store such a run; without `fixed` the fixed prompt was not scored at all."""
    run_spec = spec(add_data(home, csv_bytes(400)), optimizer=Named(name="KNNFewShot"))
    known = run_spec.model_dump(exclude={"dataset_hash"})
    with Store.open(home) as store:
        store.settings.set("welcomed", True)
        project = store.projects.create("Shelves", ProjectDraft.model_validate(known).model_dump(mode="json"))
        run = store.runs.create(project, run_spec.model_dump(mode="json"), "Shelves")
        ids = FixedPromptRun(project, run, *_store_trials(home, store, run, run_spec, fixed=fixed))
        store.runs.set_state(run, "finished")
    return ids


def _store_trials(home: Path, store: Store, run: str, run_spec: RunSpec, *, fixed: bool) -> tuple[str, ...]:
    prepared = prepare(store, run_spec, payer=run)
    rows, split = prepared.settings.rows, prepared.split
    demos = tuple(Demo({"text": rows[r]["text"], "shelf": rows[r]["shelf"]}) for r in split.train[:DEMOS])
    start = build_program(run_spec.pipeline).candidate()
    best = start.with_step("sort", demos=demos, nearest=4).derived("Looks up the nearest examples.", start)
    static = start.with_step("sort", demos=demos[:4]).derived("Shows four examples.", start)
    untested = start.with_step("sort", instructions="Name the shelf.").derived("Another wording.", start)
    for candidate in (start, best, static, untested):
        store.trials.add_candidate(run, candidate)
    number = 0

    def scored(
        candidate: Candidate, ids: tuple[int, ...], right: Callable[[int], bool], on: str
    ) -> Evaluation:
        nonlocal number
        number += 1
        tokens = {start.id: 200, best.id: 753, static.id: 751}.get(candidate.id, 300)
        outcomes = tuple(
            Outcome(
                row,
                float(right(at)),
                {"shelf": rows[row]["shelf"] if right(at) else "none"},
                usage=Usage(1, 0, tokens, 10, 0.0),
                seconds=0.2,
                number=row + 2,
            )
            for at, row in enumerate(ids)
        )
        store.trials.start(run, number, candidate.id, on, "", len(ids))
        store.trials.add_outcomes(run, number, outcomes)
        store.trials.finish(run, number, usage=sum((o.usage for o in outcomes), Usage()))
        return Evaluation(candidate.id, outcomes)

    practice = {
        c.id: scored(c, split.validation, right, "validation")
        for c, right in (
            (start, lambda at: at % 8 < 5),
            (best, lambda at: at % 10 != 0),
            *(((static, lambda at: at % 7 != 0),) if fixed else ()),
            (untested, lambda at: at % 8 < 5),
        )
    }
    before = scored(start, split.test, lambda at: at % 8 < 5, "test")
    after = scored(best, split.test, lambda at: at % 8 != 7, "test")
    figures = None
    if fixed:
        tested = scored(static, split.test, lambda at: at % 40 != 39, "test")
        figures = StaticFigures.of(
            static.id,
            practice[static.id].score,
            tested,
            against_best=verdict(after, tested),
            validation_against_best=verdict(practice[best.id], practice[static.id]),
        )
    result = RunResult(
        best_candidate=best.id,
        seed_candidate=start.id,
        verdict=verdict(before, after),
        baseline=PromptFigures.of(start.id, practice[start.id].score, before),
        best=PromptFigures.of(best.id, practice[best.id].score, after),
        static=figures,
        taken_candidate=best.id,
        usage=before.usage,
        seconds=9.0,
    )
    paths = export_run(home, store.runs.get(run), run_spec, best, result)
    store.runs.save_result(run, replace(result, export_path=paths.program, script_path=paths.script))
    return start.id, best.id, static.id, untested.id
