"""Models in plain words. No Streamlit and no litellm in here."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from engine.runs.spec import ModelChoice

OFFLINE = "offline/learner"


def is_offline(choice: ModelChoice) -> bool:
    """Whether a model is the built-in stand-in."""
    return choice.name.startswith("offline/")


def title_of(choice: ModelChoice) -> str:
    """Return a model's name as a person reads it.

    >>> title_of(ModelChoice()), title_of(ModelChoice(name="llama3", base_url="http://127.0.0.1:11434/v1"))
    ('Offline stand-in (free, no key)', 'llama3 at 127.0.0.1:11434')
    """
    if is_offline(choice):
        return "Offline stand-in (free, no key)"
    where = urlsplit(choice.base_url).netloc.rpartition("@")[2] if choice.base_url else ""
    return f"{choice.name} at {where}" if where else choice.name


def key_variable(choice: ModelChoice) -> str:
    """Return the environment variable that holds a model's key, or "" where it needs none.

    >>> key_variable(ModelChoice(name="openai/gpt-5-mini")), key_variable(ModelChoice())
    ('OPENAI_API_KEY', '')
    """
    from engine.lm.catalog import find_provider

    if choice.key_env:
        return choice.key_env
    provider = find_provider(choice.name)
    if choice.base_url or provider is None or not provider.needs_key:
        return ""
    return provider.key_env or ""


def own_key_variable(address: str) -> str:
    """Return the name of the variable for the key of an address of one's own.

    >>> own_key_variable("https://llm.example.org:8443/v1")
    'TUNEBOARD_LLM_EXAMPLE_ORG_KEY'
    """
    host = urlsplit(address).hostname or "own"
    return f"TUNEBOARD_{re.sub(r'[^A-Za-z0-9]+', '_', host).upper()}_KEY"


def price_words(choice: ModelChoice) -> str:
    """Return what a model costs, in words.

    >>> price_words(ModelChoice())
    'free'
    """
    from engine.lm.prices import price

    if is_offline(choice):
        return "free"
    found = price(choice.name)
    if found is None:
        return "price not known"
    if not found.input and not found.output:
        return "free"
    return f"${1e6 * found.input:,.2f} in, ${1e6 * found.output:,.2f} out per million tokens"
