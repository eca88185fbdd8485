"""Signatures in every form, the type grammar, and what must be refused."""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import typing
from typing import ClassVar, Literal

import orjson
import pydantic
import pytest

import engine
from engine import ChatAdapter, InputField, JSONAdapter, OutputField, Signature, XMLAdapter
from engine.adapters.notes import rules_in_words
from engine.errors import AdapterParseError, SignatureError
from engine.signature import ensure_signature, infer_prefix, make_signature, parse_type


class Tone(enum.Enum):
    warm = "warm"
    cold = "cold"


class Item(pydantic.BaseModel):
    name: str
    price: float


class Route(Signature):
    """Choose the team.

    Only one team is right.
    """

    limit: ClassVar[int] = 3

    message: str = InputField(desc="What the customer wrote.")
    urgent = InputField(default="no")
    team: Literal["billing", "shipping"] = OutputField()
    tone: Tone | None = OutputField(default=None)
    items: list[Item] = OutputField(desc="Things named.", max_length=3)


def test_class_form_keeps_docstring_order_types_and_descriptions():
    assert Route.instructions == "Choose the team.\n\nOnly one team is right."
    assert list(Route.input_fields) == ["message", "urgent"]
    assert list(Route.output_fields) == ["team", "tone", "items"]
    assert list(Route.fields) == ["message", "urgent", "team", "tone", "items"]
    assert Route.annotation("urgent") is str
    assert Route.annotation("team") == Literal["billing", "shipping"]
    assert Route.annotation("tone") == Tone | None
    assert Route.annotation("items") == list[Item]
    assert Route.description("message") == "What the customer wrote."
    assert Route.description("team") == ""
    assert Route.limit == 3
    assert Route.signature == "message, urgent -> team, tone, items"


def test_constraints_and_defaults_stay_readable():
    assert [type(m).__name__ for m in Route.output_fields["items"].metadata] == ["MaxLen"]
    assert not Route.output_fields["tone"].is_required()
    assert Route.input_fields["urgent"].get_default() == "no"


def test_subclass_inherits_fields_and_docstring():
    class More(Route):
        reason: str = OutputField()
        message: str = InputField(desc="Changed.")

    assert list(More.fields) == ["message", "urgent", "team", "tone", "items", "reason"]
    assert More.instructions == Route.instructions
    assert More.description("message") == "Changed."
    assert Route.description("message") == "What the customer wrote."


def test_a_local_class_is_found_as_a_type():
    class Local(pydantic.BaseModel):
        x: int

    class UsesLocal(Signature):
        a: str = InputField()
        b: list[Local] = OutputField()

    assert UsesLocal.annotation("b") == list[Local]
    assert Signature("a -> b: list[Local]").annotation("b") == list[Local]


def test_string_form():
    made = Signature("a, b: int -> c: list[str], d: Literal['x -> y', 'z']", "Do it.")
    assert made.instructions == "Do it."
    assert [made.annotation(n) for n in made.fields] == [str, int, list[str], Literal["x -> y", "z"]]
    assert Signature("-> joke").signature == " -> joke"
    assert Signature("a -> b").instructions == "Read `a` and write `b`."
    assert Signature("  a,\n  b: dict[str, int]\n  -> c: bool ").annotation("b") == dict[str, int]


def test_only_types_are_taken_from_the_calling_code():
    number = 3
    assert number
    with pytest.raises(SignatureError, match="'number' is not a type"):
        Signature("a: number -> b")
    with pytest.raises(SignatureError, match="'pytest' is not a type"):
        Signature("a: pytest -> b")
    assert Signature("a: pydantic.BaseModel -> b").annotation("a") is pydantic.BaseModel


def test_dict_form():
    made = Signature({"a": (int, InputField(desc="A number.")), "b": OutputField()}, "Add one.")
    assert made.annotation("a") is int
    assert made.annotation("b") is str
    assert made.description("a") == "A number."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("str", str),
        ("int", int),
        ("None", None),
        ("list[str]", list[str]),
        ("dict[str, list[int]]", dict[str, list[int]]),
        ("tuple[int, ...]", tuple[int, ...]),
        ("Optional[int]", int | None),
        ("int | None", int | None),
        ("Union[int, str]", int | str),
        ("typing.List[int]", typing.List[int]),  # noqa: UP006 - the text under test
        ("Literal['a', 2, True]", Literal["a", 2, True]),
        ("Literal['it''s']", Literal["its"]),
        ("'list[int]'", list[int]),
        ("datetime.date", datetime.date),
        ("Tone", Tone),
        ("datetime", datetime.datetime),
        ("list[date]", list[datetime.date]),
        ("Decimal | None", decimal.Decimal | None),
        ("list[Tool]", list[engine.Tool]),
        ("ToolCalls", engine.ToolCalls),
        ("dict[str, Image]", dict[str, engine.Image]),
        ("History", engine.History),
    ],
)
def test_type_grammar(text, expected):
    assert parse_type(text, {"Tone": Tone}) == expected
    if expected is not None:
        assert Signature(f"a: {text} -> b", custom_types={"Tone": Tone}).annotation("a") == expected


@pytest.mark.parametrize(
    "text",
    [
        "strr",
        "",
        "list[",
        "__import__('os')",
        "os.system",
        "Literal[os]",
        "(lambda: 1)()",
        "1 + 1",
        "int.__class__",
        "typing._eval_type",
        "list[str][int]",
        "x if y else z",
        "str, int",
        "()",
    ],
)
def test_a_text_that_is_no_type_is_refused_and_nothing_runs(text):
    with pytest.raises(SignatureError):
        parse_type(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b", "exactly one '->'"),
        ("a -> b -> c", "exactly one '->'"),
        ("a ->", "no output"),
        ("a -> a", "twice"),
        ("a, a -> b", "twice"),
        ("2a -> b", "2a"),
        ("class -> b", "class"),
        ("_a -> b", "_a"),
        ("a=1 -> b", "default"),
        ("a, *b -> c", "names and types only"),
        ("a: nope -> b", "'nope'"),
    ],
)
def test_a_bad_signature_text_is_named(text, words):
    with pytest.raises(SignatureError, match=words.replace("*", r"\*")):
        Signature(text)


def test_a_field_must_say_its_side():
    with pytest.raises(SignatureError, match=r"Bad\.a must say which side"):

        class Bad(Signature):
            a: str
            b: str = OutputField()

    with pytest.raises(SignatureError, match="InputField or an OutputField"):
        make_signature({"a": (int, pydantic.Field())})


def test_an_unknown_annotation_is_named():
    with pytest.raises(SignatureError, match=r"'Nowhere' of Lost\.a"):

        class Lost(Signature):
            a: Nowhere = InputField()  # noqa: F821 - the mistake under test
            b: str = OutputField()


def test_operations_return_new_signatures():
    base = Signature("a, b -> c", "Old.")
    assert base.with_instructions("New.").instructions == "New."
    assert base.append_instructions("More.").instructions == "Old.\n\nMore."
    assert list(base.prepend("x", OutputField()).output_fields) == ["x", "c"]
    assert list(base.append("x", InputField(), int).input_fields) == ["a", "b", "x"]
    assert list(base.insert(1, "x", InputField()).input_fields) == ["a", "x", "b"]
    assert list(base.insert(-2, "x", InputField()).input_fields) == ["a", "x", "b"]
    assert list(base.delete("b").delete("nothing").fields) == ["a", "c"]
    changed = base.with_updated_fields("c", int, desc="Count.")
    assert (changed.annotation("c"), changed.description("c")) == (int, "Count.")
    assert base.instructions == "Old."
    assert list(base.fields) == ["a", "b", "c"]
    assert base.annotation("c") is str
    with pytest.raises(SignatureError, match="outside"):
        base.insert(5, "x", InputField())
    with pytest.raises(SignatureError, match="no field 'z'"):
        base.with_updated_fields("z", desc="x")


def test_a_signature_cannot_be_written_to_and_holds_no_values():
    made = Signature("a -> b")
    with pytest.raises(SignatureError, match="cannot be changed"):
        made.instructions = "Other."
    with pytest.raises(SignatureError, match="holds no values"):
        Route(message="x")
    with pytest.raises(TypeError):
        made.input_fields["z"] = InputField()
    assert copy.deepcopy(made) is made


def test_equality_sees_types_instructions_and_descriptions():
    base = Signature("a -> b: int", "Do.")
    assert base.equals(Signature("a -> b: int", "Do."))
    assert not base.equals(Signature("a -> b: str", "Do."))
    assert not base.equals(Signature("a -> b: int", "Else."))
    assert not base.equals(base.with_updated_fields("a", desc="New."))
    assert not base.equals("a -> b")


def test_state_is_kept_by_field_name_and_dspy_positions_are_read():
    saved = Signature("a, b -> c", "Saved.").with_updated_fields("a", desc="About a.").dump_state()
    loaded = Signature("b, a -> c").load_state(saved)
    assert loaded.instructions == "Saved."
    assert (loaded.description("a"), loaded.description("b")) == ("About a.", "")
    positional = {
        "instructions": "From DSPy.",
        "fields": [{"prefix": "A:", "description": "First."}, {"prefix": "C:", "description": "${c}"}],
    }
    read = Signature("a -> c").load_state(positional)
    assert (read.instructions, read.description("a"), read.description("c")) == ("From DSPy.", "First.", "")


def test_ensure_signature():
    made = Signature("a -> b")
    assert ensure_signature(None) is None
    assert ensure_signature(made) is made
    assert ensure_signature("a -> b", "Do.").instructions == "Do."
    with pytest.raises(SignatureError, match="has instructions already"):
        ensure_signature(made, "Do.")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("some_name", "Some Name"),
        ("someName2", "Some Name 2"),
        ("URL", "URL"),
        ("parseHTMLPage", "Parse HTML Page"),
    ],
)
def test_infer_prefix(name, words):
    assert infer_prefix(name) == words


def test_dspy_arguments_without_effect_are_accepted():
    field = OutputField(desc="x", prefix="Answer now:", format=str, parser=int)
    made = make_signature({"q": InputField(), "a": (str, field)})
    assert made.dump_state()["fields"][1] == {
        "name": "a",
        "prefix": "Answer now:",
        "description": "x",
        "type": "str",
    }


def test_field_names_that_methods_have_too_are_fine():
    made = Signature("schema, json, copy, fields -> instructions, items")
    assert list(made.fields) == ["schema", "json", "copy", "fields", "instructions", "items"]
    assert "instructions" in made.output_fields


def test_state_keeps_each_fields_type_and_says_when_it_is_another_now(caplog):
    saved = Signature("a: list[int], b -> c: Literal['x', 'y'] | None").dump_state()
    assert [f["type"] for f in saved["fields"]] == ["list[int]", "str", "Literal['x', 'y'] | None"]
    Signature("a: list[int], b -> c: Literal['x', 'y'] | None").load_state(saved)
    assert not caplog.text
    now = Signature("b, a: set[int] -> c: Literal['x', 'y'] | None").load_state(saved)
    assert now.annotation("a") == set[int]
    assert "a was saved as list[int] and is set[int] now" in caplog.text


def test_a_class_of_ones_own_comes_before_the_engines():
    class Image(pydantic.BaseModel):
        """Not the engine's."""

    assert Signature("a: Image -> b").annotation("a") is Image
    assert Signature("a: Tool -> b", custom_types={"Tool": Item}).annotation("a") is Item


def test_rules_can_be_changed_are_shown_and_hold():
    base = Signature({"q": InputField(), "n": (int | None, OutputField(ge=1, le=5))})
    tighter = base.with_updated_fields("n", le=3, desc="Stars.")
    assert rules_in_words(base.fields["n"].metadata) == "at least 1, at most 5"
    assert "`n` (int | None): Stars. [must be at least 1, at most 3]" in ChatAdapter().format_system_message(
        tighter
    )
    assert not base.equals(base.with_updated_fields("n", le=3))
    read = ChatAdapter().parse
    assert read(tighter, "[[ ## n ## ]]\n3") == {"n": 3}
    assert read(tighter, "[[ ## n ## ]]\nnull") == {"n": None}
    assert read(base, "[[ ## n ## ]]\n4") == {"n": 4}
    with pytest.raises(AdapterParseError, match="less than or equal to 3"):
        read(tighter, "[[ ## n ## ]]\n4")


@pytest.mark.parametrize(
    ("annotation", "rules", "good", "bad", "shown"),
    [
        (str, {"max_length": 3}, "abc", "abcd", "length at most 3"),
        (str, {"pattern": "^a+$"}, "aa", "ab", "matching the pattern ^a+$"),
        (list[str], {"min_length": 2}, '["a", "b"]', '["a"]', "length at least 2"),
        (float, {"gt": 0, "lt": 1}, "0.5", "1", "greater than 0, less than 1"),
        (int, {"multiple_of": 5}, "10", "11", "a multiple of 5"),
        (dict[str, int], {"max_length": 1}, '{"a": 1}', '{"a": 1, "b": 2}', "length at most 1"),
        (datetime.date, {"ge": datetime.date(2024, 1, 1)}, "2024-02-03", "2023-02-03", "at least 2024-01-01"),
    ],
)
@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter(), XMLAdapter()], ids=lambda a: a.name)
def test_every_rule_is_shown_and_holds_in_every_layout(adapter, annotation, rules, good, bad, shown):
    signature = make_signature({"q": InputField(), "a": (annotation, OutputField(**rules))})
    assert f"[must be {shown}]" in adapter.format_system_message(signature)

    def laid_out(text):
        if adapter.name == "xml":
            return f"<a>{text}</a>"
        quoted = text if text[0] in "[{" else orjson.dumps(text).decode()
        return f"[[ ## a ## ]]\n{text}" if adapter.name == "chat" else f'{{"a": {quoted}}}'

    assert "a" in adapter.parse(signature, laid_out(good))
    with pytest.raises(AdapterParseError, match="'a' breaks its rule"):
        adapter.parse(signature, laid_out(bad))


def test_an_instruction_nobody_wrote_names_the_fields_that_are_left():
    assert Signature("a, b -> c, d").delete("d").instructions == "Read `a` and `b` and write `c`."
    assert Signature("a -> c, d", "Mine.").delete("d").instructions == "Mine."


def test_spaces_in_quotes_stay():
    kind = Signature("x -> y: Literal['a  b', 'c']").annotation("y")
    assert typing.get_args(kind) == ("a  b", "c")
