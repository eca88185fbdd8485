"""Sources of API keys: given in code, an environment variable, or the system's keyring.

A key is kept in a `Secret`, which shows as dots wherever it is printed, and is never written anywhere.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from operator import is_
from typing import Any

from engine.basics.data import JsonObject, Values
from engine.lm.choice import Route, find_provider

SERVICE = "tuneboard"
"""The name under which keys lie in the keyring; the user name there is the environment variable's name."""


class Secret:
    """A key that does not show itself, or none; `where` says where it was found, or looked for.

    >>> Secret("sk-123")
    Secret('...')
    """

    __slots__ = ("_value", "where")

    def __init__(self, value: str = "", where: str = "") -> None:
        self._value = value
        self.where = where

    def reveal(self) -> str:
        """Return the key itself, for the one header that needs it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret('...')"

    __str__ = __repr__

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        # A pickled program must not carry a key with it; the reader finds its own.
        return Secret, ("",)


NO_KEY = Secret()
"""No key, and none looked for."""


def find_key(model: str, key_env: str | None = None) -> Secret:
    """Look for a model's key: the environment variable, then the keyring.

    `key_env` names the variable; without it the provider's usual one is used.

    >>> bool(find_key("offline/learner"))
    False
    """
    provider = find_provider(model)
    variable = key_env or (provider.key_env if provider else None)
    if not variable:
        return Secret("", "no key needed" if provider and not provider.needs_key else "")
    value = os.environ.get(variable, "").strip()
    if value:
        return Secret(value, f"environment variable {variable}")
    value = _from_keyring(variable)
    if value:
        return Secret(value, f"system keyring ({variable})")
    return Secret("", f"environment variable {variable} or the system keyring")


def key_for(route: Route, key_env: str | None = None) -> Secret:
    """Look for the key of a route. A base URL other than the provider's own gets only a key named for it (`key_env`).

    The usual variables hold keys for the provider's own address; sending them to another host because a
    base URL was typed, or read from a file, would hand them out. `key_env` "": no key, wherever it goes.
    """
    if key_env == "" or (key_env is None and (route.protocol in ("offline", "local") or route.foreign)):
        return NO_KEY
    named = (
        route.name if route.provider is None or "/" in route.name else f"{route.provider.prefix}/{route.name}"
    )
    return find_key(named, key_env)


def store_key(variable: str, key: str) -> bool:
    """Put a key into the system's keyring; False where there is no keyring to put it in."""
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(SERVICE, variable, key)
    except (KeyringError, OSError, RuntimeError):
        return False
    return True


def has_keyring() -> bool:
    """Return whether this system has a keyring that keys can be put into."""
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_keyring().priority > 0
    except (KeyringError, OSError, RuntimeError):
        return False


def without_keys(text: str, *secrets: Secret) -> str:
    """Return a text with every key in it blotted out: those given, and anything that looks like one.

    >>> without_keys("Incorrect API key provided: sk-proj-abcdef1234567890.")
    'Incorrect API key provided: [key].'
    """
    for secret in secrets:
        if len(secret.reveal()) >= 4:
            text = text.replace(secret.reveal(), "[key]")
    return _KEY_LIKE.sub("[key]", text)


def without_secrets(settings: Values) -> Values:
    """Return settings without those whose name says that they are secret, also inside their dicts and lists.

    Without any they are returned as they are. Headers are left out as a whole: any of them may hold a token.

    >>> without_secrets({"max_tokens": 5, "azure_ad_token": "a", "extra_body": {"api_key": "b", "top_k": 1}})
    {'max_tokens': 5, 'extra_body': {'top_k': 1}}
    """
    changed: JsonObject = {}
    for name, value in settings.items():
        if _is_secret(name):
            changed[name] = None
        elif isinstance(value, _CONTAINERS) and name not in _OF_FIELDS:
            left = _without_secrets_inside(value)
            if left is not value:
                changed[name] = left
    return {k: changed.get(k, v) for k, v in settings.items() if not _is_secret(k)} if changed else settings


def _without_secrets_inside(value: Any) -> Any:
    if isinstance(value, dict):
        return without_secrets(value)
    left = [_without_secrets_inside(part) if isinstance(part, _CONTAINERS) else part for part in value]
    return value if all(map(is_, left, value)) else left


@lru_cache(maxsize=1024)
def _is_secret(name: object) -> bool:
    return name not in _NO_SECRETS and _SECRET_NAME.search(str(name)) is not None


_SECRET_NAME = re.compile(
    r"key(?!word)|(?<!per_)token$|ad_token|bearer|secret|passw|credential|authorization|auth$|cookie|headers",
    re.IGNORECASE,
)
SECRET_VARIABLE = re.compile(r"(key|token|secret|passw(or)?d|credentials?)(_id)?$", re.IGNORECASE)
"""Pattern of the names of environment variables that hold secrets."""

_CONTAINERS = (dict, list, tuple)
_NO_SECRETS = frozenset({"key_env", "prompt_cache_key"})
_OF_FIELDS = frozenset({"tools", "functions", "response_format", "properties", "$defs"})
"""Settings in which a name is a field's: one called "password" describes what is asked for."""


def _from_keyring(variable: str) -> str:
    # Imported here: it takes tens of milliseconds, and most machines have the variable set.
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return ""
    try:
        return (keyring.get_password(SERVICE, variable) or "").strip()
    except (KeyringError, OSError, RuntimeError, ValueError):
        # No keyring, a locked one, or a broken back end: the same as no key.
        return ""


_KEY_LIKE = re.compile(r"\b(?:sk|gsk|xai|pk|rk|hf|AIza)[-_]?[A-Za-z0-9*][A-Za-z0-9_*-]{11,}")
