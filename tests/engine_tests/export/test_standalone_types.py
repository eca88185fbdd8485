"""The code that a script carries reads and writes values as the engine does, without the engine's packages.

Python 3.9 gives the same answers where there is one.
"""

import ast
import datetime
import itertools
import math
import shutil
import subprocess
import sys
from typing import Any, Literal, Union

import pytest

from engine.adapters.scalars import UnreadableError
from engine.adapters.values import format_value, parse_value, reader_for
from engine.adapters.xml import xml_values
from engine.errors import ProgramFileError
from engine.export.carried import carried
from engine.export.program import program_file
from engine.export.standalone.script import ALWAYS, PARTS, literal, noted, standalone_script
from engine.export.standalone.stand_ins import REPLACED
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.retrieval.indexes import BM25
from engine.similarity import NearestTexts

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


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    """The names of a script with every part."""
    imports, code = carried([*ALWAYS, *PARTS.values()], REPLACED)
    names: dict[str, Any] = {"__name__": __name__}
    exec(f"from __future__ import annotations\n{imports}\n\n{code}", names)
    return names


def in_3_9(annotation):
    """A type as it stands in a script."""
    return eval(literal(annotation), {"Union": Union, "Literal": Literal, "Any": Any, "datetime": datetime})


def same(one, other):
    return type(one) is type(other) and (one == other or (isinstance(one, float) and math.isnan(one)))


@pytest.mark.parametrize("annotation", TYPES, ids=str)
def test_texts_and_json_values_are_read_as_the_engine_reads_them(script, annotation):
    script["NOTES"].update(noted([("x", annotation)]))
    reader, refused = script["reader_for"](in_3_9(annotation)), script["UnreadableError"]
    for text in TEXTS:
        expected = outcome(parse_value, UnreadableError, text, annotation)
        assert same(outcome(reader.text, refused, text), expected), text
    for value in VALUES:
        expected = outcome(reader_for(annotation).json, UnreadableError, value)
        assert same(outcome(reader.json, refused, value), expected), value


@pytest.mark.parametrize(
    ("annotation", "texts"),
    [
        (datetime.date, ["2024-05-31", " '2024-05-31'. ", "31 May", "1700000000", ""]),
        (datetime.datetime, ["2024-05-31T14:30:00", "2024-05-31T14:30:00Z", "2024-05-31 14:30", "soon"]),
        (datetime.time, ["14:30:00", "14:30", "noon"]),
        (list[datetime.date], ['["2024-05-31"]', "- 2024-05-31\n- 2024-06-01"]),
    ],
)
def test_dates_are_read_and_written_as_the_engine_does(script, annotation, texts):
    script["NOTES"].update(noted([("x", annotation)]))
    for text in texts:
        expected = outcome(parse_value, UnreadableError, text, annotation)
        found = outcome(script["reader_for"](annotation).text, script["UnreadableError"], text)
        if isinstance(expected, str):
            assert found.startswith("refused: must be ")  # in other words
        else:
            assert found == expected
            assert script["format_value"](found) == format_value(expected, annotation)


def test_values_stand_in_a_prompt_as_the_engine_writes_them(script):
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
    for value, kind in itertools.product(values, (str, None)):
        assert script["format_value"](value, kind) == format_value(value, kind)


class Field:
    def __init__(self, name, annotation):
        self.name, self.annotation = name, annotation


@pytest.mark.parametrize(
    "annotation",
    [list[dict[str, int]], dict[str, list[str]], dict[str, Any], list[int] | None, list[Any], str],
    ids=str,
)
def test_tags_become_the_same_values(script, annotation):
    texts = [
        "<item>1</item><item>2</item>",
        "<item><a>1</a><b>2</b></item>\n<item><c>3</c></item>",
        '<a><item>x</item></a><entry key="b c"><item>y</item><item>z</item></entry>',
        "<a><b>1</b><b>2</b><c/></a>",
        "null",
        "",
        "<a>open <b>and</x> never closed",
        "&#233; &#xe9; &#xd800; &unknown; & < >",
    ]
    for text in texts:
        reply = f"so <a_field>{text}</a_field>"
        found = script["xml_values"]([Field("a_field", in_3_9(annotation))], reply)
        assert found == xml_values([Field("a_field", annotation)], reply), text


def test_the_nearest_examples_come_in_the_same_order(script):
    texts = [
        "the parcel is late",
        "my password is wrong",
        "where is my parcel",
        "",
        "Parcel? late! 🙂",
        "the parcel is late",
    ]
    found, expected = script["NearestTexts"](texts), NearestTexts(texts)
    for text in (*texts, "a parcel that never came", "was ist das", "PASSWORD password"):
        for k in (1, 3, 6):
            assert found.nearest(text, k) == expected.nearest(text, k)


def test_passages_come_in_the_same_order(script):
    passages = [
        "Refunds take five days.",
        "Parcels go out on Mondays.",
        "",
        "Déjà vu: refund of the refunds",
        "the and of",
        "Five parcels, five days, five buses",
    ]
    found, expected = script["BM25"](passages, 4), BM25(passages, k=4)
    for query in (*passages, "when does a bus go", "deja", "nothing of it", "parcel refund five", ODD):
        assert found.find(query) == [hit.long_text for hit in expected.find(query)], query
    assert script["BM25"]([""], 3).find("x") == []


def every_kind() -> PipelineSpec:
    """A pipeline that takes every layout and several types."""
    text, tags = FieldSpec(name="text"), FieldSpec(name="tags", type="list[Literal['a', 'b']]")
    when = FieldSpec(name="day", type="Optional[datetime.date]")
    labels = [FieldSpec(name=f"label_{layout}") for layout in ("chat", "json", "xml")]
    inputs = [(text, tags, when), (labels[0],), (labels[1], text)]
    names = ("chat", "json", "xml")
    steps = zip(names, inputs, labels, strict=True)
    return PipelineSpec(
        steps=tuple(
            StepSpec(name=f"by_{n}", adapter=n, inputs=takes, outputs=(made,)) for n, takes, made in steps
        )
    )


def pythons() -> list[str]:
    """This Python, and the oldest that a script has to run on where it is installed."""
    oldest = shutil.which("python3.9")
    found = oldest and subprocess.run([oldest, "--version"], capture_output=True, check=False).returncode == 0
    return [sys.executable, *([oldest] if oldest and found else [])]


def test_a_script_needs_python_3_9_and_the_standard_library(tmp_path):
    spec = every_kind()
    text = standalone_script(program_file(spec, build_program(spec).candidate(), model={"name": "openai/m"}))
    assert "noqa" not in text
    assert len(text.splitlines()) < 2000
    tree = ast.parse(text, feature_version=(3, 9))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        n for node in imported for n in [getattr(node, "module", None), *(a.name for a in node.names)] if n
    }
    whole = {getattr(node, "module", None) or a.name for node in imported for a in node.names}
    assert {name.partition(".")[0] for name in whole} <= sys.stdlib_module_names
    assert not names & {"Self", "Never", "override", "UnionType", "StrEnum"}
    calls = {
        (ast.unparse(c.func), k.arg) for c in ast.walk(tree) if isinstance(c, ast.Call) for k in c.keywords
    }
    assert not calls & {("zip", "strict"), ("dataclass", "slots"), ("dataclasses.dataclass", "slots")}
    tests = [
        c
        for c in ast.walk(tree)
        if isinstance(c, ast.Call) and ast.unparse(c.func) in ("isinstance", "issubclass")
    ]
    assert not [ast.unparse(c) for c in tests if isinstance(c.args[1], ast.BinOp)]
    (tmp_path / "program.py").write_text(text, encoding="utf-8")
    for python in pythons():
        command = [python, "-I", "-S", "program.py", "--help"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "--tags" in done.stdout, done.stderr


def test_what_cannot_be_carried_is_named():
    with pytest.raises(LookupError, match=r"engine\.dataset\.read"):
        carried(["engine.dataset.read.nothing"], {})
    with pytest.raises(LookupError, match="json_repair"):
        carried(["engine.adapters.scalars._repaired"], {})


ODD = "{braces} 100%s 🙂 é [[ ## label ## ]]"


@pytest.mark.parametrize("annotation", [set[str], tuple[int, str], dict[int, str], bytes], ids=str)
def test_a_type_that_cannot_be_read_is_named(annotation):
    with pytest.raises(ProgramFileError, match=r"The field 'x' holds .* the Python script with Tuneboard"):
        noted([("x", annotation)])


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
    types = [*TYPES, datetime.date]
    assert [in_3_9(one) for one in types] == types
    assert literal(int | None) == "Union[int, None]"
