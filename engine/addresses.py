"""Addresses of the web: public ones, and those of this machine or a private network, which are asked only where allowed.

A name may lead to such an address: the connector looks at what it turns out to be, before anything is sent.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import aiohttp


def is_public(host: str) -> bool:
    """Return whether a literal address is public; a name, which is no address yet, counts as public.

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


def is_local_name(host: str) -> bool:
    """Return whether a name means this machine or a private network by convention.

    >>> is_local_name("localhost"), is_local_name("example.org")
    (True, False)
    """
    return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


def checked_url(url: str, *, allow_private: bool = False) -> str:
    """Return an http(s) URL. Raises ValueError for another scheme, or a private address unless that is allowed.

    A host's name is not looked up here.

    >>> checked_url("https://example.org/a.png")
    'https://example.org/a.png'
    >>> checked_url("http://127.0.0.1/a.png")
    Traceback (most recent call last):
    ValueError: '127.0.0.1' is an address on this machine or a private network. Pass allow_private=True to use it.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".").lower()
    except ValueError:
        raise ValueError(f"{url[:80]!r} is no web address.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{url[:80]!r} is no web address. It should start with https:// or http://.")
    if not allow_private and (is_local_name(host) or not is_public(host)):
        raise ValueError(_private(host))
    return url


def _private(host: str) -> str:
    return f"{host!r} is an address on this machine or a private network. Pass allow_private=True to use it."


def connector(*, allow_private: bool = False) -> aiohttp.TCPConnector:
    """Return connections that no name leads to a private address, unless that is allowed: PermissionError is the cause then."""
    from aiohttp import TCPConnector
    from aiohttp.resolver import ThreadedResolver

    class Resolver(ThreadedResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
            found = await super().resolve(host, port, family)
            if not allow_private and not all(is_public(one["host"]) for one in found):
                raise PermissionError(_private(host))
            return found

    return TCPConnector(resolver=Resolver())


async def limited_body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return what was answered. Raises ValueError for more than `most` bytes."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > most:
            raise ValueError(f"{response.url} answered more than {most} bytes.")
    return bytes(body)
