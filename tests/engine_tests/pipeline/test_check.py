from __future__ import annotations

import pytest

from engine.errors import PipelineError
from engine.pipeline.build import build_program
from engine.pipeline.check import spec_problems, usable_name
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec


def step(name: str = "answer", inputs: str = "text", outputs: str = "label", **more) -> StepSpec:
    return StepSpec(
        name=name,
        inputs=tuple(FieldSpec(name=n) for n in inputs.split(",") if inputs),
        outputs=tuple(FieldSpec(name=n) for n in outputs.split(",") if outputs),
        **more,
    )


def problems(*steps: StepSpec) -> list[str]:
    return spec_problems(PipelineSpec(steps=steps))


def one_choice(*choices: str) -> StepSpec:
    return StepSpec(inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="label", choices=choices),))


def typed(text: str) -> StepSpec:
    return StepSpec(inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="label", type=text),))


def test_a_good_spec_has_no_problems():
    assert problems(step()) == []
    assert problems(step("first", "text", "facts"), step("second", "facts,text", "label")) == []
    assert (
        problems(
            one_choice("a", "b"),
        )
        == []
    )
    assert problems(typed("list[str]")) == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            step(inputs="customer message"),
            "'customer message' cannot be a field name: use letters, digits and _ only, such as 'customer_message'.",
        ),
        (step(outputs="2nd"), "such as 'field_2nd'"),
        (step(outputs="class"), "Python uses the word. Try 'class_value'."),
        (step(outputs="_x"), "starts with _"),
        (step(outputs=" "), "Give output field 1 a name."),
        (
            step(inputs="text,text"),
            "Two fields are called 'text'. Rename one of them, for example to 'text_2'.",
        ),
        (step(inputs="text", outputs="text"), "Two fields are called 'text'"),
        (step(inputs=""), "Add an input field"),
        (step(outputs=""), "Add an output field"),
        (step(name="my step"), "'my step' cannot be a step name"),
        (step(name="save"), "A step cannot be called 'save'"),
        (step(name=""), "Give the step a name."),
        (one_choice("a"), "'label' allows only one value. List at least two"),
        (one_choice("a", "A "), "allows only one value"),
        (one_choice("a", "b", "A"), "lists the allowed value 'a' twice"),
        (one_choice("a", "", "b"), "is blank"),
        (
            one_choice().model_copy(update={"outputs": (FieldSpec(name="queue", type="choice"),)}),
            "List the values",
        ),
        (one_choice(*map(str, range(301))), "at most 300"),
        (typed("strr"), "The type of 'label'"),
        (typed("__import__('os')"), "The type of 'label'"),
        (step(outputs="reasoning", strategy="chain_of_thought"), "adds its own field 'reasoning'"),
    ],
)
def test_one_sentence_for_each_problem(spec: StepSpec, words: str):
    found = problems(spec)
    assert len(found) == 1
    assert words in found[0]
    assert "\n" not in found[0]
    with pytest.raises(PipelineError) as caught:
        build_program(PipelineSpec(steps=(spec,)))
    assert str(caught.value) == found[0]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (
            (step("a", "text", "x"), step("a", "x", "y")),
            "Two steps are called 'a'. Rename one of them, for example to 'a_2'.",
        ),
        (
            (step("a", "x", "y"), step("b", "text", "x"), step("c", "x,y", "z")),
            "reads 'x', which only the later step 'b' makes. Move 'b' before 'a'",
        ),
        ((step("a", "text", "x"), step("b", "text", "y")), "Nothing reads what the step 'a' makes (x)."),
        ((step("a", "text", "x"), step("b", "x", "x2"), step("c", "x,x2", "x")), "both make 'x'"),
    ],
)
def test_wiring(steps: tuple[StepSpec, ...], words: str):
    assert any(words in sentence for sentence in problems(*steps))


@pytest.mark.parametrize("text", ["", "?", "Größe", "a b", "1", "if", "__x__", "名前", "é/è"])
def test_usable_names_are_usable(text: str):
    assert problems(step(inputs=usable_name(text))) == []


def test_records_inside_fields_are_checked_by_their_paths():
    def problems(field: FieldSpec) -> list[str]:
        return spec_problems(
            PipelineSpec(steps=(StepSpec(inputs=(FieldSpec(name="text"),), outputs=(field,)),))
        )

    line = FieldSpec(name="lines", type="list[record]", fields=(FieldSpec(name="price", type="float"),))
    assert problems(line) == []
    assert problems(line.model_copy(update={"fields": ()}))[0].startswith("The record 'lines' has no fields")
    assert "is no record" in problems(line.model_copy(update={"type": "list[str]"}))[0]
    for name, words in (
        ("class", "Python uses the word"),
        ("copy", "cannot be called 'copy'"),
        ("", "a name"),
    ):
        assert words in problems(line.model_copy(update={"fields": (FieldSpec(name=name),)}))[0]
    twice = line.model_copy(update={"fields": (FieldSpec(name="a"), FieldSpec(name="a", type="strr"))})
    first, second = problems(twice)
    assert "called 'a'" in first
    assert "'lines.a'" in second


def test_a_record_is_kept_and_read_back_and_other_fields_stay_as_they_were():
    line = FieldSpec(
        name="lines", type="list[record]", fields=(FieldSpec(name="price", type="Optional[float]"),)
    )
    spec = PipelineSpec(steps=(StepSpec(inputs=(FieldSpec(name="text"),), outputs=(line,)),))
    assert PipelineSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert set(FieldSpec(name="a").model_dump()) == {"name", "type", "description", "choices"}
    (kind,) = line.parsed_type.annotation.__args__
    assert kind.model_validate({}).model_dump() == {"price": None}
