"""Model settings as data, as runs, steps and program files hold them.

No key is ever in here: `key_env` only names the environment variable that holds one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from engine.lm.base import BaseLM


class ModelChoice(BaseModel):
    """A model, its address (by default its provider's) and the parameters of its calls.

    `key_env` names the environment variable that holds the key: None for the provider's usual one, "" for no key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "offline/learner"
    base_url: str | None = None
    key_env: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None


def is_offline(model: ModelChoice | str) -> bool:
    """Return whether a model, by its settings or its name, runs inside the engine, with no network and no key.

    >>> is_offline(ModelChoice()), is_offline("openai/gpt-5-mini")
    (True, False)
    """
    return (model if isinstance(model, str) else model.name).startswith("offline/")


def make_lm(choice: ModelChoice) -> BaseLM:
    """Return a model. Its key is looked up when it is first called, in the environment and the keyring.

    Raises ConfigurationError for no name, and for an address that is none.
    """
    from engine.lm.client import LM  # brings the network in

    return LM(
        choice.name,
        api_base=choice.base_url,
        key_env=choice.key_env,
        temperature=choice.temperature,
        max_tokens=choice.max_tokens,
        # The offline model is quick, free and always answers the same: keeping its answers would only fill the disk.
        cache=not is_offline(choice),
    )


@lru_cache(maxsize=32)
def shared_lm(choice: ModelChoice) -> BaseLM:
    """Return `make_lm`'s model, the same one for equal choices, so that its limits and its connection are shared.

    >>> shared_lm(ModelChoice()) is shared_lm(ModelChoice())
    True
    """
    return make_lm(choice)
