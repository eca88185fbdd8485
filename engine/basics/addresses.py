"""Addresses of the web: public ones, and those of this machine or a private network, which are asked only where allowed.

A name may lead to such an address: the connector looks at what it turns out to be, before anything is sent. What is
checked before that only gives an earlier message.
"""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import aiohttp


def is_public(host: str) -> bool:
    """Return whether a literal address is public; a name, which is no address yet, counts as public.

    An address that carries an IPv4 address, for a network that translates, is as public as that one.

    >>> is_public("8.8.8.8"), is_public("10.0.0.1"), is_public("::ffff:127.0.0.1"), is_public("example.org")
    (True, False, False, True)
    >>> is_public("127\u30020\u30020\u30021"), is_public("64:ff9b::10.0.0.1"), is_public("fec0::1")
    (False, False, False)
    """
    host = _plain_host(host)
    try:
        address = ipaddress.ip_address(host.strip("[]").split("%")[0])
    except ValueError:
        # Numbers in other notations ("2130706433", "0x7f.1") are addresses to some resolvers.
        return (
            not host.replace(".", "").replace("x", "").isalnum()
            or not host[:1].isdigit()
            or host[-1].isalpha()
        )
    if isinstance(address, ipaddress.IPv6Address):
        inner = _carried(address)
        if inner is not None:
            return _is_global(inner)
        if address.is_site_local or address in _LOCAL_NAT64:
            return False
    return _is_global(address)


def _is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not address.is_multicast


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address inside an address of one of the forms that carry one."""
    for network, shift in _CARRIERS:
        if address in network:
            return ipaddress.IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return None


_CARRIERS = tuple(
    (ipaddress.IPv6Network(network), shift)
    for network, shift in (
        ("::ffff:0:0/96", 0),  # mapped
        ("::ffff:0:0:0/96", 0),  # translated (SIIT)
        ("::/96", 0),  # compatible
        ("64:ff9b::/96", 0),  # NAT64
        ("2002::/16", 80),  # 6to4
    )
)


_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")


def _plain_host(host: str) -> str:
    """Return a host as a client sees it: digits, dots and letters of other scripts that mean plain ones become these."""
    return unicodedata.normalize("NFKC", host).replace("\u3002", ".").rstrip(".").lower()


def is_local_name(host: str) -> bool:
    """Return whether a name means this machine or a private network by convention.

    >>> is_local_name("localhost"), is_local_name("example.org")
    (True, False)
    """
    return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


def is_this_machine(host: str) -> bool:
    """Return whether a host's name or address is one by which a machine reaches itself.

    >>> [is_this_machine(host) for host in ("localhost", "127.0.1.1", "[::1]", "10.0.0.1", "127.example.org", "")]
    [True, True, True, False, False, False]
    """
    host = _plain_host(host).strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
        host = _plain_host(parts.hostname or "")
    except ValueError:
        raise ValueError(f"{url[:80]!r} is no web address.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{url[:80]!r} is no web address. It should start with https:// or http://.")
    if not allow_private and (is_local_name(host) or not is_public(host)):
        raise ValueError(_private(repr(host)))
    return url


def _private(host: str) -> str:
    return f"{host} is an address on this machine or a private network. Pass allow_private=True to use it."


def connector(*, allow_private: bool = False) -> aiohttp.TCPConnector:
    """Return connections that lead to no private address unless that is allowed: see `private_refusal`.

    The address is checked when its connection is made: however it was written, whatever name or redirect led to it.
    """
    from aiohttp import TCPConnector
    from aiohttp.resolver import ThreadedResolver

    def open_socket(address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, (host, *_) = address
        if not allow_private and not is_public(host):
            # The same text for all addresses of a name: it is then the one error where each of them is refused.
            raise PermissionError("private address")
        return socket.socket(family, kind, protocol)

    return TCPConnector(resolver=ThreadedResolver(), socket_factory=open_socket)


def private_refusal(error: Exception, url: str) -> str:
    """Return the message for a connection that `connector` refused; "" where it failed for another reason."""
    return _private(repr(urlsplit(url).hostname)) if isinstance(error.__cause__, PermissionError) else ""


async def limited_body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return what was answered. Raises ValueError for more than `most` bytes."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > most:
            raise ValueError(f"{response.url} answered more than {most} bytes.")
    return bytes(body)
