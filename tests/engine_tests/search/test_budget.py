"""The ledger: what it counts, what it refuses, and what it waits for."""

import asyncio
from itertools import count

import pytest
from support.servers.openai_server import Failure, OpenAIServer

import engine
from engine.errors import (
    AuthenticationFailedError,
    BudgetExhaustedError,
    ConfigurationError,
    ContextWindowExceededError,
    ProviderFailureError,
)
from engine.lm.base import BaseLM, Choice, Reply
from engine.lm.calls.waiting import make_room
from engine.records import Usage
from engine.search.budget import FAILURES_AT_START, Amount, Budget, Ledger
from engine.search.contract import Meter
from engine.search.settings import Settings

BLANK = b'{"choices": [{"message": {"content": ""}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}'


class TestLM(BaseLM):
    __test__ = False

    def __init__(self, replies=None, price=None, wait=None, max_tokens=None):
        super().__init__("test/model", max_tokens=max_tokens)
        self.replies, self._price, self.wait, self.calls = replies, price, wait, 0

    async def complete(self, request):
        self.calls += 1
        if self.wait is not None:
            await self.wait.wait()
        answer = self.replies(self.calls) if self.replies else reply()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def price(self):
        return self._price


def reply(tokens=10, key="", cached=False, payer=None, cost=None):
    return Reply(
        (Choice("ok"),),
        Usage(1, 0, tokens // 2, tokens - tokens // 2, cost),
        key=key,
        cached=cached,
        payer=payer,
    )


def ask(lm, text="hello"):
    return lm.request([{"role": "user", "content": text}])


def send(ledger, lm, times=1):
    async def work():
        return [await ledger.send(lm, ask(lm)) for _ in range(times)]

    return asyncio.run(work())


def test_the_call_that_would_pass_the_limit_is_not_made():
    ledger, lm = Ledger(Budget(calls=3)), TestLM()
    send(ledger, lm, 3)
    with pytest.raises(BudgetExhaustedError, match="3 calls is used up"):
        send(ledger, lm)
    assert lm.calls == 3
    assert ledger.closing == "budget"


def test_many_at_once_never_pass_the_limit():
    ledger, lm = Ledger(Budget(calls=5)), TestLM()

    async def work():
        return await asyncio.gather(*(ledger.send(lm, ask(lm)) for _ in range(50)), return_exceptions=True)

    answers = asyncio.run(work())
    assert lm.calls == 5
    assert sum(isinstance(a, BudgetExhaustedError) for a in answers) == 45


def test_cached_replies_are_free_and_leave_room_for_paid_ones():
    lm = TestLM(lambda n: reply(key=f"k{n}", cached=n <= 10))
    ledger = Ledger(Budget(calls=2))
    send(ledger, lm, 12)
    assert (ledger.spent.calls, ledger.spent.cached) == (2, 10)
    assert ledger.spent.tokens == 20


def test_a_run_driven_again_counts_what_it_paid_before_once_a_key():
    answers = [reply(key="a", cached=True, payer="me"), reply(key="a", cached=True, payer="me")]
    answers += [reply(key="b", cached=True, payer="other")]
    lm = TestLM(lambda n: answers[n - 1])
    ledger = Ledger(Budget(calls=10), payer="me")
    send(ledger, lm, 3)
    assert (ledger.spent.calls, ledger.spent.cached, ledger.spent.tokens) == (1, 2, 10)


@pytest.mark.parametrize("limit", [Budget(calls=10), Budget(tokens=1500)], ids=["calls", "tokens"])
def test_a_run_driven_again_buys_only_beside_all_that_it_bought_before(limit):
    ledger = Ledger(limit, payer="run")
    ledger.lost, ledger.bought = Amount(3, 400), Usage(6, 0, 250, 250)

    async def buy(lm, request):
        await make_room(None)
        return reply(tokens=100, key="new")

    asyncio.run(ledger.send(TestLM(), ask(TestLM()), buy))
    with pytest.raises(BudgetExhaustedError):  # 3 lost, 6 bought and 1 new fill the limit
        asyncio.run(ledger.send(TestLM(), ask(TestLM()), buy))


def test_two_equal_requests_at_once_count_once_whichever_is_seen_first():
    answers = [reply(key="a", cached=True, payer="me"), reply(key="a")]
    lm = TestLM(lambda n: answers[n - 1])
    ledger = Ledger(Budget(calls=10), payer="me")
    send(ledger, lm, 2)
    assert ledger.spent.calls == 1


def test_waits_for_calls_in_flight_instead_of_refusing():
    async def work():
        door = asyncio.Event()
        lm = TestLM(lambda n: reply(key="k", cached=n == 1), wait=door)
        ledger = Ledger(Budget(calls=1))
        both = [asyncio.ensure_future(ledger.send(lm, ask(lm))) for _ in range(2)]
        await asyncio.sleep(0)
        assert lm.calls == 1  # the second waits to see whether the first costs anything
        door.set()
        await asyncio.gather(*both)
        assert lm.calls == 2
        assert ledger.spent.calls == 1

    asyncio.run(work())


def test_tokens_are_reserved_before_and_settled_after():
    lm = TestLM(max_tokens=20)
    ledger = Ledger(Budget(tokens=100))
    with pytest.raises(BudgetExhaustedError, match="100 tokens"):
        send(ledger, lm, 100)
    assert 50 <= ledger.spent.tokens <= 100


def test_money_is_kept_and_needs_a_price():
    lm = TestLM(lambda n: reply(cost=0.01), price=(0.001, 0.001), max_tokens=5)
    ledger = Ledger(Budget(usd=0.1))
    with pytest.raises(BudgetExhaustedError, match="US dollars"):
        send(ledger, lm, 100)
    assert 0.05 < ledger.spent.cost <= 0.1
    settings = Settings(engine.Predict("a -> b"), None, {}, (), (), TestLM(), budget=ledger.budget)
    with pytest.raises(ConfigurationError, match=r"price of the model test/model is not known"):
        settings.check_prices()


def test_time_is_checked_before_each_call_and_pauses_do_not_count():
    now = [0.0]
    ledger = Ledger(Budget(seconds=10), clock=lambda: now[0], seconds_before=2)
    lm = TestLM()
    send(ledger, lm)
    now[0] = 5.0
    ledger.pause()
    now[0] = 1000.0
    ledger.unpause()
    assert ledger.seconds == 7
    send(ledger, lm)
    now[0] = 1003.0
    with pytest.raises(BudgetExhaustedError, match="The time limit of 10 s is used up"):
        send(ledger, lm)


def test_what_is_kept_back_is_not_spent_until_it_is_freed():
    ledger, lm = Ledger(Budget(calls=10)), TestLM()
    ledger.keep_back(Amount(6))
    assert ledger.calls_left == 4
    assert (ledger.shortage(Amount(4, tokens=9)), ledger.shortage(Amount(5))) == ("", "4 calls")
    with pytest.raises(BudgetExhaustedError, match="kept for the final test"):
        send(ledger, lm, 5)
    ledger.keep_back(Amount())
    ledger.reopen()
    send(ledger, lm, 6)
    assert lm.calls == 10


def test_a_wrong_key_ends_a_run_after_a_few_calls():
    lm = TestLM(lambda n: AuthenticationFailedError("The key was refused."))
    ledger = Ledger(Budget())
    for _ in range(FAILURES_AT_START):
        with pytest.raises(AuthenticationFailedError):
            send(ledger, lm)
    with pytest.raises(BudgetExhaustedError, match="The key was refused"):
        send(ledger, lm)
    assert ledger.closing == "failed"


def test_an_endpoint_that_goes_away_ends_a_run_later_and_one_success_forgives():
    lm = TestLM(lambda n: reply() if n in (1, 10) else ProviderFailureError("It is down."))
    ledger = Ledger(Budget(), failures_later=10)
    for _ in range(19):
        try:
            send(ledger, lm)
        except ProviderFailureError:
            assert ledger.closed is None
    with pytest.raises(ProviderFailureError):
        send(ledger, lm)
    assert ledger.closing == "failed"


def test_prompts_that_are_too_long_are_the_candidates_trouble():
    lm = TestLM(lambda n: reply() if n == 1 else ContextWindowExceededError("Too long."))
    ledger = Ledger(Budget(), failures_later=2)
    send(ledger, lm)
    for _ in range(9):
        with pytest.raises(ContextWindowExceededError):
            send(ledger, lm)
    assert ledger.closed is None


def test_failed_calls_count_so_that_a_broken_endpoint_cannot_be_called_for_ever():
    lm = TestLM(lambda n: ProviderFailureError("It is down."))
    ledger = Ledger(Budget(calls=3))
    for _ in range(3):
        with pytest.raises(ProviderFailureError):
            send(ledger, lm)
    with pytest.raises(BudgetExhaustedError):
        send(ledger, lm)
    assert lm.calls == 3


def test_a_meter_counts_rows_at_the_most_they_have_cost():
    meter = Meter(limit=500, most_per_row=2)
    assert meter.rows_left == 250
    meter.note(calls=105, rows=100)
    assert meter.rows_left == int(395 / 1.05)
    meter.note(calls=180, rows=100)
    meter.note(calls=20, rows=100)
    assert meter.rows_left == int(195 / 1.8)
    meter.note(calls=50, rows=10)
    assert meter.row_cost == 2


def test_searches_that_run_together_share_what_they_make():
    whole = Meter(limit=100)
    one, other = whole.split(20, 2)
    whole.note(calls=30, rows=30)
    assert (one.calls_left, other.calls_left, whole.calls_left) == (5, 5, 70)
    (alone,) = whole.split(None, 1)
    whole.note(calls=10, rows=10)
    assert (alone.made, alone.rows_left, one.made) == (10, float("inf"), 15)


@pytest.mark.parametrize("share", [3, 2], ids=["a third", "half"])
@pytest.mark.parametrize("at_once", [1, 64])
@pytest.mark.parametrize("fault", ["empty", "cut off"])
def test_empty_and_cut_off_replies_count_by_the_servers_own_count(share, at_once, fault):
    answers = count(1)

    def bad(body):
        if next(answers) % share:
            return None
        return Failure(body=BLANK if fault == "empty" else b'{"choices": [{"mess')

    with OpenAIServer("ok") as server:
        server.faults = bad
        lm = engine.LM("openai/test", api_base=server.url, api_key="sk", cache=False, num_retries=3)
        ledger = Ledger(Budget(calls=100))

        async def work():
            room = asyncio.Semaphore(at_once)

            async def one():
                async with room:
                    return await ledger.send(lm, ask(lm))

            return await asyncio.gather(*(one() for _ in range(130)), return_exceptions=True)

        asyncio.run(work())
        assert server.calls == ledger.spent.calls == 100


def test_completions_that_are_asked_for_one_by_one_need_room_each():
    with OpenAIServer("ok") as server:
        lm = engine.LM("openai/test", api_base=server.url, api_key="sk", cache=False)
        ledger = Ledger(Budget(calls=4))

        async def work():
            request = lm.request([{"role": "user", "content": "hello"}], n=3)
            return await asyncio.gather(*(ledger.send(lm, request) for _ in range(3)), return_exceptions=True)

        asyncio.run(work())
        assert server.calls <= 4
