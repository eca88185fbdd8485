"""Autotune: what it finds, what it leaves alone, and how it handles rules."""

import random

from engine import loop
from engine.contract_tests import ToyLM, toy_rows, toy_settings
from engine.modules.predict import Predict
from engine.optimizers.autotune import Autotune
from engine.optimizers.autotune_rules import LabelCheck, merged_rules, rules_of
from engine.records import Example
from engine.search.budget import Budget
from engine.search.contract import Problem, Proposal
from engine.search.driver import Driver
from engine.search.problem import make_problem


def run(settings):
    return loop.run(Driver(settings).search(Autotune().search))


def test_a_task_that_can_be_taught_is_taught():
    result = run(toy_settings(ToyLM(), budget=Budget(calls=150)))
    assert result.best.id != result.seed.id
    assert result.score is not None
    assert result.score > 0.6


def test_where_nothing_helps_the_start_is_kept_and_that_is_said():
    rows = {
        i: Example(text=f"word {i}", label=random.Random(i).choice(["red", "green"])).with_inputs("text")
        for i in range(100)
    }
    settings = toy_settings(
        ToyLM(),
        rows=rows,
        train=tuple(range(50)),
        validation=tuple(range(50, 100)),
        budget=Budget(calls=400),
        metric=lambda example, prediction, trace=None: example.text.endswith(("1", "2")),
    )
    result = run(settings)
    assert result.best.id == result.seed.id
    assert "Nothing to gain" in result.reason
    assert result.usage.calls <= 60


def test_alike_rules_are_merged_and_a_new_wording_replaces_the_old():
    words = ("zorvex", "plim", "quarn", "tresk", "obdel", "wimf")
    current = [f"Where {word} occurs the answer is billing" for word in words]
    merged = merged_rules(
        current, [["Where zorvex occurs the answer is shipping"], ["Where jolp occurs: returns"]]
    )
    assert len(merged) == 7
    assert merged[0].endswith("shipping")


def test_rules_are_read_from_lists_and_from_running_text():
    lists = Proposal(({"rules": "- One rule here.\n2) Another rule here.\n\n"},))
    text = Proposal(({"rules": "One rule here. Another rule here."},))
    assert rules_of([lists])[0] == rules_of([text])[0] == ["One rule here.", "Another rule here."]
    assert rules_of([Proposal(())]) == []


def test_rules_that_the_rows_speak_against_are_found():
    problem: Problem = make_problem(toy_settings(ToyLM(), rows=toy_rows(), train=tuple(range(36))), _none())
    check = LabelCheck(problem)
    assert check.contradicted("Where apple occurs the label is green")
    assert not check.contradicted("Where apple occurs the label is red")
    assert not check.contradicted("Read closely.")


def test_a_compiled_program_is_another_one():
    student = Predict("text -> label")
    optimizer = Autotune(lambda e, p, trace=None: e.label == p.label, task_model=ToyLM())
    rows = list(toy_rows().values())
    tuned = optimizer.compile(student, trainset=rows[:18], valset=rows[18:], budget=Budget(calls=80))
    assert tuned is not student
    assert student.candidate().steps["self"].demos == ()


def _none():
    from engine.search.contract import Allowance

    return Allowance()
