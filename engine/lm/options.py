"""Options of a model: those of the client, which never travel in a request's body, apart from the request's parameters.

The names are DSPy's and litellm's. It knows no transport and no network.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.basics.data import JsonObject, Values
from engine.errors import ConfigurationError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Settings of a model's client, read from the keywords of `engine.LM`; `params` is what is left: each request's own."""

    params: Values
    num_retries: int = 3
    timeout: float = 120.0
    api_base: str | None = None
    custom_llm_provider: str | None = None
    key_env: str | None = None
    rpm: int | None = None
    tpm: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    price: tuple[float, float] | None = None
    prompt_cache: Any = None
    capabilities: Any = None
    marks: Sequence[Values] = ()
    """Points of the messages that carry a mark for the provider's prompt cache (cache_control_injection_points)."""
    drop_params: bool = False
    """True: a parameter that the endpoint refuses by its name is left out from then on."""
    dropped: frozenset[str] = frozenset()
    """Parameters that are never sent (additional_drop_params)."""
    verify: bool | str = True
    """False: any TLS certificate is accepted; a text is the file of the authorities to trust."""
    by_litellm: bool = False
    """True: requests travel through litellm, also to an endpoint that speaks the OpenAI protocol (engine="litellm")."""
    longest_reply: int | None = None
    """Bytes of a reply that are read; None: 1 MB, for embeddings 256 MB."""
    developer_role: bool = False
    """True: the system message is the developer's (for model_type="responses")."""


def under_one_name(given: Values) -> JsonObject:
    """Return keywords with options that have several names under the first of them; of two the later one in `_NAMES` counts.

    >>> under_one_name({"num_retries": 3, "max_retries": 1, "base_url": None, "top_p": 0.5})
    {'top_p': 0.5, 'num_retries': 1, 'api_base': None}
    """
    options = {name: value for name, value in given.items() if name not in _NAMES}
    for name, ours in _NAMES.items():
        first = _FIRST_NAMES[ours]
        if name in given and (given[name] is not None or first not in options):
            options[first] = given[name]
    return options


def read_options(model: str, given: Values) -> ModelOptions:
    """Return the options among some keywords. Raises ConfigurationError for one that cannot be used.

    >>> options = read_options("m", {"max_retries": 1, "headers": {"X-Team": "a"}, "top_p": 0.5})
    >>> options.num_retries, options.headers, options.params
    (1, {'X-Team': 'a'}, {'top_p': 0.5})
    """
    params = {name: value for name, value in given.items() if value is not None}
    options: JsonObject = {}
    for name, ours in _NAMES.items():
        if name in params:
            options[ours] = params.pop(name)
    options["headers"] = {**params.pop("headers", {}), **params.pop("extra_headers", {})}
    if (organization := params.pop("organization", None)) is not None:
        options["headers"].setdefault("OpenAI-Organization", organization)
    costs = [params.pop(name, None) for name in ("input_cost_per_token", "output_cost_per_token")]
    if any(cost is not None for cost in costs):
        options.setdefault("price", (costs[0] or 0.0, costs[1] or 0.0))
    options["dropped"] = frozenset(params.pop("additional_drop_params", ()))
    options["by_litellm"] = _by_litellm(model, params.pop("engine", "auto"))
    if options.get("timeout", 1) <= 0 or options.get("num_retries", 0) < 0:
        raise ConfigurationError(f"{model!r}: timeout must be above 0 seconds and num_retries 0 or more.")
    return ModelOptions({k: v for k, v in params.items() if k not in options["dropped"]}, **options)


def _by_litellm(model: str, engine: object) -> bool:
    if engine not in ("auto", "lm15", "litellm"):
        raise ConfigurationError(
            f"{model!r}: engine is 'auto', 'litellm', or an object with complete(Request) -> Response."
        )
    return engine == "litellm"


def for_direct(name: str, params: Values, *, openai: bool) -> JsonObject:
    """Return the parameters without those that an endpoint of the OpenAI protocol has no use for; a warning names them.

    `openai` says that it is OpenAI's own, which refuses what others take.
    """
    useless = params.keys() & (_OF_LITELLM | _REFUSED_BY_OPENAI if openai else _OF_LITELLM)
    if useless:
        _log.warning(
            "LM(%r): %s left out, as %s nothing to its endpoint.",
            name,
            f"{', '.join(sorted(useless))} {'is' if len(useless) == 1 else 'are'}",
            "it means" if len(useless) == 1 else "they mean",
        )
    return {k: v for k, v in params.items() if k not in useless}


def refuse_of_model(model: str, params: Values) -> None:
    """Raise ConfigurationError where the parameters of one call hold an option that belongs to a model."""
    for name in OF_MODEL & params.keys():
        raise ConfigurationError(f"{model!r}: {name} belongs to the model: lm.copy({name}=...)(...).")


OF_MODEL = frozenset({"api_key", "api_base", "base_url", "custom_llm_provider", "model_type"})
"""Options that one call cannot have."""

_NAMES = {
    "num_retries": "num_retries",
    "max_retries": "num_retries",
    "timeout": "timeout",
    "request_timeout": "timeout",
    "api_base": "api_base",
    "base_url": "api_base",
    "custom_llm_provider": "custom_llm_provider",
    "key_env": "key_env",
    "rpm": "rpm",
    "tpm": "tpm",
    "price": "price",
    "prompt_cache": "prompt_cache",
    "capabilities": "capabilities",
    "cache_control_injection_points": "marks",
    "drop_params": "drop_params",
    "ssl_verify": "verify",
    "longest_reply": "longest_reply",
    "use_developer_role": "developer_role",
}
"""Keyword -> the option that it is; of two that are the same the later one counts."""

_FIRST_NAMES = {ours: name for name, ours in reversed(_NAMES.items())}

_OF_LITELLM = frozenset(
    """
    allowed_openai_params api_type api_version azure_ad_token azure_ad_token_provider base_model caching client
    context_window_fallback_dict fallbacks litellm_call_id litellm_metadata litellm_params mock_response model_info
    model_list no-log retry_policy retry_strategy stream stream_options stream_timeout tags
    """.split()
)
"""Options of litellm's client for other providers, for its proxy or for its own records."""

_OTHER_NAMES = frozenset(
    {"organization", "additional_drop_params", "input_cost_per_token", "output_cost_per_token", "engine"}
)
"""Keywords of `engine.LM` that become a part of another option."""

_REFUSED_BY_OPENAI = frozenset({"top_k"})

OF_TRIES = frozenset({"timeout", "request_timeout", "num_retries", "max_retries"})
"""Parameters of a call that say how long and how often it is tried, and nothing of what is asked."""

_OF_CALL = {"extra_body", "extra_query", "extra_headers", "headers"} | OF_TRIES
OF_CALL = frozenset(_OF_CALL | OF_MODEL | _OF_LITELLM | _NAMES.keys() | _OTHER_NAMES)
"""Parameters of a call that are not in the body by their own name: they say how it is made, or mean nothing there."""


def unheard_of_call(params: Values) -> list[str]:
    """Return the names among a call's parameters that have an effect on a model only, or with other providers."""
    return sorted(params.keys() & OF_CALL - _OF_CALL)
