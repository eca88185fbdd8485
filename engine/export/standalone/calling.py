"""One request to an endpoint that speaks the OpenAI protocol, over urllib.

The code is copied into exported scripts; see `engine.export.carried`.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from engine.adapters.base import REASONS
from engine.adapters.json import ABOUT_THE_FORMAT

TRIES = 4
SECONDS = 120
LONGEST_WAIT = 60.0


class CallError(Exception):
    """A call that got no answer."""


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as an error: the key would go along to another address."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


def complete(
    model: dict[str, Any], messages: Sequence[Mapping[str, Any]], more: dict[str, Any]
) -> tuple[str, str]:
    """Return a model's reply to some messages, and what to add where it cannot be read.

    Asks again, after a wait, where the endpoint is busy or failing. Raises CallError.
    """
    body = {"model": model["name"], "messages": messages, **model["settings"], **more}
    problem = ""
    for turn in range(TRIES):
        asked = 0.0
        try:
            return read_reply(send(model, body), model)
        except HTTPError as error:
            refusal = error.read().decode("utf-8", "replace")
            if error.code == 400 and (changed := without_refused(body, refusal)) != body:
                body = changed
                continue
            problem = (
                f"{model['url']} answered {error.code}: {without_key(refusal, model)[:300] or error.reason}"
            )
            if error.code not in (408, 409, 425, 429) and error.code < 500:
                break
            asked = seconds_asked(error.headers.get("Retry-After", ""))
        except (OSError, ValueError) as error:  # no connection, no answer in time, or no JSON
            problem = f"{model['url']} cannot be asked: {getattr(error, 'reason', None) or error}"
        if asked > LONGEST_WAIT or turn == TRIES - 1:
            break
        time.sleep(asked * (1 + random.random() / 4) or random.uniform(0.05, 0.5 * 2 ** (turn + 1)))
    raise CallError(problem)


def send(model: dict[str, Any], body: dict[str, Any]) -> Any:
    """Send one request and return the JSON that comes back."""
    headers = {"Content-Type": "application/json", "User-Agent": "tuneboard"}
    if model.get("key"):
        headers["Authorization"] = f"Bearer {model['key']}"
    data = json.dumps(body, ensure_ascii=False).encode()
    # The address was given by the person who runs this, and checked to be one of http.
    request = urllib.request.Request(model["url"], data, headers)  # noqa: S310 - checked above
    handlers: list[Any] = [NoRedirects]
    if urlsplit(model["url"]).hostname in ("localhost", "127.0.0.1", "::1"):
        handlers.append(urllib.request.ProxyHandler({}))
    with urllib.request.build_opener(*handlers).open(request, timeout=SECONDS) as answer:
        return json.loads(answer.read())


def read_reply(reply: Any, model: dict[str, object]) -> tuple[str, str]:
    """Return the text of a reply, and what its end says of it. Raises CallError where there is none."""
    try:
        choice = reply["choices"][0]
        content, ended = choice["message"].get("content"), choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        text = without_key(json.dumps(reply), model)[:300]
        raise CallError(f"{model['url']} sent no completion: {text}") from None
    if content is None:
        content = choice["message"].get("refusal") or ""
        ended = "refusal" if content else ended
    elif not isinstance(content, str):  # a list of parts
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content, REASONS.get(ended or "", "")


def without_refused(body: dict[str, object], refusal: str) -> dict[str, object]:
    """Return a request without what an endpoint does not take: a schema, or a classic model's settings."""
    kept = dict(body)
    if ABOUT_THE_FORMAT.search(refusal):
        kept.pop("response_format", None)
    if re.search(r"max_completion_tokens|temperature\W{1,4}(does not|is not) support", refusal):
        if "max_tokens" in kept:
            kept["max_completion_tokens"] = kept.pop("max_tokens")
        if kept.get("temperature", 1) != 1:
            del kept["temperature"]
    return kept


def seconds_asked(text: str) -> float:
    """Return the seconds that an endpoint asks to wait, 0 where it does not say."""
    return float(text) if re.fullmatch(r"\s*\d+(\.\d+)?\s*", text) else 0.0


def without_key(text: str, model: dict[str, Any]) -> str:
    """Return an endpoint's text on one line, without the key."""
    return " ".join((text.replace(model["key"], "...") if model.get("key") else text).split())


def with_key(model: dict[str, Any]) -> dict[str, Any]:
    """Return a model with its key from the environment. Raises CallError where it needs one and there is none."""
    if not re.match(r"https?://[^/\s]", model["url"]):
        raise CallError(f"{model['url']!r} is no address: write it with http:// or https://.")
    variable = model.get("key_variable")
    key = os.environ.get(variable, "").strip() if variable else ""
    if model.get("needs_key") and not key:
        raise CallError(f"Set the environment variable {variable} to your key for {model['url']}.")
    return {**model, "key": key}
