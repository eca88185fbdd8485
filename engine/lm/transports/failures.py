"""Failures of calls as the right LMError with one clear message.

Each message names the endpoint's host and the model, and says what to do. No key is ever in one: text that
comes from a server is shortened and cleaned first. It knows HTTP statuses and nothing of any transport.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import orjson

from engine.basics.text import cut, visible
from engine.errors import (
    AuthenticationFailedError,
    BadReplyError,
    ContextWindowExceededError,
    InvalidRequestError,
    LMError,
    LMTimeoutError,
    ModelNotFoundError,
    ProviderFailureError,
    RateLimitedError,
    SilentEndpointError,
    UnreachableError,
)
from engine.lm.exchange import Reply
from engine.lm.keys import NO_KEY, Secret, without_keys

E = TypeVar("E", bound=LMError)
LONGEST_QUOTE = 200
"""Characters of an endpoint's text in a message: an internal service's answer must not come out whole."""


@dataclass(frozen=True, slots=True)
class Place:
    """The endpoint and model of a call, which the messages name, and its key, which they must not show."""

    host: str
    model: str
    url: str = ""
    key: Secret = NO_KEY
    key_env: str | None = None
    provider: str = ""

    def failure(self, kind: type[E], message: str, status: int | None = None, wait: float | None = None) -> E:
        """Return an error of this call; `wait` are the seconds that the server asks for."""
        error = kind(message, model=self.model, status=status, retry_after=wait)
        error.provider = self.provider
        return error


def from_status(place: Place, status: int, body: bytes, headers: Mapping[str, str]) -> LMError:
    """Return the error for an HTTP status of 300 and above."""
    message, code = server_message(body, place)
    error = _of_status(place, status, (message, code), headers)
    error.provider_code = code or None
    error.request_id = headers.get("x-request-id")
    return error


def _of_status(place: Place, status: int, reported: tuple[str, str], headers: Mapping[str, str]) -> LMError:
    words, code = reported
    quote = f" The endpoint wrote: {words}" if words else ""
    wait = retry_after(headers)
    host, name = place.host, f"model {place.model!r}"
    if status in (401, 403):
        return place.failure(AuthenticationFailedError, f"{_key_refused(place, status)}.{quote}", status)
    if status == 429:
        return _rate_limited(place, code, quote, wait)
    if status == 402:
        message = f"The account at {host} has no credit left for {name} (402): add some there.{quote}"
        return place.failure(AuthenticationFailedError, message, status)
    if status == 404:
        where = f", or the address {place.url}" if place.url else ""
        message = f"{host} does not know {name} (404): check the model's name{where}.{quote}"
        return place.failure(ModelNotFoundError, message, status)
    if status in (408, 504):
        message = (
            f"{host} gave up waiting for {name} ({status}): try again, or ask for shorter answers.{quote}"
        )
        return place.failure(LMTimeoutError, message, status, wait)
    if 300 <= status < 400:
        message = (
            f"{host} sends requests for {name} on to {_host_of(headers.get('Location', ''))} ({status}), which is not "
            "followed because the API key would go with it: give the new address as the base URL."
        )
        return place.failure(InvalidRequestError, message, status)
    if status >= 500:
        message = (
            f"{host} failed on a request for {name} ({status}): try again later, or another model.{quote}"
        )
        return place.failure(ProviderFailureError, message, status, wait)
    if code == "context_length_exceeded" or _TOO_LONG.search(words):
        message = (
            f"The prompt is longer than {name} at {host} takes: use fewer or shorter demonstrations, or a model "
            f"with a longer context.{quote}"
        )
        return place.failure(ContextWindowExceededError, message, status)
    if code == "model_not_found" or _NO_MODEL.search(words):
        message = f"{host} does not know {name} ({status}): check the model's name.{quote}"
        return place.failure(ModelNotFoundError, message, status)
    message = f"{host} refused the request for {name} ({status}): check the model's parameters.{quote}"
    return place.failure(InvalidRequestError, message, status)


def _key_refused(place: Place, status: int) -> str:
    name = f"model {place.model!r}"
    if not place.key:
        where = f"set {place.key_env}" if place.key_env else "give one as api_key or on the Settings page"
        return f"{place.host} asks for an API key for {name} ({status}) and none was sent: {where}"
    where = "" if place.key.where == "given" else f" in the {place.key.where}"
    return f"{place.host} refused the API key for {name} ({status}): check the key{where}"


def _rate_limited(place: Place, code: str, quote: str, wait: float | None) -> RateLimitedError:
    name = f"model {place.model!r}"
    if code == "insufficient_quota":
        message = f"The account at {place.host} has used up its quota for {name} (429): add credit there."
        return _lasting(place.failure(RateLimitedError, message, 429))
    when = f"wait {wait:.0f} s" if wait and wait >= 1 else "wait a little"
    message = f"{place.host} is limiting requests for {name} (429): {when}, or lower the concurrency.{quote}"
    return place.failure(RateLimitedError, message, 429, wait)


def _lasting(error: E) -> E:
    """Return an error that is the same however often it is asked again."""
    error.retryable = False
    return error


def bad_reply(place: Place, body: bytes, content_type: str = "") -> BadReplyError:
    """Return the error for a 200 whose body is not the JSON it should be."""
    text = body[:400].lstrip().lower()
    host, name = place.host, f"model {place.model!r}"
    if text and ("html" in content_type or text.startswith((b"<!doctype", b"<html"))):
        # A sign-in page or a wrong path.
        message = (
            f"{host} answered with a web page instead of JSON for {name}: check the base URL, which usually "
            "ends in /v1."
        )
        return place.failure(BadReplyError, message, 200)
    if not text:
        message = (
            f"{host} sent an empty reply for {name}: try again, and check that the address is the API's."
        )
    elif text.startswith((b"{", b"[")):
        message = (
            f"{host} sent a reply for {name} that is cut off or no valid JSON: try again, or lower the "
            "length of the answers."
        )
    else:
        message = f"{host} sent no JSON for {name}: check that the base URL speaks the OpenAI protocol."
    return place.failure(BadReplyError, message, 200)


def wrong_shape(place: Place, reply: object) -> LMError:
    """Return the error for a 200 with JSON that holds no completion; some endpoints put their errors there."""
    if isinstance(reply, dict) and reply.get("error"):
        error = reply["error"]
        code = error.get("code") if isinstance(error, dict) else None
        known = _STATUSES.get(str(code), 500)
        status = int(code) if isinstance(code, int | str) and str(code).isdigit() else known
        return from_status(place, status if 400 <= status < 600 else 500, orjson.dumps(reply), {})
    message = (
        f"{place.host} sent JSON without a completion for model {place.model!r}: check that the base URL speaks the "
        "OpenAI protocol (chat completions)."
    )
    error = place.failure(BadReplyError, message, 200)
    # An endpoint that knows completions has left them out this time; any other will never send one.
    return error if isinstance(reply, dict) and "choices" in reply else _lasting(error)


def refused_parameter(body: bytes) -> str | None:
    """Return the parameter that an error says the endpoint does not take, or None.

    >>> refused_parameter(b'{"error": {"message": "Unrecognized request argument supplied: top_k"}}')
    'top_k'
    """
    try:
        error = orjson.loads(body)["error"]
        message, code = str(error["message"]), str(error.get("code") or "")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None
    if code in ("unsupported_parameter", "unknown_parameter", "unsupported_value") and error.get("param"):
        return re.split(r"[.\[]", str(error["param"]))[0]
    match = _REFUSED.search(message)
    return match[1] if match else None


def blank(host: str, model: str, reply: Reply) -> BadReplyError:
    """Return the error for a completion with nothing in it, which has cost something all the same."""
    message = f"{host} sent an answer without content for model {model!r}: try again, or look at the endpoint's own log."
    error = BadReplyError(message, model=model, status=200)
    error.spent = replace(reply, choices=())
    return error


def too_long(place: Place, limit: int) -> BadReplyError:
    """Return the error for a reply that is longer than any answer can be."""
    message = (
        f"{place.host} sent more than {limit / 2**20:g} MB for one request to model {place.model!r}, which is no answer: it was "
        "not read to its end. Check the address, or raise the model's longest_reply."
    )
    return _lasting(place.failure(BadReplyError, message, 200))


def timed_out(place: Place, seconds: float) -> LMTimeoutError:
    """Return the error for no answer in time."""
    message = (
        f"{place.host} did not answer within {seconds:g} s for model {place.model!r}: "
        "check that it is running, or raise the timeout."
    )
    return place.failure(LMTimeoutError, message)


def silent(host: str, model: str, seconds: float, requests: int) -> SilentEndpointError:
    """Return the error for an endpoint that takes requests and has never answered one."""
    message = (
        f"{host} has answered none of the first {requests} requests for model {model!r} within {seconds:g} s each: check that it "
        "runs and that the address is right, or raise the model's timeout."
    )
    return SilentEndpointError(message, model=model)


def unreachable(place: Place, why: str) -> UnreachableError:
    """Return the error for no connection; `why` is a few words such as "connection refused"."""
    message = (
        f"Cannot reach {place.host} for model {place.model!r} ({_quoted(why, place)}): "
        "check the address, and that the server runs."
    )
    return place.failure(UnreachableError, message)


def unsendable(model: str, error: TypeError) -> InvalidRequestError:
    """Return the error for a request that no JSON can be made of."""
    return InvalidRequestError(
        f"A request for model {model!r} cannot be sent ({error}): take values that are no text or numbers, and "
        "characters that are no valid Unicode, out of the row.",
        model=model,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds a server asks to wait, from `retry-after-ms` or `Retry-After` (seconds or a date).

    >>> retry_after({"Retry-After": "2.5"})
    2.5
    >>> retry_after({}) is None
    True
    """
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        if not (text := headers.get("Retry-After") or headers.get("retry-after")):
            return None
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", text):
            return float(text)
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        sent = headers.get("Date") or headers.get(
            "date"
        )  # by the server's own clock: this machine's may be wrong
        now = parsedate_to_datetime(sent) if sent else datetime.now(UTC)
        if now.tzinfo is None:
            now = now.replace(tzinfo=UTC)
        return max(0.0, (when - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def server_message(body: bytes, place: Place) -> tuple[str, str]:
    """Return the server's message as it may be quoted, and its error code."""
    code = ""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = "" if body.lstrip()[:1] == b"<" else body[:400].decode("utf-8", "replace")
    else:
        error = data.get("error", data) if isinstance(data, dict) else data
        if isinstance(error, dict):
            code = str(error.get("code") or error.get("type") or "")
            text = str(error.get("message") or error.get("detail") or "")
        else:
            text = str(error)
    return _quoted(text, place), cut(code, LONGEST_QUOTE)


def _quoted(text: str, place: Place) -> str:
    """Return another side's text as a message may hold it."""
    return cut(visible(" ".join(without_keys(text, place.key).split())), LONGEST_QUOTE)


def _host_of(location: str) -> str:
    match = re.match(r"https?://(?:[^/@]*@)?([^/?#]+)", location)
    return cut(visible(match[1]), LONGEST_QUOTE) if match else "another address"


_TOO_LONG = re.compile(
    r"context.?(length|window|size)|maximum.{0,20}tokens|too many (input )?tokens|prompt is too long|too long",
    re.I,
)
_REFUSED = re.compile(
    r"(?:unrecognized request arguments? supplied|(?:unsupported|unknown|unrecognized) parameter)\W+(\w+)",
    re.I,
)
_STATUSES = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
}
_NO_MODEL = re.compile(
    r"model\b.{0,80}(not found|does not exist|unknown|not supported)|(unknown|invalid) model", re.I
)
