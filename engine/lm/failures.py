"""Failures of calls as the right LMError with one clear message.

Each message names the endpoint's host and the model, and says what to do. No key is ever in one: text that
comes from a server is shortened and cleaned first. It knows HTTP statuses and nothing of any transport.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import orjson

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
    UnreachableError,
)
from engine.lm.keys import NO_KEY, FoundKey, Secret, without_keys


@dataclass(frozen=True, slots=True)
class Place:
    """The endpoint and model of a call, which the messages name, and its key, which they must not show."""

    host: str
    model: str
    url: str = ""
    found: FoundKey = NO_KEY
    key_env: str | None = None

    @property
    def key(self) -> Secret | None:
        """The key that was sent."""
        return self.found.key

    @property
    def key_advice(self) -> str:
        """Advice about a key that was refused."""
        return f"check the key in the {self.found.where}" if self.found.where != "given" else "check the key"


def from_status(place: Place, status: int, body: bytes, headers: Mapping[str, str]) -> LMError:
    """Return the error for an HTTP status of 300 and above."""
    said, code = _message_in(body, place)
    quote = f" It said: {said}" if said else ""
    wait = retry_after(headers)
    name = f"model {place.model!r}"
    if status in (401, 403):
        if not place.key:
            where = f"set {place.key_env}" if place.key_env else "give one as api_key or on the Settings page"
            message = (
                f"{place.host} asks for an API key for {name} ({status}) and none was sent: {where}.{quote}"
            )
        else:
            message = f"{place.host} refused the API key for {name} ({status}): {place.key_advice}.{quote}"
        return AuthenticationFailedError(message, model=place.model, status=status)
    if status == 429:
        return _rate_limited(place, code, said, wait)
    if status == 402:
        message = f"The account at {place.host} has no credit left for {name} (402): add some there.{quote}"
        return AuthenticationFailedError(message, model=place.model, status=status)
    if status == 404:
        where = f", or the address {place.url}" if place.url else ""
        message = f"{place.host} does not know {name} (404): check the model's name{where}.{quote}"
        return ModelNotFoundError(message, model=place.model, status=status)
    if status in (408, 504):
        message = f"{place.host} gave up waiting for {name} ({status}): try again, or ask for shorter answers.{quote}"
        return LMTimeoutError(message, model=place.model, status=status, retry_after=wait)
    if 300 <= status < 400:
        target = _host_of(headers.get("Location", ""))
        message = (
            f"{place.host} sends requests for {name} on to {target or 'another address'} ({status}), which is not "
            "followed because the API key would go with it: give the new address as the base URL."
        )
        return InvalidRequestError(message, model=place.model, status=status)
    if status >= 500:
        message = f"{place.host} failed on a request for {name} ({status}): try again later, or another model.{quote}"
        return ProviderFailureError(message, model=place.model, status=status, retry_after=wait)
    return _refused(place, status, code, said)


def _refused(place: Place, status: int, code: str, said: str) -> LMError:
    quote = f" It said: {said}" if said else ""
    name = f"model {place.model!r}"
    if code == "context_length_exceeded" or _TOO_LONG.search(said):
        message = (
            f"The prompt is longer than {name} at {place.host} takes: use fewer or shorter demonstrations, or a model "
            f"with a longer context.{quote}"
        )
        return ContextWindowExceededError(message, model=place.model, status=status)
    if code == "model_not_found" or _NO_MODEL.search(said):
        message = f"{place.host} does not know {name} ({status}): check the model's name.{quote}"
        return ModelNotFoundError(message, model=place.model, status=status)
    message = f"{place.host} refused the request for {name} ({status}): check the model's parameters.{quote}"
    return InvalidRequestError(message, model=place.model, status=status)


def _rate_limited(place: Place, code: str, said: str, wait: float | None) -> RateLimitedError:
    name = f"model {place.model!r}"
    if code == "insufficient_quota":
        message = f"The account at {place.host} has used up its quota for {name} (429): add credit there."
        error = RateLimitedError(message, model=place.model, status=429)
        error.retryable = False
        return error
    when = f"wait {wait:.0f} s" if wait and wait >= 1 else "wait a little"
    quote = f" It said: {said}" if said else ""
    message = f"{place.host} is limiting requests for {name} (429): {when}, or lower the concurrency.{quote}"
    return RateLimitedError(message, model=place.model, status=429, retry_after=wait)


def disconnected(place: Place) -> UnreachableError:
    """Return the error for a connection that was closed before an answer came."""
    return unreachable(place, "it closed the connection without an answer")


def bad_reply(place: Place, body: bytes, content_type: str = "") -> BadReplyError:
    """Return the error for a 200 whose body is not the JSON it should be."""
    text = body[:400].lstrip().lower()
    name = f"model {place.model!r}"
    if not text:
        message = f"{place.host} sent an empty reply for {name}: try again, and check that the address is the API's."
        return BadReplyError(message, model=place.model, status=200)
    if "html" in content_type or text.startswith((b"<!doctype", b"<html")):
        message = (
            f"{place.host} answered with a web page instead of JSON for {name}: check the base URL, which usually "
            "ends in /v1."
        )
        error = BadReplyError(message, model=place.model, status=200)
        # A sign-in page or a wrong path stays what it is, however often it is asked.
        error.retryable = False
        return error
    if text.startswith((b"{", b"[")):
        message = (
            f"{place.host} sent a reply for {name} that is cut off or no valid JSON: try again, or lower the "
            "length of the answers."
        )
    else:
        message = f"{place.host} sent no JSON for {name}: check that the base URL speaks the OpenAI protocol."
    return BadReplyError(message, model=place.model, status=200)


def wrong_shape(place: Place, reply: object) -> LMError:
    """Return the error for a 200 with JSON that holds no completion; some endpoints put their errors there."""
    if isinstance(reply, dict) and reply.get("error"):
        error = reply["error"]
        code = error.get("code") if isinstance(error, dict) else None
        status = int(code) if isinstance(code, int | str) and str(code).isdigit() else 500
        return from_status(place, status if 400 <= status < 600 else 500, orjson.dumps(reply), {})
    message = (
        f"{place.host} sent JSON without a completion for model {place.model!r}: check that the base URL speaks the "
        "OpenAI protocol (chat completions)."
    )
    error_ = BadReplyError(message, model=place.model, status=200)
    error_.retryable = False
    return error_


def timed_out(place: Place, seconds: float) -> LMTimeoutError:
    """Return the error for no answer in time."""
    return LMTimeoutError(
        f"{place.host} did not answer within {seconds:g} s for model {place.model!r}: "
        "check that it is running, or raise the timeout.",
        model=place.model,
    )


def unreachable(place: Place, why: str) -> UnreachableError:
    """Return the error for no connection; `why` is a few words such as "connection refused"."""
    return UnreachableError(
        f"Cannot reach {place.host} for model {place.model!r} ({without_keys(why, place.key)}): "
        "check the address, and that the server runs.",
        model=place.model,
    )


def unsendable(model: str, error: TypeError) -> InvalidRequestError:
    """Return the error for a request that no JSON can be made of."""
    return InvalidRequestError(
        f"A request for model {model!r} cannot be sent ({error}): take values that are no text or numbers, and "
        "characters that are no valid Unicode, out of the row.",
        model=model,
    )


def unknown_provider(model: str) -> ModelNotFoundError:
    """Return the error for a name whose provider is unknown."""
    return ModelNotFoundError(
        f"No provider is known for model {model!r}: write it as provider/model, for example openai/gpt-5-mini, or "
        "give the base URL of an endpoint that speaks the OpenAI protocol.",
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
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _message_in(body: bytes, place: Place) -> tuple[str, str]:
    """Return the server's own message, shortened and without keys, and its error code."""
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
    text = " ".join(without_keys(text, place.key).split())
    return (text if len(text) <= 200 else text[:199] + "…"), code


def _host_of(location: str) -> str:
    match = re.match(r"https?://(?:[^/@]*@)?([^/?#]+)", location)
    return match[1] if match else ""


_TOO_LONG = re.compile(
    r"context.?(length|window|size)|maximum.{0,20}tokens|too many (input )?tokens|prompt is too long|too long",
    re.I,
)
_NO_MODEL = re.compile(
    r"model\b.{0,80}(not found|does not exist|unknown|not supported)|(unknown|invalid) model", re.I
)
