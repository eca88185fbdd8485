"""The call cache: nothing is paid for twice, and nothing it holds or lacks can break a run."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time

import pytest
from support.servers.openai_server import OpenAIServer

from engine.errors import ProviderFailureError
from engine.lm.base import Choice, Reply
from engine.lm.calls.cache import Cache, default_cache, payer
from engine.lm.client import LM
from engine.records import Usage


@pytest.fixture
def cache(tmp_path):
    made = Cache(tmp_path / "cache.sqlite3")
    yield made
    made.close()


def make_lm(server, cache, **settings):
    return LM("openai/test-model", **{"api_base": server.url, "cache": cache, "num_retries": 0, **settings})


def ask(lm, text="hello", rollout_id=None, **params):
    request = lm.request(({"role": "user", "content": text},), rollout_id=rollout_id, **params)
    return asyncio.run(lm.complete(request))


def test_the_second_time_nothing_is_sent_and_the_reply_says_so(cache):
    with OpenAIServer("billing") as server:
        payer.set("run-1")
        first = ask(make_lm(server, cache))
        payer.set(None)
        cache.close()
        again = ask(make_lm(server, Cache(cache.path)))
        assert server.calls == 1
    assert (first.cached, again.cached) == (False, True)
    assert again.text == "billing"
    assert again.usage == first.usage
    assert again.key == first.key
    assert again.payer == first.payer == "run-1"
    assert first.usage.calls == 1


def test_an_answer_kept_before_its_price_was_known_has_the_price_of_today(cache):
    with OpenAIServer("billing") as server:
        before = ask(make_lm(server, cache))
        priced = make_lm(server, cache, price=(1e-3, 1e-2))
        found, recalled = (
            ask(priced),
            asyncio.run(priced.recall(priced.request(({"role": "user", "content": "hello"},)))),
        )
    used = before.usage
    assert used.cost is None
    assert used.tokens
    assert found.usage.cost == recalled.usage.cost == used.input_tokens * 1e-3 + used.output_tokens * 1e-2


def test_an_answer_kept_with_its_price_keeps_it(cache):
    with OpenAIServer("billing") as server:
        paid = ask(make_lm(server, cache, price=(1e-3, 1e-2)))
        assert ask(make_lm(server, cache, price=(1.0, 1.0))).usage == paid.usage


def test_whatever_changes_the_answer_changes_the_key_and_an_api_key_does_not(cache):
    with OpenAIServer("ok") as server, OpenAIServer("ok") as other:
        ask(make_lm(server, cache, api_key="sk-one"))
        ask(make_lm(server, cache, api_key="sk-two"))
        assert server.calls == 1
        ask(make_lm(server, cache), temperature=0.5)
        ask(make_lm(server, cache, temperature=0.5))
        assert server.calls == 2
        ask(make_lm(server, cache), "another")
        ask(make_lm(server, cache), rollout_id=1)
        ask(make_lm(server, cache), rollout_id=1)
        ask(make_lm(server, cache, rollout_id=1))
        ask(make_lm(server, cache), n=2)
        assert server.calls == 5
        ask(make_lm(other, cache))
        assert other.calls == 1
        assert all("rollout_id" not in body for body in server.requests)


def test_how_long_and_how_often_is_tried_is_no_part_of_the_key(cache):
    with OpenAIServer("ok") as server:
        ask(make_lm(server, cache))
        for name in ("timeout", "request_timeout", "num_retries", "max_retries"):
            assert ask(make_lm(server, cache), **{name: 2}).cached
            assert ask(make_lm(server, cache, **{name: 2})).cached
        assert not ask(make_lm(server, cache), extra_body={"x": 1}).cached
        assert server.calls == 2


def test_keys_stay_what_they_are_so_that_what_was_bought_is_found():
    messages = ({"role": "system", "content": "Answer."}, {"role": "user", "content": "hi"})
    settings = {"temperature": 0.5, "max_tokens": 9, "seed": 1}
    for lm, params, key in (
        (LM("openai/gpt-4o-mini"), {}, "c4432e771bd600b0"),
        (LM("openai/gpt-4o-mini", **settings), {"n": 2, "rollout_id": 3}, "6ef81398148d229c"),
        (LM("openai/m", api_base="http://127.0.0.1:1/v1"), {}, "c0847568ae6bf148"),
        (LM("anthropic/claude-opus-5", temperature=1.0), {}, "be3dad3eb6e9f1eb"),
    ):
        assert lm.cache_key(lm.request(messages, **params)).startswith(key)


def test_the_cache_can_be_left_out_for_a_model_and_for_a_call(cache):
    with OpenAIServer("ok") as server:
        for _ in range(2):
            ask(make_lm(server, False))
            ask(make_lm(server, cache), cache=False)
        assert server.calls == 4
        assert all("cache" not in body for body in server.requests)
    assert cache.size()[0] == 0


def test_the_default_place_is_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path / "home"))
    with OpenAIServer("ok") as server:
        lm = make_lm(server, True)
        ask(lm)
        assert ask(lm).cached
    assert default_cache().path == tmp_path / "home" / "cache.sqlite3"
    assert default_cache().size()[0] == 1
    default_cache().close()


def test_equal_requests_under_way_at_once_are_sent_once(cache):
    with OpenAIServer("ok", latency=0.1) as server:
        lm = make_lm(server, cache)

        async def main():
            request = lm.request(({"role": "user", "content": "hello"},))
            return await asyncio.gather(*(lm.complete(request) for _ in range(20)))

        replies = asyncio.run(main())
        assert server.calls == 1
    assert [r.cached for r in replies].count(False) == 1
    assert {r.text for r in replies} == {"ok"}


def test_when_the_one_that_pays_fails_those_waiting_fail_with_it_and_nothing_is_kept(cache):
    with OpenAIServer("ok", latency=0.05) as server:
        server.fail_with(500, times=1)
        lm = make_lm(server, cache)

        async def main():
            request = lm.request(({"role": "user", "content": "hello"},))
            return await asyncio.gather(*(lm.complete(request) for _ in range(3)), return_exceptions=True)

        assert [type(r) for r in asyncio.run(main())] == [ProviderFailureError] * 3
        assert ask(lm).text == "ok"
        assert server.calls == 2


def test_when_the_one_that_pays_is_cancelled_another_pays(cache):
    with OpenAIServer("ok") as server:
        lm = make_lm(server, cache)
        server.hold()

        async def main():
            request = lm.request(({"role": "user", "content": "hello"},))
            first = asyncio.create_task(lm.complete(request))
            while not server.held:
                await asyncio.sleep(0.005)
            others = [asyncio.create_task(lm.complete(request)) for _ in range(3)]
            await asyncio.sleep(0.02)
            first.cancel()
            server.release()
            return await asyncio.gather(*others)

        assert {r.text for r in asyncio.run(main())} == {"ok"}
        assert server.calls == 2


def test_everything_a_reply_holds_comes_back(cache):
    choice = Choice(
        "text ✓ \x00", "stop", "because", ({"id": "1", "function": {"name": "f"}},), {"content": [0.5]}
    )
    reply = Reply((choice, Choice("")), Usage(2, 0, 10, 5, 0.5), "model-x", 1.25)
    cache.put("k", reply, "run-7")
    found = cache.get("k")
    assert found.choices == reply.choices
    assert (found.usage, found.model, found.seconds, found.payer) == (reply.usage, "model-x", 1.25, "run-7")
    assert cache.get("other") is None


def test_size_and_clear(cache):
    for i in range(10):
        cache.put(str(i), Reply((Choice("x" * 1000),), Usage(1, 0, 10, 5, 0.5)))
    replies, on_disk, cost = cache.size()
    assert (replies, cost) == (10, 5.0)
    assert on_disk > 10_000
    assert cache.clear() == 10
    assert cache.size()[0] == 0
    assert cache.get("1") is None


def test_no_key_and_no_prompt_is_in_the_file(cache):
    with OpenAIServer("ok") as server:
        ask(make_lm(server, cache, api_key="sk-very-secret-0123456789"), "a private question")
    cache.close()
    for file in cache.path.parent.iterdir():
        assert b"sk-very-secret" not in file.read_bytes()
        assert b"a private question" not in file.read_bytes()


@pytest.mark.parametrize(
    "content",
    [b"this is no database, only text " * 200, b"\x00" * 8192, b"SQLite format 3\x00" + b"\xff" * 9000],
)
def test_a_damaged_file_is_set_aside_with_a_warning(tmp_path, caplog, content):
    path = tmp_path / "cache.sqlite3"
    path.write_bytes(content)
    cache = Cache(path)
    cache.put("k", Reply((Choice("kept"),)))
    assert cache.get("k").text == "kept"
    cache.close()
    aside = list(tmp_path.glob("cache.sqlite3.damaged-*"))
    assert [f.read_bytes() for f in aside] == [content]
    assert "was damaged" in caplog.text


def test_a_file_damaged_while_it_is_open_is_set_aside(cache, caplog):
    for i in range(500):
        cache.put(str(i), Reply((Choice("x" * 2000),)))
    cache.close()
    whole = cache.path.read_bytes()
    cache.path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    assert cache.get("77") is None
    cache.put("new", Reply((Choice("kept"),)))
    assert cache.get("new").text == "kept"
    assert "was damaged" in caplog.text
    assert list(cache.path.parent.glob("*.damaged-*"))


def test_one_unreadable_row_is_only_a_miss(cache, caplog):
    cache.put("k", Reply((Choice("x"),)))
    cache.close()
    with sqlite3.connect(cache.path) as direct:
        direct.execute("UPDATE answers SET reply = '{\"choices\": ['")
    direct.close()
    assert cache.get("k") is None
    assert "unreadable" in caplog.text


def test_a_place_that_cannot_be_written_to_keeps_answers_in_memory(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "cache.sqlite3")
    cache.put("k", Reply((Choice("kept"),)))
    assert cache.get("k").text == "kept"
    assert "in memory only" in caplog.text
    cache.close()


def test_an_older_file_is_brought_up_to_date_and_a_current_one_left_alone(cache):
    cache.put("k", Reply((Choice("x"),)))
    cache.close()
    code = f"""
    import sys
    from engine.lm.calls.cache import Cache
    cache = Cache({str(cache.path)!r})
    assert cache.get("k").text == "x"
    cache.close()
    assert "sqlite_utils" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_several_processes_share_one_file(tmp_path):
    code = """
    import sys
    from engine.lm.base import Choice, Reply
    from engine.lm.calls.cache import Cache
    cache = Cache(sys.argv[1])
    for i in range(100):
        cache.put(f"{sys.argv[2]}-{i}", Reply((Choice("x" * 500),)))
    cache.close()
    """
    path = tmp_path / "cache.sqlite3"
    command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    children = [subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE, text=True) for n in range(3)]
    for child in children:
        _, errors = child.communicate(timeout=300)
        assert (child.returncode, errors) == (0, "")
    cache = Cache(path)
    assert cache.size()[0] == 300
    cache.close()


def test_a_killed_process_loses_no_reply_it_received(tmp_path):
    code = """
    import asyncio, sys
    from engine.lm.calls.cache import Cache
    from engine.lm.client import LM
    lm = LM("openai/test-model", api_base=sys.argv[1], cache=Cache(sys.argv[2]))
    async def one(i):
        reply = await lm.complete(lm.request(({"role": "user", "content": f"question {i}"},)))
        print(i, flush=True)
    async def main():
        for i in range(0, 100000, 4):
            await asyncio.gather(*(one(i + k) for k in range(4)))
    asyncio.run(main())
    """
    path = tmp_path / "cache.sqlite3"
    with OpenAIServer("ok", latency=0.002) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), server.url, str(path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        received = [int(child.stdout.readline()) for _ in range(60)]
        os.kill(child.pid, signal.SIGKILL)
        received += [int(line) for line in child.stdout.read().split("\n")[:-1]]
        child.wait()
        child.stdout.close()
        server.forget()
        lm = make_lm(server, Cache(path))
        assert all(ask(lm, f"question {i}").cached for i in received)
        assert server.calls == 0
        lm.cache.close()


def test_a_cache_of_another_thread_and_loop_is_the_same(cache):
    with OpenAIServer("ok") as server:
        lm = make_lm(server, cache)
        assert lm("hello") == ["ok"]
        assert ask(lm).cached


def test_a_failing_disk_does_not_fail_the_call(cache, caplog):
    cache.put("k", Reply((Choice("x"),)))
    cache._open().execute("PRAGMA max_page_count = 1")
    cache.put("big", Reply((Choice("x" * 100_000),)))
    assert "the answer waits in memory until it can be" in caplog.text


@contextlib.contextmanager
def locked(cache):
    """Hold a cache's file as another program would; writing does not wait for it long."""
    cache._open().execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(cache.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_what_waits_in_memory_is_forgotten_with_the_rest(cache):
    cache.put("kept", Reply((Choice("x"),)))
    with locked(cache):
        cache.put("waiting", Reply((Choice("x"),)))
        assert cache.unkept
    assert cache.clear() == 2
    assert not cache.unkept
    assert cache.get("waiting") is None


def test_what_waits_in_memory_is_written_when_the_cache_is_closed(cache, caplog):
    with locked(cache):
        cache.put("k", Reply((Choice("x"),)))
        cache.close()
        assert "1 answers wait in memory" in caplog.text
        assert cache.get("k").text == "x"
    cache.close()
    again = Cache(cache.path)
    assert again.get("k").text == "x"
    again.close()


def test_what_waits_in_memory_is_written_at_the_end_of_the_process(cache):
    cache.put("first", Reply((Choice("x"),)))
    code = """
        import sqlite3, sys
        from engine.lm.base import Choice, Reply
        from engine.lm.calls.cache import Cache
        cache = Cache(sys.argv[1])
        cache._open().execute("PRAGMA busy_timeout = 10")
        other = sqlite3.connect(sys.argv[1], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        cache.put("last", Reply((Choice("x"),)))
        other.execute("ROLLBACK")
        assert cache.unkept
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(cache.path)], check=True, timeout=60)
    assert cache.get("last").text == "x"


def test_a_row_of_an_earlier_version_is_read(cache):
    kept = '{"choices":[{"text":"hello","finish":"stop","tool_calls":[{"id":"1"}]}],"seconds":0.5}'
    cache.put("k", Reply(()))
    cache._open().execute("UPDATE answers SET reply = ?", (kept,))
    assert cache.get("k").choices == (Choice("hello", "stop", tool_calls=({"id": "1"},)),)


def test_answers_in_the_table_of_earlier_versions_are_found_counted_and_cleared(cache):
    text = '{"choices":[{"text":"hello","finish_reason":"stop"}],"seconds":0.5}'
    with contextlib.closing(sqlite3.connect(cache.path)) as older, older:
        older.execute(
            "CREATE TABLE replies (key TEXT PRIMARY KEY, model TEXT, reply TEXT, payer TEXT, created_at FLOAT,"
            " calls INTEGER, input_tokens INTEGER, output_tokens INTEGER, cost FLOAT)"
        )
        older.execute("CREATE TABLE totals (upto INTEGER, replies INTEGER, cost FLOAT)")
        rows = [(f"k{number}", "m", text, "run-1", 0.0, 1, 10, 5, 0.5) for number in range(20)]
        older.executemany("INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        older.execute("INSERT INTO totals VALUES (5, 5, 2.5)")
    found = cache.get("k7")
    assert (found.text, found.payer, found.usage) == ("hello", "run-1", Usage(1, 0, 10, 5, 0.5))
    cache.put("new", Reply((Choice("x"),), Usage(1, 0, 10, 5, 0.5)))
    assert cache.size()[::2] == (21, 10.5)
    cache.close()
    assert cache.size()[::2] == (21, 10.5)
    assert cache.clear() == 21
    assert cache.get("k7") is None
    assert cache.size()[0] == 0


def test_rows_are_json_that_can_be_read_without_this_code(cache):
    cache.put("k", Reply((Choice("hello"),)))
    (text,) = cache._open().execute("SELECT reply FROM answers").fetchone()
    assert json.loads(text)["choices"][0]["text"] == "hello"


def test_a_thousand_replies_are_read_quickly(cache):
    # A guard against a change of kind (a scan, a commit for each read), not a benchmark.
    for i in range(1000):
        cache.put(str(i), Reply((Choice("billing " * 20),), Usage(1, 0, 100, 20, 0.001)))
    cache.close()
    started = time.process_time()
    assert all(cache.get(str(i)) for i in range(1000))
    assert time.process_time() - started < 3


def test_without_a_data_folder_answers_are_kept_in_memory(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path / "file" / "home"))
    with OpenAIServer("ok") as server:
        lm = make_lm(server, True)
        ask(lm)
        assert ask(lm).cached
        assert server.calls == 1
    assert "in memory only" in caplog.text
    assert default_cache().size()[1] == 0
    default_cache().close()
