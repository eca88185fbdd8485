"""What users of DSPydantic 0.1.6 ran into works here; each test is named by what works."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import re
from pathlib import Path

import pytest
from PIL import Image as Picture
from pydantic import BaseModel, Field, create_model, field_validator, model_validator
from support.record_classes import Dog, Node, Owner

import engine
from engine.errors import DatasetError, RunError
from engine.extraction import Example, create_optimized_model
from engine.testing import ScriptedLM


class Bill(BaseModel):
    kind: str
    total: int


RULE = "The sum with tax"


def last_text(request):
    """Return the text of the last message and how many pictures it has."""
    content = request.messages[-1]["content"]
    if isinstance(content, str):
        return content, 0
    texts = [part.get("text", "") for part in content]
    return "".join(texts), sum(part["type"] == "image_url" for part in content)


def system(request):
    return str(request.messages[0]["content"])


def is_proposal(request):
    return "proposed" in system(request)


def model(request):
    """Takes the first number, unless the description of the total says otherwise."""
    text, _ = last_text(request)
    if "proposed_description" in system(request):
        return {"proposed_description": RULE}
    if "proposed_instructions" in system(request):
        return {"proposed_instructions": "Read."}
    numbers = [int(n) for n in re.findall(r"(?:net|gross) (\d+)", text)] or [0]
    return {"record": json.dumps({"kind": "bill", "total": numbers[-1 if RULE in system(request) else 0]})}


def examples(n, **more):
    return [
        Example(
            text=f"No. {i}: net {i + 1} gross {2 * i + 100}",
            expected_output={"kind": "bill", "total": 2 * i + 100},
            **more,
        )
        for i in range(n)
    ]


def extractions(lm):
    return [request for request in lm.requests if not is_proposal(request)]


def tuned(rows, **options):
    one = engine.Prompter(Bill, ScriptedLM(model))
    options.setdefault("budget", engine.Budget(calls=400))
    return one, one.optimize(rows, **options)


@pytest.fixture
def files(tmp_path):
    """A picture, and a PDF of two pages without text."""
    picture = Picture.new("RGB", (60, 40), "white")
    picture.save(tmp_path / "one.png")
    picture.save(tmp_path / "two.pdf", save_all=True, append_images=[Picture.new("RGB", (60, 40), "gray")])
    return tmp_path


def test_3_pictures_and_pdfs_are_read(files):
    one = engine.Prompter(Bill, ScriptedLM(model))
    one.predict(image_path=files / "one.png")
    one.predict(image_base64=base64.b64encode((files / "one.png").read_bytes()).decode())
    one.predict(pdf_path=files / "two.pdf")
    assert [last_text(request)[1] for request in one.lm.requests] == [1, 1, 2]


@pytest.mark.parametrize(
    "config",
    [
        {"type": "python_code", "function": lambda extracted, expected: float(extracted == expected)},
        {"type": "python_code", "config": {"function": lambda a, b: float(a == b)}},
    ],
)
def test_7_python_code_as_it_is_documented_and_with_a_positional_function(config):
    _, result = tuned(
        examples(4), evaluator_config={"default": "exact", "field_overrides": {"total": config}}
    )
    assert result.field_scores["total"].before == 0


def test_9_a_dict_reaches_the_model_with_and_without_a_template():
    for prompt in (None, "Read {kind}."):
        one = engine.Prompter(Bill, ScriptedLM(model), system_prompt=prompt)
        assert one.predict({"text": "net 7 gross 9", "kind": "bills"}).total == 7
        assert "gross 9" in last_text(one.lm.requests[0])[0]


@pytest.mark.parametrize("optimizer", [None, "bootstrapfewshot", "labeledfewshot"])
def test_10_no_row_finds_its_own_answer_among_the_examples(optimizer):
    one, _ = tuned(examples(12), optimizer=optimizer, sequential=True)
    for request in extractions(one.lm):
        own = re.search(r"No\. \d+: ", last_text(request)[0])[0]
        assert own not in str(request.messages[1:-1])


class Strict(BaseModel):
    amount: int = Field(alias="amountDue", gt=0, multiple_of=5, description="Old.")
    low: int = 0

    @field_validator("low")
    @classmethod
    def _doubled(cls, value):
        return 2 * value

    @model_validator(mode="after")
    def _ordered(self):
        if self.low > self.amount:
            raise ValueError("low is above amount")
        return self


def test_12_the_users_class_keeps_validators_aliases_and_limits():
    one = engine.Prompter(
        Strict,
        ScriptedLM([{"record": '{"amountDue": 10, "low": 2}'}]),
        optimized_descriptions={"amount": "New."},
    )
    found = one.predict("x")
    assert type(found) is Strict
    assert (found.amount, found.low) == (10, 4)
    made = create_optimized_model(Strict, {"amount": "New."})
    assert isinstance(made(amountDue=5), Strict)
    assert made.model_fields["amount"].description == "New."
    for wrong in ({"amountDue": 7}, {"amountDue": -5}, {"amount": 5}, {"amountDue": 5, "low": 4}):
        with pytest.raises(ValueError, match=r"amountDue|low"):
            made(**wrong)


class Part(BaseModel):
    unit_price: int = Field(alias="unitPrice")


class Aliased(BaseModel):
    number: str = Field(alias="invoiceNo")
    parts: list[Part] = Field(default_factory=list, validation_alias="partList")


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    "reply",
    [
        {"invoiceNo": "A", "partList": [{"unitPrice": 2}]},
        {"number": "A", "parts": [{"unit_price": 2}]},
        {"invoiceNo": "A", "parts": [{"unit_price": 2}]},
    ],
)
def test_12_answers_under_the_fields_names_and_under_their_aliases_are_read(reply, native):
    class Model(ScriptedLM):
        supports_response_format = native

    one = engine.Prompter(Aliased, Model([json.dumps({"record": reply})] if native else [{"record": reply}]))
    found = one.predict("x")
    assert (found.number, found.parts[0].unit_price, len(one.lm.requests)) == ("A", 2, 1)
    assert found.model_dump(by_alias=True)["invoiceNo"] == "A"


def test_13_text_and_every_picture_count_also_during_an_optimization(files):
    rows = [
        Example(
            text=f"net {i} gross {i + 50}",
            image_path=[files / "one.png"] * 2,
            pdf_path=files / "two.pdf",
            expected_output={"kind": "bill", "total": i + 50},
        )
        for i in range(4)
    ]
    one, _ = tuned(rows, optimizer="fieldbyfield")
    assert {last_text(request)[1] for request in extractions(one.lm)} == {4}
    assert all("gross" in last_text(request)[0] for request in extractions(one.lm))


def test_14_a_field_that_scores_enough_is_left_alone_also_in_parallel():
    for sequential in (False, True):
        one, found = tuned(
            examples(8), skip_score_threshold=0.9, sequential=sequential, optimizer="fieldbyfield"
        )
        assert found.optimized_descriptions["total"] == RULE
        asked = [last_text(r)[0] for r in one.lm.requests if "proposed_description" in system(r)]
        assert asked
        assert all("record.total" in text for text in asked)
        assert any("gross" in text for text in asked)  # the passage it came from


def test_15_confidence_comes_from_several_answers():
    draws = []

    def wavering(request):
        draws.append(request)
        return {"record": json.dumps({"kind": "bill", "total": len(draws)})}

    found = engine.Prompter(Bill, ScriptedLM(wavering)).predict_with_confidence("x", samples=4)
    assert len(draws) == 4
    assert (found.by_field["kind"], found.by_field["total"]) == (1, 0)
    assert "agreement of 4 answers" in found.method


def test_15_confidence_of_list_items_does_not_depend_on_their_places():
    draws = []

    def shuffled(request):
        draws.append(request)
        return {
            "record": {
                "number": "A",
                "parts": [{"unitPrice": n} for n in [1, 2, 3][: 3 - len(draws) % 2][::-1]],
            }
        }

    found = engine.Prompter(Aliased, ScriptedLM(shuffled)).predict_with_confidence("x", samples=5)
    assert found.by_field == {"number": 1, "parts[0].unit_price": 1, "parts[1].unit_price": 1}


def test_17_the_license_file_and_the_package_say_the_same():
    license_file = (Path(engine.__file__).parents[1] / "LICENSE").read_text()
    data = importlib.metadata.metadata("tuneboard")
    assert str(data.get("License-Expression") or data.get("License")).startswith("MIT")
    assert license_file.startswith("MIT License")


# Bad input: one clear sentence, the rest goes on


def test_a_field_with_the_name_of_a_python_keyword():
    made = create_model("Ticket", **{"class": (str, Field(description="A."))})
    one = engine.Prompter(made, ScriptedLM(lambda _r: {"record": '{"class": "first"}'}))
    found = one.predict("x")
    assert getattr(found, "class") == "first"
    rows = [Example(text="x", expected_output={"class": "first"}) for _ in range(3)]
    assert one.optimize(rows).baseline_score == 1


def test_a_recursive_model_is_tuned_to_a_depth_and_says_so(caplog):
    reply = {"record": '{"name": "a", "children": [{"name": "b", "children": []}]}'}
    one = engine.Prompter(Node, ScriptedLM(lambda _r: reply))
    assert one.predict("x").children[0].name == "b"
    assert "Node holds itself: descriptions are tuned 2 levels deep" in caplog.text


def test_unions_are_read_as_their_member():
    one = engine.Prompter(
        Owner,
        ScriptedLM([{"record": '{"pet": {"kind": "dog", "tricks": ["sit"]}}'}]),
        optimized_descriptions={"pet.tricks": "What it does."},
    )
    assert one.predict("x").pet == Dog(kind="dog", tricks=["sit"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"%PDF-1.7 nothing", "cannot be read|broken|damaged"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 30, "HEIC"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence_and_the_others_are_read(tmp_path, content, said):
    (tmp_path / "x.pdf").write_bytes(content)
    one = engine.Prompter(Bill, ScriptedLM(model))
    bad, good = one.predict_batch([Example(pdf_path=tmp_path / "x.pdf"), "net 3"], on_error="return")
    assert isinstance(bad, DatasetError)
    assert re.search(said, str(bad))
    assert "x.pdf" in str(bad)
    assert good.total == 3


class Blind(ScriptedLM):
    supports_vision = False


def test_a_scan_and_a_model_without_eyes_is_one_sentence_with_the_files_name_and_the_rest_goes_on(files):
    one = engine.Prompter(Bill, Blind(model))
    said = r"'two.pdf' is a scan without text, and scripted sees no pictures"
    with pytest.raises(DatasetError, match=said):
        one.predict(pdf_path=files / "two.pdf")
    right = {"kind": "bill", "total": 1}
    result = one.optimize([*examples(5), Example(pdf_path=files / "two.pdf", expected_output=right)])
    assert re.search(f"Row 6 is left out: {said}", result.left_out[0])
    assert result.test_size == 1


def test_an_evaluator_that_always_fails_is_an_error():
    def broken(_example, _record):
        raise ZeroDivisionError("division")

    with pytest.raises(RunError, match=r"Every row failed, the first with: ZeroDivisionError"):
        tuned(examples(5), evaluate_fn=broken)
