"""What programs for DSPy do with optimizers: read a search's statistics, give functions of their own, write optimizers."""

from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from support.peers.dspy_peer import in_dspy

import engine
from engine.errors import ConfigurationError
from engine.lm.base import Choice, Reply
from engine.records import Usage
from engine.search.estimate import estimate
from engine.testing.contract import ToyLM, toy_metric, toy_rows

ROWS = list(toy_rows(24).values())
TRAIN, VALIDATION = ROWS[:12], ROWS[12:]


def gepa(**options: Any) -> engine.GEPA:
    return engine.GEPA(metric=toy_metric, max_metric_calls=150, **options)


def compiled(optimizer: Any, lm: Any = None, **arguments: Any) -> Any:
    with engine.context(lm=lm or ToyLM()):
        return optimizer.compile(
            engine.Predict("text -> label"), trainset=TRAIN, valset=VALIDATION, **arguments
        )


def test_a_gepa_search_is_read_as_in_dspy() -> None:
    program = compiled(gepa(track_stats=True, track_best_outputs=True))
    found = program.detailed_results
    n = len(found.candidates)
    assert n > 1
    assert found.val_aggregate_scores[found.best_idx] * 100 == pytest.approx(program.score, abs=0.01)
    assert found.best_candidate.signature.instructions == program.signature.instructions
    assert found.parents[0] == [None]
    assert all(isinstance(p, int) and p < i for i, own in enumerate(found.parents) if i for p in own)
    assert [len(scores) for scores in found.val_subscores] == [len(VALIDATION)] * n
    assert found.discovery_eval_counts == sorted(found.discovery_eval_counts)
    assert 0 < found.total_metric_calls <= 150
    assert found.num_full_val_evals == n
    best = found.highest_score_achieved_per_val_task
    for row, places in found.per_val_instance_best_candidates.items():
        assert {found.val_subscores[i][row] for i in places} == {best[row]}
        place, answer = found.best_outputs_valset[row][0]
        assert place in places
        assert "label" in answer
    told = json.loads(json.dumps(found.to_dict()))
    assert told["candidates"][found.best_idx] == {"self": program.signature.instructions}
    assert pickle.loads(pickle.dumps(program)).detailed_results.best_idx == found.best_idx
    assert program.deepcopy().detailed_results is found


def test_gepas_results_have_all_that_dspys_have(tmp_path: Path) -> None:
    code = """
import dataclasses, json
from dspy.teleprompt.gepa.gepa import DspyGEPAResult as Result
own = [name for name in vars(Result) if not name.startswith("_")]
print(json.dumps(sorted({*(f.name for f in dataclasses.fields(Result)), *own} - {"from_gepa_result"})))
"""
    names = json.loads(in_dspy(code, tmp_path))
    found = compiled(gepa()).detailed_results
    assert [name for name in names if not hasattr(found, name)] == []


def test_every_compiled_program_has_its_statistics() -> None:
    program = compiled(engine.COPRO(metric=toy_metric, breadth=3, depth=2))
    logs = program.trial_logs
    assert list(logs) == sorted(logs)
    assert logs[1]["full_eval_score"] == logs[1]["score"]
    assert program.total_calls >= program.prompt_model_total_calls > 0
    assert max(log["total_eval_calls_so_far"] for log in logs.values()) <= program.total_calls
    first = program.candidate_programs[0]
    assert first["score"] == pytest.approx(100 * sum(first["subscores"]) / len(first["subscores"]), abs=0.01)


def test_a_testset_is_compared_after_the_search_which_never_sees_it() -> None:
    tuner = engine.COPRO(metric=toy_metric, breadth=3, depth=2, task_model=ToyLM())
    test = list(toy_rows().values())[18:]
    program = tuner.compile(
        engine.Predict("text -> label"), trainset=TRAIN, valset=VALIDATION[:3], testset=test
    )
    assert program.verdict.rows == len(test)
    assert {trial.rows_total for trial in program.tuning.trials} <= {3, len(TRAIN)}
    assert "test" not in {trial.split for trial in program.tuning.trials}
    assert compiled(engine.LabeledFewShot(k=1)).verdict is None


# Functions of one's own


class Proposer:
    """Writes instructions by asking a model, as programs for DSPy do."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], dict[str, list[dict[str, Any]]], list[str]]] = []
        self.write = engine.Predict("current, feedback -> improved")

    def __call__(self, candidate, reflective_dataset, components_to_update):
        self.asked.append((candidate, reflective_dataset, components_to_update))
        return {
            name: self.write(current=candidate[name], feedback=str(reflective_dataset[name])).improved
            for name in components_to_update
        }


class WritingLM(ToyLM):
    """The toy model, which also improves an instruction."""

    wrote = 0

    async def complete(self, request):
        if "improved" not in str(request.messages[-1]["content"]):
            return await super().complete(request)
        self.wrote += 1
        text = f"[[ ## improved ## ]]\nName the color. {self.wrote}\n\n[[ ## completed ## ]]"
        return Reply((Choice(text),), Usage(calls=1))


def test_an_instruction_proposer_is_called_and_what_it_asks_is_counted() -> None:
    proposer, lm = Proposer(), WritingLM()
    program = compiled(gepa(instruction_proposer=proposer), lm, budget=engine.Budget(calls=80))
    candidate, rows, wanted = proposer.asked[0]
    assert wanted == ["self"]
    assert candidate.keys() == {"self"}
    assert rows["self"][0].keys() == {"Inputs", "Generated Outputs", "Feedback"}
    assert lm.wrote == len(proposer.asked)
    assert program.tuning.usage.calls <= 80
    assert program.prompt_model_total_calls == lm.wrote
    texts = [c["candidate"].steps["self"].instructions for c in program.candidate_programs]
    assert any(text.startswith("Name the color.") for text in texts) or len(texts) == 1


def test_a_proposer_may_be_async_and_one_that_fails_loses_no_run() -> None:
    async def propose(candidate, reflective_dataset, components_to_update):
        await asyncio.sleep(0)
        return dict.fromkeys(components_to_update, "Written by hand.")

    def broken(candidate, reflective_dataset, components_to_update):
        raise ZeroDivisionError

    program = compiled(gepa(instruction_proposer=propose))
    assert program.prompt_model_total_calls == 0
    assert compiled(gepa(instruction_proposer=broken)).score is not None
    with pytest.raises(ConfigurationError, match="instruction_proposer is a function"):
        gepa(instruction_proposer=object())


def test_a_component_selector_chooses_what_is_changed() -> None:
    class Two(engine.Module):
        def __init__(self):
            super().__init__()
            self.first = engine.Predict("text -> hint")
            self.second = engine.Predict("text, hint -> label")

        async def aforward(self, text):
            return await self.second.acall(text=text, hint="none")

    seen: list[Any] = []

    def select(state, trajectories, subsample_scores, candidate_idx, candidate):
        seen.append((state.list_of_named_predictors, len(trajectories), subsample_scores, candidate_idx))
        return ["second"]

    with engine.context(lm=ToyLM()):
        program = gepa(component_selector=select).compile(Two(), trainset=TRAIN, valset=VALIDATION)
    names, runs, scores, place = seen[0]
    assert names == ["first", "second"]
    assert (runs, len(scores), place) == (3, 3, 0)
    start = program.tuning.seed.steps["first"].instructions
    assert {c["candidate"].steps["first"].instructions for c in program.candidate_programs} == {start}


def test_functions_of_ones_own_are_estimated_and_not_called() -> None:
    proposer = Proposer()
    optimizer = gepa(instruction_proposer=proposer, component_selector=lambda **_: ["self"])
    with engine.context(lm=ToyLM()):
        settings = optimizer.settings(engine.Predict("text -> label"), TRAIN, VALIDATION)
        expected = estimate(optimizer.search, settings)
    assert expected.calls.high > len(VALIDATION)
    assert proposer.asked == []


# Optimizers of one's own


class Shortest(engine.Teleprompter):
    """An optimizer as DSPy's documentation has them: compile, and nothing else."""

    def __init__(self, metric: Any) -> None:
        super().__init__()
        self.metric = metric

    def compile(self, student, *, trainset, **options):
        program = student.deepcopy()
        program.demos = sorted(trainset, key=lambda row: len(row.text))[:1]
        return program


class Bare(engine.Teleprompter):
    """One that does not call super().__init__."""

    def __init__(self, k: int) -> None:
        self.k = k

    def compile(self, student, *, trainset, **options):
        return student.reset_copy()


def test_an_optimizer_of_ones_own_needs_compile_alone() -> None:
    tuned = Shortest(toy_metric).compile(engine.Predict("text -> label"), trainset=TRAIN)
    assert len(tuned.demos) == 1
    assert Bare(3).get_params() == {"k": 3}
    assert isinstance(engine.MIPROv2(), engine.Teleprompter)
    with pytest.raises(
        ConfigurationError, match=r"Nothing cannot tune: define search\(problem\), or compile"
    ):
        type("Nothing", (engine.Teleprompter,), {})().search(None)  # type: ignore[arg-type]
