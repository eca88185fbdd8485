"""Methods of LM and BaseLM that a subclass overrides: each is called, reaches the real answer by super(), and counts once."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading

import pytest
from support.peers.dspy_peer import in_dspy
from support.servers.openai_server import OpenAIServer

import engine
from engine import loop
from engine.callbacks import BaseCallback
from engine.errors import BudgetExhaustedError, ConfigurationError, ProviderFailureError
from engine.lm.calls.cache import Cache
from engine.search.budget import Budget, Ledger
from engine.testing import DummyLM, ScriptedLM

STEP = engine.Predict("question -> answer")
TEXT = "[[ ## answer ## ]]\n{}\n\n[[ ## completed ## ]]"


class Noting:
    """Something for any kind of model: it notes its calls and the thread they run on."""

    def note(self, name: str) -> None:
        self.__dict__.setdefault("noted", []).append(name)


class Called(Noting):
    def __call__(self, prompt=None, messages=None, **kwargs):
        self.note("__call__")
        return super().__call__(prompt=prompt, messages=messages, **kwargs)


class Awaited(Noting):
    async def acall(self, prompt=None, messages=None, **kwargs):
        self.note("acall")
        return await super().acall(prompt=prompt, messages=messages, **kwargs)


class Forwarded(Noting):
    def forward(self, prompt=None, messages=None, **kwargs):
        self.note("forward")
        return super().forward(prompt=prompt, messages=messages, **kwargs)


class AsyncForwarded(Noting):
    async def aforward(self, prompt=None, messages=None, **kwargs):
        self.note("aforward")
        return await super().aforward(prompt=prompt, messages=messages, **kwargs)


class Completed(Noting):
    async def complete(self, request):
        self.note("complete")
        return await super().complete(request)


WAYS = {
    "__call__": Called,
    "acall": Awaited,
    "forward": Forwarded,
    "aforward": AsyncForwarded,
    "complete": Completed,
}


@pytest.fixture
def server():
    with OpenAIServer(answer=TEXT.format("ok")) as server:
        yield server


def over(way: str, server: OpenAIServer, **options):
    made = type("Own", (WAYS[way], engine.LM), {})
    return made(
        "openai/test-model",
        api_base=server.url,
        api_key="sk-test",
        **{"cache": False, "num_retries": 0, **options},
    )


@pytest.mark.parametrize("way", WAYS)
def test_an_override_is_called_once_for_each_call_of_every_kind(way: str, server: OpenAIServer) -> None:
    lm = over(way, server)
    rows = [engine.Example(question=str(i), answer="ok").with_inputs("question") for i in range(5)]
    streamed = engine.streamify(STEP, async_streaming=False)
    kinds = {
        "plain": lambda: lm("hi"),
        "awaited": lambda: asyncio.run(lm.acall("hi")),
        "program": lambda: STEP(question="q").answer,
        "awaited program": lambda: asyncio.run(STEP.acall(question="q")).answer,
        "evaluated": lambda: (
            engine.Evaluate(devset=rows, metric=engine.answer_exact_match, num_threads=3)(STEP).score
        ),
        "streamed": lambda: list(streamed(question="q"))[-1].answer,
    }
    expected = {"plain": [TEXT.format("ok")], "awaited": [TEXT.format("ok")], "evaluated": 100.0}
    with engine.context(lm=lm), engine.track_usage() as used:
        for number, (kind, ask) in enumerate(kinds.items()):
            before = len(lm.__dict__.get("noted", ())), server.calls
            assert ask() == expected.get(kind, "ok"), kind
            calls = 5 if kind == "evaluated" else 1
            assert (len(lm.noted) - before[0], server.calls - before[1]) == (calls, calls), kind
            assert len(lm.history) == server.calls
            assert next(iter(used.get_total_tokens().values()))["calls"] == server.calls, (number, kind)
    assert set(lm.noted) == {way}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [DummyLM, ScriptedLM])
def test_an_override_of_a_stand_in_is_called(way: str, kind: type) -> None:
    made = type("Own", (WAYS[way], kind), {})
    lm = made([{"answer": str(i)} for i in range(3)])
    with engine.context(lm=lm):
        assert STEP(question="q").answer == "0"
        assert asyncio.run(STEP.acall(question="q")).answer == "1"
        assert lm("hi") == [TEXT.format("2")]
    assert lm.noted == [way] * 3


@pytest.mark.parametrize("way", WAYS)
def test_a_call_through_an_override_is_cached_counted_and_reported_once(
    way: str, server: OpenAIServer, tmp_path
) -> None:
    class Heard(BaseCallback):
        def on_lm_start(self, call_id, instance, inputs):
            heard.append(type(instance).__name__)

    heard: list[str] = []
    lm = over(way, server, cache=Cache(tmp_path / "cache.sqlite3"))
    ledger = Ledger(Budget(calls=2))
    with engine.context(lm=lm, middleware=(ledger.gate(),), callbacks=[Heard()]):
        for question in ("q", "q", "other"):
            assert STEP(question=question).answer == "ok"
        assert heard == ["Own"] * 3
        with pytest.raises(BudgetExhaustedError):
            STEP(question="one too many")
    assert (server.calls, ledger.spent.calls) == (2, 2)
    assert [call.cached for call in lm.history[:3]] == [False, True, False]
    paid = [call.usage.output_tokens for call in lm.history[:3] if not call.cached]
    assert ledger.spent.output_tokens == sum(paid) > 0


def test_an_override_may_ask_several_times_or_again_and_all_of_it_counts(server: OpenAIServer) -> None:
    class Voting(engine.LM):
        def __call__(self, prompt=None, messages=None, **kwargs):
            asked = [
                super(Voting, self).__call__(messages=messages, rollout_id=i, **kwargs) for i in range(3)
            ]
            return asked[-1]

    class Again(engine.LM):
        def __call__(self, prompt=None, messages=None, **kwargs):
            try:
                return super().__call__(messages=messages, **kwargs)
            except ProviderFailureError:
                return super().__call__(messages=messages, **kwargs)

    for kind, calls in ((Voting, 3), (Again, 2)):
        lm = kind("openai/m", api_base=server.url, api_key="k", cache=False, num_retries=0)
        if kind is Again:
            server.fail_with(500, times=1)
        ledger = Ledger(Budget(calls=calls))
        with engine.context(lm=lm, middleware=(ledger.gate(),)):
            assert STEP(question="q").answer == "ok"
        assert ledger.spent.calls == calls


def test_a_model_that_asks_another_one_counts_once_and_never_waits_for_itself(server: OpenAIServer) -> None:
    inner = engine.LM("openai/m", api_base=server.url, api_key="k", cache=False)

    class Router(engine.BaseLM):
        def forward(self, prompt=None, messages=None, **kwargs):
            return inner.forward(messages=messages, **kwargs)

    class Asking(engine.BaseLM):
        def __call__(self, prompt=None, messages=None, **kwargs):
            return inner(messages=messages, **kwargs)

    class Step(engine.BaseLM):
        def __call__(self, prompt=None, messages=None, **kwargs):
            with engine.context(lm=inner):
                return [TEXT.format(STEP(question="inside").answer)]

    for kind in (Router, Asking, Step):
        ledger = Ledger(Budget(calls=1))
        with engine.context(lm=kind("router"), middleware=(ledger.gate(),)):
            assert STEP(question="q").answer == "ok"
        assert ledger.spent.calls == 1
        assert ledger.spent.input_tokens > 0


@pytest.mark.parametrize("error", [ValueError("no"), ProviderFailureError("no")], ids=["any", "a model's"])
@pytest.mark.parametrize("way", ["forward", "__call__"])
def test_what_a_method_has_asked_counts_when_it_fails(
    way: str, error: Exception, server: OpenAIServer
) -> None:
    inner = engine.LM("openai/m", api_base=server.url, api_key="k", cache=False)

    def twice(self, prompt=None, messages=None, **kwargs):
        inner(messages=messages)
        inner.forward(messages=messages)
        raise error

    lm = type("Twice", (engine.BaseLM,), {way: twice})("twice")
    ledger = Ledger(Budget(calls=9))
    with (
        engine.context(lm=lm, middleware=(ledger.gate(),)),
        engine.track_usage() as used,
        pytest.raises(type(error), match="no"),
    ):
        STEP(question="q")
    tokens = sum(call.usage.input_tokens for call in inner.history)
    assert (ledger.spent.calls, ledger.spent.input_tokens) == (2, tokens)
    total = used.get_total_tokens()["twice"]
    assert (total["calls"], total["input_tokens"]) == (2, tokens)


def test_layers_that_a_method_adds_go_round_what_it_asks(server: OpenAIServer) -> None:
    inner = engine.LM("openai/m", api_base=server.url, api_key="k", cache=False)
    found = []

    class Step(engine.LM):
        def forward(self, prompt=None, messages=None, **kwargs):
            with engine.track_usage() as used:
                answer = STEP(question="inside", lm=inner).answer
                super().forward(messages=messages)
            found.append({name: total["calls"] for name, total in used.get_total_tokens().items()})
            return {"choices": [{"message": {"content": TEXT.format(answer)}}]}

    lm = Step("openai/step", api_base=server.url, api_key="k", cache=False)
    with engine.context(lm=lm), engine.track_usage() as used:
        assert STEP(question="q").answer == "ok"
    assert found == [{"openai/m": 1, "openai/step": 1}]
    assert used.get_total_tokens()["openai/step"]["calls"] == 2


def test_a_task_that_outlives_a_method_passes_the_layers_again(server: OpenAIServer) -> None:
    inner = engine.LM("openai/m", api_base=server.url, api_key="k", cache=False)

    async def main() -> dict[str, int]:
        tasks: list[asyncio.Task[object]] = []
        ended = asyncio.Event()

        class Later(engine.BaseLM):
            async def aforward(self, prompt=None, messages=None, **kwargs):
                tasks.append(asyncio.create_task(later()))
                return {"choices": [{"message": {"content": "now"}}]}

        async def later() -> None:
            await ended.wait()
            await inner.acall("later")

        with engine.track_usage() as used:
            assert await Later("mine").acall("hi") == ["now"]
            ended.set()
            await asyncio.gather(*tasks)
        return {name: total["calls"] for name, total in used.get_total_tokens().items()}

    assert asyncio.run(main()) == {"mine": 1, "openai/m": 1}


def test_what_an_override_makes_of_the_text_is_what_programs_read(server: OpenAIServer) -> None:
    class Loud(engine.LM):
        def __call__(self, *args, **kwargs):
            return [text.replace("ok", "OK") for text in super().__call__(*args, **kwargs)]

    lm = Loud("openai/m", api_base=server.url, api_key="k", cache=False)
    with engine.context(lm=lm):
        assert STEP(question="q").answer == "OK"
        assert engine.Predict("question -> answer", n=2)(question="q").completions.answer == ["OK", "OK"]
        assert asyncio.run(lm.acall("hi")) == [TEXT.format("OK")]
    assert lm.copy(temperature=0.5)("hi") == [TEXT.format("OK")]


def test_the_nearest_class_wins_and_super_goes_on(server: OpenAIServer) -> None:
    first = type("First", (Called, engine.LM), {})

    class Second(first):
        async def acall(self, prompt=None, messages=None, **kwargs):
            self.note("acall")
            return await super().acall(prompt, messages, **kwargs)

        def forward(self, prompt=None, messages=None, **kwargs):
            self.note("forward")
            return super().forward(prompt, messages, **kwargs)

    lm = Second("openai/m", api_base=server.url, api_key="k", cache=False)
    with engine.context(lm=lm):
        STEP(question="q")
    assert lm.noted == ["acall", "forward"]
    lm.noted.clear()
    lm("hi")
    assert lm.noted == ["__call__", "forward"]
    assert server.calls == 2


def test_answers_and_methods_over_each_other_each_run_once(server: OpenAIServer) -> None:
    class First(engine.LM):
        def forward(self, prompt=None, messages=None, **kwargs):
            self.noted.append("first")
            return super().forward(prompt, messages, **kwargs)

    class Second(First):
        async def complete(self, request):
            self.noted.append("second")
            return await super().complete(request)

    class Third(Second):
        def forward(self, prompt=None, messages=None, **kwargs):
            self.noted.append("third")
            return super().forward(prompt, messages, **kwargs)

    class Fourth(Third):
        async def complete(self, request):
            self.noted.append("fourth")
            return await super().complete(request)

    class Fifth(Fourth):
        async def aforward(self, prompt=None, messages=None, **kwargs):
            self.noted.append("fifth")
            return await super().aforward(prompt, messages, **kwargs)

    for kind, names in (
        (Second, ["first", "second"]),
        (Third, ["third", "first", "second"]),
        (Fourth, ["third", "first", "fourth", "second"]),
        (Fifth, ["fifth", "fourth", "second"]),
    ):
        lm = kind("openai/m", api_base=server.url, api_key="k", cache=False)
        lm.noted = []
        for ask in (lambda lm=lm: lm("hi"), lambda lm=lm: STEP(question="q", lm=lm)):
            ask()
            assert lm.noted == names
            lm.noted.clear()
        if kind is Third:
            lm.forward("hi")
            assert lm.noted == names
    assert server.calls == 9


def test_a_method_without_an_answer_above_it_says_so_and_leaves_no_thread_behind() -> None:
    for way in ("__call__", "acall", "forward", "aforward"):
        lm = type("Alone", (WAYS[way], engine.BaseLM), {})("alone")
        for ask in (lambda lm=lm: lm("hi"), lambda lm=lm: STEP(question="q", lm=lm)):
            with pytest.raises(ConfigurationError, match="Alone cannot answer: define complete"):
                ask()
        with engine.context(lm=lm), pytest.raises(ConfigurationError, match="Alone cannot answer"):
            STEP(question="q")
    barrier = threading.Barrier(64, timeout=60)

    async def free() -> None:
        await asyncio.gather(*(loop.in_thread(barrier.wait) for _ in range(64)))

    loop.run(free())


SHARED = """
class Log(library.LM):
    seen = 0
    def __call__(self, *args, **kwargs):
        self.seen += 1
        return [str(one).replace("ok", "seen") for one in super().__call__(*args, **kwargs)]

class AsyncLog(library.LM):
    seen = 0
    async def acall(self, *args, **kwargs):
        self.seen += 1
        return await super().acall(*args, **kwargs)

class Dummy(DummyLM):
    seen = 0
    def __call__(self, *args, **kwargs):
        self.seen += 1
        return super().__call__(*args, **kwargs)

import asyncio
import copy
import pickle
step = library.Predict("question -> answer")
found = []
for lm in (Log("openai/test-model", api_base=url, api_key="sk-test", cache=False), Dummy([{"answer": "ok"}] * 2)):
    with library.context(lm=lm):
        found += [step(question="q").answer, lm.seen, len(lm.history)]
lm = AsyncLog("openai/test-model", api_base=url, api_key="sk-test", cache=False)
with library.context(lm=lm):
    found += [asyncio.run(step.acall(question="q")).answer, lm.seen, len(lm.history)]
"""


def test_dspy_calls_the_same_overrides_as_often(server: OpenAIServer, tmp_path) -> None:
    ours = {"library": engine, "DummyLM": DummyLM, "url": server.url}
    exec(SHARED, ours)
    assert ours["found"] == ["seen", 1, 1, "ok", 1, 1, "ok", 1, 1]
    head = f"import dspy as library\nfrom dspy.utils import DummyLM\nurl = {server.url!r}\n"
    assert in_dspy(head + SHARED + "\nprint(found)", tmp_path) == str(ours["found"])


class Loud(engine.LM):
    """At the top of a module, where a pickle finds it."""

    def __init__(self, **options):
        super().__init__("openai/m", **options)

    def __call__(self, *args, **kwargs):
        return [text.upper() for text in super().__call__(*args, **kwargs)]


def test_a_subclass_stays_one_when_it_is_copied_or_pickled(server: OpenAIServer) -> None:
    lm = Loud(api_base=server.url, temperature=0.5)
    for made in (lm.copy(temperature=0.7), copy.deepcopy(lm), pickle.loads(pickle.dumps(lm))):
        assert type(made) is Loud
        assert made.params["temperature"] in (0.5, 0.7)
