"""Which addresses a tool may ask: public ones, and private ones only when that was allowed.

It knows addresses, and nothing of what is asked of them.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from engine.addresses import is_local_name, is_public
from engine.errors import ToolError

__all__ = ["check_url", "is_public", "private"]


def check_url(url: str, *, allow_private: bool = False) -> str:
    """Return an http(s) URL. Raises ToolError for another scheme, and for a private address unless that is allowed.

    A host's name is not looked up here: `is_public` decides again for the addresses it turns out to have.

    >>> check_url("https://example.org/a")
    'https://example.org/a'
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ToolError(f"{url!r} is no web address. It should start with https:// or http://.")
    if parts.username or parts.password:
        raise ToolError("A web address of a tool cannot hold a user name or password. Send them as headers.")
    host = parts.hostname.rstrip(".").lower()
    if not allow_private and (is_local_name(host) or not is_public(host)):
        raise ToolError(private(host))
    return url


def private(host: str) -> str:
    """Return the sentence that refuses a private address."""
    return f"{host!r} is an address on this machine or a private network. Pass allow_private=True to ask it."
