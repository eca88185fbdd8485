"""Which adapter a step answers through is part of what can be tuned: applied, saved, exported, and nothing else changes."""

import json

import pytest

from engine import Candidate, JSONAdapter, Predict, XMLAdapter, context
from engine.errors import ProgramFileError
from engine.export.dspy_script import dspy_script, dspy_state
from engine.export.messages import step_messages
from engine.export.program import parse_program, program_file, to_text
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.records import StepState
from engine.search.settings import make_problem
from engine.search.verdict import step_credit
from engine.testing.contract import ToyLM, toy_settings

SPEC = PipelineSpec(
    steps=(StepSpec(name="sort", inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="shelf"),)),)
)


def laid_out(program, name, path="self"):
    return program.with_candidate(program.candidate().with_step(path, adapter=name))


def test_candidates_made_before_keep_their_ids():
    old = Candidate({"self": StepState("Sort it.", nearest=2)})
    assert old.id == "ce52155a2305"
    assert Candidate.from_dict(old.as_dict()).id == old.id
    new = old.with_step("self", adapter="xml")
    assert Candidate.from_dict(new.as_dict()).steps["self"].adapter == "xml"


def test_a_step_gets_the_adapter_and_loses_it_again():
    plain = Predict("text -> label")
    made = laid_out(plain, "xml")
    assert isinstance(made.adapter, XMLAdapter)
    assert plain.adapter is None
    assert made.candidate().steps["self"].adapter == "xml"
    assert made.with_candidate(plain.candidate()).adapter is None


def test_a_persons_own_adapter_is_left_alone():
    own = Predict("text -> label")
    own.adapter = JSONAdapter()
    assert own.with_candidate(own.candidate()).adapter is own.adapter
    assert own.candidate().steps["self"].adapter is None


def test_it_is_saved_and_read(tmp_path):
    made = laid_out(Predict("text -> label"), "xml")
    made.save(tmp_path / "state.json")
    again = Predict("text -> label")
    again.load(tmp_path / "state.json")
    assert isinstance(again.adapter, XMLAdapter)
    assert again.candidate().id == made.candidate().id


def test_a_program_file_says_it_and_its_messages_follow():
    candidate = build_program(SPEC).candidate("Tuned.").with_step("sort", adapter="xml")
    text = to_text(program_file(SPEC, candidate))
    assert json.loads(text)["candidate"]["steps"]["sort"]["adapter"] == "xml"
    again = parse_program(text)
    assert isinstance(again.build().predictors()[0].adapter, XMLAdapter)
    assert "<shelf>" in str(step_messages(again)["sort"])


def test_the_dspy_script_says_it_and_dspys_state_cannot():
    candidate = build_program(SPEC).candidate("Tuned.").with_step("sort", adapter="xml")
    model = {"name": "openai/some-model"}
    assert "LAYOUTS = {}" in dspy_script(program_file(SPEC, build_program(SPEC).candidate(), model=model))
    script = dspy_script(program_file(SPEC, candidate, model=model))
    assert "XMLAdapter" in script.partition("LAYOUTS = ")[2].partition("\n\n")[0]
    with pytest.raises(ProgramFileError, match=r"'self'.*xml layout"):
        dspy_state(laid_out(Predict("text -> label"), "xml"))


def test_a_search_may_try_others_only_where_nobody_has_chosen_one():
    def allowed(**changes):
        return make_problem(toy_settings(ToyLM(), **changes)).layouts

    own = Predict("text -> label")
    own.adapter = JSONAdapter()
    assert allowed() == {"self": ("json", "xml")}
    assert allowed(program=own) == {}
    assert allowed(adapter=XMLAdapter()) == {}
    with context(adapter=XMLAdapter()):
        assert allowed() == {}


def test_credit_names_the_layout():
    start = Candidate({"self": StepState("Sort it.")})
    other = start.with_step("self", adapter="json").derived("why", start)
    found = step_credit([start, other], {start.id: {1: 0}, other.id: {1: 1}}, other.id)
    assert found.steps[0].changes[0].what == "the answer's layout"
