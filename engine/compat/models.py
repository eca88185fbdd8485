"""Models written for DSPy: `forward`, `aforward`, `__call__` and `acall` of a subclass, and responses in the OpenAI form.

A call goes down three levels: the class's `acall` or `__call__`, its `aforward` or `forward`, then `complete`. Of
each of the first two levels the method nearest to the class runs; what it reaches by super() is the next level. A
method's call is one call of the model: it costs what the models asked inside have cost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from engine import loop
from engine.basics.data import JsonObject, Values
from engine.errors import ConfigurationError, LMError, spent_by
from engine.lm import exchange
from engine.lm.base import BaseLM, as_messages, besides_text, completion
from engine.lm.calls import history
from engine.lm.calls.middleware import chained, send
from engine.lm.exchange import Choice, Message, Reply, Request
from engine.records import Usage
from engine.runtime import context, current

if TYPE_CHECKING:
    from engine.lm.exchange import Middleware, Send

LEVELS = (("acall", "__call__"), ("aforward", "forward"))


def install() -> None:
    """Give every model DSPy's methods: `forward`, `aforward` and `kwargs`; and have a subclass's own ones answer."""
    for name in ("__call__", "acall", "forward", "aforward", "answer", "complete"):
        member = vars(_DSPyModel)[name]
        member.__doc__ = getattr(vars(BaseLM).get(name), "__doc__", member.__doc__)
        setattr(BaseLM, name, member)
    BaseLM.kwargs = property(lambda lm: lm.params, _set_params)  # type: ignore[attr-defined]  # DSPy's name


def _set_params(lm: BaseLM, params: JsonObject) -> None:
    lm.params = params


Messages = Sequence[Message] | None


class _DSPyModel(BaseLM):
    """The methods of every model."""

    def __call__(self, prompt: str | None = None, messages: Messages = None, **params: object) -> list[Any]:
        if type(self).__call__ is BaseLM.__call__:
            return loop.run(self.acall(prompt, messages, **params))
        return _completions(loop.run(_reached(self, "__call__", prompt, messages, params)))

    async def acall(
        self, prompt: str | None = None, messages: Messages = None, **params: object
    ) -> list[Any]:
        return _completions(await _reached(self, "acall", prompt, messages, params))

    def forward(self, prompt: str | None = None, messages: Messages = None, **params: object) -> Response:
        """Ask and wait; return the whole response in the OpenAI form."""
        return response_of(loop.run(_reached(self, "forward", prompt, messages, params)))

    async def aforward(
        self, prompt: str | None = None, messages: Messages = None, **params: object
    ) -> Response:
        """Ask, in async code; return the whole response in the OpenAI form."""
        return response_of(await loop.here_or_there(_reached(self, "aforward", prompt, messages, params)))

    def answer(self, request: Request) -> Awaitable[Reply]:
        return _descend(self, request, level=0) if any(_methods(type(self))) else self.complete(request)

    async def complete(self, request: Request) -> Reply:
        if _running_method(self) is None and any(_methods(type(self))):
            return await _descend(self, request, level=0)
        return await _undefined(self, request)


_undefined = BaseLM.complete


def _completions(reply: Reply) -> list[object]:
    return [completion(choice) for choice in reply.choices]


# The way down


async def _reached(
    lm: BaseLM,
    name: str,
    prompt: str | None,
    messages: Sequence[Message] | None,
    params: Values,
) -> Reply:
    """Answer for a method of BaseLM: called from outside, or by the super() of the class's method of that name."""
    level = next(number for number, names in enumerate(LEVELS) if name in names)
    level += getattr(type(lm), name) is not getattr(BaseLM, name)
    request = lm.request(as_messages(prompt, messages), **params)
    running = _running_method(lm)
    if running is None:
        return await send(lm, request, partial(_descend, level=level))
    below = partial(_descend, level=max(level, running.level))
    return await chained(current().middleware, below)(lm, request)


async def _descend(lm: BaseLM, request: Request, level: int) -> Reply:
    """Answer by the class's method of this level, or of the next one that has any, or by `complete`."""
    methods = _methods(type(lm))
    while level < len(LEVELS):
        if methods[level]:
            return await _method_reply(lm, methods[level], request, level + 1)
        level += 1
    return await lm.complete(request)


def _methods(cls: type[BaseLM]) -> tuple[str, ...]:
    """Return the method of each level that a class, or the first of its bases below BaseLM, defines; "" for none."""
    methods = _by_class.get(cls)
    if methods is None:
        bases = cls.__mro__[: cls.__mro__.index(BaseLM)]
        methods = _by_class[cls] = tuple(
            next((name for base in bases for name in names if name in vars(base)), "") for names in LEVELS
        )
    return methods


_by_class: WeakKeyDictionary[type[BaseLM], tuple[str, ...]] = WeakKeyDictionary()


async def _method_reply(lm: BaseLM, name: str, request: Request, next_level: int) -> Reply:
    """Ask a model by its class's method, plain (in a worker thread) or async, and read what it returns."""
    arguments = {"messages": [dict(message) for message in request.messages], **request.params}
    if request.rollout_id is not None:
        arguments["rollout_id"] = request.rollout_id
    call = MethodCall(lm, next_level)
    token = _running.set(call)
    try:
        with context(middleware=(call.noted,)):
            result = await loop.called(getattr(lm, name), prompt=None, **arguments)
        reply = call.merged(_reply_from(result, lm, name))
    except Exception as error:
        call.put_cost_on(error)
        raise
    finally:
        _running.reset(token)
        call.ended = True
    if not (call.replies and lm.records):
        history.record(lm.history, lm.model_type, request, reply)
    return reply if reply.model else replace(reply, model=request.model)


@dataclass(eq=False, slots=True)
class MethodCall:
    """A running method of a model's class, and the replies that came inside it: the method's usage."""

    lm: BaseLM
    level: int
    """The level that the method reaches by super()."""
    replies: list[Reply] = field(default_factory=list)
    layers: tuple[Middleware, ...] = field(default_factory=lambda: current().middleware)
    """The layers in force when it began, which the method's call has passed."""
    ended: bool = False
    """Set when it has returned: what its tasks ask from then on is no part of it."""

    async def noted(self, lm: BaseLM, request: Request, send: Send) -> Reply:
        """Note a reply that belongs to this call; one that fails counts as a call."""
        if self.ended:
            return await chained(self.layers, send)(lm, request)
        try:
            reply = await send(lm, request)
        except Exception as error:
            spent = spent_by(error)
            if spent is not None or isinstance(error, LMError):
                self.replies.append(spent or Reply((), Usage(calls=1)))
            raise
        self.replies.append(reply)
        return reply

    def put_cost_on(self, error: Exception) -> None:
        """Put on an error what the answers inside this call have cost."""
        paid = [reply for reply in self.replies if not reply.cached]
        if any(reply.choices or reply.usage.tokens for reply in paid):
            vars(error)["spent"] = Reply((), sum((reply.usage for reply in paid), Usage()))

    def merged(self, result: Reply) -> Reply:
        """Return the method's reply with the usage of the replies inside it and the last one's unchanged completions."""
        if not self.replies:
            return result
        last = self.replies[-1]
        paid = [reply for reply in self.replies if not reply.cached]
        single = len(self.replies) == 1
        return replace(
            last,
            choices=tuple(map(_with_details, result.choices, (*last.choices, *result.choices))),
            usage=sum((reply.usage for reply in paid or self.replies), Usage()),
            seconds=sum(reply.seconds for reply in self.replies),
            cached=not paid,
            key=last.key if single else "",
            payer=last.payer if single else None,
        )


_running: ContextVar[MethodCall | None] = ContextVar("engine_compat_running_method", default=None)


def _running_method(lm: BaseLM) -> MethodCall | None:
    """Return the running method of a model's class that this code is part of."""
    call = _running.get()
    return None if call is None or call.ended or call.lm is not lm else call


def _with_details(choice: Choice, last: Choice) -> Choice:
    """Return the model's own completion where the method left its text as it was."""
    if last.text == choice.text:
        return last
    return replace(choice, finish_reason=choice.finish_reason or last.finish_reason)


# Responses


class Response(JsonObject):
    """A response in the OpenAI form, read by keys or attributes: `response.choices[0].message.content`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"The response has no {name!r}. It has: {', '.join(self)}.") from None


def response_of(reply: Reply) -> Response:
    """Return a reply in the OpenAI form; an answer from the cache used no tokens.

    >>> response_of(Reply((Choice("Paris", "stop"),))).choices[0].message.content
    'Paris'
    """
    choices = [
        Response(
            index=number,
            message=Response(role="assistant", content=choice.text, **besides_text(choice)),
            finish_reason=choice.finish_reason,
            logprobs=choice.logprobs,
        )
        for number, choice in enumerate(reply.choices)
    ]
    usage = Response(exchange.tokens_of(Usage() if reply.cached else reply.usage))
    return Response(model=reply.model, choices=choices, usage=usage, cache_hit=reply.cached)


def _reply_from(result: object, lm: BaseLM, method: str) -> Reply:
    """Read what a method returned: a Reply, a response in the OpenAI form, or a list of texts. Raises ConfigurationError."""
    try:
        if isinstance(result, Reply):
            return result
        if isinstance(result, Sequence) and not isinstance(result, str):
            return Reply(tuple(map(_choice_of_item, result)), Usage(calls=1))
        data = _plain(result)
        choices = tuple(exchange.choice_of(_as_chat(choice)) for choice in data["choices"])
        usage = exchange.usage_of(data.get("usage"), None) or Usage(calls=1)
        reply = Reply(choices, usage, str(data.get("model") or ""), cached=bool(data.get("cache_hit")))
        return exchange.priced(reply, lm.price())
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ConfigurationError(
            f"{type(lm).__name__}.{method} returned a {type(result).__name__} that is no response: "
            "return one with choices[0].message.content, or a list of texts."
        ) from None


def _as_chat(choice: JsonObject) -> JsonObject:
    """Return a completion of the older text endpoint, which has its text in place of a message, as one with a message."""
    return choice if "message" in choice or "text" not in choice else {"message": {"content": choice["text"]}}


def _choice_of_item(item: object) -> Choice:
    if isinstance(item, Mapping):
        calls, cited = (tuple(item.get(name) or ()) for name in ("tool_calls", "citations"))
        return Choice(
            str(item["text"]), None, item.get("reasoning_content"), calls, item.get("logprobs"), cited
        )
    if isinstance(item, str):
        return Choice(item)
    raise TypeError(f"{type(item).__name__} is no text")


def _plain(value: object) -> Any:
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
