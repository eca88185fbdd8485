"""The comparison of models as lines, the newest result with each, and the draft that moves a prompt to another model."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from support.results import result_of
from support.run_setup import PIPELINE, spec

from dashboard.results.models import compared_lines, tuned_on_each
from dashboard.state.history import draft_on, same_test
from engine.lm.choice import ModelChoice
from engine.pipeline.build import build_program
from engine.search.judging.objective import Objective
from engine.search.result import ComparedFigures, ModelComparison, PromptFigures, RunResult
from engine.store.rows import RunRow


def figures(candidate: str, prompt: str, model: str, score: float, **more: Any) -> ComparedFigures:
    usual = {"likely": (0.5, 0.9), "cost": 0.001, "seconds": 0.2, "rows": 30}
    return ComparedFigures(candidate, prompt, (model,) if model else (), score, **(usual | more))


RESULT = result_of(
    models=ModelComparison(
        good_enough="m",
        figures=(
            figures("b", "p", "", 0.8),
            figures("old", "q", "", 0.5),
            figures("m", "p", "openai/middle", 0.7, cost=0.0002),
            figures("n", "q", "openai/middle", 0.75),
            figures("d", "p", "openai/dead", 0.0, failed=30, cost=None, seconds=None),
            figures("s", "p", "openai/small", 0.2, rows=24),
        ),
    )
)


def test_each_model_has_the_prompt_that_was_kept_and_a_better_one_where_there_is_one():
    found = compared_lines(RESULT, "openai/large", {"n": 7})
    assert [(f.name, f.kind, f.note) for f in found] == [
        ("openai/large", "kept", "kept by the run"),
        ("openai/middle", "other", "with prompt 7"),
        ("openai/middle", "enough", "good enough and cheapest"),
        ("openai/small", "other", "24 of 30 rows, then left out"),
        ("openai/dead", "other", "30 of 30 rows failed"),
    ]
    assert found[0].cells == ("openai/large", "80 %", "50 % to 90 %", "$1.00", "200 ms")
    assert found[-1].cells == ("openai/dead", "failed", "", "", "")


def test_a_run_that_compared_no_models_and_one_of_an_earlier_version_have_no_view():
    assert compared_lines(result_of(), "openai/large", {}) == []
    plain = [
        {"candidate": "b", "models": [], "score": 1.0},
        {"candidate": "m", "models": ["x"], "score": None},
    ]
    earlier = {"models": {"figures": plain}, "best_candidate": "b", "seed_candidate": "s"}
    assert compared_lines(RunResult.from_json(earlier), "openai/large", {}) == []


def run(name: str, model: str, test: float, at: float) -> RunRow:
    best = PromptFigures(name, test=test, likely=(0.4, 0.9), rows=20)
    result = result_of(name, baseline=PromptFigures("s", test=0.3), best=best)
    chosen = spec("d", model=ModelChoice(name=model))
    values: dict[str, Any] = dict.fromkeys(f.name for f in fields(RunRow) if f.default is MISSING)
    values |= {"id": name, "spec": chosen.model_dump(mode="json"), "title": name}
    return RunRow(**{**values, "result": result, "created_at": at})


def test_the_newest_result_with_each_model_on_the_same_rows_is_listed():
    runs = [
        run("a", "openai/large", 0.9, 1.0),
        run("b", "openai/small", 0.6, 2.0),
        run("c", "openai/small", 0.7, 3.0),
    ]
    pairs = [(r, spec("d", model=ModelChoice(**r.spec["model"]))) for r in runs]
    assert [(one.name, one.note, one.cells[1]) for one in tuned_on_each(pairs)] == [
        ("openai/large", "a, 30 % before", "90 %"),
        ("openai/small", "c, 30 % before", "70 %"),
    ]
    assert tuned_on_each(pairs[1:]) == []
    assert same_test(pairs[0][1], pairs[1][1])
    assert not same_test(pairs[0][1], pairs[1][1].model_copy(update={"dataset_hash": "x"}))


def test_a_prompt_moves_to_another_model_with_its_wording():
    tuned = build_program(PIPELINE).candidate().with_step("sort", instructions="Mind the thing.")
    small = ModelChoice(name="openai/small", base_url="http://127.0.0.1:9/v1")
    before = spec("d", models=(small,), objective="cheapest within 2 points", seed=3)
    draft = draft_on(before, tuned, small)
    assert draft.pipeline is not None
    assert draft.pipeline.steps[0].instructions == "Mind the thing."
    assert (draft.model, draft.models, draft.objective, draft.seed) == (small, (), Objective(), 3)
    same = draft_on(before, build_program(PIPELINE).candidate(), small)
    assert same.pipeline == before.pipeline
