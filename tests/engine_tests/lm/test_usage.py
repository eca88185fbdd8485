"""What calls cost, under every kind of concurrency; models of single steps; samples, parameters and the history."""

from __future__ import annotations

import asyncio
import contextvars
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.servers.openai_server import OpenAIServer

import engine
import engine.runtime
from engine import (
    LM,
    ChainOfThought,
    Evaluate,
    ExactMatch,
    Example,
    FallbackLM,
    Module,
    Parallel,
    Predict,
    asyncify,
    context,
    inspect_history,
    streamify,
    track_usage,
)
from engine.errors import BadReplyError, LMError
from engine.lm.calls import history
from engine.lm.calls.cache import Cache
from engine.runtime import current
from engine.search.budget import Budget, Ledger
from engine.testing import ScriptedLM

ROWS = [Example(q=str(i), a="ok").with_inputs("q") for i in range(30)]


class Two(Module):
    def __init__(self):
        super().__init__()
        self.first = Predict("q -> b")
        self.second = ChainOfThought("b -> a")

    def forward(self, q):
        return self.second(b=self.first(q=q).b)


def model(server, **settings):
    settings = {"cache": False, "num_retries": 0, **settings}
    return LM("openai/test-model", api_base=server.url, api_key="k", **settings)


def by_batch(program):
    return program.batch(ROWS, num_threads=8)


def by_parallel(program):
    return Parallel(num_threads=8)([(program, row) for row in ROWS])


def by_evaluate(program):
    return [p for _, p, _ in Evaluate(devset=ROWS, metric=ExactMatch(), num_threads=8)(program).results]


def by_gather(program):
    async def main():
        return await asyncio.gather(*(program.acall(q=row.q) for row in ROWS))

    return asyncio.run(main())


def by_asyncify(program):
    async def main():
        ask = asyncify(program)
        return await asyncio.gather(*(ask(q=row.q) for row in ROWS))

    return asyncio.run(main())


def by_threads_of_ones_own(program):
    """Threads start without a context: it is handed on as for every context variable."""
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(contextvars.copy_context().run, program, q=row.q) for row in ROWS]
        return [one.result() for one in waiting]


def by_streams(program):
    streamed = streamify(program, async_streaming=False)
    return [list(streamed(q=row.q))[-1] for row in ROWS]


@pytest.mark.parametrize(
    "run",
    [by_batch, by_parallel, by_evaluate, by_gather, by_asyncify, by_threads_of_ones_own, by_streams],
    ids=lambda run: run.__name__,
)
def test_usage_is_right_under_any_concurrency(run):
    with OpenAIServer(latency=0.002) as server, context(lm=model(server, price=(0.5, 1.0))):
        with track_usage() as used:
            made = run(Two())
        assert server.calls == 60
    total = used.get_total_tokens()["openai/test-model"]
    assert (total["calls"], total["cached"]) == (60, 0)
    # Every prediction knows its own two calls, and together they are all there is.
    own = [prediction.get_lm_usage()["openai/test-model"] for prediction in made]
    assert {numbers["calls"] for numbers in own} == {2}
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        assert sum(numbers[name] for numbers in own) == total[name]
    assert sum(numbers["cost"] for numbers in own) == pytest.approx(total["cost"])
    assert total["cost"] == pytest.approx(0.5 * total["input_tokens"] + total["output_tokens"])


def test_blocks_inside_each_other_and_side_by_side():
    def ask(number):
        with track_usage() as used:
            Two()(q=str(number))
        return used.get_total_tokens()["scripted"]["calls"]

    lm = ScriptedLM(lambda _request: {"b": "x", "reasoning": "r", "a": "y"})
    with context(lm=lm), track_usage() as outer:
        assert ask(0) == 2
        with ThreadPoolExecutor(4) as pool:
            each = [pool.submit(contextvars.copy_context().run, ask, i) for i in range(8)]
            assert [one.result() for one in each] == [2] * 8
    assert outer.get_total_tokens()["scripted"]["calls"] == 18


def test_a_block_inside_a_program_takes_nothing_from_its_rows_usage():
    class Counting(Two):
        def forward(self, q):
            with track_usage() as used:
                answer = super().forward(q)
            assert used.get_total_tokens()["scripted"]["calls"] == 2
            return answer

    lm = ScriptedLM(lambda _request: {"b": "x", "reasoning": "r", "a": "ok"})
    with context(lm=lm):
        result = Evaluate(devset=ROWS[:3], metric=ExactMatch())(Counting())
    assert [(o.usage.calls, o.error) for o in result.outcomes] == [(2, None)] * 3


def test_answers_from_the_cache_cost_nothing(tmp_path):
    with OpenAIServer() as server, context(lm=model(server, cache=Cache(tmp_path / "c.db"))):
        with track_usage() as used:
            assert Two()(q="same").get_lm_usage()
        assert used.get_total_tokens()["openai/test-model"]["calls"] == 2
        with track_usage() as used:
            assert Two()(q="same").get_lm_usage() == {}
        assert used.get_total_tokens() == {}
        with track_usage() as used:
            Two()(q="same")
            Two()(q="other")
        total = used.get_total_tokens()["openai/test-model"]
        assert (total["calls"], total["cached"]) == (1, 3)


def test_every_try_is_counted_retries_of_a_reply_included():
    replies = iter(["?", "??", '{"n": 3}'])
    with OpenAIServer(lambda _body: next(replies)) as server, context(lm=model(server)):
        with track_usage() as used:
            assert Predict("q -> n: int")(q="x").n == 3
        assert used.get_total_tokens()["openai/test-model"]["calls"] == 3


def blank(tokens):
    return {
        "choices": [{"message": {"content": ""}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 5},
    }


def test_answers_without_content_are_counted_whatever_comes_after_them(tmp_path):
    with OpenAIServer("ok") as server:
        server.fail_with(200, blank(1000))
        ledger = Ledger(Budget(calls=9))
        with (
            track_usage() as used,
            context(middleware=(*current().middleware, ledger.gate())),
            pytest.raises(BadReplyError, match="without content"),
        ):
            Predict("q -> a")(q="x", lm=model(server, num_retries=2))
        total = used.get_total_tokens()["openai/test-model"]
        assert (total["calls"], total["input_tokens"], total["output_tokens"]) == (3, 3000, 15)
        assert (ledger.spent.calls, ledger.spent.input_tokens) == (3, 3000)
        server.recover()
        server.fail_with(200, blank(1000), times=1)
        with track_usage() as used:
            reply = asyncio.run(ask(model(server, num_retries=1), "hi"))
        assert (reply.text, reply.usage.calls) == ("ok", 2)
        assert reply.usage.input_tokens > 1000
        server.fail_with(200, blank(1000), times=1)
        server.fail_with(400, times=1)
        with pytest.raises(LMError, match="refused") as caught:
            asyncio.run(ask(model(server, num_retries=1), "hi"))
        assert caught.value.spent.usage.input_tokens == 1000


def test_those_who_wait_for_a_failing_call_pay_nothing(tmp_path):
    cache = Cache(tmp_path / "cache.sqlite3")
    with OpenAIServer("ok", latency=0.1) as server:
        server.fail_with(200, blank(1000))
        lm = model(server, cache=cache)

        async def both():
            return await asyncio.gather(ask(lm, "hi"), ask(lm, "hi"), return_exceptions=True)

        errors = asyncio.run(both())
    cache.close()
    assert sorted(error.spent.usage.calls if error.spent else 0 for error in errors) == [0, 1]


def test_a_text_may_be_complete_as_it_is(tmp_path):
    cache = Cache(tmp_path / "cache.sqlite3")
    with OpenAIServer("") as server:
        lm = model(server, cache=cache, model_type="text")
        assert lm("The end.") == lm("The end.") == [""]
        assert server.calls == 1
    cache.close()


def ask(lm, text):
    return lm.complete(lm.request(({"role": "user", "content": text},)))


def test_each_step_asks_its_own_model():
    with OpenAIServer() as server:
        program = Two()
        program.first.lm = model(server, temperature=0.1)
        program.second.predict.lm = LM("openai/other-model", api_base=server.url, api_key="k", cache=False)
        with context(lm=ScriptedLM([])), track_usage() as used:
            program(q="x")
        assert [(b["model"], b.get("temperature")) for b in server.requests] == [
            ("test-model", 0.1),
            ("other-model", None),
        ]
    assert {name: n["calls"] for name, n in used.get_total_tokens().items()} == {
        "openai/test-model": 1,
        "openai/other-model": 1,
    }


def test_a_steps_model_is_saved_with_all_that_changes_its_calls(tmp_path):
    program = Two()
    program.first.lm = LM(
        "openai/gpt-4o",
        temperature=0.2,
        num_retries=7,
        prompt_cache={"ttl": "1h"},
        capabilities=("tools",),
        api_key="sk-secret",
        extra_headers={"X-Token": "sk-secret"},
    )
    program.second.predict.lm = FallbackLM([LM("openai/a", max_tokens=9), LM("groq/b", api_key="sk-secret")])
    program.save(tmp_path / "p.json")
    assert "sk-secret" not in (tmp_path / "p.json").read_text()
    again = Two()
    again.load(tmp_path / "p.json")
    first, second = again.first.lm, again.second.predict.lm
    assert (first.model, first.params, first.num_retries) == ("openai/gpt-4o", {"temperature": 0.2}, 7)
    assert first.capabilities == {"tools"}
    assert first.kept() == program.first.lm.kept()
    assert [lm.model for lm in second.lms] == ["openai/a", "groq/b"]
    assert second.lms[0].params == {"max_tokens": 9}


def test_samples_differ_by_rollout_id_which_is_never_sent(tmp_path):
    numbers = iter(range(100))
    with OpenAIServer(lambda _body: f"[[ ## a ## ]]\n{next(numbers)}") as server:
        lm = model(server, cache=Cache(tmp_path / "c.db"), temperature=0.9)
        with context(lm=lm):
            step = Predict("q -> a")
            made = [step(q="x", config={"rollout_id": i}).a for i in (None, 1, 2, 1, None)]
        assert made == ["0", "1", "2", "1", "0"]
        assert all("rollout_id" not in body for body in server.requests)
        assert {body["temperature"] for body in server.requests} == {0.9}


def test_several_completions_and_the_temperature_they_need():
    with OpenAIServer(lambda _body: "[[ ## a ## ]]\nx") as server:
        with context(lm=model(server)):
            assert Predict("q -> a", n=3)(q="x").completions.a == ["x"] * 3
            assert Predict("q -> a", n=2, temperature=0.5)(q="x").completions.a == ["x"] * 2
        assert [(b["n"], b["temperature"]) for b in server.requests] == [(3, 0.7), (2, 0.5)]


@pytest.mark.parametrize("name", ["openai/o3-mini", "openai/gpt-5-mini", "openai/gpt-4o"])
def test_each_model_is_sent_the_parameters_that_it_takes(name):
    with OpenAIServer(lambda _body: "[[ ## a ## ]]\nx") as server:
        lm = LM(name, api_base=server.url, cache=False, temperature=0.2, max_tokens=50, top_p=0.5)
        with context(lm=lm):
            Predict("q -> a", reasoning_effort="low")(q="x")
        (body,) = server.requests
    assert body["reasoning_effort"] == "low"
    sampling = {key: body[key] for key in ("temperature", "top_p", "max_tokens") if key in body}
    others = {"temperature": 0.2, "top_p": 0.5, "max_tokens": 50}
    assert (sampling, body.get("max_completion_tokens")) == (
        (others, None) if name == "openai/gpt-4o" else ({}, 50)
    )


def test_the_history_of_a_model_of_the_process_and_none():
    with OpenAIServer("[[ ## a ## ]]\nfine") as server:
        one, other = model(server), model(server)
        with context(lm=one):
            Predict("q -> a")(q="to the first")
        with context(lm=other):
            Predict("q -> a")(q="to the second")
        out = io.StringIO()
        one.inspect_history(file=out)
        assert "to the first" in out.getvalue()
        assert "to the second" not in out.getvalue()
        out = io.StringIO()
        inspect_history(2, file=out)
        assert out.getvalue().index("to the first") < out.getvalue().index("to the second")
        before = len(history.recent)
        with context(lm=one, history=False):
            Predict("q -> a")(q="unnoted")
        assert (len(one.history), len(history.recent)) == (1, before)


def test_configured_for_a_whole_process(monkeypatch):
    monkeypatch.setattr("engine.runtime._default", engine.runtime.Runtime())
    engine.configure(lm=ScriptedLM(lambda _r: {"a": "x"}), track_usage=True)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda row: Predict("q -> a")(q=row.q), ROWS))
    assert {p.get_lm_usage()["scripted"]["calls"] for p in made} == {1}
