"""Names, addresses, keys, prices and the history: everything about a model that needs no call."""

import io
import pickle
import subprocess
import sys

import pytest

from engine.errors import ConfigurationError, StoreError
from engine.lm.base import Choice, Reply
from engine.lm.calls.history import Call, show
from engine.lm.choice import PROVIDERS, find_provider, find_route, is_reasoning_model
from engine.lm.client import LM
from engine.lm.exchange import Price
from engine.lm.keys import Secret, find_key, without_keys
from engine.lm.prices import own_prices, price, set_own_price
from engine.records import Usage


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda p: p.prefix)
def test_every_listed_provider_is_complete(provider):
    assert provider.title
    assert provider.examples
    assert all(name.startswith(provider.prefix + "/") for name in provider.examples)
    assert bool(provider.base_url) == (provider.protocol == "openai")
    assert provider.key_env or not provider.needs_key
    for name in provider.examples:
        route = find_route(name)
        assert route.provider is provider
        assert route.protocol == provider.protocol
        assert route.host


@pytest.mark.parametrize(
    ("name", "base", "protocol", "sent", "address"),
    [
        ("openai/gpt-4o", None, "openai", "gpt-4o", "https://api.openai.com/v1"),
        ("gpt-4o", None, "openai", "gpt-4o", "https://api.openai.com/v1"),
        ("openrouter/openai/gpt-5-mini", None, "openai", "openai/gpt-5-mini", "https://openrouter.ai/api/v1"),
        ("meta-llama/Llama-3.3", "http://h:1/v1/", "openai", "meta-llama/Llama-3.3", "http://h:1/v1"),
        ("my-model", "http://h:1", "openai", "my-model", "http://h:1/v1"),
        ("ollama/llama3.2", "http://h:1/v1/chat/completions", "openai", "llama3.2", "http://h:1/v1"),
        ("anthropic/claude-x", None, "litellm", "anthropic/claude-x", None),
        ("anthropic/claude-x", "http://h:1/", "litellm", "anthropic/claude-x", "http://h:1"),
        ("perplexity/sonar", None, "litellm", "perplexity/sonar", None),
        ("offline/learner", None, "offline", "learner", None),
    ],
)
def test_where_a_name_is_sent(name, base, protocol, sent, address):
    route = find_route(name, base)
    assert (route.protocol, route.model, route.base_url) == (protocol, sent, address)


@pytest.mark.parametrize(
    ("name", "words"),
    [("", "No model was named"), ("openai/", "names no model"), ("custom_openai/m", "base URL")],
)
def test_names_that_cannot_be_sent(name, words):
    with pytest.raises(ConfigurationError, match=words):
        find_route(name)


def test_the_usual_variable_for_the_address(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://proxy.test/v1")
    route = find_route("openai/gpt-4o")
    assert route.base_url == "http://proxy.test/v1"
    assert not route.custom


def test_a_password_in_the_address_is_in_no_message_and_no_cache_key():
    route = find_route("openai/m", "https://user:hunter2@host.test/v1")
    assert route.host == "host.test"
    assert "hunter2" not in route.endpoint


def test_reasoning_models_by_name():
    reasoning = [
        "o1",
        "o3-mini",
        "openai/o4-mini-2025-04-16",
        "gpt-5",
        "gpt-5.1",
        "openrouter/openai/gpt-5-nano",
    ]
    others = ["gpt-4o", "gpt-5-chat-latest", "olmo-7b", "o1000", "llama3", "openai/chatgpt-4o-latest"]
    assert all(is_reasoning_model(name) for name in reasoning)
    assert not any(is_reasoning_model(name) for name in others)


def test_keys_from_the_environment_and_the_keyring(monkeypatch):
    import keyring
    from keyring.backend import KeyringBackend

    before = keyring.get_keyring()  # first: the class below would be chosen too

    class Memory(KeyringBackend):
        priority = 1
        kept: dict[str, str] = {}

        def get_password(self, service, username):
            return self.kept.get(username)

        def set_password(self, service, username, password):
            self.kept[username] = password

    from engine.lm.keys import has_keyring, store_key

    keyring.set_keyring(Memory())
    try:
        monkeypatch.delenv("GROQ_API_KEY", raising=False)
        assert not find_key("groq/m")
        assert "GROQ_API_KEY" in find_key("groq/m").where
        assert has_keyring()
        assert store_key("GROQ_API_KEY", "from-the-keyring")
        found = find_key("groq/m")
        assert found.reveal() == "from-the-keyring"
        assert "keyring" in found.where
        monkeypatch.setenv("GROQ_API_KEY", "from-the-environment")
        assert find_key("groq/m").reveal() == "from-the-environment"
        monkeypatch.setenv("MINE", "my-own")
        assert find_key("groq/m", "MINE").reveal() == "my-own"
    finally:
        keyring.set_keyring(before)


def test_a_machine_without_a_keyring_is_no_error(monkeypatch):
    import keyring
    from keyring.backends.fail import Keyring as NoKeyring

    from engine.lm.keys import has_keyring, store_key

    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    try:
        monkeypatch.delenv("GROQ_API_KEY", raising=False)
        assert not find_key("groq/m")
        assert not has_keyring()
        assert not store_key("GROQ_API_KEY", "x")
    finally:
        keyring.set_keyring(before)


def test_a_secret_shows_nowhere():
    secret = Secret("sk-1234567890abcdef")
    assert "1234" not in f"{secret} {secret!r} {[secret]}"
    assert b"1234" not in pickle.dumps(secret)
    assert without_keys("it was sk-1234567890abcdef!", secret) == "it was [key]!"
    assert without_keys("a sketch of task-oriented work") == "a sketch of task-oriented work"


def test_prices_of_ones_own_win(tmp_path, home):
    (tmp_path / "prices.json").write_text(
        '{"openai/gpt-4o-mini": {"input_cost_per_token": 1, "output_cost_per_token": 2}}'
    )
    assert price("openai/gpt-4o-mini").output == 2
    assert LM("openai/gpt-4o-mini").price() == (1.0, 2.0)


def test_a_price_is_set_kept_and_taken_back(tmp_path, home):
    set_own_price("my/model", (2.0, 8.0))
    set_own_price("openai/gpt-4o-mini", (0.0, 1.0))
    assert price("my/model") == Price(2e-6, 8e-6, 2e-6)
    assert price("openai/gpt-4o-mini").output == 1e-6
    assert price("openai/gpt-4o-mini").json_schema
    assert set(own_prices()) == {"my/model", "openai/gpt-4o-mini"}
    set_own_price("openai/gpt-4o-mini", None)
    assert price("openai/gpt-4o-mini").input == 1.5e-7
    with pytest.raises(ConfigurationError, match="below 0"):
        set_own_price("my/model", (-1.0, 0.0))
    (tmp_path / "prices.json").write_text("{")
    with pytest.raises(StoreError, match=r"prices\.json cannot be read"):
        set_own_price("my/model", (1.0, 1.0))
    assert (tmp_path / "prices.json").read_text() == "{"


def test_a_broken_price_file_is_a_warning(tmp_path, home, caplog):
    (tmp_path / "prices.json").write_text("{")
    assert price("openai/gpt-4o-mini").input == 1.5e-7
    assert "prices.json" in caplog.text


def test_prices_by_the_ways_a_model_is_named():
    assert price("gpt-4o-mini") == price("openai/gpt-4o-mini") == price("openrouter/openai/gpt-4o-mini")
    assert price("anthropic/claude-sonnet-4-5") is not None
    assert price("ollama/anything").cost(1000, 1000) == 0
    assert price("groq/nobody-knows-this") is None
    assert LM("openai/gpt-4o-mini").supports_response_format
    assert LM("hosted_vllm/m").supports_response_format
    assert not LM("m", api_base="http://h:1/v1").supports_response_format


def test_the_history_reads_well_and_answers_to_dspys_keys():
    reply = Reply((Choice("first"), Choice("second")), Usage(1, 0, 12, 3, 0.25), "m", cached=True)
    call = Call(
        "openai/m",
        ({"role": "system", "content": "Be brief."}, {"role": "user", "content": PARTS}),
        {},
        reply,
    )
    out = io.StringIO()
    show([call], 1, out)
    text = out.getvalue()
    assert "openai/m, 12 tokens in, 3 out, $0.250000, from the cache" in text
    assert "--- system ---\nBe brief." in text
    assert "Look:\n[image_url]" in text
    assert "--- answer 2 ---\nsecond" in text
    assert call["outputs"] == ["first", "second"]
    assert call["cost"] == 0.25
    with pytest.raises(KeyError):
        call["nothing"]
    empty = io.StringIO()
    show([], 3, empty)
    assert "No model has been called" in empty.getvalue()


PARTS = [{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {"url": "data:..."}}]


def test_settings_that_cannot_be():
    with pytest.raises(ConfigurationError, match="timeout"):
        LM("openai/m", timeout=0)
    with pytest.raises(ConfigurationError, match="model_type"):
        LM("openai/m", model_type="speech")
    with pytest.raises(ConfigurationError, match="engine is 'auto', 'litellm', or an object"):
        LM("openai/m", engine=object())


def test_copies_and_state_keep_the_settings():
    lm = LM("groq/m", temperature=0.5, max_tokens=7, num_retries=1, key_env="MINE", rpm=60)
    other = lm.copy(temperature=0.9, rollout_id=3)
    assert (other.model, other.params["temperature"], other.num_retries) == ("groq/m", 0.9, 1)
    assert other.request(({"role": "user", "content": "x"},)).rollout_id == 3
    assert "rollout_id" not in lm.copy(rollout_id=None).params
    again = LM(**lm.dump_state())
    assert (again.model, again.params) == (lm.model, lm.params)
    assert find_provider(again.model).prefix == "groq"


def test_importing_the_client_and_reading_a_price_load_nothing_heavy():
    code = """
import sys
import engine.lm.client, engine.lm.prices
assert engine.lm.prices.price("openai/gpt-4o-mini")
heavy = {"litellm", "openai", "httpx", "pandas", "numpy", "optuna", "streamlit", "keyring", "sqlite_utils", "aiohttp"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "name", ["oobabooga/http://127.0.0.1:9912/x", "openai/https://example.org", "http://a"]
)
def test_an_address_in_a_name_is_refused(name):
    with pytest.raises(ConfigurationError, match="as its base URL"):
        LM(name, api_key="sk-test")
