"""Models that answer in the OpenAI form, as those written for DSPy do: what they return is read, and made for them.

It knows the form and no network.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine import loop
from engine.errors import ConfigurationError
from engine.lm import wire
from engine.lm.exchange import Choice, Reply, Request
from engine.records import Usage


class Response(dict[str, Any]):
    """A response in the OpenAI form, read by keys or attributes: `response.choices[0].message.content`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"The response has no {name!r}. It has: {', '.join(self)}.") from None


async def answered(lm: Any, way: Callable[..., Any], request: Request) -> Reply:
    """Ask a model by its own method, plain (in a worker thread) or async, and read what it returns."""
    asked = {"messages": [dict(message) for message in request.messages], **request.params}
    if request.rollout_id is not None:
        asked["rollout_id"] = request.rollout_id
    if inspect.iscoroutinefunction(way):
        found = await way(prompt=None, **asked)
    else:
        found = await loop.in_thread(way, prompt=None, **asked)
    try:
        reply = reply_of(found, lm)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ConfigurationError(
            f"{type(lm).__name__}.{getattr(way, '__name__', 'forward')} returned a {type(found).__name__} that is no response: "
            "return one with choices[0].message.content, or a list of texts."
        ) from None
    return reply if reply.model else replace(reply, model=request.model)


def reply_of(found: Any, lm: Any) -> Reply:
    """Read a Reply, a response in the OpenAI form, or a list of texts. Raises KeyError, TypeError or ValueError for others."""
    if isinstance(found, Reply):
        return found
    if isinstance(found, str):
        raise TypeError("a text where a list of texts is due")
    if isinstance(found, Sequence):
        return Reply(tuple(_said(one) for one in found), Usage(calls=1))
    data = _plain(found)
    choices = tuple(wire.choice_of(_with_message(choice)) for choice in data["choices"])
    usage = wire.usage_of(data.get("usage"), None) or Usage(calls=1)
    prices = lm.price()
    if prices is not None and usage.cost is None:
        usage = replace(usage, cost=usage.input_tokens * prices[0] + usage.output_tokens * prices[1])
    return Reply(choices, usage, str(data.get("model") or ""), cached=bool(data.get("cache_hit")))


def response_of(reply: Reply) -> Response:
    """Return a reply in the OpenAI form; an answer from the cache used no tokens.

    >>> response_of(Reply((Choice("Paris", "stop"),))).choices[0].message.content
    'Paris'
    """
    choices = []
    for place, choice in enumerate(reply.choices):
        message = Response(role="assistant", content=choice.text)
        extra = {
            "reasoning_content": choice.reasoning,
            "tool_calls": list(choice.tool_calls),
            "citations": list(choice.citations),
        }
        message.update({name: value for name, value in extra.items() if value})
        choices.append(
            Response(
                index=place, message=message, finish_reason=choice.finish_reason, logprobs=choice.logprobs
            )
        )
    usage = Response(wire.tokens_of(Usage() if reply.cached else reply.usage))
    return Response(model=reply.model, choices=choices, usage=usage, cache_hit=reply.cached)


def _said(one: Any) -> Choice:
    if isinstance(one, Mapping):
        return Choice(str(one["text"]), reasoning=one.get("reasoning_content"))
    if isinstance(one, str):
        return Choice(one)
    raise TypeError(f"{type(one).__name__} is no text")


def _with_message(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """A completion of the older text endpoint has its text in place of a message."""
    return choice if "message" in choice or "text" not in choice else {"message": {"content": choice["text"]}}


def _plain(value: Any) -> Any:
    """Return an object of any library as dicts and lists."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "__dict__"):
        return {name: _plain(part) for name, part in vars(value).items()}
    return value
