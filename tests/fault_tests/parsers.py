"""Every parser of bytes from outside, asked with made-up ones: nothing but the engine's own errors may come out."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from fault_tests.check import Check, Finding, cpu_seconds
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from support.bombs import HEADER, workbook

from dashboard.state.editing.project_file import unpack
from engine.adapters import ADAPTERS, ChatAdapter
from engine.dataset import paste_dataset, read_dataset
from engine.errors import EngineError
from engine.export.dspy_script import import_dspy
from engine.export.program import parse_program
from engine.modules.predict import ChainOfThought
from engine.modules.state import read
from engine.pipeline.importers.task import import_task
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.records import json_value
from engine.signature import make_signature
from engine.tools.http import openapi_tools

DEFAULT_SECONDS = 60.0
SECONDS = "TUNEBOARD_PARSER_SECONDS"
"""The environment variable for the time of each parser; `table.py --seconds` sets it."""


@dataclass(frozen=True)
class Parser:
    """A parser: its name, what it is asked with, and what asks it."""

    name: str
    made: st.SearchStrategy[Any]
    ask: Callable[[Any], object]
    cost: int = 1
    """Inputs of other parsers that take as long as one of this."""


def _bent(whole: bytes | str) -> st.SearchStrategy[Any]:
    """Return variations of a good input: parts of it cut out, repeated, or replaced."""

    @st.composite
    def bent(draw: st.DrawFn) -> bytes | str:
        text = whole
        fill = st.binary(max_size=12) if isinstance(whole, bytes) else st.text(_CHARACTERS, max_size=12)
        for _ in range(draw(st.integers(1, 4))):
            start = draw(st.integers(0, len(text)))
            end = min(len(text), start + draw(st.integers(0, 20)))
            times = draw(st.sampled_from([0, 1, 1, 2]))
            text = text[:start] + draw(fill) + text[start:end] * times + text[end:]
        return text

    return bent()


_CHARACTERS = st.characters(codec=None)
_ODD = st.sampled_from(
    [
        "",
        "\ud800",
        "9" * 4301,
        "-" + "9" * 5000,
        "1e999",
        "NaN",
        "\0",
        "[" * 3000,
        "(" * 300,
        "{" * 3000,
        "a" * 9000,
        "\u2028",
        "0x" + "f" * 5000,
        "not " * 3000 + "a",
        "a" + ".a" * 3000,
        "-" * 3000 + "1",
        "list[" * 150 + "int" + "]" * 150,
    ]
)
_TEXT = st.one_of(st.text(_CHARACTERS, max_size=40), _ODD)
_WORDS = st.lists(
    st.sampled_from(
        [
            "question",
            "answer",
            "text",
            ":",
            ",",
            "->",
            "list[",
            "dict[",
            "]",
            "str",
            "int",
            "float",
            "Literal[",
            "'a'",
            "'b'",
            '"',
            "|",
            "Optional[",
            "Union[",
            "None",
            "(",
            ")",
            "=",
            "*",
            "/",
            "Any",
            "Callable[",
            "tuple[",
            "...",
            "Annotated[",
            "\n",
            "typing.",
            "dspy.",
            "Image",
            "lambda",
            "x.y",
            "1",
            "-1",
            "1e9",
            "**",
            "if",
            "else",
            "@",
            ":",
            ":=",
            "for",
            "in",
        ]
    ),
    max_size=14,
).map(" ".join)
_KEYS = st.sampled_from(
    [
        "format",
        "version",
        "name",
        "draft",
        "examples",
        "files",
        "content",
        "steps",
        "inputs",
        "outputs",
        "type",
        "properties",
        "$defs",
        "$ref",
        "items",
        "anyOf",
        "allOf",
        "oneOf",
        "enum",
        "description",
        "signature",
        "demos",
        "fields",
        "instructions",
        "lm",
        "model",
        "config",
        "traces",
        "metadata",
        "predict",
        "prefix",
        "parameters",
        "pipeline",
        "candidate",
        "required",
        "definitions",
        "schema",
        "train",
        "extended_signature",
        "finish",
        "self",
    ]
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    _TEXT,
    st.sampled_from(
        ["object", "array", "string", "#/$defs/a", "tuneboard.program", "tuneboard.project", 1, 2, 3]
    ),
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.one_of(_KEYS, _TEXT), inner, max_size=5),
    max_leaves=25,
)


def _changed(good: object) -> st.SearchStrategy[Any]:
    """Return variations of good JSON values: a value somewhere in them replaced, left out, or added."""

    @st.composite
    def changed(draw: st.DrawFn) -> object:
        value = json.loads(json.dumps(good))
        for _ in range(draw(st.integers(1, 3))):
            value = _with_change(draw, value)
        return value

    return changed()


def _with_change(draw: st.DrawFn, value: Any) -> Any:
    places = (
        sorted(value, key=str)
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else ()
    )
    if not places or draw(st.integers(0, 3)) == 0:
        if isinstance(value, dict) and draw(st.booleans()):
            return {**value, draw(st.one_of(_KEYS, _TEXT)): draw(_VALUES)}
        return draw(_VALUES)
    place = draw(st.sampled_from(list(places)))
    if draw(st.integers(0, 5)) == 0:
        return (
            {k: v for k, v in value.items() if k != place}
            if isinstance(value, dict)
            else value[:place] + value[place + 1 :]
        )
    inner = _with_change(draw, value[place])
    return (
        {**value, place: inner} if isinstance(value, dict) else [*value[:place], inner, *value[place + 1 :]]
    )


def _as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()


_TYPED = make_signature(
    "question, n: int -> answer: str, score: float, tags: list[str], kind: Literal['a', 'b'], more: dict[str, Any], "
    "when: Optional[datetime.date]"
)
_REPLIES = [
    '[[ ## answer ## ]]\nyes\n\n[[ ## score ## ]]\n0.5\n\n[[ ## tags ## ]]\n["a"]\n\n[[ ## kind ## ]]\na\n\n[[ ## more ## ]]\n{}\n\n'
    "[[ ## when ## ]]\n2024-05-31\n\n[[ ## completed ## ]]",
    '{"answer": "yes", "score": 0.5, "tags": ["a"], "kind": "a", "more": {"b": 1}, "when": "2024-05-31"}',
    "<answer>yes</answer><score>1</score><tags>[]</tags><kind>b</kind><more>{}</more><when>null</when>",
]


def _adapters(reply: str) -> None:
    reply = reply.encode("utf-8", "replace").decode()  # as every transport decodes it
    errors: list[EngineError] = []
    for adapter in ADAPTERS:
        try:
            orjson.dumps(json_value(adapter().parse(_TYPED, reply)))  # as they are stored
        except EngineError as error:
            errors.append(error)


def _imports(text: str) -> None:
    for form in ("signature", "class", "schema", "prompt", None):
        try:
            import_task(text, form)
        except EngineError:
            continue


_CLASS = '''
import enum
class Kind(enum.Enum):
    A = "a"
    B = "b"
class Item(BaseModel):
    name: str = Field(description="What it is")
    price: Optional[float] = None
class Order(BaseModel):
    """An order."""
    kind: Kind
    items: list[Item]
    tags: Annotated[list[str], "x"] = []
class Sort(dspy.Signature):
    """Sort it."""
    text: str = dspy.InputField(desc="t")
    queue: Literal["a", "b"] = dspy.OutputField()
'''
_SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "d"},
        "n": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        "kind": {"enum": ["a", "b"]},
    },
    "$defs": {"item": {"type": "object", "properties": {"x": {"$ref": "#/$defs/item"}}}},
}
_FROZEN = Path(__file__).resolve().parents[1] / "golden" / "frozen"


def _frozen(name: str) -> Any:
    return json.loads((_FROZEN / name).read_text())


def _builds(content: bytes) -> None:
    parse_program(content).build()


def _loads(state: object) -> None:
    program = ChainOfThought("question, context: list[str] -> answer")
    program.load_state(state)  # type: ignore[arg-type]
    program.dump_state()
    for step in program.predictors():
        ChatAdapter().format(step.signature, step.demos, {"question": "q", "context": ["c"]})


def _reads_state(content: bytes) -> None:

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.json")
        path.write_bytes(content)
        _loads(read(path))


def _imports_dspy(content: bytes) -> None:
    step = StepSpec(
        name="answer",
        strategy="chain_of_thought",
        inputs=(FieldSpec(name="question"), FieldSpec(name="context", type="list[str]")),
        outputs=(FieldSpec(name="answer"),),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.json")
        path.write_bytes(content)
        import_dspy(path, PipelineSpec(steps=(step,)))


_API = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://example.org/v1"}],
    "paths": {
        "/items/{id}": {
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"$ref": "#/components/schemas/a"}}
            ],
            "get": {"operationId": "getItem", "summary": "Get one."},
            "post": {
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/a"}}}
                }
            },
        }
    },
    "components": {
        "schemas": {"a": {"type": "object", "properties": {"x": {"$ref": "#/components/schemas/a"}}}}
    },
}
_STEP = {
    "traces": [],
    "train": [],
    "demos": [{"augmented": True, "question": "q", "context": ["c"], "reasoning": "r", "answer": "a"}],
    "signature": {
        "instructions": "Answer.",
        "fields": [
            {"prefix": "Question:", "description": "${question}"},
            {"prefix": "Context:", "description": "${context}"},
            {"prefix": "Reasoning:", "description": "${reasoning}"},
            {"prefix": "Answer:", "description": "${answer}"},
        ],
    },
    "lm": {"model": "openai/gpt-5-mini", "temperature": 0.5, "num_retries": 3},
}
_STATES = (
    {"predict": _STEP, "metadata": {"dependency_versions": {"python": "3.11", "dspy": "3.0.0"}}},
    {"predict.predict": _STEP},
    _STEP,
)
_CSV = b'text,label,"more, here"\n"a ""b"" c",x,1\r\n\n\xc3\xa9,y,=1+1\n"open,z,3\n'


def _parquet() -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    out = io.BytesIO()
    table = pa.table({"text": ["a", None, "c"], "n": [1, 2, 3], "list": [["x"], [], None]})
    parquet.write_table(table, out)
    return out.getvalue()


_ROWS = (
    f'{HEADER}<row><c r="A2"><v>1</v></c><c r="B2" t="b"><v>1</v></c><c t="s"><v>0</v></c></row>'
    '<row r="9"><c r="C9" t="d"><v>2024-05-31</v></c><c t="e"><v>#N/A</v></c><c t="str"><f>1</f><v>x</v></c></row>'
)


def _with_bent_part(draw: st.DrawFn) -> bytes:
    """Return a workbook with one of its parts bent."""
    whole = workbook(_ROWS, "<si><t>hello</t></si>")
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as read_from, zipfile.ZipFile(out, "w") as archive:
        names = read_from.namelist()
        bent = draw(st.sampled_from(names))
        for name in names:
            text = read_from.read(name).decode()
            archive.writestr(name, draw(_bent(text)).encode("utf-8", "replace") if name == bent else text)
    return out.getvalue()


PARSERS = (
    Parser(
        "signature texts",
        st.one_of(_TEXT, _WORDS, _bent("q, k: int -> a: list[str], b: Literal['x', 2]")),
        make_signature,
    ),
    Parser(
        "replies of models",
        st.one_of(_TEXT, *map(_bent, _REPLIES), _VALUES.map(lambda v: json.dumps(v))),
        _adapters,
    ),
    Parser("CSV", st.one_of(st.binary(max_size=200), _bent(_CSV)), lambda data: read_dataset(data, "x.csv")),
    Parser("pasted rows", st.one_of(_TEXT, _bent(_CSV.decode())), paste_dataset),
    Parser(
        "JSON",
        st.one_of(
            _TEXT.map(lambda t: t.encode("utf-8", "surrogatepass")),
            _VALUES.map(_as_json),
            _bent(b'[{"a": 1, "b": [2]}, {"a": null}]'),
        ),
        lambda data: read_dataset(data, "x.json"),
    ),
    Parser(
        "JSON Lines",
        st.lists(_VALUES.map(_as_json), max_size=4).map(b"\n".join),
        lambda data: read_dataset(data, "x.jsonl"),
    ),
    Parser(
        "workbooks",
        st.one_of(_bent(workbook(_ROWS, "<si><t>hello</t></si>")), st.composite(_with_bent_part)()),
        lambda data: read_dataset(data, "x.xlsx"),
    ),
    Parser("Parquet", _bent(_parquet()), lambda data: read_dataset(data, "x.parquet"), cost=20),
    Parser(
        "program files",
        st.one_of(
            st.binary(max_size=60),
            *(
                _changed(_frozen(f"programs/{p.name}")).map(_as_json)
                for p in sorted((_FROZEN / "programs").glob("*.json"))
            ),
        ),
        _builds,
    ),
    Parser(
        "project files",
        st.one_of(st.binary(max_size=60), _changed(_frozen("project.json")).map(_as_json)),
        unpack,
    ),
    Parser(
        "pasted classes and schemas",
        st.one_of(
            _TEXT, _WORDS, _bent(_CLASS), _changed(_SCHEMA).map(json.dumps), _bent(json.dumps(_SCHEMA))
        ),
        _imports,
    ),
    Parser("states of DSPy", st.one_of(*map(_changed, _STATES)), _loads),
    Parser(
        "states of DSPy for a pipeline",
        st.one_of(*(_changed(s).map(_as_json) for s in _STATES)),
        _imports_dspy,
    ),
    Parser("OpenAPI documents", _changed(_API).map(json.dumps), openapi_tools),
    Parser(
        "files of states",
        st.one_of(st.binary(max_size=60), *(_changed(s).map(_as_json) for s in _STATES)),
        _reads_state,
    ),
)


def ask(parser: Parser, made: object) -> None:
    """Ask a parser with one input; errors of the engine are answers, if they can be written."""
    try:
        parser.ask(made)
    except EngineError as error:
        str(error).encode("utf-8", "replace")


def failures(parser: Parser, examples: int, number: int = 0) -> tuple[int, BaseException | None]:
    """Ask a parser with made-up inputs, the same for the same `number`; return how many, and the error that came out."""
    asked = 0

    @seed(number)
    @settings(
        max_examples=max(1, examples // parser.cost),
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(parser.made)
    def asks(made: object) -> None:
        nonlocal asked
        asked += 1
        ask(parser, made)

    try:
        asks()
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return asked, error
    return asked, None


def fuzzed(parser: Parser, seconds: float) -> tuple[int, list[str]]:
    """Ask a parser for so many seconds of CPU; return how many inputs, and the exceptions that came out.

    Inputs are led by coverage (atheris, in a child process). Where atheris is not installed, which exists for Linux on
    x86-64 only, Hypothesis makes all of them.
    """
    if not find_spec("atheris"):
        return _asked_by_hypothesis(parser, seconds)
    script = Path(__file__).with_name("fuzz.py")
    command = [sys.executable, str(script), parser.name, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:  # out of time or memory for one input, or killed
        return 0, [done.stderr[-2000:]]
    found = json.loads(done.stdout)
    return found["inputs"], [f"{place} ({made})" for place, made in found["errors"].items()]


def _asked_by_hypothesis(parser: Parser, seconds: float) -> tuple[int, list[str]]:
    asked, number, began = 0, 0, cpu_seconds()
    while cpu_seconds() - began < seconds:
        count, error = failures(parser, 300, number)
        asked, number = asked + count, number + 1
        if error is not None:
            return asked, [f"{type(error).__name__}: {error}"]
    return asked, []


def measure(folder: Path, small: bool) -> Finding:
    """Ask every parser for its time, and name what came out of which."""
    seconds = 1.0 if small else float(os.environ.get(SECONDS, DEFAULT_SECONDS))
    asked = 0
    broken = []
    for parser in PARSERS:
        count, errors = fuzzed(parser, seconds)
        asked += count
        broken += [f"{parser.name}: {error}" for error in errors]
        print(f"  {parser.name}: {count:,} inputs, {len(errors)} exceptions", file=sys.stderr, flush=True)
    figure = f"{len(PARSERS)} parsers, {seconds:g} s of CPU each, {asked:,} inputs, {len(broken)} uncaught exceptions"
    return Finding(figure + (f" ({', '.join(broken)})" if broken else ""), met=not broken)


CHECK = Check(
    "parsers",
    "Made-up input to every parser of bytes from outside",
    "ten minutes of CPU each without an uncaught exception",
    measure,
    in_tests=False,
)
