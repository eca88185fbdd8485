"""Models by name: their settings as data, the providers that Tuneboard knows, and the way of a name's requests.

A name is "provider/model". Nothing here opens a connection or holds a key: `key_env` only names the environment variable
that has one. A name of an unknown provider still works: through litellm, or, with a base URL given, as an endpoint that
speaks the OpenAI protocol.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.basics.text import cut
from engine.errors import ConfigurationError

Protocol = Literal["offline", "local", "openai", "litellm"]


OFFLINE_EMBEDDINGS = "offline/hashing"
"""The embedding model that needs no network: hashed words and letters."""


class ModelChoice(BaseModel):
    """A model, its address (by default its provider's) and the parameters of its calls.

    `key_env` names the environment variable that holds the key: None for the provider's usual one, "" for no key.
    `timeout` is in seconds, for one try: None for two minutes. A run ends when the first calls all take longer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "offline/learner"
    base_url: str | None = None
    key_env: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = Field(default=None, gt=0)

    @field_validator("base_url")
    @classmethod
    def _without_password(cls, url: str | None) -> str | None:
        """Return an address without a user name and password: a choice is saved, shown and exported."""
        return url and without_password(url)

    @field_validator("key_env")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        return name and variable_name(name)

    def named(self, name: str) -> ModelChoice:
        """Return another model by its name alone: at this one's address and with its settings where the provider is the same.

        >>> ModelChoice(name="openai/a", base_url="http://localhost:8000/v1").named("openai/b").base_url
        'http://localhost:8000/v1'
        """
        alike = self.name.partition("/")[0] == name.partition("/")[0]
        return self.model_copy(update={"name": name}) if alike else ModelChoice(name=name)


def variable_name(name: str) -> str:
    """Return the name of an environment variable. Raises ValueError for anything else, such as a key itself.

    >>> variable_name("MY_API_KEY")
    'MY_API_KEY'
    """
    if not re.fullmatch(r"[A-Za-z_][\w().-]*", name, re.ASCII):
        raise ValueError(f"{name[:40]!r} is no name of an environment variable, such as MY_API_KEY")
    return name


def without_password(url: str) -> str:
    """Return an address without the user name and password in it.

    >>> without_password("https://me:secret@example.org/v1"), without_password("http://localhost:8000/v1")
    ('https://example.org/v1', 'http://localhost:8000/v1')
    """
    scheme, slashes, rest = url.partition("://")
    place, *path = re.split(r"(?=[/?#])", rest, maxsplit=1)
    return f"{scheme}{slashes}{place.rpartition('@')[2]}{''.join(path)}" if slashes and "@" in place else url


PACED = "offline/paced"
"""The offline model that takes about as long for an answer as a real one, for a demonstration."""


def is_offline(model: ModelChoice | str) -> bool:
    """Return whether a model, by its settings or its name, runs inside the engine, with no network and no key.

    >>> is_offline(ModelChoice()), is_offline("openai/gpt-5-mini")
    (True, False)
    """
    return (model if isinstance(model, str) else model.name).startswith("offline/")


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider: how its models' names begin, where it is and what it needs.

    `base_url` is None where the user has to give it, or where litellm knows it. `key_env` names the
    environment variable that holds the key. `local` says that it runs on the user's own machine (free).
    `own_address`: there is no address but the customer's own, so the usual key is the one for it.
    `models` are some of its models, as examples.
    """

    prefix: str
    title: str
    protocol: Protocol
    base_url: str | None = None
    key_env: str | None = None
    models: tuple[str, ...] = ()
    local: bool = False
    own_address: bool = False

    @property
    def examples(self) -> tuple[str, ...]:
        """Whole model names that can be pasted as they are."""
        return tuple(f"{self.prefix}/{model}" for model in self.models)

    @property
    def needs_key(self) -> bool:
        """True if nothing is answered without a key; a local server may have one all the same."""
        return self.key_env is not None and not self.local

    @property
    def json_schema(self) -> bool:
        """True if every model takes a JSON schema as response_format: the local servers see to it themselves."""
        return self.local and self.protocol == "openai"


@dataclass(frozen=True, slots=True)
class Route:
    """The way of a model's requests. `model` is the name that is sent, `name` the one that the user wrote."""

    name: str
    model: str
    protocol: Protocol
    base_url: str | None = None
    provider: Provider | None = None
    custom: bool = False

    @property
    def foreign(self) -> bool:
        """True if it goes to another address than the provider's own."""
        return self.custom and not (self.provider is not None and self.provider.own_address)

    @property
    def provider_name(self) -> str:
        """The provider's prefix, or ""."""
        return "" if self.provider is None else self.provider.prefix

    @property
    def at_openai(self) -> bool:
        """True if it goes to OpenAI's own address."""
        return not self.custom and self.provider is not None and self.provider.prefix in _OPENAIS

    @property
    def host(self) -> str:
        """The endpoint's host (and port, where one is written), for messages."""
        if self.base_url:
            return urlsplit(self.base_url).netloc.rpartition("@")[2] or self.base_url
        return self.provider.title if self.provider else "litellm"

    @property
    def endpoint(self) -> str:
        """Name of this endpoint in the cache: never a key, never a password in the URL."""
        if self.base_url is None:
            return self.provider.prefix if self.provider else "litellm"
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{self.host}{parts.path}"


def find_provider(model: str) -> Provider | None:
    """Return the provider a model's name begins with, or None.

    >>> find_provider("groq/openai/gpt-oss-20b").title
    'Groq'
    """
    prefix, slash, _ = model.partition("/")
    return _BY_PREFIX.get(prefix.lower()) if slash else None


def key_variable(choice: ModelChoice) -> str:
    """Return the environment variable that holds a model's key, or "" where it needs none.

    >>> key_variable(ModelChoice(name="openai/gpt-5-mini")), key_variable(ModelChoice())
    ('OPENAI_API_KEY', '')
    """
    if choice.key_env:
        return choice.key_env
    provider = find_provider(choice.name)
    return "" if choice.base_url or provider is None or not provider.needs_key else provider.key_env or ""


def find_route(model: str, base_url: str | None = None) -> Route:
    """Return where a model's requests go.

    Raises ConfigurationError for an empty name, an address in a name, a base URL that is none, and a provider whose
    base URL has to be given and was not.

    >>> find_route("openai/gpt-5-mini").base_url
    'https://api.openai.com/v1'
    >>> find_route("meta-llama/Llama-3.3-70B", "http://localhost:8000").base_url
    'http://localhost:8000/v1'
    >>> find_route("anthropic/claude-opus-5").protocol
    'litellm'
    """
    model = model.strip()
    if not model:
        raise ConfigurationError(
            "No model was named. Give one as provider/model, for example openai/gpt-5-mini."
        )
    if "://" in model:
        raise ConfigurationError(
            f"The model's name {cut(model, 80)!r} holds an address. Name the model alone, and give the address as its base URL."
        )
    provider = find_provider(model)
    if provider is not None and provider.protocol == "local" and base_url:
        provider = None  # a server's own name for it
    rest = model.partition("/")[2] if provider else model
    if provider is not None and not rest:
        raise ConfigurationError(
            f"{model!r} names no model: write it as {provider.prefix}/ and the model's name."
        )
    if provider is None and base_url is None and _OPENAI_NAME.match(model):
        provider = _BY_PREFIX["openai"]
    if provider is None and base_url is not None and _prefix_only(model.partition("/")[0].lower(), base_url):
        rest = model.partition("/")[2] or model
    if provider is not None and provider.protocol in ("offline", "local"):
        return Route(model, rest, provider.protocol, None, provider)
    if (provider is not None and provider.protocol == "litellm") or (provider is None and base_url is None):
        base = None if base_url is None else normal_base_url(base_url, add_version=False)
        return Route(model, model, "litellm", base, provider, base_url is not None)
    base = base_url = base_url or None
    if provider is not None and base is None:
        variables = _BASE_URL_VARIABLES.get(provider.prefix, ())
        base = next((os.environ[v] for v in variables if os.environ.get(v)), provider.base_url)
    if base is None:
        title = provider.title if provider else model
        raise ConfigurationError(
            f"{title} has no fixed address: give the base URL of the endpoint for {model}."
        )
    return Route(model, rest, "openai", normal_base_url(base), provider, base_url is not None)


def normal_base_url(url: str, *, add_version: bool = True) -> str:
    """Return a base URL as the client needs it: no trailing slash, no "/chat/completions", "/v1" if it had no path.

    Raises ConfigurationError for text that is no http address.

    >>> normal_base_url(" http://localhost:11434/ ")
    'http://localhost:11434/v1'
    """
    text = url.strip().rstrip("/")
    parts = urlsplit(text)
    try:
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or re.search(r"\s", text):
        raise ConfigurationError(
            f"{url!r} is no base URL. Write it with http:// or https://, for example http://localhost:11434/v1."
        )
    text = re.sub(r"/(chat/completions|completions|responses)$", "", text).rstrip("/")
    return f"{text}/v1" if add_version and not urlsplit(text).path else text


def is_reasoning_model(model: str) -> bool:
    """Return whether a model takes max_completion_tokens and no temperature but 1 (OpenAI's o-series and GPT-5 on).

    >>> [is_reasoning_model(m) for m in ("openai/o3-mini", "gpt-5-nano", "gpt-5-chat-latest", "gpt-4o")]
    [True, True, False, False]
    """
    name = model.rpartition("/")[2].lower()
    return bool(_REASONING.match(name)) and "-chat" not in name


_REASONING = re.compile(r"(o[1345]|gpt-(5|6|7|8|9))(\b|[-.])")
_OPENAI_NAME = re.compile(r"(gpt-|chatgpt-|o[1345](-|$))")
_BASE_URL_VARIABLES = {
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    "ollama": ("OLLAMA_API_BASE",),
    "ollama_chat": ("OLLAMA_API_BASE",),
    "lm_studio": ("LM_STUDIO_API_BASE",),
    "hosted_vllm": ("HOSTED_VLLM_API_BASE",),
    "litellm_proxy": ("LITELLM_PROXY_API_BASE",),
}
_OPENAIS = ("openai", "text-completion-openai")
_PROTOCOL_ONLY = frozenset(
    {"aiohttp_openai", "docker_model_runner", "llamafile", "openai_like", "xinference"}
)
"""Prefixes of litellm's that say only how to speak to an address: they are no part of the model's name."""

_COMPATIBLE = {
    "dashscope": "aliyuncs.com",
    "friendliai": "friendli.ai",
    "meta_llama": "llama.com",
    "volcengine": "volces.com",
    "zai": "z.ai",
    **{
        prefix: prefix.partition("_")[0]
        for prefix in """
        anyscale baseten cerebras deepinfra empower featherless_ai galadriel github heroku hyperbolic inception
        lambda_ai modelscope moonshot morph nebius novita nscale nvidia_nim perplexity sambanova v0
        """.split()
    },
}
"""Providers that litellm reaches by the OpenAI protocol and that have no separate entry here -> how their domain begins."""


def _prefix_only(prefix: str, base_url: str) -> bool:
    """Return whether a prefix without an entry here is no part of the name at an address; a gateway's names begin with one."""
    host = (urlsplit(base_url).hostname or "").split(".")
    domain = _COMPATIBLE.get(prefix, "")
    return prefix in _PROTOCOL_ONLY or (bool(domain) and ".".join(host[-2:]).startswith(domain))


def _hosted(prefix: str, title: str, base_url: str, key_env: str, *models: str) -> Provider:
    """Return a provider on the network that speaks the OpenAI protocol."""
    return Provider(prefix, title, "openai", base_url, key_env, models)


def _local(prefix: str, title: str, port: int, *models: str, key_env: str | None = None) -> Provider:
    """Return a server on the user's own machine."""
    url = f"http://localhost:{port}/v1"
    return Provider(prefix, title, "openai", url, key_env, models, local=True)


def _by_litellm(
    prefix: str, title: str, key_env: str | None = None, *models: str, own_address: bool = False
) -> Provider:
    """Return a provider with a separate protocol."""
    return Provider(prefix, title, "litellm", None, key_env, models, own_address=own_address)


PROVIDERS: tuple[Provider, ...] = (
    Provider("offline", "Offline stand-in", "offline", models=("learner",), local=True),
    _hosted(
        "openai",
        "OpenAI",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        "gpt-5-mini",
        "gpt-5-nano",
        "gpt-4o-mini",
    ),
    _by_litellm("anthropic", "Anthropic", "ANTHROPIC_API_KEY", "claude-opus-4-8", "claude-sonnet-4-5"),
    _by_litellm("gemini", "Google Gemini", "GEMINI_API_KEY", "gemini-2.5-flash", "gemini-pro-latest"),
    _local("ollama", "Ollama (this machine)", 11434, "llama3.2", "qwen3"),
    _local("lm_studio", "LM Studio (this machine)", 1234, "qwen3-8b", key_env="LM_STUDIO_API_KEY"),
    _local(
        "hosted_vllm",
        "vLLM or SGLang server",
        8000,
        "meta-llama/Llama-3.3-70B-Instruct",
        key_env="HOSTED_VLLM_API_KEY",
    ),
    _hosted(
        "openrouter",
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        "openai/gpt-5-mini",
        "deepseek/deepseek-chat",
    ),
    _hosted(
        "groq",
        "Groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        "openai/gpt-oss-20b",
        "openai/gpt-oss-120b",
    ),
    _hosted(
        "together_ai",
        "Together AI",
        "https://api.together.xyz/v1",
        "TOGETHERAI_API_KEY",
        "openai/gpt-oss-20b",
    ),
    _hosted("deepseek", "DeepSeek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", "deepseek-chat"),
    _hosted("mistral", "Mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", "mistral-small-latest"),
    _hosted(
        "fireworks_ai",
        "Fireworks AI",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_AI_API_KEY",
        "accounts/fireworks/models/gpt-oss-20b",
    ),
    _hosted("xai", "xAI", "https://api.x.ai/v1", "XAI_API_KEY", "grok-code-fast-1"),
    _by_litellm("azure", "Azure OpenAI", "AZURE_API_KEY", "my-deployment", own_address=True),
    _by_litellm("bedrock", "Amazon Bedrock", None, "anthropic.claude-3-5-haiku-20241022-v1:0"),
    _by_litellm("vertex_ai", "Google Vertex AI", None, "gemini-2.5-flash"),
    _by_litellm("cohere", "Cohere", "COHERE_API_KEY", "command-a-03-2025"),
)
"""The providers on the Settings page, the most used first."""

_ALIASES: tuple[Provider, ...] = (
    Provider("tuned", "Tuned model (this machine)", "local", local=True),
    Provider("local", "Weights in a folder or of a hub (this machine)", "local", local=True),
    _local("vllm", "vLLM server", 8000),
    _local("sglang", "SGLang server", 30000),
    _local("ollama_chat", "Ollama (this machine)", 11434),
    Provider("custom_openai", "OpenAI-protocol endpoint", "openai"),
    Provider("litellm_proxy", "LiteLLM proxy", "openai", None, "LITELLM_PROXY_API_KEY", own_address=True),
    _hosted("text-completion-openai", "OpenAI", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    _by_litellm("azure_ai", "Azure AI", "AZURE_AI_API_KEY", own_address=True),
    _by_litellm("cohere_chat", "Cohere", "COHERE_API_KEY"),
    _by_litellm("vertex_ai_beta", "Google Vertex AI"),
    _by_litellm("sagemaker", "Amazon SageMaker"),
    _by_litellm("sagemaker_chat", "Amazon SageMaker"),
    _by_litellm("replicate", "Replicate", "REPLICATE_API_KEY"),
    _by_litellm("watsonx", "IBM watsonx", own_address=True),
    _by_litellm("huggingface", "Hugging Face", "HF_TOKEN"),
    _by_litellm("databricks", "Databricks", "DATABRICKS_API_KEY", own_address=True),
)
"""Known, but not listed: other names for the same, and providers with a separate protocol."""

_BY_PREFIX = {p.prefix: p for p in (*_ALIASES, *PROVIDERS)}
