"""Descriptions by path: laid over a record's own in every layout, without a change to its class."""

from __future__ import annotations

import datetime
import re
from typing import Literal

import orjson
import pytest
from pydantic import BaseModel, Field, field_validator
from support.record_classes import Node, Owner

import engine
from engine.adapters import BAMLAdapter, ChatAdapter, JSONAdapter, XMLAdapter
from engine.adapters.json import response_format
from engine.errors import UnknownFieldError
from engine.optimizers.shared.texts import components_of
from engine.records import StepState
from engine.search.freeze import Freeze, restored
from engine.signature.nested import RECURSION, nested_fields
from engine.testing import DummyLM, ScriptedLM


class Address(BaseModel):
    city: str = Field(description="The town.")
    country: Literal["AT", "DE"] | None = None


class Item(BaseModel):
    price: float = Field(ge=0, alias="unitPrice")
    note: str | None = None


class Invoice(BaseModel):
    number: str
    buyer: Address
    seller: Address | None = None
    items: list[Item] = []
    due: datetime.date | None = None

    @field_validator("number")
    @classmethod
    def _upper(cls, value: str) -> str:
        return value.upper()


def signature_of(model):
    return engine.Signature(
        {"text": (str, engine.InputField()), "invoice": (model, engine.OutputField())}, "Read."
    )


TUNED = {
    "invoice.buyer.city": "Where the goods go.",
    "invoice.seller.city": "Where the seller sits.",
    "invoice.items.price": "Net, each.",
    "invoice.due": "The last day to pay.",
}


def tuned():
    signature = signature_of(Invoice)
    for path, text in TUNED.items():
        signature = signature.with_updated_fields(path, desc=text)
    return signature


def test_a_path_is_described_by_the_class_until_it_is_tuned():
    signature = signature_of(Invoice)
    assert signature.description("invoice.buyer.city") == "The town."
    assert (
        signature.with_updated_fields("invoice.buyer.city", desc="X").description("invoice.buyer.city") == "X"
    )
    assert signature.description("invoice.seller.city") == "The town."
    assert Invoice.model_fields["buyer"].annotation.model_fields["city"].description == "The town."
    with pytest.raises(UnknownFieldError, match=r"no 'buyer\.town' inside 'invoice'"):
        signature.with_updated_fields("invoice.buyer.town", desc="X")


@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter(), BAMLAdapter(), XMLAdapter()])
def test_every_layout_shows_tuned_descriptions(adapter):
    system = adapter.format(tuned(), [], {"text": "x"})[0]["content"]
    for text in TUNED.values():
        assert system.count(text) == 1, text
    assert "The town." not in system


def test_one_model_used_twice_has_two_descriptions_and_untouched_definitions_stay_shared():
    schema = response_format(tuned())["json_schema"]["schema"]["properties"]["invoice"]
    buyer = schema["properties"]["buyer"]["properties"]["city"]["description"]
    seller = schema["properties"]["seller"]["anyOf"][0]["properties"]["city"]["description"]
    assert (buyer, seller) == (TUNED["invoice.buyer.city"], TUNED["invoice.seller.city"])
    one = signature_of(Invoice).with_updated_fields("invoice.due", desc="D")
    plain = response_format(one)["json_schema"]["schema"]
    assert plain["properties"]["invoice"]["properties"]["buyer"] == {"$ref": "#/$defs/Address"}
    assert set(plain["$defs"]) == {"Address", "Item"}


def test_aliases_are_the_keys_of_json_and_names_those_of_paths():
    schema = response_format(tuned())["json_schema"]["schema"]["properties"]["invoice"]
    assert (
        schema["properties"]["items"]["items"]["properties"]["unitPrice"]["description"]
        == "Net, each. At least 0."
    )


@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter(), BAMLAdapter()])
def test_an_answer_of_the_models_own_is_shown_under_the_keys_it_must_write(adapter):
    step = engine.Predict(signature_of(Invoice))
    step.adapter = adapter
    reply = {"invoice": {"number": "a1", "buyer": {"city": "Graz"}, "items": [{"unitPrice": 2}]}}
    written = orjson.dumps(reply if adapter.name != "chat" else reply["invoice"]).decode()
    text = f"[[ ## invoice ## ]]\n{written}" if adapter.name == "chat" else written
    lm = ScriptedLM([text, text])
    with engine.context(lm=lm):
        found = step(text="x").invoice
        step.demos = [engine.Example(text="x", invoice=found)]
        step(text="y")
    shown = next(m["content"] for m in lm.requests[1].messages if m["role"] == "assistant")
    assert "unitPrice" in shown
    assert '"price"' not in shown


def test_a_union_is_described_in_each_member_that_has_the_field():
    signature = signature_of(Owner).with_updated_fields("invoice.pet.tricks", desc="What it can do.")
    text = orjson.dumps(response_format(signature)).decode()
    assert "What it can do." in text
    assert "discriminator" not in text


def test_a_recursive_model_is_described_to_a_depth():
    paths = [one.path for one in nested_fields(Node)]
    assert paths == [
        "name",
        "children",
        "children.name",
        "children.children",
        "children.children.name",
        "children.children.children",
    ]
    assert RECURSION == 2
    deepest = [one.path for one in nested_fields(Node) if one.inside_itself]
    assert deepest == ["children.children.children"]
    signature = signature_of(Node).with_updated_fields("invoice.children.name", desc="The child's.")
    schema = response_format(signature)["json_schema"]["schema"]
    inner = schema["properties"]["invoice"]["properties"]["children"]["items"]
    assert inner["properties"]["name"]["description"] == "The child's."
    assert inner["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}


def test_the_answer_is_of_the_users_own_class_and_its_validators_hold():
    step = engine.Predict(tuned())
    reply = {"invoice": {"number": "a1", "buyer": {"city": "Graz"}, "items": [{"unitPrice": 2}]}}
    with engine.context(lm=DummyLM([reply])):
        found = step(text="x").invoice
    assert type(found) is Invoice
    assert found.number == "A1"
    assert found.items[0].price == 2


def test_a_steps_state_carries_paths_and_a_saved_step_keeps_them(tmp_path):
    step = engine.Predict(signature_of(Invoice))
    before = step.candidate()
    assert before.steps["self"].field_descriptions == {
        "invoice.buyer.city": "The town.",
        "invoice.seller.city": "The town.",
    }
    made = step.with_candidate(before.with_step("self", field_descriptions=TUNED))
    assert made.signature.description("invoice.items.price") == "Net, each."
    made.save(tmp_path / "step.json")
    other = engine.Predict(signature_of(Invoice))
    other.load(tmp_path / "step.json")
    assert other.candidate().id == made.candidate().id
    assert step.with_candidate(before).signature is step.signature


def test_one_path_can_be_frozen():
    step = engine.Predict(signature_of(Invoice))
    frozen = [Freeze(step="self", part="field", text="invoice.due")]
    seed = step.candidate()
    parts = components_of(seed, {"self": step.signature}, frozen)
    names = [part.field for part in parts]
    assert "invoice.items.price" in names
    assert "invoice.due" not in names
    changed = seed.with_step("self", field_descriptions={"invoice.due": "D", "invoice.number": "N"})
    state: StepState = restored(changed, seed, frozen).steps["self"]
    assert state.field_descriptions == {"invoice.number": "N"}


@pytest.mark.parametrize(
    "optimizer", [engine.COPRO(breadth=2, depth=1, tune_fields=True), engine.GEPA(tune_fields=True)]
)
def test_optimizers_of_descriptions_tune_paths(optimizer):
    class Bill(BaseModel):
        total: int
        due: str

    def answer(request):
        text = str(request.messages)
        if "proposed_description" in text or "new_text" in text or "improved" in text:
            return {"proposed_description": TUNED_TEXT, **dict.fromkeys(written_by(request), TUNED_TEXT)}
        right = TUNED_TEXT in request.messages[0]["content"]
        return {"bill": orjson.dumps({"total": 3, "due": "today" if right else "?"}).decode()}

    def metric(example, prediction, _trace=None):
        return float(prediction.bill.due == example.bill["due"])

    rows = [
        engine.Example(text=f"t{i}", bill={"total": 3, "due": "today"}).with_inputs("text") for i in range(4)
    ]
    step = engine.Predict(
        engine.Signature({"text": (str, engine.InputField()), "bill": (Bill, engine.OutputField())}, "Read.")
    )
    with engine.context(lm=ScriptedLM(answer)):
        optimizer.metric = metric
        tuned_step = optimizer.compile(step, trainset=rows, budget=engine.Budget(calls=120))
    assert tuned_step.score == 100
    assert TUNED_TEXT in tuned_step.candidate().steps["self"].field_descriptions.values()


TUNED_TEXT = "The last day to pay."


def written_by(request):
    return re.findall(
        r"\d\. `(\w+)`", request.messages[0]["content"].partition("You write these output fields")[2]
    )
