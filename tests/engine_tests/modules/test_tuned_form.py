"""A step's reasoning and its adapter are part of what can be tuned: applied, saved, exported, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine import Candidate, ChainOfThought, JSONAdapter, Predict, XMLAdapter, context
from engine.errors import ProgramFileError
from engine.export.dspy_script import dspy_script, dspy_state
from engine.export.messages import step_messages
from engine.export.program import parse_program, program_file, to_text
from engine.modules.step import reasoning_first
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.records import StepState
from engine.search.judging.verdict import step_credit
from engine.search.settings import make_problem
from engine.signature import make_signature
from engine.testing import DummyLM
from engine.testing.contract import ToyLM, toy_settings

SPEC = PipelineSpec(
    steps=(StepSpec(name="sort", inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="shelf"),)),)
)
CHANGES = [{"adapter": "xml"}, {"reason_first": True}]


def tuned(program: Any, path: str = "self", **changes: Any) -> Any:
    return program.with_candidate(program.candidate().with_step(path, **changes))


def outputs(program: Any) -> list[list[str]]:
    return [list(step.signature.output_fields) for step in program.predictors()]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_candidates_made_before_keep_their_ids(changes: dict[str, Any]) -> None:
    old = Candidate({"self": StepState("Sort it.", nearest=2)})
    assert old.id == "ce52155a2305"
    assert Candidate.from_dict(old.as_dict()).id == old.id
    new = old.with_step("self", **changes)
    assert Candidate.from_dict(new.as_dict()).steps == new.steps


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_is_saved_and_read_and_goes_again(changes: dict[str, Any], tmp_path: Path) -> None:
    plain = Predict("text -> label")
    made = tuned(plain, **changes)
    made.save(tmp_path / "state.json")
    again = Predict("text -> label")
    again.load(tmp_path / "state.json")
    assert again.candidate().id == made.candidate().id != plain.candidate().id
    assert (type(again.adapter), outputs(again)) == (type(made.adapter), outputs(made))
    assert isinstance(again.adapter, XMLAdapter) == ("adapter" in changes)
    assert made.with_candidate(made.candidate()).candidate().id == made.candidate().id
    if "adapter" in changes:
        assert plain.adapter is made.with_candidate(plain.candidate()).adapter is None


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_a_program_file_says_it_and_its_program_follows(changes: dict[str, Any]) -> None:
    candidate = build_program(SPEC).candidate("Tuned.").with_step("sort", **changes)
    text = to_text(program_file(SPEC, candidate))
    assert json.loads(text)["candidate"]["steps"]["sort"].items() >= changes.items()
    again = parse_program(text)
    if "adapter" in changes:
        assert isinstance(again.build().predictors()[0].adapter, XMLAdapter)
        assert "<shelf>" in str(step_messages(again)["sort"])
    else:
        assert outputs(again.build()) == [["reasoning", "shelf"]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adapter": "xml"}, "xml layout"),
        ({"reason_first": True}, "reasoning first"),
        ({"reason_first": False}, "reasoning first"),
    ],
    ids=str,
)
def test_dspys_state_cannot_say_it(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ProgramFileError, match=f"'self'.*{words}"):
        dspy_state(tuned(Predict("text -> label"), **changes))


def test_the_dspy_script_says_the_adapter() -> None:
    candidate = build_program(SPEC).candidate("Tuned.")
    model = {"name": "openai/some-model"}
    assert "LAYOUTS = {}" in dspy_script(program_file(SPEC, candidate, model=model))
    script = dspy_script(program_file(SPEC, candidate.with_step("sort", adapter="xml"), model=model))
    assert "XMLAdapter" in script.partition("LAYOUTS = ")[2].partition("\n\n")[0]


def test_a_step_is_made_to_reason_and_not_to() -> None:
    plain = Predict("text -> label")
    made = tuned(plain, reason_first=True)
    assert outputs(made) == [["reasoning", "label"]]
    assert outputs(tuned(plain, reason_first=False)) == outputs(plain) == [["label"]]
    thinking = ChainOfThought("text -> label")
    assert outputs(tuned(thinking, "predict", reason_first=False)) == [["label"]]
    assert outputs(tuned(thinking, "predict", reason_first=None)) == [["reasoning", "label"]]
    with context(lm=DummyLM([{"reasoning": "It is sour.", "label": "lemon"}])):
        answer = made(text="yellow")
    assert (answer.reasoning, answer.label) == ("It is sour.", "lemon")


def test_a_name_that_is_taken_stays() -> None:
    taken = make_signature("reasoning, text -> label")
    assert reasoning_first(taken, True) is taken
    only = make_signature("text -> reasoning")
    assert reasoning_first(only, False) is only


def test_a_search_may_try_other_adapters_only_where_nobody_has_chosen_one() -> None:
    def allowed(**changes: Any) -> Any:
        return make_problem(toy_settings(ToyLM(), **changes)).layouts

    chosen = Predict("text -> label")
    chosen.adapter = JSONAdapter()
    assert chosen.with_candidate(chosen.candidate()).adapter is chosen.adapter
    assert chosen.candidate().steps["self"].adapter is None
    assert allowed() == {"self": ("json", "xml")}
    assert allowed(program=chosen) == {}
    assert allowed(adapter=XMLAdapter()) == {}
    with context(adapter=XMLAdapter()):
        assert allowed() == {}


def test_credit_names_the_layout() -> None:
    start = Candidate({"self": StepState("Sort it.")})
    other = start.with_step("self", adapter="json").derived("why", start)
    found = step_credit([start, other], {start.id: {1: 0}, other.id: {1: 1}}, other.id)
    assert found.steps[0].changes[0].what == "the answer's layout"
