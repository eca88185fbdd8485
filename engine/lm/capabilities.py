"""What an endpoint can do beside text: read from the price table and the catalogue, or told by `LM(capabilities=...)`.

Where nothing is known nothing is assumed: a request with a part that an endpoint does not know is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

from engine.errors import ConfigurationError
from engine.lm.catalog import Route, is_reasoning_model
from engine.lm.prices import Price

Capability = Literal["json_schema", "tools", "reasoning", "citations", "cache_marks"]
"""A JSON schema as response_format; `tools` and tool calls; thoughts beside the answer; citations from documents that are
parts of a message; marks that say what to keep in the provider's prompt cache."""

NAMES: tuple[str, ...] = get_args(Capability)


def capabilities_of(route: Route, price: Price | None) -> frozenset[str]:
    """Return what is known of a model behind a route.

    >>> from engine.lm.catalog import find_route
    >>> from engine.lm.prices import price
    >>> sorted(capabilities_of(find_route("openai/gpt-4o-mini"), price("openai/gpt-4o-mini")))
    ['json_schema', 'tools']
    """
    found: set[str] = set()
    provider = route.provider
    if (price and price.json_schema) or (provider and provider.json_schema and provider.local):
        found.add("json_schema")
    if price and price.tools:
        found.add("tools")
    # OpenAI's own reasoning models keep their thoughts to themselves.
    if price and price.reasoning and not is_reasoning_model(route.model):
        found.add("reasoning")
    claude = "claude" in route.model.lower()
    if claude:
        found.add("cache_marks")
    if claude and route.protocol == "litellm" and provider is not None and provider.prefix == "anthropic":
        found.add("citations")
    return frozenset(found)


def checked(given: Collection[str], model: str) -> frozenset[str]:
    """Return capabilities that somebody named. Raises ConfigurationError for one there is not."""
    if isinstance(given, str):
        given = (given,)
    for name in given:
        if name not in NAMES:
            raise ConfigurationError(
                f"{model!r}: there is no capability {name!r}. Choose from: {', '.join(NAMES)}."
            )
    return frozenset(given)
