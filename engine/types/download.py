"""The one door to the network for values: a file fetched because someone asked for it.

Addresses of this machine and of private networks are refused unless allowed, also behind a name or a redirect: the
connection itself is checked before anything is sent. Size and time are limited. Knows nothing of what is fetched.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from engine.addresses import is_local_name, is_public

LARGEST = 50 * 2**20
"""Bytes."""

TIMEOUT = 30.0
"""Seconds."""


def checked_url(url: str, *, allow_private: bool = False) -> str:
    """Return an http(s) URL. Raises ValueError for another scheme, or a private address unless that is allowed.

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


def download(
    url: str, *, timeout: float = TIMEOUT, allow_private: bool = False, verify: bool = True
) -> tuple[bytes, str]:
    """Return (content, media type) of a URL. Raises ValueError in a sentence for everything that can go wrong."""
    checked_url(url, allow_private=allow_private)

    def connect(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        made = socket.create_connection(address, *args, **kwargs)
        peer = str(made.getpeername()[0])
        if not allow_private and not is_public(peer):
            made.close()
            raise ValueError(_private(f"{address[0]} ({peer})"))
        return made

    class Plain(http.client.HTTPConnection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._create_connection = connect

    class Secure(http.client.HTTPSConnection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._create_connection = connect

    class PlainHandler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(Plain, req)

    class SecureHandler(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> Any:
            tls = ssl.create_default_context()
            if not verify:
                tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
            return self.do_open(Secure, req, context=tls)

    # No proxy: behind one, nobody here could see which address is asked. No other scheme: no file:, no ftp:.
    opener = urllib.request.OpenerDirector()
    for handler in (
        PlainHandler(),
        SecureHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers={"User-Agent": "tuneboard"})  # noqa: S310 - checked above
    try:
        with opener.open(request, timeout=timeout) as response:
            data = bytes(response.read(LARGEST + 1))
            media_type = str(response.headers.get_content_type())
    except urllib.error.HTTPError as error:
        status = error.code
        error.close()
        raise ValueError(f"{url[:80]!r} answered {status} when it was downloaded.") from None
    except (OSError, http.client.HTTPException) as error:
        raise ValueError(f"{url[:80]!r} cannot be downloaded: {error}.") from None
    if len(data) > LARGEST:
        raise ValueError(f"{url[:80]!r} holds more than {LARGEST // 2**20} MB.")
    return data, media_type


def _private(host: str) -> str:
    return f"{host!r} is an address on this machine or a private network. Pass allow_private=True to use it."
