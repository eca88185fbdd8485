"""Retries and limits: what is tried again, how long is waited, and how many requests are under way."""

import asyncio
import contextlib
import gzip
import math
import random
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from support.servers.openai_server import OpenAIServer

from engine.errors import BadReplyError, InvalidRequestError, LMError, ProviderFailureError, RateLimitedError
from engine.lm.base import Choice, Reply
from engine.lm.calls.cache import Cache
from engine.lm.calls.limits import AdaptiveLimiter
from engine.lm.calls.middleware import seconds_to_wait
from engine.lm.calls.waiting import Patience, patience
from engine.lm.client import LM
from engine.lm.transports.failures import retry_after
from engine.lm.transports.openai_http import OpenAITransport


def make_lm(server, **settings):
    return LM("openai/test-model", **{"api_base": server.url, "cache": False, "num_retries": 3, **settings})


def ask(lm):
    return asyncio.run(lm.complete(lm.request(({"role": "user", "content": "hello"},))))


def completion(content, **more):
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content},
        "finish_reason": "stop",
        **more,
    }
    return {"choices": [choice]}


@pytest.mark.parametrize("content", [None, ""])
def test_an_answer_without_content_is_an_error_and_is_not_kept(tmp_path, content):
    cache = Cache(tmp_path / "cache.sqlite3")
    with OpenAIServer("ok") as server:
        lm = make_lm(server, cache=cache, num_retries=1)
        server.fail_with(200, completion(content))
        with pytest.raises(BadReplyError, match="without content"):
            ask(lm)
        assert server.calls == 2
        server.recover()
        assert ask(lm).text == "ok"
        # One that an earlier version has kept is asked for again too.
        request = lm.request(({"role": "user", "content": "before"},))
        cache.put(lm.cache_key(request), Reply((Choice("", "stop"),)))
        assert asyncio.run(lm.complete(request)).text == "ok"
    cache.close()


@pytest.mark.parametrize(
    "more",
    [
        {"finish_reason": "length"},
        {"finish_reason": "content_filter"},
        {
            "message": {
                "content": None,
                "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
            }
        },
    ],
    ids=["cut off", "filtered", "a tool's call"],
)
def test_an_answer_that_is_meant_to_have_no_text_is_one(more):
    with OpenAIServer("ok") as server:
        server.fail_with(200, completion(None, **more))
        assert ask(make_lm(server)).text == ""
        assert server.calls == 1


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}], ids=["plain", "packed"])
def test_a_reply_is_read_up_to_a_limit_and_is_not_stored(tmp_path, headers):
    page = b"x" * (OpenAITransport.longest + 1)
    with OpenAIServer("ok") as server:
        server.fail_with(200, gzip.compress(page, 1) if headers else page, headers=headers)
        with pytest.raises(BadReplyError, match="more than 1 MB"):
            ask(make_lm(server, cache=Cache(tmp_path / "cache.sqlite3")))
        assert server.calls == 1
        with pytest.raises(BadReplyError, match="no JSON"):  # the whole was read
            ask(make_lm(server, longest_reply=2**21, num_retries=0))


def test_a_reply_without_an_end_is_not_read_for_ever():
    pieces = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def pour():
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(pieces)
                for _ in range(4000):
                    connection.sendall(piece)

        pouring = threading.Thread(target=pour, daemon=True)
        pouring.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        lm = LM("openai/test-model", api_base=url, cache=False, num_retries=0)
        with pytest.raises(BadReplyError, match="more than 1 MB"):
            ask(lm)
        pouring.join(30)
        assert not pouring.is_alive()


@pytest.mark.parametrize(
    "misbehave", ["429", "500", "empty", "truncated", "drop", "page", "no choices", "null", "blank"]
)
def test_what_may_pass_is_tried_again(misbehave):
    with OpenAIServer("ok") as server:
        now = {"Retry-After": "0"}
        {
            "429": lambda: server.fail_with(429, headers=now, times=2),
            "500": lambda: server.fail_with(500, headers=now, times=2),
            "empty": lambda: server.empty(times=1),
            "truncated": lambda: server.truncated(times=1),
            "drop": lambda: server.drop(times=1),
            "page": lambda: server.html(times=1),
            "no choices": lambda: server.fail_with(200, {"choices": []}, times=1),
            "null": lambda: server.fail_with(200, completion(None), times=1),
            "blank": lambda: server.fail_with(200, completion(""), times=1),
        }[misbehave]()
        reply = ask(make_lm(server))
        assert reply.text == "ok"
        # An answer is paid for, also one that is cut off or cannot be read; a refusal is not.
        assert reply.usage.calls == (1 if misbehave in ("429", "500", "drop") else 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_will_not_pass_is_not_tried_again(status):
    with OpenAIServer("ok") as server:
        server.fail_with(status)
        with pytest.raises(LMError):
            ask(make_lm(server))
        assert server.calls == 1


def test_another_protocol_and_a_used_up_quota_are_not_tried_again():
    with OpenAIServer("ok") as server:
        server.fail_with(200, {"hello": "there"})
        with pytest.raises(BadReplyError):
            ask(make_lm(server))
        server.recover()
        server.fail_with(429, {"error": {"message": "Pay first.", "code": "insufficient_quota"}})
        with pytest.raises(RateLimitedError):
            ask(make_lm(server))
        assert server.calls == 2


def test_after_the_last_try_the_last_error_is_raised():
    with OpenAIServer("ok") as server:
        server.fail_with(500, headers={"Retry-After": "0"})
        with pytest.raises(ProviderFailureError):
            ask(make_lm(server, num_retries=2))
        assert server.calls == 3


def test_retry_after_is_honoured():
    with OpenAIServer("ok") as server:
        server.fail_with(429, headers={"Retry-After": "0.4"}, times=1)
        started = time.monotonic()
        assert ask(make_lm(server)).text == "ok"
        assert time.monotonic() - started >= 0.4


def test_a_server_that_asks_for_too_long_a_wait_is_not_waited_for():
    with OpenAIServer("ok") as server:
        server.fail_with(429, headers={"Retry-After": "3600"})
        with pytest.raises(RateLimitedError, match="wait 3600 s"):
            ask(make_lm(server))
        assert server.calls == 1


def test_waits_have_jitter_and_grow():
    asked = [seconds_to_wait(RateLimitedError("x", retry_after=4.0), 1) for _ in range(50)]
    assert all(4.0 <= wait <= 5.1 for wait in asked)
    assert len(set(asked)) > 40
    early = [seconds_to_wait(ProviderFailureError("x"), 1) for _ in range(200)]
    late = [seconds_to_wait(ProviderFailureError("x"), 6) for _ in range(200)]
    assert max(early) <= 1.0 < max(late) <= 60


def test_waits_at_an_endpoint_that_answers_are_near_the_time_of_an_answer():
    error = RateLimitedError("x")
    for attempt, seconds, shortest, longest in ((1, 9.0, 0.05, 0.25), (2, 0.4, 0.2, 0.4), (6, 0.4, 0.2, 0.4)):
        waits = [seconds_to_wait(error, attempt, seconds) for _ in range(200)]
        assert shortest <= min(waits) < max(waits) <= longest


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "2"}, 2.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({}, None),
    ],
)
def test_reading_retry_after(headers, seconds):
    assert retry_after(headers) == seconds


def test_reading_retry_after_as_a_date():
    later = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    assert retry_after({"Retry-After": later}) == pytest.approx(7200, abs=300)
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


def test_an_endpoint_that_objects_gets_fewer_requests_at_once():
    busy = {"n": 0}

    async def main(server, lm):
        request = lm.request(({"role": "user", "content": "hello"},))
        await asyncio.gather(*(lm.complete(request) for _ in range(64)))
        first_peak, server.peak = server.peak, 0
        server.latency = 0.1
        await asyncio.gather(*(lm.complete(request) for _ in range(64)))
        busy["first"], busy["second"] = first_peak, server.peak

    with OpenAIServer("ok") as server:
        server.gather(64)
        server.fail_with(429, headers={"Retry-After": "0"}, times=40)
        asyncio.run(main(server, make_lm(server, num_retries=10)))
        assert busy["second"] <= 48 < busy["first"]


def test_the_limit_falls_once_for_a_round_and_grows_back():
    async def main():
        limiter = AdaptiveLimiter()

        async def round_of(requests, answered):
            tickets = [await limiter.acquire() for _ in range(requests)]
            for number, ticket in enumerate(tickets):
                limiter.succeeded(ticket) if number < answered else limiter.rate_limited(ticket)
                limiter.release()

        await round_of(16, answered=10)
        assert limiter.limit == math.inf, "as many may be refused anyway"
        await round_of(16, answered=6)
        assert limiter.limit == 10, "those answered are six tenths"
        for _ in range(20):
            limiter.rate_limited(0)  # of a request from before the cut
        assert limiter.limit == 10
        await round_of(10, answered=0)
        assert limiter.limit == 1
        for _ in range(10):
            await round_of(1, answered=1)
        assert 4 < limiter.limit < 6
        for _ in range(10):
            await round_of(1, answered=0)
        assert 4 < limiter.limit < 6, "one at once is never too many"

    asyncio.run(main())


@pytest.mark.parametrize("refuses", ["a share of all", "what is too much"])
def test_cuts_that_do_not_help_are_taken_back_and_others_hold(refuses):
    """An endpoint with 32 callers: it refuses 3 of 10 requests whatever is in flight, or those above 8 at once."""

    async def main():
        limiter, chance = AdaptiveLimiter(), random.Random(2)
        in_flight, ended = [0], []

        async def call():
            while len(ended) < 6000:
                ticket = await limiter.acquire()
                in_flight[0] += 1
                refused = in_flight[0] > 8 if refuses == "what is too much" else chance.random() < 0.3
                for _ in range(chance.randint(4, 12)):  # no clock: the same in every run
                    await asyncio.sleep(0)
                in_flight[0] -= 1
                limiter.rate_limited(ticket) if refused else limiter.succeeded(ticket)
                ended.append((limiter.limit, refused))
                limiter.release()

        await asyncio.gather(*(call() for _ in range(32)))
        later = ended[3000:]
        return sum(min(32, limit) for limit, _ in later) / len(later), sum(r for _, r in later) / len(later)

    limit, share = asyncio.run(main())
    if refuses == "what is too much":
        assert limit < 16
        assert share < 0.55
    else:
        assert limit > 20


def test_those_who_wait_for_a_turn_get_it_also_when_one_of_them_is_cancelled():
    async def main():
        limiter = AdaptiveLimiter()
        limiter.limit = 1
        await limiter.acquire()
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        limiter.release()
        await asyncio.wait_for(waiting[1], 60)
        limiter.release()
        await asyncio.wait_for(waiting[2], 60)
        limiter.release()
        assert limiter.active == 0

    asyncio.run(main())


@pytest.mark.parametrize("status", [429, 503])
def test_calls_with_patience_wait_for_an_endpoint_that_is_away_also_without_retries(status):
    async def main(server, lm):
        async def look():
            pass

        patience.set(Patience(0.5, look, lambda place, message: messages.append(message)))
        requests = [lm.request(({"role": "user", "content": f"number {number}"},)) for number in range(5)]
        await lm.complete(requests[0])
        server.fail_with(status)
        calls = asyncio.gather(*map(lm.complete, requests[1:]))
        await asyncio.sleep(2)
        server.recover()
        return [reply.text for reply in await calls]

    messages = []
    with OpenAIServer("ok") as server:
        assert asyncio.run(main(server, make_lm(server, num_retries=0))) == ["ok"] * 4
    assert "No answer from 127" in messages[0]
    assert messages[-1] == ""


def test_requests_and_tokens_a_minute_are_kept(monkeypatch):
    monkeypatch.setattr("engine.lm.calls.limits.WINDOW", 0.3)

    async def main():
        limiter = AdaptiveLimiter(requests_per_minute=2)
        started = time.monotonic()
        for _ in range(5):
            await limiter.acquire()
            limiter.release()
        by_requests = time.monotonic() - started
        limiter = AdaptiveLimiter(tokens_per_minute=100)
        started = time.monotonic()
        for _ in range(3):
            limiter.succeeded(await limiter.acquire(), 100)
            limiter.release()
        return by_requests, time.monotonic() - started

    by_requests, by_tokens = asyncio.run(main())
    assert by_requests >= 0.55
    assert by_tokens >= 0.55


def test_a_request_that_is_wrong_is_wrong_at_once():
    with OpenAIServer("ok") as server:
        lm = make_lm(server)
        with pytest.raises(InvalidRequestError, match="cannot be sent"):
            asyncio.run(lm.complete(lm.request(({"role": "user", "content": object()},))))
