"""Asking a service over HTTP, as its callers do."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any


def ask(url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Return status and text of an answer: to a POST of `body` as JSON (bytes as they are), or to a GET."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
