"""Reasoning first is part of what can be tuned: applied, saved, exported, and nothing else changes."""

import json

import pytest

from engine import Candidate, ChainOfThought, Predict, context
from engine.errors import ProgramFileError
from engine.export.dspy_script import dspy_state
from engine.export.program import parse_program, program_file, to_text
from engine.modules.predict import reasoning_first
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.records import StepState
from engine.signature import make_signature
from engine.testing import DummyLM

SPEC = PipelineSpec(
    steps=(StepSpec(name="sort", inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="shelf"),)),)
)


def with_reasoning(program, path, wanted):
    return program.with_candidate(program.candidate().with_step(path, reason_first=wanted))


def outputs(program):
    return [list(step.signature.output_fields) for step in program.predictors()]


def test_candidates_made_before_keep_their_ids():
    old = Candidate({"self": StepState("Sort it.", nearest=2)})
    assert old.id == "ce52155a2305"
    assert "reason_first" not in old.steps["self"].as_dict()
    assert Candidate.from_dict(old.as_dict()).id == old.id


def test_a_step_is_made_to_reason_and_not_to():
    plain = Predict("text -> label")
    assert outputs(with_reasoning(plain, "self", True)) == [["reasoning", "label"]]
    assert outputs(with_reasoning(plain, "self", False)) == [["label"]]
    assert outputs(plain) == [["label"]]
    thinking = ChainOfThought("text -> label")
    assert outputs(with_reasoning(thinking, "predict", False)) == [["label"]]
    assert outputs(with_reasoning(thinking, "predict", None)) == [["reasoning", "label"]]


def test_it_is_found_again_in_the_tuned_program():
    made = with_reasoning(Predict("text -> label"), "self", True)
    assert made.candidate().steps["self"].reason_first is True
    assert made.with_candidate(made.candidate()).candidate().id == made.candidate().id


def test_the_model_is_asked_for_the_reasoning():
    made = with_reasoning(Predict("text -> label"), "self", True)
    with context(lm=DummyLM([{"reasoning": "It is sour.", "label": "lemon"}])):
        answer = made(text="yellow")
    assert (answer.reasoning, answer.label) == ("It is sour.", "lemon")


def test_a_name_that_is_taken_stays():
    taken = make_signature("reasoning, text -> label")
    assert reasoning_first(taken, True) is taken
    only = make_signature("text -> reasoning")
    assert reasoning_first(only, False) is only


def test_it_is_saved_and_read(tmp_path):
    made = with_reasoning(Predict("text -> label"), "self", True)
    made.save(tmp_path / "state.json")
    again = Predict("text -> label")
    again.load(tmp_path / "state.json")
    assert again.candidate().id == made.candidate().id
    assert outputs(again) == [["reasoning", "label"]]


def test_a_program_file_says_it():
    candidate = build_program(SPEC).candidate("Tuned.").with_step("sort", reason_first=True)
    text = to_text(program_file(SPEC, candidate))
    assert json.loads(text)["candidate"]["steps"]["sort"]["reason_first"] is True
    assert outputs(parse_program(text).build()) == [["reasoning", "shelf"]]


@pytest.mark.parametrize("wanted", [True, False])
def test_dspys_state_cannot_say_it(wanted):
    with pytest.raises(ProgramFileError, match=r"'self'.*reasoning first"):
        dspy_state(with_reasoning(Predict("text -> label"), "self", wanted))
