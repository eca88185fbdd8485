"""The runtime: scoped, inherited by tasks and threads, and the loop it runs on."""

from __future__ import annotations

import asyncio
import threading

import pytest

import engine
from engine import loop, runtime
from engine.callbacks import BaseCallback
from engine.errors import ConfigurationError
from engine.lm.calls.cache import Cache
from engine.testing import ScriptedLM


def test_context_is_scoped_and_nested():
    outer, inner = ScriptedLM([]), ScriptedLM([])
    with engine.context(lm=outer):
        with engine.context(lm=inner, num_threads=3):
            assert engine.settings.lm is inner
            assert runtime.current().num_threads == 3
        assert engine.settings.lm is outer
    assert engine.settings.lm is None


def test_context_reaches_threads_and_the_loop():
    lm = ScriptedLM([])

    async def seen():
        return runtime.current().lm, await loop.in_thread(lambda: runtime.current().lm)

    with engine.context(lm=lm):
        assert loop.run(seen()) == (lm, lm)
        assert asyncio.run(seen()) == (lm, lm)


def test_configure_sets_the_default_and_refuses_unknown_settings():
    lm = ScriptedLM([])
    engine.configure(lm=lm)
    try:
        assert engine.settings.lm is lm
        found = []
        thread = threading.Thread(target=lambda: found.append(runtime.current().lm))
        thread.start()
        thread.join()
        assert found == [lm]
    finally:
        engine.configure(lm=None)


@pytest.fixture
def process_default():
    kept = runtime._default
    yield
    runtime._default = kept


@pytest.mark.usefixtures("process_default")
def test_setting_an_attribute_of_settings_configures_it():
    lm, other = ScriptedLM(lambda request: {"b": "1"}), ScriptedLM([])
    engine.settings.lm = lm
    assert engine.Predict("a -> b")(a="x").b == "1"
    with engine.context(lm=other):
        assert engine.settings.lm is other
    engine.settings["num_threads"] = 3
    assert (engine.settings.lm, runtime.current().num_threads) == (lm, 3)


@pytest.mark.usefixtures("process_default")
def test_settings_of_ones_own_are_kept_and_a_near_name_is_named(caplog):
    engine.configure(my_key=5, experimental=True)
    with engine.context(my_key=6, lmm=None):
        assert (engine.settings.my_key, engine.settings["experimental"]) == (6, True)
    assert engine.settings.my_key == engine.settings.get("my_key") == engine.settings.copy()["my_key"] == 5
    assert "There is no setting 'lmm': it is kept as one of your own. Did you mean 'lm'?" in caplog.text
    assert "experimental" not in caplog.text
    assert engine.settings.get("tone", "none") == "none"
    with pytest.raises(AttributeError, match="There is no setting 'nothing'"):
        _ = engine.settings.nothing
    with pytest.raises(
        ConfigurationError, match=r"lm takes a model, not its name: lm=engine.LM\('openai/m'\)"
    ):
        engine.configure(lm="openai/m")


@pytest.mark.usefixtures("process_default")
def test_settings_of_dspys_can_be_read_back():
    assert (engine.settings.async_max_workers, engine.settings.disable_history) == (8, False)
    engine.configure(async_max_workers=2, max_trace_size=7, disable_history=True)
    found = engine.settings.config
    assert (found["async_max_workers"], found["max_trace_size"]) == (2, 7)
    assert (found["disable_history"], found["history"]) == (True, False)
    assert set(found) == set(engine.settings.keys())
    assert "send_stream" in engine.settings
    assert "nothing" not in engine.settings


def test_every_call_passes_the_middleware_in_order():
    seen = []

    def layer(name):
        async def noted(lm, request, send):
            seen.append(name)
            return await send(lm, request)

        return noted

    with (
        engine.context(
            lm=ScriptedLM(lambda request: {"b": "1"}), middleware=(layer("outer"), layer("inner"))
        ),
        runtime.noted_replies() as replies,
    ):
        engine.Predict("a -> b")(a="x")
    assert seen == ["outer", "inner"]
    assert len(replies) == 1


def test_the_loop_is_one_thread_and_raises_what_the_work_raises():
    async def where():
        return threading.current_thread().name

    async def fails():
        raise KeyError("x")

    assert loop.run(where()) == loop.run(where()) == "engine-loop"
    assert asyncio.run(loop.here_or_there(where())) == "engine-loop"
    with pytest.raises(KeyError):
        loop.run(fails())
    assert not loop.on_loop()


def test_many_blocking_calls_run_side_by_side():
    barrier = threading.Barrier(50, timeout=90)

    async def all_of_them():
        return await asyncio.gather(*(loop.in_thread(barrier.wait) for _ in range(50)))

    assert sorted(loop.run(all_of_them())) == list(range(50))


def test_layers_go_round_a_call_as_written_down(tmp_path):
    seen = []

    class Log(BaseCallback):
        def on_lm_start(self, call_id, instance, inputs):
            seen.append("reported")

    class Model(engine.LM):
        def cache_for(self, request):
            seen.append("cached")
            return super().cache_for(request)

        def with_marks(self, request):
            seen.append("completed")
            return super().with_marks(request)

        def transport(self):
            seen.append("transmitted")
            return super().transport()

    async def mine(lm, request, send):
        seen.append("the context's")
        return await send(lm, request)

    lm = Model("offline/learner", cache=Cache(tmp_path / "cache.sqlite3"))
    with engine.context(callbacks=[Log()], middleware=(mine,)):
        first, again = lm("Hi"), lm("Hi")
    assert first == again
    assert seen == [
        *("reported", "the context's", "cached", "completed", "transmitted"),
        *("reported", "the context's", "cached"),
    ]
    assert [call.cached for call in lm.history] == [False, True]
