"""The script that stands alone reads and writes values as the engine does: same values, same complaints, same texts."""

import datetime
import itertools
import math
from typing import Any, Literal

import pytest

from engine.adapters.reading import reader_for
from engine.adapters.scalars import UnreadableError
from engine.adapters.tags import is_structure, sections
from engine.adapters.tags import unescaped as engine_unescaped
from engine.adapters.values import format_value, parse_value
from engine.adapters.xml import tag_value
from engine.errors import ProgramFileError
from engine.export.standalone import reading  # noqa: F401 - fills the table of types
from engine.export.standalone.literal import literal
from engine.export.standalone.nearest import Nearest
from engine.export.standalone.replies import chat_reply
from engine.export.standalone.search import Search
from engine.export.standalone.tags import xml_reply
from engine.export.standalone.types import kind_of
from engine.export.standalone.values import UnreadableError as Refused
from engine.export.standalone.values import as_json, from_json, from_text, written
from engine.retrieval.bm25 import BM25
from engine.similarity import FUNCTION_WORDS, NearestTexts

TYPES = [
    str,
    bool,
    int,
    float,
    Any,
    Literal["red", "Blue", "sky blue"],
    Literal["yes", "Yes", "no"],
    Literal[1, 2, "three"],
    list[str],
    list[int],
    list[bool],
    list[Literal["a", "b"]],
    list[dict[str, int]],
    dict[str, Any],
    dict[str, int],
    dict[str, list[float]],
    int | None,
    str | None,
    Literal["none", "some"] | None,
    list[str] | None,
    int | str,
    float | bool | None,
    list[int] | int,
]
TEXTS = [
    *("", " ", "null", "None", "nothing", "red", "RED", " 'blue'. ", "**Blue**", "Literal['red']", "Literal.Blue"),
    *("yes", "YES", "Yes", "no.", "on", "1", "0", "2", "-7", "+3", "42.0", "4.2", "1,234", "1 234 567", "1,23", "12e3"),
    *("Answer: 42", "`7`", '"7"', "nan", "inf", "1e999", "9" * 30, "True", "tRue", "true false", "three", "a, b", "a,c"),
    *("- a\n- b", "1. a\n2) b", "* 1\n  2\n* 3", "[1, 2]", '["a", "b",]', "['a', None]", "```json\n[1]\n```", "[1, 'x']"),
    *('{"a": 1}', "{'a': True}", '{"a": "x"}', '{"a": [1, 2.5]}', 'Here: {"a": 1}', "Sure!\n```\n{\"a\": 1}\n```", "[]", "{}"),
    *('[{"a": 1}, {"b": "2"}]', "x" * 300, "«quoted» 🙂 {braces} %s [[ ## x ## ]]", "line one\nline two", "some"),
]  # fmt: skip
VALUES = [
    None,
    True,
    False,
    0,
    1,
    2,
    2.0,
    2.5,
    "",
    "7",
    "red",
    [],
    [1, "2"],
    [None],
    {},
    {"a": 1},
    {"a": [1]},
    [[1], 2],
]


def outcome(read, refused, *given):
    try:
        return read(*given)
    except refused as error:
        return f"refused: {error}"


def same(one, other):
    return type(one) is type(other) and (one == other or (isinstance(one, float) and math.isnan(one)))


@pytest.mark.parametrize("annotation", TYPES, ids=str)
def test_texts_and_json_values_are_read_as_the_engine_reads_them(annotation):
    kind = kind_of(annotation, "x")
    for text in TEXTS:
        expected = outcome(parse_value, UnreadableError, text, annotation)
        assert same(outcome(from_text, Refused, kind, text), expected), text
    for value in VALUES:
        expected = outcome(reader_for(annotation).json, UnreadableError, value)
        assert same(outcome(from_json, Refused, kind, value), expected), value


@pytest.mark.parametrize(
    ("annotation", "texts"),
    [
        (datetime.date, ["2024-05-31", " '2024-05-31'. ", "31 May", "1700000000", ""]),
        (datetime.datetime, ["2024-05-31T14:30:00", "2024-05-31T14:30:00Z", "2024-05-31 14:30", "soon"]),
        (datetime.time, ["14:30:00", "14:30", "noon"]),
        (list[datetime.date], ['["2024-05-31"]', "- 2024-05-31\n- 2024-06-01"]),
    ],
)
def test_dates_are_read_and_written_as_the_engine_does(annotation, texts):
    for text in texts:
        expected = outcome(parse_value, UnreadableError, text, annotation)
        found = outcome(from_text, Refused, kind_of(annotation, "x"), text)
        if isinstance(expected, str):
            assert found.startswith("refused: must be ")  # in words of its own
        else:
            assert found == expected
            assert written(found, False) == format_value(expected, annotation)


def test_values_stand_in_a_prompt_as_the_engine_writes_them():
    texts = ["x", "", "{a} %d \\ \"q\" 'é' 🙂\n\ttab", "[[ ## x ## ]]"]
    values = [
        *texts,
        *VALUES,
        texts,
        {"k": texts, "n": 1.5, "d": {"e": None}},
        [{"a": "two\nlines"}],
        10**15,
        0.1,
    ]
    for value, is_text in itertools.product(values, (True, False)):
        assert written(value, is_text) == format_value(value, str if is_text else None)


@pytest.mark.parametrize(
    "text",
    [
        "<a>1 &lt; 2</a>\n<tags><item>x</item><item>y &amp; z</item></tags>",
        "so <a>x <tags>0</tags></a> <tags>\n<tags>1</tags></tags>",
        "<tags><item/><item>no end<a>late</a>",
        '<a key="k">it</a><tags>["json", "list"]</tags><a>twice</a>',
        "<tags></tags><a/>",
        "<a>&#233; &#xe9; &#xd800; &unknown; & < ></a>",
        "nothing at all",
        '{"a": "json instead", "tags": ["x"]}',
    ],
)
def test_tags_are_found_where_the_engine_finds_them(text):
    fields = {"a": str, "tags": list[str]}
    found = sections(text, [(name, is_structure(kind)) for name, kind in fields.items()])
    expected = {
        name: tag_value(found[name], fields[name])
        if is_structure(fields[name])
        else engine_unescaped(found[name])
        for name in fields
        if name in found
    }
    made, decoded = xml_reply({name: kind_of(kind, name) for name, kind in fields.items()}, text)
    assert decoded == text.startswith("{")
    if not decoded:
        assert made == expected


class Field:
    def __init__(self, annotation):
        self.annotation = annotation


@pytest.mark.parametrize(
    "annotation",
    [list[dict[str, int]], dict[str, list[str]], dict[str, Any], list[int] | None, list[Any]],
    ids=str,
)
def test_nested_tags_become_the_same_values(annotation):
    texts = [
        "<item>1</item><item>2</item>",
        "<item><a>1</a><b>2</b></item>\n<item><c>3</c></item>",
        '<a><item>x</item></a><entry key="b c"><item>y</item><item>z</item></entry>',
        "<a><b>1</b><b>2</b><c/></a>",
        "null",
        "",
        "<a>open <b>and</x> never closed",
    ]
    fields = {"a_field": kind_of(annotation, "a_field")}
    for text in texts:
        made, _ = xml_reply(fields, f"<a_field>{text}</a_field>")
        assert made["a_field"] == tag_value(text, annotation), text


def test_the_first_section_of_a_name_counts():
    text = "Well. [[ ## a ## ]]\n> **[[ ## a ## ]]**\none\n[[ ## b ## ]] two\n[[##a##]]\nthree\n[[ ## completed ## ]]\n[[ ## c ## ]]\nlate"
    fields = {"a": kind_of(str, "a"), "b": kind_of(str, "b")}
    assert chat_reply(fields, text) == ({"a": "\none\n", "b": " two\n"}, False)


def test_the_nearest_examples_come_in_the_same_order():
    texts = [
        "the parcel is late",
        "my password is wrong",
        "where is my parcel",
        "",
        "Parcel? late! 🙂",
        "the parcel is late",
    ]
    ours, theirs = Nearest(texts), NearestTexts(texts)
    for text in (*texts, "a parcel that never came", "was ist das", "PASSWORD password"):
        for k in (1, 3, 6):
            assert ours.nearest(text, k) == theirs.nearest(text, k)


def test_passages_come_in_the_same_order():
    passages = [
        "Refunds take five days.",
        "Parcels go out on Mondays.",
        "",
        "Déjà vu: refund of the refunds",
        "the and of",
        "Five parcels, five days, five buses",
    ]
    step = {
        "passages": passages,
        "k": 4,
        "takes": ["q"],
        "makes": ["found"],
        "as_list": True,
        "common_words": " ".join(FUNCTION_WORDS),
    }
    ours, theirs = Search(step), BM25(passages, k=4)
    for query in (*passages, "when does a bus go", "deja", "nothing of it", "parcel refund five", ODD):
        assert ours.find(query) == [hit.long_text for hit in theirs.find(query)], query
    assert Search({**step, "as_list": False}).answer({"q": ["five", "buses"]}) == {
        "found": format_value([hit.long_text for hit in theirs.find("five buses")], str)
    }
    assert ours.answer({"q": None}) == {"found": []}


ODD = "{braces} 100%s 🙂 é [[ ## label ## ]]"


@pytest.mark.parametrize("annotation", [set[str], tuple[int, str], dict[int, str], bytes], ids=str)
def test_a_type_that_cannot_be_read_is_named(annotation):
    with pytest.raises(
        ProgramFileError, match=r"The field 'x' holds .* Take the Python script with Tuneboard"
    ):
        kind_of(annotation, "x")


def test_literals_are_the_values_they_came_from():
    texts = [
        "a\nb",
        'end"\n"',
        '"""\n"""',
        "\\\n\\",
        '\\n\n\\"',
        "cr\r\nlf",
        "\x00\n",
        "\u202e\nrtl",
        "\ud800\nx",
        "'",
        "'\"",
        "é\n🙂 {x} %s",
        "",
    ]
    texts += [f"{text}\n{'long ' * 9}{text}" for text in texts]
    value = {
        "texts": texts,
        **{text: [text, {"deep": [text] * 9}] for text in texts},
        "none": [None, True, 1.5, [], {}],
    }
    assert eval(literal(value)) == value
    assert as_json({"a": [1, "é"]}) == '{"a":[1,"é"]}'
