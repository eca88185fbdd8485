"""Budgets given as a number of calls, and files given to the other of two functions that load."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest

import engine
from engine.compat.prompter.tuning import OptimizeOptions
from engine.errors import ConfigurationError, ProgramFileError
from engine.optimizers.choose import choose_optimizer
from engine.runs.spec import RunSpec
from engine.testing.contract import ToyLM, toy_metric, toy_rows

ROWS = list(toy_rows().values())


def test_a_number_is_a_budget_in_calls() -> None:
    for budget in (20, engine.Budget(calls=20), {"calls": 20}):
        lm = ToyLM()
        tuner = engine.COPRO(toy_metric, task_model=lm)
        made = tuner.compile(engine.Predict("text -> label"), trainset=ROWS[:18], budget=budget)
        assert 0 < lm.paid <= 20
        assert made.tuning.stopped == "budget"
    assert choose_optimizer(60, budget=30) == choose_optimizer(60, budget=engine.Budget(calls=30))
    assert pydantic.TypeAdapter(RunSpec.model_fields["budget"].annotation).validate_python(30).calls == 30


@pytest.mark.parametrize("budget", ["50", -1, 2.5, [50]])
def test_what_is_no_budget_is_refused_in_one_sentence(budget: object) -> None:
    tuner = engine.COPRO(toy_metric, task_model=ToyLM())
    with pytest.raises(ConfigurationError, match=r"a number of calls, or Budget\(calls=50, usd=2.5\); not "):
        tuner.compile(engine.Predict("text -> label"), trainset=ROWS[:18], budget=budget)


def test_a_prompter_takes_a_number_too() -> None:
    assert OptimizeOptions.of({"budget": 10}).budget == engine.Budget(calls=10)


def test_a_saved_state_and_an_exported_program_name_each_others_call(tmp_path: Path) -> None:
    state, whole = tmp_path / "state.json", tmp_path / "whole.json"
    program = engine.ChainOfThought("question -> answer")
    program.save(state)
    with pytest.raises(ProgramFileError, match=r"Make the program, then program\.load\('state\.json'\)"):
        engine.load(state)
    whole.write_text('{"format": "tuneboard.program", "version": 2, "pipeline": {}, "candidate": {}}')
    with pytest.raises(ProgramFileError, match=r"Load it with engine\.load\('whole\.json'\)"):
        program.load(whole)
