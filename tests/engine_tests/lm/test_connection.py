"""The test-connection button, and litellm's providers, against a real local server."""

import json
import re
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest
from support.servers.openai_server import OpenAIServer

from engine import loop
from engine.lm.connection import check_connection

KEY = "sk-very-secret-0123456789"


def check(server, name="openai/test-model", api_key=KEY, timeout=60.0, base_url=None):
    choice = SimpleNamespace(name=name, base_url=base_url or server.url, key_env=None)
    report = loop.run(check_connection(choice, api_key, timeout))
    assert KEY not in f"{report}"
    return report


def test_a_connection_that_works_says_how_fast_and_which_model_answered():
    with OpenAIServer("OK", latency=0.02) as server:
        problem, message = check(server)
    assert not problem
    assert re.fullmatch(r"It works: test-model answered in \d+\.\d\d s\.", message)


@pytest.mark.parametrize(
    ("problem", "misbehave", "words"),
    [
        ("key", lambda s: s.fail_with(401), "The key does not work. 127.0.0.1"),
        ("model", lambda s: s.fail_with(404), "Unknown model. 127.0.0.1"),
        ("rate limit", lambda s: s.fail_with(429), "The key works, but requests are being limited."),
        ("reply", lambda s: s.html(), "web page instead of JSON"),
        ("reply", lambda s: s.empty(), "empty reply"),
        ("reply", lambda s: s.truncated(), "cut off"),
        ("timeout", lambda s: s.hang(), "No answer in time."),
        ("unreachable", lambda s: s.drop(), "Host unreachable."),
        ("other", lambda s: s.fail_with(500), "It answered with an error."),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(problem, misbehave, words):
    with OpenAIServer("OK") as server:
        misbehave(server)
        found, message = check(server, timeout=0.5 if problem == "timeout" else 60)
        assert server.calls == 1 or (problem == "timeout" and server.calls == 0)
    assert found == problem
    assert words in message
    assert "openai/test-model" in message
    assert "Traceback" not in message


def test_a_model_the_server_does_not_have_and_a_key_it_does_not_take():
    with OpenAIServer("OK", models=("a", "b"), api_key="right") as server:
        assert not check(server, "openai/a", "right")[0]
        assert check(server, "openai/c", "right")[0] == "model"
        assert check(server, "openai/a", "wrong")[0] == "key"
        assert check(server, "openai/a", None)[0] == "key"


def test_a_host_that_is_not_there_and_an_address_that_is_none():
    assert check(None, base_url="http://127.0.0.1:9/v1")[0] == "unreachable"
    assert check(None, base_url="localhost")[0] == "settings"
    assert check(None, name=" ", base_url="http://h/v1")[0] == "settings"


def test_a_missing_key(monkeypatch):
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    report = loop.run(check_connection(SimpleNamespace(name="groq/m", base_url=None, key_env=None)))
    assert report[0] == "key"
    assert "GROQ_API_KEY" in report[1]


def test_the_litellm_gateway_answers_and_its_errors_are_ours():
    code = """
    import asyncio, json, sys
    from engine.errors import LMError
    from engine.lm.client import LM

    base, = sys.argv[1:]
    assert "litellm" not in sys.modules
    lm = LM("anthropic/claude-sonnet-4-5", api_base=base, api_key="sk-very-secret-0123456789", cache=False,
            num_retries=0, timeout=60)

    async def main():
        reply = await lm.complete(lm.request(({"role": "user", "content": "hello"},), n=2, temperature=0.2))
        out = [[[c.text for c in reply.choices], reply.usage.calls, reply.usage.input_tokens, reply.usage.cost]]
        while len(out) < 10:
            # The last one never answers; the others have all the time they need.
            asked = lm.copy(timeout=1) if len(out) == 9 else lm
            try:
                await asked.complete(lm.request(({"role": "user", "content": "hello"},)))
                break
            except LMError as error:
                out.append([type(error).__name__, str(error), error.retry_after])
        return out

    print("\\n" + json.dumps(asyncio.run(main())))
    """
    with OpenAIServer("billing") as server:
        seen = iter(range(100))

        def misbehave(body):
            # The first request is answered twice (n=2); from then on one failure each.
            if next(seen) == 1:
                server.fail_with(401, times=1)
                server.fail_with(404, times=1)
                server.fail_with(429, headers={"Retry-After": "7"}, times=1)
                server.fail_with(500, times=1)
                server.html(times=1)
                server.empty(times=1)
                server.truncated(times=1)
                server.drop(times=1)
                server.hang()
            return "billing"

        server.answer = misbehave
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), server.url.removesuffix("/v1")],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    (texts, calls, tokens, cost), *errors = json.loads(done.stdout.splitlines()[-1])
    assert texts == ["billing", "billing"]
    assert calls == 2
    assert tokens > 0
    assert cost > 0
    assert [kind for kind, _, _ in errors] == [
        "AuthenticationFailedError",
        "ModelNotFoundError",
        "RateLimitedError",
        "ProviderFailureError",
        "BadReplyError",
        "BadReplyError",
        "BadReplyError",
        "UnreachableError",
        "LMTimeoutError",
    ]
    assert errors[2][2] == 7.0
    assert all("127.0.0.1" in sentence and "claude-sonnet-4-5" in sentence for _, sentence, _ in errors)
    assert all("litellm" not in sentence and KEY not in sentence for _, sentence, _ in errors)
