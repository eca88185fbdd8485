"""Where a script that stands alone sends its requests, and with which settings: a program's model as data.

No key is in it, only the name of the environment variable that holds one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import ConfigurationError, ProgramFileError
from engine.lm.catalog import find_route, is_reasoning_model
from engine.lm.choice import ModelChoice, make_lm
from engine.lm.exchange import for_reasoning

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.signature import Signature

NOWHERE: dict[str, Any] = {"name": "", "url": "", "settings": {}, "key_variable": None, "needs_key": False}


def is_offline(model: ModelChoice | None) -> bool:
    """Return whether a model is none that a script could ask."""
    return model is None or model.name.startswith("offline/")


def endpoint(model: ModelChoice | None) -> dict[str, Any]:
    """Return a model's name there, its address, its settings and where its key is; empty for the offline stand-in.

    Raises ProgramFileError for a provider with a protocol of its own.

    >>> endpoint(ModelChoice(name="openai/gpt-4o-mini", temperature=0.5))["url"]
    'https://api.openai.com/v1/chat/completions'
    """
    if model is None or is_offline(model):
        return dict(NOWHERE)
    try:
        route = find_route(model.name, model.base_url)
    except ConfigurationError as error:
        raise ProgramFileError(f"A script cannot ask the program's model: {error}") from error
    if route.protocol != "openai":
        raise ProgramFileError(
            f"The model {model.name!r} does not speak the OpenAI protocol, the only one that a script without "
            "Tuneboard speaks. Take the Python script with Tuneboard."
        )
    settings = model.model_dump(include={"temperature", "max_tokens"}, exclude_none=True)
    if is_reasoning_model(route.model):
        for_reasoning(settings)
    usual = None if route.custom or route.provider is None else route.provider
    return {
        "name": route.model,
        "url": f"{route.base_url}/chat/completions",
        "settings": settings,
        "key_variable": model.key_env or (usual.key_env if usual else None),
        "needs_key": bool(usual and usual.needs_key),
    }


def asks_for(adapter: Adapter, signature: type[Signature], model: ModelChoice | None) -> dict[str, Any]:
    """Return what a layout adds to a request where the model takes it: the schema of the answer."""
    return {} if model is None or is_offline(model) else adapter.params(signature, make_lm(model))
