"""Hooks hear of everything, in order and with their parents; what they raise changes nothing."""

import asyncio

import pytest

import engine
from engine.callbacks import BaseCallback, active_call_id, with_callbacks
from engine.errors import AdapterParseError, LMError
from engine.optimizers.few_shot import LabeledFewShot
from engine.testing import DummyLM, ScriptedLM
from engine.tools.function import Tool

KINDS = (
    *("module", "lm", "adapter_format", "adapter_parse", "tool", "retrieve", "evaluate", "compile"),
    *(f"interpreter_{what}" for what in ("execute", "tool_call", "startup", "shutdown")),
)


class Log(BaseCallback):
    """Notes every hook; it has them all without naming one."""

    def __init__(self):
        self.events = []
        self.parents = {}
        for kind in KINDS:
            setattr(self, f"on_{kind}_start", self.start(kind))
            setattr(self, f"on_{kind}_end", self.end(kind))

    def start(self, kind):
        def hook(call_id, instance, inputs):
            self.events.append((f"{kind} start", call_id, instance, inputs))
            self.parents[call_id] = active_call_id.get()

        return hook

    def end(self, kind):
        def hook(call_id, outputs, exception=None):
            self.events.append((f"{kind} end", call_id, outputs, exception))

        return hook

    @property
    def names(self):
        return [event[0] for event in self.events]

    def of(self, name):
        return [event for event in self.events if event[0] == name]


def test_a_steps_call_is_told_from_the_outside_in():
    log, step = Log(), engine.ChainOfThought("question -> answer")
    lm = DummyLM([{"reasoning": "so", "answer": "4"}])
    with engine.context(lm=lm, callbacks=[log]):
        step(question="2+2?")
    assert log.names == [
        "module start",
        "module start",
        "adapter_format start",
        "adapter_format end",
        "lm start",
        "lm end",
        "adapter_parse start",
        "adapter_parse end",
        "module end",
        "module end",
    ]
    outer, inner = log.of("module start")
    assert outer[2] is step
    assert outer[3] == {"question": "2+2?"}
    assert log.parents[outer[1]] is None
    assert log.parents[inner[1]] == outer[1]
    assert log.parents[log.of("lm start")[0][1]] == inner[1]
    assert log.of("lm start")[0][3]["messages"][0]["role"] == "system"
    texts = log.of("lm end")[0][2]
    assert (texts, texts.reply.usage.calls) == ([texts.reply.text], 1)
    assert log.of("adapter_parse end")[0][2] == {"reasoning": "so", "answer": "4"}
    assert log.of("module end")[-1][2].answer == "4"
    assert {e[1] for e in log.events if e[0].endswith("start")} == {
        e[1] for e in log.events if e[0].endswith("end")
    }


def test_an_error_is_told_and_raised():
    log = Log()
    with (
        engine.context(lm=ScriptedLM([LMError("It is gone.")]), callbacks=[log]),
        pytest.raises(LMError, match="gone"),
    ):
        engine.Predict("question -> answer")(question="?")
    assert [str(e[3]) for e in log.of("lm end")] == ["It is gone."]
    assert log.of("module end")[0][2] is None
    log = Log()
    lm = ScriptedLM(lambda request: "nothing like it")
    with engine.context(lm=lm, callbacks=[log]), pytest.raises(AdapterParseError):
        engine.Predict("question -> answer: int")(question="?")
    assert len(log.of("adapter_parse end")) == len(log.of("lm end")) == 3


def test_components_have_callbacks_of_their_own():
    on_module, on_lm, on_tool = Log(), Log(), Log()
    lm = engine.LM("offline/learner", cache=False, callbacks=[on_lm])
    step = engine.Predict("question -> answer", callbacks=[on_module])
    with engine.context(lm=lm):
        step(question="?")
        engine.Predict("question -> answer")(question="?")
        lm("hello")
    assert on_module.names == ["module start", "module end"]
    assert on_lm.names == ["lm start", "lm end"] * 3
    assert lm.copy(temperature=0.5).callbacks == [on_lm]
    assert "callbacks" not in lm.dump_state()
    tool = Tool(lambda x: x + 1, name="add")
    tool.callbacks = [on_tool]
    assert tool(x=1) == 2
    assert [e[3 if e[0] == "tool start" else 2] for e in on_tool.events] == [{"x": 1}, 2]


def test_what_a_callback_raises_changes_nothing(caplog):
    class Broken(BaseCallback):
        def on_lm_start(self, call_id, instance, inputs):
            raise RuntimeError("oops")

    with engine.context(lm=DummyLM([{"answer": "4"}]), callbacks=[Broken(), object()]):
        assert engine.Predict("question -> answer")(question="?").answer == "4"
    assert "Broken failed in on_lm_start" in caplog.text


class Plain(engine.Module):
    def __init__(self):
        super().__init__()
        self.step = engine.Predict("question -> answer")

    def forward(self, question):
        return self.step(question=question)


@pytest.mark.parametrize("awaited", [False, True])
def test_plain_programs_in_threads_keep_parents(awaited):
    log, program = Log(), Plain()
    with engine.context(lm=DummyLM([{"answer": "4"}]), callbacks=[log]):
        if awaited:
            asyncio.run(program.acall(question="?"))
        else:
            program(question="?")
    outer, inner = log.of("module start")
    assert outer[2] is program
    assert log.parents[inner[1]] == outer[1]


def test_evaluations_and_compiles_are_told():
    log = Log()
    rows = [engine.Example(question=str(i), answer="4").with_inputs("question") for i in range(3)]
    with engine.context(lm=DummyLM([{"answer": "4"}] * 3), callbacks=[log]):
        result = engine.Evaluate(devset=rows, metric=engine.ExactMatch())(
            engine.Predict("question -> answer")
        )
        tuned = LabeledFewShot(k=2).compile(engine.Predict("question -> answer"), trainset=rows)
    assert log.of("evaluate end")[0][2] is result
    assert len(log.of("module start")) == 3
    parents = {log.parents[e[1]] for e in log.of("module start")}
    assert parents == {log.of("evaluate start")[0][1]}
    assert log.of("compile end")[0][2] is tuned
    assert log.of("compile start")[0][3]["trainset"] is rows


def test_sandboxes_are_told_of_from_start_to_end():
    on_python, everywhere = Log(), Log()
    python = engine.PythonInterpreter(tools={"twice": lambda x: 2 * x}, callbacks=[on_python])
    with engine.context(callbacks=[everywhere]):
        assert python("twice(x=n)", {"n": 4}) == 8
    assert on_python.names == [
        "interpreter_execute start",
        "interpreter_startup start",
        "interpreter_startup end",
        "interpreter_tool_call start",
        "interpreter_tool_call end",
        "interpreter_shutdown start",
        "interpreter_shutdown end",
        "interpreter_execute end",
    ]
    assert on_python.events[0][3] == {"code": "twice(x=n)", "variables": {"n": 4}}
    called = on_python.of("interpreter_tool_call start")[0]
    assert called[3] == {"tool_name": "twice", "args": (), "kwargs": {"x": 4}}
    assert on_python.of("interpreter_execute end")[0][2].value == 8
    tool = everywhere.of("tool start")[0]
    assert everywhere.parents[tool[1]] == everywhere.of("interpreter_tool_call start")[0][1]
    with pytest.raises(engine.errors.SandboxError):
        python("1 / 0")
    assert "ZeroDivisionError" in str(on_python.of("interpreter_execute end")[1][3])
    assert on_python.names[-1] == "interpreter_execute end"


def test_searches_are_told_of_once_with_and_without_the_module():
    log = Log()
    bm25 = engine.BM25(["Refunds take five days.", "Parcels go out on Mondays."], k=1)
    with engine.context(callbacks=[log]):
        bm25("refund")
        engine.Retrieve(k=1, rm=bm25)("parcel")
        engine.Retrieve(k=2, rm=lambda query, k: ["a", "b"])("c")
    assert [e[3] for e in log.of("retrieve start")] == [
        {"query": "refund", "k": 1},
        {"query": "parcel", "k": 1},
        {"query": "c", "k": 2},
    ]
    assert [e[2].passages[0][:7] for e in log.of("retrieve end")] == ["Refunds", "Parcels", "a"]


def test_every_hook_of_the_base_class_can_be_told_of():
    hooks = {name for name in vars(BaseCallback) if name.startswith("on_")}
    assert hooks == {f"on_{kind}_{moment}" for kind in KINDS for moment in ("start", "end")}


def test_inputs_are_answered_in_dspys_forms_too():
    heard = {}

    class Hears(BaseCallback):
        def on_module_start(self, call_id, instance, inputs):
            heard["module"] = inputs

        def on_lm_start(self, call_id, instance, inputs):
            heard["lm"] = inputs

        def on_evaluate_start(self, call_id, instance, inputs):
            heard["evaluate"] = inputs

    lm = DummyLM([{"answer": "4"}] * 3, temperature=0.5)
    rows = [engine.Example(question="q", answer="4").with_inputs("question")]
    with engine.context(lm=lm, callbacks=[Hears()]):
        engine.Evaluate(devset=rows, metric=engine.answer_exact_match, num_threads=2)(
            engine.Predict("question -> answer")
        )
        assert heard["module"]["kwargs"] == dict(heard["module"]) == {"question": "q"}
        assert (heard["module"]["args"], heard["module"].get("args"), heard["module"].get("other", 7)) == (
            (),
            (),
            7,
        )
        assert heard["lm"]["kwargs"] == {"temperature": 0.5}
        assert (heard["lm"]["prompt"], heard["lm"]["messages"][0]["role"]) == (None, "system")
        assert {"program", "metric", "devset", "num_threads"} <= set(heard["evaluate"])
        lm("hello")
        assert heard["lm"]["prompt"] == "hello"
        with pytest.raises(KeyError):
            heard["lm"]["nothing"]


def test_with_callbacks_reports_a_method_of_ones_own():
    heard = []

    class Hears(BaseCallback):
        def on_module_start(self, call_id, instance, inputs):
            heard.append((type(instance).__name__, dict(inputs)))

        def on_module_end(self, call_id, outputs, exception=None):
            heard.append((outputs, type(exception).__name__))

        def on_lm_start(self, call_id, instance, inputs):
            heard.append(("lm", inputs["kwargs"]["x"]))

    class Own:
        callbacks = ()

        @with_callbacks
        def work(self, x, y=2, **more):
            return x / y

        @with_callbacks
        async def wait(self, x):
            return x

    class Model(engine.BaseLM):
        @with_callbacks
        def ask(self, **kwargs):
            return kwargs

    assert Own().work(4) == 2
    with engine.context(callbacks=[Hears()]):
        assert Own().work(4, z=1) == 2
        assert asyncio.run(Own().wait(3)) == 3
        with pytest.raises(ZeroDivisionError):
            Own().work(1, y=0)
        Model("m").ask(x=5)
    assert heard == [
        ("Own", {"x": 4, "y": 2, "more": {"z": 1}}),
        (2, "NoneType"),
        ("Own", {"x": 3}),
        (3, "NoneType"),
        ("Own", {"x": 1, "y": 0, "more": {}}),
        (None, "ZeroDivisionError"),
        ("lm", 5),
    ]


def test_a_program_may_send_into_its_own_stream():
    class Sends(engine.Module):
        def __init__(self):
            self.step = engine.Predict("question -> answer")

        async def aforward(self, question):
            await engine.settings.send_stream.send(engine.StatusMessage("Half way."))
            return await self.step.acall(question=question)

    with engine.context(lm=DummyLM([{"answer": "4"}])):
        found = list(engine.streamify(Sends(), async_streaming=False)(question="q"))
    assert engine.StatusMessage("Half way.") in found
    assert found[-1].answer == "4"
    assert engine.settings.send_stream is None


def test_usage_of_calls_made_elsewhere_can_be_added():
    with engine.context(lm=DummyLM([{"answer": "4"}])), engine.track_usage() as used:
        engine.Predict("question -> answer")(question="q")
        assert engine.settings.usage_tracker is used
        used.add_usage("mine", {"prompt_tokens": 3, "completion_tokens": 2, "audio": 1})
        used.add_usage("mine", {"prompt_tokens": 3, "completion_tokens": 2})
    total = used.get_total_tokens()
    assert set(total) == {"dummy", "mine"}
    assert {"calls": 2, "prompt_tokens": 6, "total_tokens": 10, "audio": 1}.items() <= total["mine"].items()
