"""The messages that every adapter makes: of fields of every type, and of every module's calls."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any, Literal, Optional

from golden.internals import ADAPTERS, MODULES, Choice, Prediction, Reply, ScriptedLM, name_of
from pydantic import BaseModel, Field

import engine

PNG = "data:image/png;base64,iVBORw0KGgo="
WAV = "data:audio/wav;base64,UklGRg=="
NAMES = tuple(f"{part}-{adapter.name}" for adapter in ADAPTERS for part in ("types", "modules", "replies"))


def messages_log(name: str) -> str:
    """Return the messages of one part by one adapter ("types-chat"), as text."""
    part, adapter = name.split("-")
    made = next(a for a in ADAPTERS if a.name == adapter)()
    return "\n".join([*{"types": _types, "modules": _modules, "replies": _replies}[part](made), ""])


# Types


class Shade(enum.Enum):
    """An enum of texts."""

    LIGHT = "light"
    DARK = "dark"


class Level(enum.IntEnum):
    """An enum of numbers."""

    LOW = 1
    HIGH = 2


class Part(BaseModel):
    """A part of a machine."""

    name: str = Field(description="What it is called")
    weight: float = Field(gt=0)
    spare: bool = False


class Machine(BaseModel):
    """A model with models in it."""

    title: str
    parts: list[Part]
    shade: Shade = Shade.LIGHT
    notes: dict[str, int] = Field(default_factory=dict)
    maker: Part | None = None


def _file(data: bytes) -> engine.File:
    return engine.File.from_bytes(data, "a.txt", "text/plain")


MACHINE = Machine(title='The "old" <one>', parts=[Part(name="bolt", weight=0.5)], notes={"seen": 2})
WHEN = datetime(2024, 2, 29, 13, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Kind:
    """A type with two of its values; `ways` are the fields it can be."""

    name: str
    type: Any
    first: Any
    second: Any
    ways: str = "in out"
    rules: dict[str, Any] = field(default_factory=dict)


KINDS = (
    Kind("str", str, "plain", 'two\nlines with [[ ## made ## ]], {braces}, "quotes" & <tags> é 🙂'),
    Kind(
        "str with rules", str, "abc", "abcd", rules={"min_length": 2, "max_length": 5, "pattern": "^[a-z]+$"}
    ),
    Kind("int", int, 4, -17),
    Kind("int with rules", int, 4, 5, rules={"ge": 1, "le": 5}),
    Kind("float", float, 0.25, 1e21),
    Kind("bool", bool, True, False),
    Kind("Literal", Literal["billing", "shipping", "it's both"], "billing", "it's both"),
    Kind("Literal of numbers", Literal[1, 2, 3], 1, 3),
    Kind("Optional[str]", Optional[str], "here", None),  # noqa: UP045 - as users write it
    Kind("int | None", int | None, 3, None),
    Kind("int | str", int | str, 3, "three"),
    Kind("list[str]", list[str], ["a", "b, c"], []),
    Kind("list[int]", list[int], [1, 2], [3]),
    Kind("list[list[float]]", list[list[float]], [[1.5], []], [[2.0, 3.0]]),
    Kind("set[str]", set[str], {"a"}, {"b"}),
    Kind("tuple[int, str]", tuple[int, str], (1, "a"), (2, "b")),
    Kind("dict[str, int]", dict[str, int], {"a": 1}, {}),
    Kind("dict[str, Any]", dict[str, Any], {"a": [1, None]}, {"b": {"c": True}}),
    Kind("list[dict[str, str]]", list[dict[str, str]], [{"a": "b"}], [{"c": "d"}, {}]),
    Kind("date", date, date(2024, 2, 29), date(1999, 12, 31)),
    Kind("datetime", datetime, WHEN, WHEN.replace(hour=23)),
    Kind("time", time, time(8, 30), time(23, 59, 1)),
    Kind("Enum", Shade, Shade.LIGHT, Shade.DARK),
    Kind("IntEnum", Level, Level.LOW, Level.HIGH),
    Kind("model", Part, Part(name="bolt", weight=0.5), Part(name="nut", weight=2, spare=True)),
    Kind("model of models", Machine, MACHINE, MACHINE.model_copy(update={"shade": Shade.DARK})),
    Kind("list of models", list[Part], [Part(name="bolt", weight=0.5)], []),
    Kind("model | None", Part | None, Part(name="bolt", weight=0.5), None),
    Kind("Any", Any, {"a": 1}, "text"),
    Kind("Image", engine.Image, engine.Image(PNG), engine.Image("https://example.org/a.png"), "in"),
    Kind("list[Image]", list[engine.Image], [engine.Image(PNG)], [engine.Image(PNG)] * 2, "in"),
    Kind("Audio", engine.Audio, engine.Audio(WAV), engine.Audio(WAV), "in"),
    Kind("File", engine.File, _file(b"notes"), _file(b"more"), "in"),
    Kind(
        "Document",
        engine.Document,
        engine.Document("The moon is far.", title="Moon"),
        engine.Document("The sea is wet."),
        "in",
    ),
    Kind("Code", engine.Code["python"], engine.Code["python"]("1 + 1"), engine.Code["python"]("print('x')")),
    Kind("Reasoning", engine.Reasoning, "It is so.", "It is not.", "out"),
)
"""Fields of every type, as an input and as an output."""

HISTORY = engine.History(messages=[{"given": "first", "made": "one"}, {"given": "second", "made": "two"}])


def _types(adapter: Any) -> Iterator[str]:
    for kind in KINDS:
        for way in kind.ways.split():
            yield from _kind(adapter, kind, way)
    fields = {"given": (str, engine.InputField()), "earlier": (engine.History, engine.InputField())}
    signature = engine.make_signature({**fields, "made": (str, engine.OutputField())}, "Go on.")
    yield from _asked(
        adapter, "History in", signature, [], {"given": "third", "earlier": HISTORY}, {"made": "x"}
    )
    yield from _asked(
        adapter, "several fields", _SEVERAL, _SEVERAL_DEMOS, {"ticket": "Where is it?"}, _SEVERAL_DEMOS[0]
    )


def _kind(adapter: Any, kind: Kind, way: str) -> Iterator[str]:
    given: Any = kind.type if way == "in" else str
    made: Any = kind.type if way == "out" else str
    inputs = [(one if way == "in" else text) for one, text in ((kind.first, "one"), (kind.second, "two"))]
    outputs = [(one if way == "out" else text) for one, text in ((kind.first, "one"), (kind.second, "two"))]
    rules = [kind.rules if way == w else {} for w in ("in", "out")]
    fields = {
        "given": (given, engine.InputField(desc="What there is", **rules[0])),
        "made": (made, engine.OutputField(**rules[1])),
    }
    signature = engine.make_signature(fields, "Make it.")
    demos = [engine.Example(given=inputs[1], made=outputs[1])]
    yield from _asked(
        adapter, f"{kind.name} {way}", signature, demos, {"given": inputs[0]}, {"made": outputs[0]}
    )


class Triage(engine.Signature):
    """Sort a ticket.

    Be strict.
    """

    ticket: str = engine.InputField(desc="what the customer wrote")
    notes: list[str] = engine.InputField(default=["none"])
    label: Literal["billing", "shipping"] = engine.OutputField(desc="the team")
    urgent: bool = engine.OutputField()
    stars: int = engine.OutputField(ge=1, le=5)
    reason: str | None = engine.OutputField()


_SEVERAL = Triage
_SEVERAL_DEMOS = [
    {"ticket": "Bill wrong", "notes": ["a"], "label": "billing", "urgent": True, "stars": 4, "reason": None},
    {"ticket": "Lost", "label": "shipping"},
    {"ticket": "Late", "urgent": False, "stars": 1, "augmented": True},
    {"ticket": "no outputs"},
]


def _asked(
    adapter: Any,
    title: str,
    signature: Any,
    demos: Sequence[Any],
    inputs: dict[str, Any],
    values: dict[str, Any],
) -> Iterator[str]:
    """Yield a signature's messages, without and with demos, and what is read of the perfect answer."""
    yield f"\n######## {title}"
    try:
        plain = adapter.calls(signature, [], inputs, values)
    except engine.EngineError as error:
        yield f"cannot be asked: {error}"
        return
    for messages, answer, _ in plain:
        yield from _shown(messages)
        yield f"-> {_text(answer)}"
    try:
        yield f"read: {_outputs(adapter.parse(signature, plain[-1][1]))}"
    except engine.EngineError as error:
        yield f"cannot be read: {error}"
    if demos:
        both = adapter.calls(signature, demos, inputs, values)[0][0]
        start = next(i for i, m in enumerate(both) if m != plain[0][0][i])
        yield f"with {len(demos)} demos, from message {start + 1}:"
        yield from _shown(both[start:-1])
        if both[-1] != plain[0][0][-1]:
            yield from _shown(both[-1:])
    params = adapter.params(signature, _Able([]))
    if params:
        yield f"params: {json.dumps(params, default=repr)}"


class _Able(ScriptedLM):
    """A scripted model that can do everything but text."""

    @property
    def supports_response_format(self) -> bool:
        return True

    @property
    def supports_function_calling(self) -> bool:
        return True

    @property
    def supports_reasoning(self) -> bool:
        return True

    @property
    def supports_citations(self) -> bool:
        return True


# Modules

QA = "question, place: str -> answer, count: int"
ASKED = {"question": "How many?", "place": "the shop"}
DONE = {"answer": "Four of them.", "count": 4}
THOUGHT = {"reasoning": "Two and two."}


def price(item: str, amount: int = 1) -> float:
    """Tell what things cost."""
    return {"tea": 2.5}[item] * amount


def enough(args: dict[str, Any], prediction: Any) -> float:
    """Return 1 where there are at least four."""
    return float(prediction.count >= 4)


def found(query: str, k: int = 3) -> list[str]:
    """Return passages."""
    return [f"{query} passage {i}" for i in range(k)]


@dataclass(frozen=True)
class Run:
    """A module, what it is called with, and the answers it is given in turn."""

    title: str
    make: Callable[[], Any]
    script: tuple[dict[str, Any] | str, ...]
    inputs: Any = None


def _pairs(module: Any) -> Any:
    ask = engine.Predict(QA)
    return module([(ask, ASKED), (ask, {**ASKED, "place": "the yard"})])


ACT = {
    "next_thought": "Look it up.",
    "next_tool_name": "price",
    "next_tool_args": {"item": "tea", "amount": 4},
}
FAIL = {"next_thought": "Another.", "next_tool_name": "price", "next_tool_args": {"item": "milk"}}
END = {"next_thought": "Enough.", "next_tool_name": "finish", "next_tool_args": {}}
ADVICE = {"discussion": "Too few.", "advice": {"self": "Count again.", "predict": "Count again."}}
TRIES = [{**THOUGHT, **DONE}, {"reasoning": "Perhaps five.", "answer": "Five.", "count": 5}]
RUNS: dict[str, tuple[Run, ...]] = {
    "Predict": (Run("", lambda: engine.Predict(QA), (DONE,)),),
    "ChainOfThought": (Run("", lambda: engine.ChainOfThought(QA), ({**THOUGHT, **DONE},)),),
    "ReAct": (
        Run("", lambda: engine.ReAct(QA, [price], max_iters=4), (ACT, FAIL, END, {**THOUGHT, **DONE})),
        Run("out of steps", lambda: engine.ReAct(QA, [price], max_iters=1), (ACT, {**THOUGHT, **DONE})),
    ),
    "ProgramOfThought": (
        Run(
            "",
            lambda: engine.ProgramOfThought(QA),
            (
                {**THOUGHT, "generated_code": "1 / 0"},
                {**THOUGHT, "generated_code": "2 + len(place) - 6"},
                {**THOUGHT, **DONE},
            ),
        ),
    ),
    "CodeAct": (
        Run(
            "",
            lambda: engine.CodeAct(QA, [price], max_iters=3),
            (
                {"generated_code": "cost = price('tea', 4)\nprint(cost)", "finished": False},
                {"generated_code": "cost / 2", "finished": True},
                {**THOUGHT, **DONE},
            ),
        ),
    ),
    "RLM": (
        Run(
            "submits",
            lambda: engine.RLM(QA, max_iters=3),
            (
                {"reasoning": "Look.", "code": "print(question)"},
                {"reasoning": "Submit.", "code": "SUBMIT(answer='Four of them.', count=4)"},
            ),
        ),
        Run(
            "asks and runs out",
            lambda: engine.RLM(QA, max_iters=1, tools=[price]),
            (
                {"reasoning": "Ask.", "code": "print(llm_query('How many in ' + place + '?'))"},
                "Four.",
                DONE | {"reasoning": "Said so."},
            ),
        ),
    ),
    "BestOfN": (
        Run(
            "",
            lambda: engine.BestOfN(engine.Predict(QA), N=3, reward_fn=enough, threshold=1.0),
            ({**DONE, "count": 2}, {**DONE, "count": 3}, DONE),
        ),
    ),
    "Refine": (
        Run(
            "",
            lambda: engine.Refine(engine.ChainOfThought(QA), N=2, reward_fn=enough, threshold=1.0),
            ({**THOUGHT, **DONE, "count": 2}, ADVICE, {**THOUGHT, **DONE}),
        ),
    ),
    "MultiChainComparison": (
        Run(
            "",
            lambda: engine.MultiChainComparison(QA, M=2),
            ({"rationale": "The first adds up.", **DONE},),
            lambda module: module(TRIES, **ASKED),
        ),
    ),
    "Parallel": (Run("", lambda: engine.Parallel(num_threads=1), (DONE, {**DONE, "count": 5}), _pairs),),
    "Retrieve": (Run("", lambda: engine.Retrieve(k=2, rm=found), (), lambda module: module("tea")),),
    "Extract": (Run("", lambda: engine.Extract(QA), (DONE,)),),
}
"""Every module by its registered name."""


def _modules(adapter: Any) -> Iterator[str]:
    for module in MODULES:
        for each in RUNS[name_of(module)]:
            title = " ".join(filter(None, (name_of(module), each.title)))
            yield f"\n######## {title}"
            built = each.make()
            lm, trace, lines = _ran(adapter, each, built)
            yield from lines
            steps = [step for step, _, _ in trace if step in built.predictors()]
            if not steps:
                continue
            for step in built.predictors():
                step.demos = [
                    engine.Example({**inputs, **dict(outputs)})
                    for asked, inputs, outputs in trace
                    if asked is step
                ][:1]
            again, _, _ = _ran(adapter, each, built)
            for number, (before, request) in enumerate(zip(lm.requests, again.requests, strict=True), 1):
                added = [m for m in request.messages if m not in before.messages]
                if added:
                    yield f"==== call {number} with demos, added to its {len(before.messages)} messages:"
                    yield from _shown(added)


def _ran(adapter: Any, each: Run, module: Any) -> tuple[Any, list[Any], list[str]]:
    """Run a module; return its model, its trace and its log."""
    trace: list[Any] = []
    lm = ScriptedLM(_Script(adapter, each.script).answer)
    with engine.context(lm=lm, adapter=adapter, trace=trace):
        try:
            made = module(**ASKED) if each.inputs is None else each.inputs(module)
            end = f"==== the answer: {_outputs(made)}"
        except engine.EngineError as error:
            end = f"==== it fails: {error}"
    lines: list[str] = []
    for number, request in enumerate(lm.requests, 1):
        lines.append(f"==== call {number}{_params(request)}")
        lines += _shown(request.messages)
    return lm, trace, [*lines, end]


class _Script:
    """Answers in turn in an adapter's layout; a text as it is."""

    def __init__(self, adapter: Any, script: Sequence[Any]) -> None:
        self._adapter = adapter
        self._script = list(script)
        self._next: list[str] = []

    def answer(self, _request: Any) -> str:
        if not self._next:
            values = self._script.pop(0)
            if isinstance(values, str):
                return values
            fields = {name: (type(value), engine.OutputField()) for name, value in values.items()}
            signature = engine.make_signature(fields)
            self._next = [answer for _, answer, _ in self._adapter.calls(signature, [], {}, values)]
        return self._next.pop(0)


# Replies


TOOLS = engine.make_signature(
    {
        "question": (str, engine.InputField()),
        "tools": (list[engine.Tool], engine.InputField()),
        "calls": (engine.ToolCalls, engine.OutputField()),
        "note": (str | None, engine.OutputField()),
    },
    "Use the tools.",
)
CITED = engine.make_signature(
    {
        "document": (engine.Document, engine.InputField()),
        "thoughts": (engine.Reasoning, engine.OutputField()),
        "answer": (str, engine.OutputField()),
        "sources": (engine.Citations, engine.OutputField()),
    },
    "Answer from the document.",
)
BAD = (
    "I cannot say.",
    "[[ ## answer ## ]]\nx\n\n[[ ## count ## ]]\nmany",
    '{"answer": "x", "count": 1.5}',
    "<count>four</count>",
)


def _replies(adapter: Any) -> Iterator[str]:
    """Yield what is asked after replies that cannot be read, and how tools are shown."""
    for bad in BAD:
        yield f"\n######## after {bad!r}"
        answers = [
            bad,
            *[answer for _, answer, _ in adapter.calls(engine.ensure_signature(QA), [], ASKED, DONE)],
        ]
        yield from _exchange(adapter, engine.ensure_signature(QA), ASKED, answers)
    yield "\n######## never readable"
    yield from _exchange(adapter, engine.ensure_signature(QA), ASKED, ["?", "??", "???", "????", "?????"])
    tools = {"question": "What is tea?", "tools": [engine.Tool(price)]}
    calls = engine.ToolCalls.from_dict_list([{"name": "price", "args": {"item": "tea"}}])
    answers = [answer for _, answer, _ in adapter.calls(TOOLS, [], tools, {"calls": calls, "note": None})]
    yield "\n######## tools in the text"
    yield from _exchange(adapter, TOOLS, tools, answers, ScriptedLM)
    yield "\n######## tools as the model's own"
    own = type(adapter)(use_native_function_calling=True)
    call = {"id": "c1", "type": "function", "function": {"name": "price", "arguments": '{"item": "tea"}'}}
    yield from _exchange(own, TOOLS, tools, [_reply("", tool_calls=(call,))])
    yield "\n######## thoughts and citations as the model's own"
    asked = {"document": engine.Document("The moon is far.", title="Moon")}
    cited = {"type": "char_location", "cited_text": "far", "document_index": 0, "document_title": "Moon"}
    values = {"answer": "It is far.", "thoughts": engine.Reasoning("Look up.")}
    answers = [answer for _, answer, _ in adapter.calls(CITED, [], asked, values)]
    own_parts = {"reasoning": "I looked it up.", "citations": (cited,)}
    yield from _exchange(adapter, CITED, asked, [_reply(answers[0], **own_parts), *answers[1:]])


def _reply(text: str, **parts: Any) -> Reply:
    return Reply((Choice(text, "stop", **parts),), engine.Usage(calls=1), "scripted")


def _exchange(
    adapter: Any, signature: Any, inputs: dict[str, Any], answers: Sequence[Any], model: Any = None
) -> Iterator[str]:
    lm = (model or _Able)(answers)
    with engine.context(lm=lm, adapter=adapter):
        try:
            end = f"==== read: {_outputs(engine.Predict(signature)(**inputs))}"
        except engine.EngineError as error:
            end = f"==== it fails: {error}"
    before: Sequence[Any] = ()
    for number, request in enumerate(lm.requests, 1):
        yield f"==== call {number}{_params(request)}"
        same = 0
        while same < min(len(before), len(request.messages)) and before[same] == request.messages[same]:
            same += 1
        if same:
            yield f"({same} messages as before)"
        yield from _shown(request.messages[same:])
        before = request.messages
    yield end


# Text


def _shown(messages: Sequence[Any]) -> Iterator[str]:
    for message in messages:
        yield f"--- {message['role']}"
        yield _text(message["content"])
        rest = {name: value for name, value in message.items() if name not in ("role", "content")}
        if rest:
            yield json.dumps(rest, default=repr)


def _text(content: Any) -> str:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=repr)
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def _params(request: Any) -> str:
    params = {name: value for name, value in sorted(request.params.items()) if value is not None}
    rollout = f" rollout {request.rollout_id}" if request.rollout_id else ""
    return f"{rollout} {json.dumps(params, default=repr)}" if params else rollout


def _outputs(value: Any) -> str:
    if isinstance(value, Prediction | dict):
        return ", ".join(f"{name}={item!r}" for name, item in dict(value).items())
    return "; ".join(map(_outputs, value)) if isinstance(value, list) else repr(value)
