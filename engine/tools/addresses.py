"""Which addresses a tool may ask: public ones, and private ones only when that was allowed.

It knows addresses, and nothing of what is asked of them.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from engine.errors import ToolError


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
    local = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    if not allow_private and (local or not is_public(host)):
        raise ToolError(private(host))
    return url


def is_public(host: str) -> bool:
    """Whether a literal address is one that anybody may ask; a name, which is no address yet, counts as public.

    >>> is_public("8.8.8.8"), is_public("10.0.0.1"), is_public("::ffff:127.0.0.1"), is_public("example.org")
    (True, False, False, True)
    """
    try:
        address = ipaddress.ip_address(host.strip("[]").split("%")[0])
    except ValueError:
        # Numbers in other notations ("2130706433", "0x7f.1") are addresses to some resolvers.
        return (
            not host.replace(".", "").replace("x", "").isalnum()
            or not host[:1].isdigit()
            or host[-1].isalpha()
        )
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_global) and not address.is_multicast


def private(host: str) -> str:
    """Return the sentence that refuses a private address."""
    return f"{host!r} is an address on this machine or a private network. Pass allow_private=True to ask it."
