"""Prices and abilities of models, from the table that litellm ships.

The file is read, litellm itself is never imported (that takes seconds). `prices.json` in the data folder, in
the same form, adds to it and wins over it: {"my/model": {"input_cost_per_token": 1e-6, ...}}.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import orjson

from engine.basics.home import data_home, write_whole
from engine.errors import ConfigurationError, StoreError
from engine.lm.choice import find_provider
from engine.lm.exchange import Price
from engine.lm.local.sources import hosted_choice

log = logging.getLogger(__name__)


def price(model: str) -> Price | None:
    """Return a model's price, or None where it is not known. Models on the user's own machine are free; a tuned model
    costs what its provider's does.

    >>> price("openai/gpt-4o-mini").input
    1.5e-07
    >>> price("ollama/llama3.2").input
    0.0
    >>> price("openai/ft:gpt-4o-mini-2024-07-18:me:sort:a1").input
    3e-07
    >>> price("no-such-provider/model") is None
    True
    """
    if (hosted := hosted_choice(model)) is not None:
        model = hosted.name
    try:
        overrides = _own_file()
    except StoreError:
        # No data folder, so no own prices; code that needs the folder reports what is wrong with it.
        overrides = None
    return _price(model, overrides)


def own_prices() -> dict[str, Price]:
    """Return the user's own prices by model name. Raises StoreError where there is no data folder."""
    return _all_parsed(_overrides(_own_file()))


def set_own_price(model: str, per_million: tuple[float, float] | None) -> None:
    """Set a model's price, in US dollars per million tokens in and out; None goes back to the usual one.

    Raises ConfigurationError for a negative price, StoreError where the file cannot be written or read.
    """
    path = _own_file()
    prices = dict(_overrides(path))
    if path.exists() and not prices and path.read_bytes().strip() not in (b"", b"{}"):
        raise StoreError(f"{path} cannot be read as prices. Fix it or remove it first.")
    if per_million is None:
        prices.pop(model, None)
    else:
        if min(per_million) < 0:
            raise ConfigurationError("A price cannot be below 0 dollars.")
        before = prices.get(model)
        entry = before if isinstance(before, dict) else {}
        names = ("input_cost_per_token", "output_cost_per_token")
        prices[model] = {**entry, **{n: p / 1e6 for n, p in zip(names, per_million, strict=True)}}
    try:
        write_whole(path, orjson.dumps(prices, option=orjson.OPT_INDENT_2))
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from error
    _price.cache_clear()


def _own_file() -> Path:
    return data_home() / "prices.json"


@lru_cache(maxsize=1024)
def _price(model: str, overrides: Path | None) -> Price | None:
    usual = _usual(model)
    entry = _overrides(overrides).get(model) if overrides else None
    override = _parse(entry)
    if override is None or usual is None:
        return usual if entry is None else override
    # The user's own price replaces the cost; limits of the model still come from the table.
    return override._replace(
        **{
            name: getattr(usual, name)
            for name in ("json_schema", "tools", "reasoning")
            if not getattr(override, name)
        }
    )


def _usual(model: str) -> Price | None:
    provider = find_provider(model)
    if provider is not None and provider.local:
        return Price(0.0, 0.0, 0.0, json_schema=provider.json_schema)
    prefix, _, rest = model.partition("/")
    names = [model]
    if prefix == "openrouter":
        # OpenRouter passes the makers' prices on.
        names += [rest, rest.partition("/")[2]]
    elif prefix in ("openai", "anthropic", "cohere", "bedrock", "vertex_ai"):
        # Only these makers' models are in the table without their prefix.
        names.append(rest)
        if rest.startswith("ft:"):
            # A tuned model, ft:BASE:ORGANISATION:SUFFIX:ID, costs what all that were tuned from its base do.
            names.append(":".join(rest.split(":")[:2]))
    table = _table()
    return next((table[name] for name in names if name in table), None)


@lru_cache(maxsize=1)
def _table() -> Mapping[str, Price]:
    spec = importlib.util.find_spec("litellm")
    if spec is None or not spec.origin:
        return {}
    path = Path(spec.origin).parent / "model_prices_and_context_window_backup.json"
    try:
        raw = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        log.warning("The price table %s cannot be read (%s); costs are shown as unknown.", path.name, error)
        return {}
    # Small records instead of the whole table: it is 3 MB of JSON.
    return _all_parsed(raw)


def _overrides(path: Path) -> Mapping[str, object]:
    try:
        raw = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, orjson.JSONDecodeError) as error:
        log.warning("%s cannot be read (%s): your own prices are left out until it is fixed.", path, error)
        return {}
    return raw if isinstance(raw, dict) else {}


def _all_parsed(raw: Mapping[str, object]) -> dict[str, Price]:
    return {name: parsed for name, entry in raw.items() if (parsed := _parse(entry)) is not None}


def _parse(entry: object) -> Price | None:
    if not isinstance(entry, dict):
        return None
    cost_in, cost_out = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if not isinstance(cost_in, int | float) or not isinstance(cost_out, int | float):
        return None
    cached = entry.get("cache_read_input_token_cost")
    written = entry.get("cache_creation_input_token_cost")
    return Price(
        float(cost_in),
        float(cost_out),
        float(cached if isinstance(cached, int | float) else cost_in),
        entry.get("supports_response_schema") is True,
        entry.get("supports_function_calling") is True,
        entry.get("supports_reasoning") is True,
        float(written) if isinstance(written, int | float) else None,
        sees if isinstance(sees := entry.get("supports_vision"), bool) else None,
    )
