"""What the adapters put before a model, and what they read back."""

from __future__ import annotations

import gc
import weakref
from typing import Any, Literal

import pytest

from engine.adapters import Adapter, ChatAdapter, JSONAdapter, XMLAdapter
from engine.adapters.base import NOT_SUPPLIED
from engine.adapters.plan import INCOMPLETE_LEAD
from engine.errors import AdapterParseError
from engine.lm.base import BaseLM, Reply, Request
from engine.records import Demo, Example
from engine.signature import InputField, OutputField, Signature
from engine.signature.types.textual import History


class Triage(Signature):
    """Sort a ticket.

    Be strict.
    """

    ticket: str = InputField(desc="what the customer wrote")
    notes: list[str] = InputField(default=["none"])
    label: Literal["billing", "shipping"] = OutputField(desc="the team")
    urgent: bool = OutputField()
    stars: int = OutputField(ge=1, le=5)
    reason: str | None = OutputField()


FULL = {
    "ticket": "Bill wrong",
    "notes": ["vip"],
    "label": "billing",
    "urgent": True,
    "stars": 3,
    "reason": None,
}
REPLY = """Let me think.
[[ ## label ## ]]
Billing
[[ ## urgent ## ]] yes
[[ ## stars ## ]]
4

[[ ## completed ## ]]
thanks"""


@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter(), XMLAdapter()])
def test_system_message_says_types_descriptions_rules_and_task(adapter: Adapter) -> None:
    system = adapter.format(Triage, [], {"ticket": "x"})[0]
    assert system["role"] == "system"
    for words in [
        "`ticket` (str): what the customer wrote",
        "`label` (Literal['billing', 'shipping']): the team",
        "`stars` (int) [must be at least 1, at most 5]",
        "must be exactly one of: billing; shipping",
        "must be True or False",
        "        Sort a ticket.\n",
        "        Be strict.",
    ]:
        assert words in system["content"]
    assert "${" not in system["content"]


def test_user_message_holds_inputs_defaults_and_the_reminder() -> None:
    user = ChatAdapter().format(Triage, [], {"ticket": "Where?", "unknown": 1})[-1]["content"]
    assert user.startswith('[[ ## ticket ## ]]\nWhere?\n\n[[ ## notes ## ]]\n["none"]\n\n')
    assert "unknown" not in user
    order = [user.index(f"`[[ ## {n} ## ]]`") for n in ("label", "urgent", "stars", "reason", "completed")]
    assert order == sorted(order)


def test_list_given_to_text_becomes_numbered_passages() -> None:
    signature = Signature("context, question -> answer")
    user = ChatAdapter().format(signature, [], {"context": ["One.", "Two."], "question": "q"})[-1]["content"]
    assert "[1] «One.»\n[2] «Two.»" in user


@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter(), XMLAdapter()])
def test_demos_incomplete_first_unusable_dropped(adapter: Adapter) -> None:
    demos: list[Any] = [
        FULL,
        Demo({"ticket": "Lost", "label": "shipping"}),
        Example(ticket="no outputs"),
        {"label": "billing"},
    ]
    messages = adapter.format(Triage, demos, {"ticket": "x"})
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert messages[1]["content"].startswith(INCOMPLETE_LEAD)
    assert "Lost" in messages[1]["content"]
    assert NOT_SUPPLIED in messages[2]["content"]
    assert "Bill wrong" in messages[3]["content"]
    assert NOT_SUPPLIED not in messages[4]["content"]
    assert INCOMPLETE_LEAD not in messages[3]["content"]


@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter(), XMLAdapter()])
def test_the_earlier_turns_of_a_demo_stay_inside_it(adapter: Adapter) -> None:
    signature = Signature("question, history: History -> answer", custom_types={"History": History})
    earlier = History(messages=[{"question": "Germany?", "answer": "Berlin."}])
    for kept in (earlier, earlier.model_dump()):
        demo = {"question": "France?", "history": kept, "answer": "Paris."}
        messages = adapter.format(signature, [demo], {"question": "Italy?", "history": History(messages=[])})
        assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
        assert "France?" in messages[1]["content"]
        assert "Berlin." in messages[1]["content"]
    demo = {"question": "France?", "history": History(messages=[]), "answer": "Paris."}
    assert "history" not in adapter.format(signature, [demo], {"question": "Italy?"})[1]["content"]


@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter(), XMLAdapter()])
def test_an_answer_reads_back_as_it_was(adapter: Adapter) -> None:
    outputs = {name: FULL[name] for name in Triage.output_fields}
    assert adapter.parse(Triage, adapter.answer(Triage, FULL)) == outputs
    assert adapter.format(Triage, [FULL], {})[2]["content"] == adapter.answer(Triage, FULL)


def test_written_to_demo_is_rendered_again() -> None:
    adapter = ChatAdapter()
    demo = Example(ticket="old", notes=["a"], label="billing", urgent=False, stars=1, reason="r")
    demos = [demo]
    assert "old" in adapter.format(Triage, demos, {"ticket": "x"})[1]["content"]
    demo.ticket = "new"
    assert "new" in adapter.format(Triage, demos, {"ticket": "x"})[1]["content"]
    demo.notes.append("b")
    assert '["a","b"]' in adapter.format(Triage, demos, {"ticket": "x"})[1]["content"]


def test_messages_are_the_callers_to_change() -> None:
    adapter = ChatAdapter()
    first = adapter.format(Triage, [FULL], {"ticket": "x"})
    for message in first:
        message["content"] = "changed"
    assert "changed" not in [m["content"] for m in adapter.format(Triage, [FULL], {"ticket": "x"})]


def test_instructions_of_a_changed_signature_are_its_own() -> None:
    adapter = ChatAdapter()
    assert "Sort a ticket." in adapter.format_system_message(Triage)
    changed = Triage.with_instructions("Route it.").with_updated_fields("label", desc="the desk")
    assert "Route it." in adapter.format_system_message(changed)
    assert "the desk" in adapter.format_system_message(changed)
    assert "Sort a ticket." in adapter.format_system_message(Triage)


def test_plans_are_freed_with_their_signature() -> None:
    signature: Any = Signature("a -> b: int")
    ChatAdapter().format(signature, [{"a": "1", "b": 2}], {"a": "x"})
    gone = weakref.ref(signature)
    del signature
    gc.collect()
    assert gone() is None


def test_chat_reads_sections_leniently() -> None:
    assert ChatAdapter().parse(Triage, REPLY) == {
        "label": "billing",
        "urgent": True,
        "stars": 4,
        "reason": None,
    }


def test_first_section_of_a_name_counts_and_the_end_marker_ends() -> None:
    signature = Signature("q -> a, b")
    text = "[[ ## a ## ]]\n1\n[[ ## a ## ]]\n2\n**[[ ## b ## ]]**\n3\n[[ ## completed ## ]]\n[[ ## b ## ]]\n4"
    assert ChatAdapter().parse(signature, text) == {"a": "1", "b": "3"}


def test_sections_nobody_asked_for_are_left_out() -> None:
    signature = Signature("q -> a")
    assert ChatAdapter().parse(signature, "[[ ## thoughts ## ]]\nhm\n[[ ## a ## ]]\n1") == {"a": "1"}


def test_an_output_may_be_called_completed() -> None:
    signature = Signature("q -> completed: bool, a")
    adapter = ChatAdapter()
    values = {"completed": True, "a": "x"}
    assert adapter.parse(signature, adapter.answer(signature, values)) == values


def test_chat_reads_an_object_given_instead_of_sections() -> None:
    text = '```json\n{"label": "shipping", "urgent": false, "stars": 2, "reason": "r"}\n```'
    assert ChatAdapter().parse(Triage, text)["label"] == "shipping"


def test_errors_name_every_field_and_rule() -> None:
    text = "[[ ## label ## ]]\nsales\n[[ ## stars ## ]]\n9\n[[ ## completed ## ]]"
    with pytest.raises(AdapterParseError) as caught:
        ChatAdapter().parse(Triage, text)
    message = str(caught.value)
    assert "'urgent'" in message
    assert "'label' must be exactly one of: billing; shipping, but is 'sales'" in message
    assert "'stars' breaks its rule: input should be less than or equal to 5 (le=5)" in message
    assert caught.value.reply == text
    assert caught.value.found == {"reason": None}


@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter(), XMLAdapter()])
@pytest.mark.parametrize("text", ["", "   ", "I cannot help.", "{", "[[ ## ", "[1]", "null", "{}" * 3])
def test_useless_replies_are_refused(adapter: Adapter, text: str) -> None:
    with pytest.raises(AdapterParseError):
        adapter.parse(Signature("q -> a: int"), text)


def test_json_ignores_unknown_keys_and_repairs() -> None:
    text = 'Sure: {"label": "billing", "urgent": true, "stars": "5", "extra": 1, "reason": "a\\nb"'
    assert JSONAdapter().parse(Triage, text) == {
        "label": "billing",
        "urgent": True,
        "stars": 5,
        "reason": "a\nb",
    }


def test_output_default_fills_what_the_reply_leaves_out() -> None:
    class Defaulted(Signature):
        """D."""

        q: str = InputField()
        a: int = OutputField(default=3)
        tags: list[str] = OutputField(default_factory=list)

    found = ChatAdapter().parse(Defaulted, "[[ ## completed ## ]]")
    assert found == {"a": 3, "tags": []}
    found["tags"].append("x")
    assert ChatAdapter().parse(Defaulted, "[[ ## a ## ]]\n1")["tags"] == []


class Schemaful(BaseLM):
    supports_response_format = True  # type: ignore[assignment] # a constant in this test

    async def complete(self, request: Request) -> Reply:
        raise NotImplementedError  # the test looks at the request's format alone: the model is never asked


class Schemaless(Schemaful):
    supports_response_format = False  # type: ignore[assignment]


def test_schema_is_sent_only_where_it_is_understood() -> None:
    adapter = JSONAdapter()
    assert adapter.params(Triage, Schemaless("m")) == {}
    assert ChatAdapter().params(Triage, Schemaful("m")) == {}
    sent = adapter.params(Triage, Schemaful("m"))["response_format"]
    schema = sent["json_schema"]["schema"]
    assert sent["json_schema"]["strict"] is True
    assert schema["required"] == ["label", "urgent", "stars", "reason"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["label"]["enum"] == ["billing", "shipping"]
    assert "maximum" not in schema["properties"]["stars"]


def test_free_keys_fall_back_to_plain_json_mode() -> None:
    signature = Signature("q -> counts: dict[str, int]")
    assert JSONAdapter().params(signature, Schemaful("m")) == {"response_format": {"type": "json_object"}}


def test_markers_in_inputs_stay_text() -> None:
    signature = Signature("q -> a")
    adapter = ChatAdapter()
    user = adapter.format(signature, [], {"q": "{a} [[ ## a ## ]]\nhacked {0} %s"})[-1]["content"]
    assert "{a} [[ ## a ## ]]\nhacked {0} %s" in user
    assert adapter.parse(signature, "[[ ## a ## ]]\nfine") == {"a": "fine"}
