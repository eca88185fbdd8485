"""The model providers Tuneboard knows by name, and which way a model's name is sent.

A name is "provider/model". It opens no connection and reads no key; the Settings page, the client and the
prices all read this one table. A name that is not in it still works: through litellm, or, with a base URL
given, as an endpoint that speaks the OpenAI protocol.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from engine.errors import ConfigurationError

Protocol = Literal["offline", "openai", "litellm"]


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider: how its models' names begin, where it is and what it needs.

    `base_url` is None where the person has to give it, or where litellm knows it. `key_env` names the
    environment variable that holds the key. `local` says that it runs on the person's own machine (free).
    `own_address`: there is no address but the customer's own, so the usual key is the one for it.
    `examples` are whole model names that can be pasted as they are.
    """

    prefix: str
    title: str
    protocol: Protocol
    base_url: str | None = None
    key_env: str | None = None
    needs_key: bool = True
    local: bool = False
    json_schema: bool = False
    examples: tuple[str, ...] = ()
    own_address: bool = False


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


def find_route(model: str, base_url: str | None = None) -> Route:
    """Return where a model's requests go.

    Raises ConfigurationError for an empty name, a base URL that is none, and a provider whose base URL
    has to be given and was not.

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
    provider = find_provider(model)
    rest = model.partition("/")[2] if provider else model
    if provider is not None and not rest:
        raise ConfigurationError(
            f"{model!r} names no model: write it as {provider.prefix}/ and the model's name."
        )
    if provider is None and base_url is None and _OPENAI_NAME.match(model):
        provider = _BY_PREFIX["openai"]
    if provider is not None and provider.protocol == "offline":
        return Route(model, rest, "offline", None, provider)
    if (provider is not None and provider.protocol == "litellm") or (provider is None and base_url is None):
        base = None if base_url is None else normal_base_url(base_url, add_version=False)
        return Route(model, model, "litellm", base, provider, base_url is not None)
    base_url = base_url or None
    base = base_url or (_default_base_url(provider) if provider else None)
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
    text = text.removesuffix("/chat/completions").rstrip("/")
    return f"{text}/v1" if add_version and not urlsplit(text).path else text


def is_reasoning_model(model: str) -> bool:
    """Return whether a model takes max_completion_tokens and no temperature but 1 (OpenAI's o-series and GPT-5 on).

    >>> [is_reasoning_model(m) for m in ("openai/o3-mini", "gpt-5-nano", "gpt-5-chat-latest", "gpt-4o")]
    [True, True, False, False]
    """
    name = model.rpartition("/")[2].lower()
    return bool(_REASONING.match(name)) and "-chat" not in name


def _default_base_url(provider: Provider) -> str | None:
    for variable in _BASE_URL_VARIABLES.get(provider.prefix, ()):
        if os.environ.get(variable):
            return os.environ[variable]
    return provider.base_url


_REASONING = re.compile(r"(o[1345]|gpt-(5|6|7|8|9))(\b|[-.])")
_OPENAI_NAME = re.compile(r"(gpt-|chatgpt-|o[1345](-|$))")
_BASE_URL_VARIABLES = {
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    "ollama": ("OLLAMA_API_BASE",),
    "ollama_chat": ("OLLAMA_API_BASE",),
    "lm_studio": ("LM_STUDIO_API_BASE",),
    "hosted_vllm": ("HOSTED_VLLM_API_BASE",),
}

PROVIDERS: tuple[Provider, ...] = (
    Provider(
        "offline", "Offline stand-in", "offline", needs_key=False, local=True, examples=("offline/learner",)
    ),
    Provider(
        "openai",
        "OpenAI",
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        json_schema=True,
        examples=("openai/gpt-5-mini", "openai/gpt-5-nano", "openai/gpt-4o-mini"),
    ),
    Provider(
        "anthropic",
        "Anthropic",
        "litellm",
        key_env="ANTHROPIC_API_KEY",
        examples=("anthropic/claude-opus-4-8", "anthropic/claude-sonnet-4-5"),
    ),
    Provider(
        "gemini",
        "Google Gemini",
        "litellm",
        key_env="GEMINI_API_KEY",
        examples=("gemini/gemini-2.5-flash", "gemini/gemini-pro-latest"),
    ),
    Provider(
        "ollama",
        "Ollama (this machine)",
        "openai",
        "http://localhost:11434/v1",
        needs_key=False,
        local=True,
        json_schema=True,
        examples=("ollama/llama3.2", "ollama/qwen3"),
    ),
    Provider(
        "lm_studio",
        "LM Studio (this machine)",
        "openai",
        "http://localhost:1234/v1",
        "LM_STUDIO_API_KEY",
        needs_key=False,
        local=True,
        json_schema=True,
        examples=("lm_studio/qwen3-8b",),
    ),
    Provider(
        "hosted_vllm",
        "vLLM or SGLang server",
        "openai",
        "http://localhost:8000/v1",
        "HOSTED_VLLM_API_KEY",
        needs_key=False,
        local=True,
        json_schema=True,
        examples=("hosted_vllm/meta-llama/Llama-3.3-70B-Instruct",),
    ),
    Provider(
        "openrouter",
        "OpenRouter",
        "openai",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        examples=("openrouter/openai/gpt-5-mini", "openrouter/deepseek/deepseek-chat"),
    ),
    Provider(
        "groq",
        "Groq",
        "openai",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        examples=("groq/openai/gpt-oss-20b", "groq/openai/gpt-oss-120b"),
    ),
    Provider(
        "together_ai",
        "Together AI",
        "openai",
        "https://api.together.xyz/v1",
        "TOGETHERAI_API_KEY",
        examples=("together_ai/openai/gpt-oss-20b",),
    ),
    Provider(
        "deepseek",
        "DeepSeek",
        "openai",
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        examples=("deepseek/deepseek-chat",),
    ),
    Provider(
        "mistral",
        "Mistral",
        "openai",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        examples=("mistral/mistral-small-latest",),
    ),
    Provider(
        "fireworks_ai",
        "Fireworks AI",
        "openai",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_AI_API_KEY",
        examples=("fireworks_ai/accounts/fireworks/models/gpt-oss-20b",),
    ),
    Provider(
        "xai", "xAI", "openai", "https://api.x.ai/v1", "XAI_API_KEY", examples=("xai/grok-code-fast-1",)
    ),
    Provider(
        "azure",
        "Azure OpenAI",
        "litellm",
        key_env="AZURE_API_KEY",
        examples=("azure/my-deployment",),
        own_address=True,
    ),
    Provider(
        "bedrock",
        "Amazon Bedrock",
        "litellm",
        needs_key=False,
        examples=("bedrock/anthropic.claude-3-5-haiku-20241022-v1:0",),
    ),
    Provider(
        "vertex_ai", "Google Vertex AI", "litellm", needs_key=False, examples=("vertex_ai/gemini-2.5-flash",)
    ),
    Provider("cohere", "Cohere", "litellm", key_env="COHERE_API_KEY", examples=("cohere/command-a-03-2025",)),
)
"""The providers on the Settings page, the most used first."""

_ALIASES: tuple[Provider, ...] = (
    Provider("vllm", "vLLM server", "openai", "http://localhost:8000/v1", None, False, True, True),
    Provider("sglang", "SGLang server", "openai", "http://localhost:30000/v1", None, False, True, True),
    Provider(
        "ollama_chat", "Ollama (this machine)", "openai", "http://localhost:11434/v1", None, False, True, True
    ),
    Provider("custom_openai", "OpenAI-protocol endpoint", "openai", None, None, False),
    Provider("azure_ai", "Azure AI", "litellm", None, "AZURE_AI_API_KEY", own_address=True),
    Provider("cohere_chat", "Cohere", "litellm", None, "COHERE_API_KEY"),
    Provider("vertex_ai_beta", "Google Vertex AI", "litellm", None, None, False),
    Provider("sagemaker", "Amazon SageMaker", "litellm", None, None, False),
    Provider("sagemaker_chat", "Amazon SageMaker", "litellm", None, None, False),
    Provider("replicate", "Replicate", "litellm", None, "REPLICATE_API_KEY"),
    Provider("watsonx", "IBM watsonx", "litellm", None, None, False, own_address=True),
    Provider("huggingface", "Hugging Face", "litellm", None, "HF_TOKEN"),
    Provider("databricks", "Databricks", "litellm", None, "DATABRICKS_API_KEY", own_address=True),
)
"""Known, but not listed: other names for the same, and providers with a protocol of their own."""

_BY_PREFIX = {p.prefix: p for p in (*_ALIASES, *PROVIDERS)}
