"""Options of a model: none of them travels in the body, each does what DSPy and litellm take it for."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from support.peers.dspy_peer import in_dspy
from support.servers.openai_server import Failure, OpenAIServer

import engine
from engine.errors import ConfigurationError, InvalidRequestError
from engine.lm.choice import find_route
from engine.modules.state import dump_lm, load_lm

STEP = engine.Predict("question -> answer")


@pytest.fixture
def server():
    with OpenAIServer() as server:
        yield server


def model(server: OpenAIServer, name: str = "openai/gpt-4o-mini", **options) -> engine.LM:
    return engine.LM(
        name, api_base=server.url, api_key="sk-test", **{"cache": False, "num_retries": 0, **options}
    )


def test_arguments_may_be_given_in_dspys_order(server: OpenAIServer) -> None:
    heard = [engine.BaseCallback()]
    lm = engine.LM("openai/m", "chat", 0.7, 1000, False, heard, 2, api_base=server.url)
    assert (lm.model_type, lm.params, lm.cache, lm.callbacks, lm.num_retries) == (
        *("chat", {"temperature": 0.7, "max_tokens": 1000}, False),
        *(heard, 2),
    )
    lm("hi")
    assert {"temperature": 0.7, "max_tokens": 1000}.items() <= server.requests[-1].items()

    class Own(engine.BaseLM):
        def __init__(self):
            super().__init__("own", "chat", 0.0, 1000, True, None, 5)

    assert (Own().params, Own().cache, Own().num_retries) == (
        {"temperature": 0.0, "max_tokens": 1000},
        True,
        5,
    )


BODIES = {
    "extra_body": ({"extra_body": {"a": 1, "temperature": 0.5}}, {"a": 1, "temperature": 0.5}),
    "headers": ({"headers": {"X-A": "1"}}, {}),
    "extra_headers": ({"extra_headers": {"X-A": "1"}}, {}),
    "drop_params": ({"drop_params": True}, {}),
    "custom_llm_provider": ({"custom_llm_provider": "openai"}, {}),
    "organization": ({"organization": "org"}, {}),
    "max_retries": ({"max_retries": 2}, {}),
    "costs": ({"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}, {}),
    "points": ({"cache_control_injection_points": [{"location": "message", "role": "system"}]}, {}),
    "user": (
        {"user": "u", "seed": 3, "metadata": {"a": "b"}},
        {"user": "u", "seed": 3, "metadata": {"a": "b"}},
    ),
    "api_version": ({"api_version": "2024", "model_info": {"a": 1}, "caching": False, "base_model": "x"}, {}),
    "timeout": ({"request_timeout": 9, "ssl_verify": False}, {}),
    "dropped": ({"additional_drop_params": ["seed"], "seed": 3}, {}),
    "min_p": ({"min_p": 0.1, "enable_thinking": False}, {"min_p": 0.1, "enable_thinking": False}),
    "engine": ({"engine": "auto"}, {}),
    "training": (
        {"provider": None, "finetuning_model": "x", "train_kwargs": {"a": 1}, "launch_kwargs": {}},
        {},
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_options_of_the_client_stay_out_of_the_body(name: str, server: OpenAIServer) -> None:
    options, expected = BODIES[name]
    assert model(server, **options)("hi") == ["ok"]
    body = dict(server.requests[-1])
    assert body.pop("model") == "gpt-4o-mini"
    assert body.pop("messages") == [{"role": "user", "content": "hi"}]
    assert body == expected


def test_dspy_sends_the_same_bodies(server: OpenAIServer, tmp_path) -> None:
    left_out = ("training",)  # DSPy's own provider objects
    code = (
        "import dspy\n"
        f"for options in {[BODIES[n][0] for n in BODIES if n not in left_out]!r}:\n"
        f"    dspy.LM('openai/gpt-4o-mini', api_base={server.url!r}, api_key='sk-test', cache=False, num_retries=0, **options)('hi')\n"
        "print('done')"
    )
    assert in_dspy(code, tmp_path) == "done"
    for name, body in zip((n for n in BODIES if n not in left_out), server.requests, strict=True):
        assert {k: v for k, v in body.items() if k not in ("model", "messages")} == BODIES[name][1], name


def test_headers_query_and_time_limit_reach_the_request(server: OpenAIServer) -> None:
    lm = model(
        server, headers={"X-A": "1"}, extra_headers={"X-B": "2"}, organization="org", extra_query={"v": "7"}
    )
    lm("hi")
    assert {"X-A": "1", "X-B": "2", "OpenAI-Organization": "org"}.items() <= server.headers[-1].items()
    assert server.queries[-1] == "v=7"
    lm("hi", headers={"X-A": "3"}, extra_body={"more": True}, timeout=5, num_retries=1)
    assert server.headers[-1]["X-A"] == "3"
    assert server.requests[-1]["more"] is True
    assert not {"headers", "timeout", "num_retries", "extra_body", "extra_query"} & server.requests[-1].keys()
    with engine.context(lm=lm):
        assert engine.Predict("question -> answer", extra_body={"top_k": 3})(question="q").answer == "ok"
    assert server.requests[-1]["top_k"] == 3
    assert "X-A" not in str(lm.dump_state())


def test_retries_prices_and_a_limit_of_one_call_count(server: OpenAIServer) -> None:
    lm = model(server, num_retries=3, max_retries=1, input_cost_per_token=1e-3, output_cost_per_token=1e-2)
    assert lm.num_retries == 1
    assert lm.price() == (1e-3, 1e-2)
    lm("hi")
    call = lm.history[-1]
    assert call["cost"] == pytest.approx(call.usage.input_tokens * 1e-3 + call.usage.output_tokens * 1e-2)
    server.fail_with(500, times=1)
    assert lm("again") == ["ok"]
    server.fail_with(500, times=1)
    with pytest.raises(engine.LMError):
        lm("once", num_retries=0)
    server.hang(times=1)
    with pytest.raises(engine.LMTimeoutError, match=r"within 0\.3 s"):
        lm("slow", timeout=0.3, num_retries=0)


def test_drop_params_leaves_out_what_the_endpoint_refuses_by_name(server: OpenAIServer) -> None:
    refused = {
        "error": {
            "message": "Unsupported parameter: 'top_k'.",
            "param": "top_k",
            "code": "unsupported_parameter",
        }
    }
    lm = model(server, top_k=5, seed=1, drop_params=True)
    server.fail_with(400, refused, times=1)
    assert lm("hi") == lm("again") == ["ok"]
    assert ["top_k" in body for body in server.requests] == [True, False, False]
    server.fail_with(400, refused, times=1)
    with pytest.raises(InvalidRequestError, match="Unsupported parameter"):
        model(server, top_k=5)("hi")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"top_k": 3, "drop_params": True}, "Unsupported parameter: 'top_k'."),
        ({"max_tokens": 9}, "Use 'max_completion_tokens' instead."),
    ],
    ids=["a parameter", "a reasoning model"],
)
def test_requests_sent_together_are_all_asked_again_in_the_form_that_is_taken(
    given, said, server: OpenAIServer
) -> None:
    lm = model(server, num_retries=0, **given)
    name = next(iter(given))
    refusal = Failure(400, json.dumps({"error": {"message": said}}).encode(), "application/json", {}, None)
    server.faults = lambda body: refusal if name in body else None
    server.gather(6)

    async def together() -> list[object]:
        return await asyncio.gather(*(lm.acall(f"hi {i}") for i in range(6)), return_exceptions=True)

    assert asyncio.run(together()) == [["ok"]] * 6
    assert server.calls == 12
    refusal = Failure(400, refusal.body, "application/json", {}, None)
    server.faults = lambda body: refusal
    with pytest.raises(InvalidRequestError):
        lm("again")
    assert server.calls == 13


def test_what_means_nothing_to_an_endpoint_is_named(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        lm = engine.LM("openai/gpt-4o-mini", top_k=5, api_version="1", temperature=0.5)
    assert lm.params == {"temperature": 0.5}
    assert "LM('openai/gpt-4o-mini'): api_version, top_k are left out" in caplog.text
    assert engine.LM("openai/m", api_base="http://127.0.0.1:1", top_k=5).params == {"top_k": 5}
    assert engine.LM("azure/m", api_base="http://127.0.0.1:1", api_version="1").params == {"api_version": "1"}


def test_points_mark_messages_for_the_providers_cache(server: OpenAIServer) -> None:
    points = [{"location": "message", "role": "system"}, {"location": "message", "index": -1}]
    lm = model(server, cache_control_injection_points=points)
    lm(
        messages=[
            {"role": "system", "content": "s"},
            {"role": "user", "content": "a"},
            {"role": "user", "content": "b"},
        ]
    )
    contents = [message["content"] for message in server.requests[-1]["messages"]]
    kept = {"cache_control": {"type": "ephemeral"}}
    assert contents == [[{"type": "text", "text": "s", **kept}], "a", [{"type": "text", "text": "b", **kept}]]


def test_an_option_of_the_model_in_a_call_says_where_it_belongs(server: OpenAIServer) -> None:
    lm = model(server)
    with pytest.raises(ConfigurationError, match=r"api_key belongs to the model: lm\.copy\(api_key=\.\.\.\)"):
        lm("hi", api_key="sk-other")
    assert lm.copy(api_key="sk-other")("hi") == ["ok"]
    assert server.headers[-1]["Authorization"] == "Bearer sk-other"


def test_what_only_a_model_can_have_is_left_out_of_a_call_and_named(server: OpenAIServer, caplog) -> None:
    assert model(server)("hi", drop_params=True, organization="org", api_version="1", request_timeout=3) == [
        "ok"
    ]
    assert server.requests[-1].keys() == {"model", "messages"}
    assert "['api_version', 'drop_params', 'organization'] of one call has no effect" in caplog.text


NAMES = {
    "litellm_proxy/a/b": "a/b",
    "hosted_vllm/a/b": "a/b",
    "lm_studio/a": "a",
    "openai_like/a": "a",
    "custom_openai/a/b": "a/b",
    "deepinfra/a/b": "deepinfra/a/b",
    "nvidia_nim/a/b": "nvidia_nim/a/b",
    "perplexity/a": "perplexity/a",
    "llamafile/a": "a",
    "openai/openai/a": "openai/a",
    "meta-llama/Llama-3": "meta-llama/Llama-3",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_prefix_that_says_how_to_speak_is_no_part_of_the_models_name(
    name: str, server: OpenAIServer
) -> None:
    model(server, name)("hi")
    assert server.requests[-1]["model"] == NAMES[name]


def test_a_providers_name_is_no_part_of_it_at_its_own_address_or_where_it_is_said(
    server: OpenAIServer,
) -> None:
    for name, address, sent in (
        ("perplexity/sonar", "https://api.perplexity.ai", "sonar"),
        ("perplexity/sonar", "https://openrouter.ai/api/v1", "perplexity/sonar"),
        ("nvidia_nim/meta/a", "https://integrate.api.nvidia.com/v1", "meta/a"),
        ("zai/glm", "https://api.z.ai/v1", "glm"),
        ("github/a", "http://github.gateway.example/v1", "github/a"),
    ):
        assert find_route(name, address).model == sent
    for name in ("sonar", "perplexity/sonar"):
        lm = model(server, name, custom_llm_provider="perplexity")
        lm("hi")
        assert server.requests[-1]["model"] == "sonar"


def test_a_proxys_address_and_key_come_from_its_variables(server: OpenAIServer, monkeypatch) -> None:
    monkeypatch.setenv("LITELLM_PROXY_API_BASE", server.url)
    monkeypatch.setenv("LITELLM_PROXY_API_KEY", "sk-proxy")
    assert engine.LM("litellm_proxy/claude", cache=False)("hi") == ["ok"]
    assert server.headers[-1]["Authorization"] == "Bearer sk-proxy"
    assert find_route("deepinfra/a/b").protocol == "litellm"
    assert engine.LM("my/model", custom_llm_provider="openai", api_base=server.url).route.model == "my/model"
    assert engine.LM("m", custom_llm_provider="azure", api_base=server.url).route.protocol == "litellm"


def test_what_only_trains_a_model_is_kept_nowhere() -> None:
    lm = engine.LM("openai/m", finetuning_model="x", train_kwargs={"epochs": 3}, temperature=0.5)
    assert not {"finetuning_model", "train_kwargs"} & (lm.dump_state().keys() | lm.params.keys())
    assert engine.LM(**lm.dump_state()).params == lm.copy().params == {"temperature": 0.5}


@pytest.mark.parametrize(
    ("option", "names", "values"),
    [
        ("num_retries", ("max_retries", "num_retries"), (1, 5)),
        ("timeout", ("request_timeout", "timeout"), (5.0, 9.0)),
        ("api_base", ("base_url", "api_base"), ("http://a.example/v1", "http://b.example/v1")),
    ],
)
def test_a_copys_option_counts_by_any_of_its_names(option: str, names: Any, values: Any) -> None:
    usual = getattr(engine.LM("openai/x").options, option)
    for old in names:
        lm = engine.LM("openai/x", **{old: values[0]})
        assert getattr(lm.copy(top_p=1).options, option) == values[0]
        assert getattr(engine.LM(**lm.dump_state()).options, option) == values[0]
        for new in names:
            assert getattr(lm.copy(**{new: values[1]}).options, option) == values[1]
            assert getattr(lm.copy(**{new: None}).options, option) == usual


def test_a_saved_steps_model_keeps_its_kind(server: OpenAIServer) -> None:
    lm = engine.LM("openai/m", "responses", num_retries=1)
    assert dump_lm(lm) == {"model": "openai/m", "model_type": "responses", "num_retries": 1}
    again = load_lm(
        {**dump_lm(lm), "finetuning_model": None, "launch_kwargs": {}, "train_kwargs": {}, "provider": None}
    )
    assert (again.model_type, again.params) == ("responses", {})
