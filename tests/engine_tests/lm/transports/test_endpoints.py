"""The direct transport against a real local server: what is sent, and every way an endpoint can be bad."""

import asyncio
import gc
import pickle
import socket

import pytest
from support.servers.openai_server import OpenAIServer

import engine
from engine.callbacks import BaseCallback
from engine.errors import (
    AuthenticationFailedError,
    BadReplyError,
    ConfigurationError,
    ContextWindowExceededError,
    InvalidRequestError,
    LMError,
    LMTimeoutError,
    MissingKeyError,
    ModelNotFoundError,
    ProviderFailureError,
    RateLimitedError,
    UnreachableError,
)
from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.lm.calls.cache import Cache
from engine.lm.calls.history import inspect_history
from engine.lm.client import LM

KEY = "sk-very-secret-0123456789"


def make_lm(server: OpenAIServer, **settings):
    settings = {
        "cache": False,
        "num_retries": 0,
        "timeout": 60,
        "api_key": KEY,
        "api_base": server.url,
        **settings,
    }
    return LM("openai/test-model", **settings)


def ask(lm: LM, text: str = "hello", **params):
    return asyncio.run(lm.complete(lm.request(({"role": "user", "content": text},), **params)))


def test_a_reply_carries_text_usage_and_model():
    with OpenAIServer("billing") as server:
        reply = ask(make_lm(server), temperature=0.5, stop=["\n"])
        assert (reply.text, reply.model, reply.cached) == ("billing", "test-model", False)
        assert reply.usage.calls == 1
        assert reply.usage.input_tokens > 0
        assert reply.usage.output_tokens > 0
        assert reply.seconds > 0
        assert server.requests == [
            {
                "model": "test-model",
                "messages": [{"role": "user", "content": "hello"}],
                "temperature": 0.5,
                "stop": ["\n"],
            }
        ]
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_cost_comes_from_the_price_table_and_from_prices_of_ones_own():
    with OpenAIServer("billing") as server:
        known = LM("openai/gpt-4o-mini", api_base=server.url, cache=False)
        usage = ask(known).usage
        assert usage.cost == pytest.approx(usage.input_tokens * 1.5e-7 + usage.output_tokens * 6e-7)
        assert ask(make_lm(server)).usage.cost is None
        usage = ask(make_lm(server, price=(1.0, 2.0))).usage
        assert usage.cost == usage.input_tokens + 2 * usage.output_tokens


def test_what_the_endpoint_says_it_charged_wins_and_missing_usage_is_counted():
    def with_usage(usage):
        choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
        return {"choices": [choice], **usage}

    replies = iter(
        [
            with_usage({"usage": {"prompt_tokens": 10, "completion_tokens": 2, "cost": 0.125}}),
            with_usage({}),
        ]
    )
    with OpenAIServer(lambda body: next(replies)) as server:
        assert ask(make_lm(server)).usage.cost == 0.125
        counted = ask(make_lm(server), "word " * 100).usage
        assert 100 <= counted.input_tokens <= 160


def test_several_completions_are_asked_for_at_once_and_topped_up_where_the_endpoint_gives_one():
    with OpenAIServer("ok") as server:
        assert len(ask(make_lm(server), n=3).choices) == 3
        assert len(server.requests) == 1
        server.answer = lambda body: ["only one"]
        reply = ask(make_lm(server), n=3)
        assert [c.text for c in reply.choices] == ["only one"] * 3
        assert reply.usage.calls == 3
        assert len(server.requests) == 4


def test_a_reasoning_model_whose_name_does_not_say_so_is_found_out():
    refusal = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    with OpenAIServer("ok") as server:
        server.fail_with(400, {"error": {"message": refusal}}, times=1)
        lm = make_lm(server, max_tokens=50, temperature=0.3)
        assert ask(lm).text == "ok"
        ask(lm)
        assert [("max_tokens" in body, "temperature" in body) for body in server.requests] == [
            (True, True),
            (False, False),
            (False, False),
        ]


def test_text_reasoning_tool_calls_and_parts_are_read():
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "It "}, {"type": "text", "text": "is."}],
        "reasoning_content": "because",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    with OpenAIServer(
        lambda body: {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    ) as server:
        lm = make_lm(server)
        choice = ask(lm).choices[0]
        assert (choice.text, choice.reasoning, choice.finish_reason) == ("It is.", "because", "tool_calls")
        assert choice.tool_calls[0]["function"]["name"] == "f"
        plain = lm("hello")
        assert plain[0]["text"] == "It is."
        assert plain[0]["reasoning_content"] == "because"


def test_plain_calls_work_in_scripts_and_in_async_code():
    with OpenAIServer("ok") as server:
        lm = make_lm(server)
        assert lm("hello") == ["ok"]
        assert lm(messages=[{"role": "user", "content": "hello"}], n=2) == ["ok", "ok"]
        assert asyncio.run(lm.acall("hello", temperature=1.0)) == ["ok"]


BAD_ENDPOINTS = {
    "401": (lambda s: s.fail_with(401), AuthenticationFailedError, "refused the API key", 401),
    "403": (lambda s: s.fail_with(403), AuthenticationFailedError, "refused the API key", 403),
    "402": (lambda s: s.fail_with(402), AuthenticationFailedError, "no credit", 402),
    "404": (lambda s: s.fail_with(404), ModelNotFoundError, "check the model's name", 404),
    "404 page": (lambda s: s.html(404), ModelNotFoundError, "or the address http://127.0.0.1", 404),
    "429": (lambda s: s.fail_with(429, headers={"Retry-After": "7"}), RateLimitedError, "wait 7 s", 429),
    "quota": (
        lambda s: s.fail_with(429, {"error": {"message": "No.", "code": "insufficient_quota"}}),
        RateLimitedError,
        "used up its quota",
        429,
    ),
    "500": (lambda s: s.fail_with(500), ProviderFailureError, "try again later", 500),
    "502 page": (lambda s: s.html(502), ProviderFailureError, "try again later", 502),
    "400": (lambda s: s.fail_with(400), InvalidRequestError, "check the model's parameters", 400),
    "too long": (
        lambda s: s.fail_with(400, {"error": {"message": "No.", "code": "context_length_exceeded"}}),
        ContextWindowExceededError,
        "fewer or shorter demonstrations",
        400,
    ),
    "408": (lambda s: s.fail_with(408), LMTimeoutError, "gave up waiting", 408),
    "html": (lambda s: s.html(), BadReplyError, "a web page instead of JSON", 200),
    "empty": (lambda s: s.empty(), BadReplyError, "an empty reply", 200),
    "truncated": (lambda s: s.truncated(), BadReplyError, "cut off", 200),
    "text": (lambda s: s.fail_with(200, "hello there"), BadReplyError, "no JSON", 200),
    "number": (lambda s: s.fail_with(200, b"17"), BadReplyError, "without a completion", 200),
    "no choices": (lambda s: s.fail_with(200, {"choices": []}), BadReplyError, "without a completion", 200),
    "null": (lambda s: s.fail_with(200, {"choices": [None]}), BadReplyError, "without a completion", 200),
    "error in a 200": (
        lambda s: s.fail_with(200, {"error": {"message": "Slow down.", "code": 429}}),
        RateLimitedError,
        "Slow down.",
        429,
    ),
    "hang": (lambda s: s.hang(), LMTimeoutError, "did not answer within 0.3 s", None),
    "drop": (lambda s: s.drop(), UnreachableError, "closed the connection", None),
}


@pytest.mark.parametrize("case", BAD_ENDPOINTS)
def test_every_bad_endpoint_is_one_clear_sentence(case):
    misbehave, kind, words, status = BAD_ENDPOINTS[case]
    with OpenAIServer("ok") as server:
        misbehave(server)
        lm = make_lm(server, timeout=0.3 if case == "hang" else 60)
        with pytest.raises(LMError) as caught:
            ask(lm)
        error = caught.value
        assert type(error) is kind
        assert words in str(error)
        assert f"127.0.0.1:{server.port}" in str(error)
        assert "openai/test-model" in str(error)
        assert "\n" not in str(error)
        assert error.status == status
        assert lm.history[-1].error == str(error)


def test_a_host_that_is_not_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]  # bound, so that nobody else takes it, and not listening
        lm = LM("openai/m", api_base=f"http://127.0.0.1:{port}/v1", cache=False, num_retries=0)
        with pytest.raises(UnreachableError, match=f"Cannot reach 127.0.0.1:{port} .*connection refused"):
            ask(lm)


def test_an_https_address_of_an_http_server():
    with OpenAIServer("ok") as server:
        lm = make_lm(server, api_base=server.url.replace("http:", "https:"))
        with pytest.raises(UnreachableError, match=r"TLS|closed the connection"):
            ask(lm)


def test_a_redirect_is_not_followed_and_the_key_goes_nowhere():
    with OpenAIServer("stolen") as other, OpenAIServer("ok") as server:
        server.fail_with(307, headers={"Location": f"{other.url}/chat/completions"})
        with pytest.raises(InvalidRequestError, match=f"127.0.0.1:{other.port}.*not followed") as caught:
            ask(make_lm(server))
        assert other.requests == []
        assert KEY not in str(caught.value)


def test_the_key_is_in_no_repr_error_history_or_pickle(capsys):
    with OpenAIServer("ok", api_key="another") as server:
        lm = make_lm(server, temperature=0.1, extra_headers={"X-Extra": "hidden-header"})
        with pytest.raises(AuthenticationFailedError) as caught:
            ask(lm)
        assert server.headers[0]["X-Extra"] == "hidden-header"
    inspect_history()
    seen = f"{lm!r} {lm.history} {caught.value!r} {caught.value.__cause__!r} {lm.dump_state()} {capsys.readouterr().out}"
    assert "Incorrect API key provided: [key]" in str(caught.value)
    assert KEY not in seen
    assert "hidden-header" not in seen
    assert KEY.encode() not in pickle.dumps(lm)
    assert pickle.loads(pickle.dumps(lm)).params == {"temperature": 0.1}
    assert ask_copy_key(lm) == f"Bearer {KEY}"


SECRETS = {
    "azure_ad_token": "SECRET-1",
    "aws_secret_access_key": "SECRET-2",
    "extra_body": {"api_key": "SECRET-3", "top_k": 2, "parts": [{"password": "SECRET-4"}, 1]},
    "extra_query": {"access_token": "SECRET-5"},
    "vertex_credentials": {"private": "SECRET-6"},
    "default_headers": {"X-Any": "SECRET-7"},
    "response_format": {"json_schema": {"schema": {"properties": {"password": {"type": "string"}}}}},
    "input_cost_per_token": 0.5,
}


class Echo(BaseLM):
    """Answers with a fixed text."""

    async def complete(self, request: Request) -> Reply:
        return Reply((Choice("ok"),))


def test_secret_settings_are_in_no_state_pickle_or_repr() -> None:
    lm = LM("azure/gpt-4", **SECRETS)
    state = lm.dump_state()
    for seen in (repr(lm), str(state), str(pickle.dumps(lm)), str(Echo("own", **SECRETS).dump_state())):
        assert "SECRET" not in seen
    assert state["extra_body"] == {"top_k": 2, "parts": [{}, 1]}
    assert state["response_format"] == SECRETS["response_format"]
    assert (state["input_cost_per_token"], lm.params["azure_ad_token"]) == (0.5, "SECRET-1")
    step = engine.Predict("question -> answer")
    step.lm = lm
    assert "SECRET" not in str(step.dump_state())


def test_secrets_of_a_call_are_sent_but_in_no_history_and_in_no_callbacks_inputs() -> None:
    class Heard(BaseCallback):
        def on_lm_start(self, call_id, instance, inputs):
            heard.append(f"{dict(inputs)} {inputs['kwargs']}")

    heard: list[str] = []
    token = "Bearer SECRET"
    with OpenAIServer("ok") as server, engine.context(callbacks=[Heard()]):
        lm = make_lm(server)
        lm("hi", extra_headers={"Authorization": token}, extra_body={"api_key": token, "top_k": 3}, top_p=0.5)
        assert server.headers[-1]["Authorization"] == token
        assert server.requests[-1]["api_key"] == token
        Echo("own")("hi", api_key=token, top_p=0.5)
    assert len(heard) == 2
    seen = f"{heard} {lm.history[-1]['kwargs']}"
    assert "SECRET" not in seen
    assert seen.count("'top_p': 0.5") == 5
    assert lm.history[-1]["kwargs"]["extra_body"] == {"top_k": 3}


def ask_copy_key(lm: LM) -> str:
    """The header that a copy of a model sends."""
    with OpenAIServer("ok") as server:
        ask(lm.copy(api_base=server.url, temperature=None))
        assert "temperature" not in server.requests[0]
        return str(server.headers[0]["Authorization"])


def test_no_key_is_sent_to_a_base_url_of_ones_own_unless_it_was_named(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-provider-1234567890")
    monkeypatch.setenv("MY_SERVER_KEY", "mine")
    with OpenAIServer("ok") as server:
        ask(make_lm(server, api_key=None))
        ask(make_lm(server, api_key=None, key_env="MY_SERVER_KEY"))
        assert "Authorization" not in server.headers[0]
        assert server.headers[1]["Authorization"] == "Bearer mine"
        server.api_key = "wanted"
        with pytest.raises(AuthenticationFailedError, match=r"asks for an API key .* none was sent"):
            ask(make_lm(server, api_key=None))


def test_a_missing_key_is_said_before_anything_is_sent(monkeypatch):
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    with pytest.raises(MissingKeyError, match=r"Groq.*GROQ_API_KEY"):
        ask(LM("groq/openai/gpt-oss-20b", cache=False))


@pytest.mark.parametrize(
    "address", ["localhost:8000", "ftp://host/v1", "http://", "http://a b/", "http://h:99999/v1"]
)
def test_text_that_is_no_base_url(address):
    with pytest.raises(ConfigurationError, match="is no base URL"):
        LM("openai/m", api_base=address)


def test_hundreds_of_requests_at_once_over_connections_that_are_kept():
    with OpenAIServer("ok") as server:
        lm = make_lm(server)

        async def waves():
            request = lm.request(({"role": "user", "content": "hello"},))
            server.gather(256)  # nobody is answered before so many are there
            await asyncio.gather(*(lm.complete(request) for _ in range(300)))
            await asyncio.gather(*(lm.complete(request) for _ in range(300)))

        asyncio.run(waves())
        assert server.peak >= 256
        assert len(server.requests) == 600
        assert len(server.connections) <= 300


def test_each_event_loop_has_a_session_that_is_closed_with_it():
    with OpenAIServer("ok") as server:
        lm = make_lm(server)
        for _ in range(3):
            assert ask(lm).text == "ok"
        # An unclosed session would be an error here: warnings are.
        gc.collect()


def test_cancelling_a_call_leaves_the_model_usable():
    with OpenAIServer("ok") as server:
        lm = make_lm(server)
        server.hold()

        async def main():
            request = lm.request(({"role": "user", "content": "hello"},))
            task = asyncio.create_task(lm.complete(request))
            while not server.held:
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            server.release()
            return await lm.complete(request)

        assert asyncio.run(main()).text == "ok"


def test_a_call_by_hand_passes_the_middleware_in_force():
    from engine.runtime import context

    seen = []

    async def gate(lm, request, send):
        seen.append(request.messages[0]["content"])
        return await send(lm, request)

    with OpenAIServer("ok") as server, context(middleware=(gate,)):
        assert make_lm(server)("by hand") == ["ok"]
    assert seen == ["by hand"]


def test_text_that_is_no_unicode_is_a_sentence():
    with OpenAIServer("ok") as server, pytest.raises(InvalidRequestError, match="no valid Unicode"):
        ask(make_lm(server), "half a pair: \ud800")


def test_the_offline_model_is_called_as_any_other_and_its_answers_can_be_kept(tmp_path):
    lm = LM("offline/learner", cache=Cache(tmp_path / "cache.sqlite3"))
    first, again = ask(lm), ask(lm)
    assert first.text == again.text != ""
    assert (first.cached, again.cached) == (False, True)
    assert first.usage.cost == 0
    assert first.seconds > 0
    assert lm.price() == (0.0, 0.0)
    lm.cache.close()
