"""Tests of whether an address is public, or belongs to this machine or a private network."""

from __future__ import annotations

import ipaddress


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
