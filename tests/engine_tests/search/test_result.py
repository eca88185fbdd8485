"""A run's result as it is stored and read again, also one that an older version stored."""

import json

import pytest
from support.results import result_of, verdict_of

from engine.records import PartCredit, Usage, WholeSetFigure
from engine.search.result import (
    ComparedFigures,
    ModelComparison,
    NotTested,
    PromptFigures,
    Proof,
    RunResult,
    StaticFigures,
    TakenPrompt,
    TeacherFigures,
    UnfinishedTest,
)

FIGURES = {"test": 0.5, "likely": (0.4, 0.6), "rows": 40, "seconds_per_row": 0.2, "cost_per_row": 0.01}
WHOLE = result_of(
    baseline=PromptFigures("s", 0.4, **FIGURES),
    best=PromptFigures("b", 0.6, **FIGURES),
    static=StaticFigures("f", 0.5, against_best=verdict_of("worse")),
    teacher=TeacherFigures("s", model="openai/large", prompt="Version 2"),
    taken_candidate="t",
    taken=TakenPrompt("t", PromptFigures("t", **FIGURES), verdict_of("too_close")),
    tuned_models=("tuned/small-1",),
    whole_set=WholeSetFigure("MacroF1", 0.2, 0.5, 0.3, 0.1, 0.4, 40, "Macro F1."),
    models=ModelComparison("One is enough.", "b", (ComparedFigures("b", "p", ("openai/a",), 0.6),), ("b",)),
    credits=(PartCredit("sort", "rule", "Mind the thing.", 3, 1, 40),),
    final_test=UnfinishedTest(60, 40, "", 20, 0.1),
    stopped="budget",
    usage=Usage(9, 1, 100, 10, 0.5),
    proof=(Proof("program.json", 40, 40, 0, 0.5, True, "Every row as before."),),
)


def older(**changes) -> dict:
    """A result as the first versions stored it."""
    figures = {"candidate": "s", "validation": 0.1, "test": 0.2, "rows": 11, "failed": 0}
    verdict = verdict_of().__class__
    values = {name: getattr(verdict_of(), name) for name in verdict.__dataclass_fields__ if name != "failed"}
    ids = {"best_candidate": "b", "seed_candidate": "s"}
    return {"verdict": values, "baseline": figures, "best": figures | {"candidate": "b"}, **ids, **changes}


@pytest.mark.parametrize("result", [WHOLE, result_of(verdict=NotTested("Not tested yet."))])
def test_a_stored_result_is_read_as_it_was(result):
    assert RunResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_a_result_of_an_older_version_is_read_with_what_it_has():
    result = RunResult.from_json(older(left_by_another_version=5))
    assert result.verdict == verdict_of()
    assert result.best == PromptFigures("b", 0.1, 0.2, rows=11)
    assert (result.taken_candidate, result.static, result.proof, result.usage) == ("", None, (), Usage())


@pytest.mark.parametrize(
    "damage",
    [
        5,
        [1],
        {},
        older(verdict=5),
        older(verdict={"kind": "better"}),
        older(verdict={"kind": "unheard of"}),
        older(best="b"),
        older(seconds=float("inf")),
        older(proof=[{"file": 3}]),
    ],
    ids=str,
)
def test_what_is_no_result_is_refused(damage):
    with pytest.raises(ValueError, match="validation error"):
        RunResult.from_json(damage)


def test_the_prompt_taken_is_shown_in_the_place_of_the_best():
    shown = WHOLE.shown
    assert (shown.best_candidate, shown.best.candidate, shown.verdict.kind) == ("t", "t", "too_close")
    assert (shown.seed_candidate, shown.baseline, shown.whole_set) == ("s", WHOLE.baseline, None)
    assert result_of().shown == result_of()
