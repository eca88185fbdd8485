"""The interface of every model: something that answers a `Request` with a `Reply`.

This module knows no provider, no network and no cache.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from engine import loop
from engine.errors import ConfigurationError, LMError, MissingKeyError
from engine.lm import exchange, history, middleware
from engine.lm.exchange import Choice, Message, Reply, Request
from engine.lm.keys import without_secrets
from engine.lm.middleware import OwnCall, own_call, running_call
from engine.lm.speeds import Speed
from engine.records import Usage

if TYPE_CHECKING:
    from engine.runtime import Send

__all__ = ["BaseLM", "Choice", "FallbackLM", "Message", "Reply", "Request"]


class Response(dict[str, Any]):
    """A response in the OpenAI form, read by keys or attributes: `response.choices[0].message.content`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"The response has no {name!r}. It has: {', '.join(self)}.") from None


async def answered(lm: BaseLM, way: str, request: Request) -> Reply:
    """Ask a model by its class's own method, plain (in a worker thread) or async, and read what it returns."""
    asked = {"messages": [dict(message) for message in request.messages], **request.params}
    if request.rollout_id is not None:
        asked["rollout_id"] = request.rollout_id
    call = OwnCall(lm)
    token = own_call.set(call)
    try:
        found = await loop.called(getattr(lm, way), prompt=None, **asked)
    except Exception as error:
        call.failed(error)
        raise
    finally:
        own_call.reset(token)
        call.ended = True
    try:
        reply = call.reply(reply_of(found, lm))
    except (KeyError, TypeError, AttributeError, ValueError):
        problem = ConfigurationError(
            f"{type(lm).__name__}.{way} returned a {type(found).__name__} that is no response: "
            "return one with choices[0].message.content, or a list of texts."
        )
        call.failed(problem)
        raise problem from None
    if not (call.replies and lm.records):
        history.record(lm, request, reply)
    return reply if reply.model else replace(reply, model=request.model)


def reply_of(found: object, lm: Any) -> Reply:
    """Read a Reply, a response in the OpenAI form, or a list of texts. Raises KeyError, TypeError or ValueError for others."""
    if isinstance(found, Reply):
        return found
    if isinstance(found, str):
        raise TypeError("a text where a list of texts is due")
    if isinstance(found, Sequence):
        return Reply(tuple(_choice_of_item(one) for one in found), Usage(calls=1))
    data = _plain(found)
    # A completion of the older text endpoint has its text in place of a message.
    older = (
        c if "message" in c or "text" not in c else {"message": {"content": c["text"]}}
        for c in data["choices"]
    )
    choices = tuple(map(exchange.choice_of, older))
    usage = exchange.usage_of(data.get("usage"), None) or Usage(calls=1)
    reply = Reply(choices, usage, str(data.get("model") or ""), cached=bool(data.get("cache_hit")))
    return exchange.priced(reply, lm.price())


def response_of(reply: Reply) -> Response:
    """Return a reply in the OpenAI form; an answer from the cache used no tokens.

    >>> response_of(Reply((Choice("Paris", "stop"),))).choices[0].message.content
    'Paris'
    """
    choices = [
        Response(
            index=place,
            message=Response(role="assistant", content=choice.text, **_besides_text(choice)),
            finish_reason=choice.finish_reason,
            logprobs=choice.logprobs,
        )
        for place, choice in enumerate(reply.choices)
    ]
    usage = Response(exchange.tokens_of(Usage() if reply.cached else reply.usage))
    return Response(model=reply.model, choices=choices, usage=usage, cache_hit=reply.cached)


def _choice_of_item(one: object) -> Choice:
    if isinstance(one, Mapping):
        calls, cited = (tuple(one.get(name) or ()) for name in ("tool_calls", "citations"))
        return Choice(str(one["text"]), None, one.get("reasoning_content"), calls, one.get("logprobs"), cited)
    if isinstance(one, str):
        return Choice(one)
    raise TypeError(f"{type(one).__name__} is no text")


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


class BaseLM:
    """The one interface of a model. Subclass it for your own model.

    Define `complete`, or, as in DSPy, `forward` (plain) or `aforward` (async): called with `messages` and the request's
    parameters, they return a response in the OpenAI form. `temperature` and `max_tokens` are parameters of every call, and
    so is every further keyword. `model_type`, `cache` and `num_retries` are kept for the subclass to heed.

    >>> import asyncio
    >>> class Echo(BaseLM):
    ...     async def complete(self, request):
    ...         return Reply((Choice(str(request.messages[-1]["content"])),))
    >>> asyncio.run(Echo("echo").complete(Request("echo", ({"role": "user", "content": "hi"},)))).text
    'hi'
    >>> class Shout(BaseLM):
    ...     def forward(self, prompt=None, messages=None, **params):
    ...         return {"choices": [{"message": {"content": messages[-1]["content"].upper()}}]}
    >>> Shout("shout")("hi")
    ['HI']
    """

    callbacks: Sequence[Any] = ()
    model_type: str = "chat"
    history: Any
    reported_as: ClassVar[str] = "lm"
    records: ClassVar[bool] = False
    """Set where `complete` notes its calls in the history itself."""
    _response_method: ClassVar[str] = ""
    _answers: ClassVar[tuple[Callable[..., Awaitable[Reply]], ...]] = ()
    """Each `complete` that a nearer `forward` or `aforward` overrides, the nearest first."""
    _call_method: ClassVar[str] = ""

    def __init__(
        self,
        model: str,
        model_type: str = "chat",
        temperature: float | None = None,
        max_tokens: int | None = None,
        cache: Any = True,
        callbacks: Sequence[Any] | None = None,
        num_retries: int = 3,
        **params: Any,
    ) -> None:
        self.model = model
        self.model_type = model_type
        self.cache, self.num_retries = cache, num_retries
        self.history = []
        self.callbacks = callbacks or self.callbacks
        self.params: dict[str, Any] = {k: v for k, v in params.items() if v is not None}
        if temperature is not None:
            self.params["temperature"] = temperature
        if max_tokens is not None:
            self.params["max_tokens"] = max_tokens

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls._call_method = _nearest(cls, ("acall", "__call__"))
        way = _nearest(cls, ("complete", "aforward", "forward"))
        if way in ("", "complete"):
            return
        cls._response_method = way
        if cls.complete is not BaseLM.complete:
            # It is nearer than the inherited `complete`, which is what its super() reaches.
            cls._answers = (cls.complete, *cls._answers)
            cls.complete = BaseLM.complete  # type: ignore[method-assign]

    @property
    def kwargs(self) -> dict[str, Any]:
        """The parameters of every call, under DSPy's name: the same dict as `params`."""
        return self.params

    @kwargs.setter
    def kwargs(self, params: dict[str, Any]) -> None:
        self.params = params

    async def complete(self, request: Request) -> Reply:
        """Answer one request. Raises LMError (see engine.errors) after its own retries.

        Raises ConfigurationError where a subclass defines no way of answering, or returns no response.
        """
        way = self._response_method or self._call_method
        inside = running_call()
        lm, call, reached = _reached.get()
        if (
            lm is self and call is own_call.get()
        ):  # by super() of an answer that a method of this model has reached
            return await self._answer_below(reached, request)
        if not way or (not self._response_method and inside is not None and inside.lm is self):
            raise self._cannot_answer()
        return await answered(self, way, request)

    def answer(self, request: Request) -> Awaitable[Reply]:
        """Answer a request as a call does: by the `acall` or `__call__` that the class defines, or by `complete`."""
        return answered(self, self._call_method, request) if self._call_method else self.complete(request)

    async def _own_answer(self, request: Request) -> Reply:
        """Answer as the class does whose `forward` a subclass calls."""
        if self._answers or type(self).complete is BaseLM.complete:
            return await self._answer_below(0, request)
        return await self.complete(request)

    async def _answer_below(self, place: int, request: Request) -> Reply:
        """Answer by one of `_answers`. Raises ConfigurationError where there is no such index."""
        if place >= len(self._answers):
            raise self._cannot_answer()
        token = _reached.set((self, own_call.get(), place + 1))
        try:
            return await self._answers[place](self, request)
        finally:
            _reached.reset(token)

    def _cannot_answer(self) -> ConfigurationError:
        return ConfigurationError(
            f"{type(self).__name__} cannot answer: define complete(self, request), or forward or aforward as in DSPy."
        )

    def forward(
        self, prompt: str | None = None, messages: Sequence[Message] | None = None, **params: object
    ) -> Response:
        """Ask and wait; return the whole response in the OpenAI form. What subclasses written for DSPy define and call."""
        if type(self).forward is BaseLM.forward:
            return loop.run(self.aforward(prompt, messages, **params))
        return loop.run(self._response(prompt, messages, params))

    async def aforward(
        self, prompt: str | None = None, messages: Sequence[Message] | None = None, **params: Any
    ) -> Response:
        """Ask, in async code; return the whole response in the OpenAI form."""
        if self._response_method == "forward" and type(self).aforward is BaseLM.aforward:
            found: Response = await loop.in_thread(self.forward, prompt, messages, **params)
            return found
        return await self._response(prompt, messages, params)

    async def _response(
        self, prompt: str | None, messages: Sequence[Message] | None, params: dict[str, Any]
    ) -> Response:
        request, inside = self.request(_messages(prompt, messages), **params), running_call()
        answer = _own_answer(self, request) if inside is None else inside.asked(self, request, _own_answer)
        return response_of(await loop.here_or_there(answer))

    async def send(self, request: Request) -> Reply:
        """Answer a request by way of all of `engine.lm.middleware`, as programs do: it counts against the budget in force."""
        return await middleware.send(self, request)

    async def recall(self, request: Request) -> Reply | None:  # noqa: ARG002 - for subclasses
        """Return the kept answer to a request, which costs nothing, or None."""
        return None

    def request(
        self, messages: Sequence[Message], *, rollout_id: int | None = None, **params: Any
    ) -> Request:
        """Return a request for this model: its own parameters, overridden by those given here."""
        merged = {**self.params, **{k: v for k, v in params.items() if v is not None}}
        own = merged.pop("rollout_id", None)
        return Request(self.model, tuple(messages), merged, own if rollout_id is None else rollout_id)

    def __call__(
        self, prompt: str | None = None, messages: Sequence[Message] | None = None, **params: object
    ) -> list[Any]:
        """Ask the model and wait: what `acall` returns. For scripts and notebooks."""
        if type(self).__call__ is BaseLM.__call__:
            return loop.run(self.acall(prompt, messages, **params))
        return loop.run(self._texts(prompt, messages, params, middleware.complete))

    async def acall(
        self, prompt: str | None = None, messages: Sequence[Message] | None = None, **params: Any
    ) -> list[Any]:
        """Ask the model directly, without a signature. Returns a text for each completion.

        A completion with more than text comes as a dict with "text" and "reasoning_content", "tool_calls",
        "citations" or "logprobs". Parameters hold for this call; so does `rollout_id`.
        """
        plain = self._call_method == "__call__"
        return await self._texts(
            prompt, messages, params, middleware.answer if plain else middleware.complete
        )

    async def _texts(
        self, prompt: str | None, messages: Sequence[Message] | None, params: dict[str, Any], last: Send
    ) -> list[Any]:
        request = self.request(_messages(prompt, messages), **params)
        inside = running_call()
        if inside is not None and inside.lm is self:
            reply = await inside.asked(self, request, middleware.complete)
        else:
            reply = await middleware.send(self, request, last)
        return [_choice_as_dspy(choice) for choice in reply.choices]

    def inspect_history(self, n: int = 1, file: Any = None) -> None:
        """Write this model's last `n` calls to `file` (standard output by default)."""
        history.show(self.history, n, file)

    def copy(self, **changes: Any) -> Self:
        """Return a new model with some attributes or parameters changed; None takes a parameter away.

        The history starts empty; what else a subclass has put on the model is shared.
        """
        made = copy.copy(self)
        made.history, made.params, made.callbacks = [], dict(self.params), [*self.callbacks]
        for name, value in changes.items():
            if name in vars(made):
                setattr(made, name, value)
            elif value is None:
                made.params.pop(name, None)
            else:
                made.params[name] = value
        return made

    def dump_state(self) -> dict[str, Any]:
        """Return the settings, without anything secret, as `load_state` takes them. Extend both where a subclass has more."""
        own = {"model": self.model, "model_type": self.model_type}
        return {
            **own,
            "cache": self.cache is not False,
            "num_retries": self.num_retries,
            **without_secrets(self.params),
        }

    @classmethod
    def load_state(cls, state: Mapping[str, Any]) -> Self:
        """Return a model of this class with the settings that `dump_state` returned, here or in DSPy."""
        return cls(**{name: value for name, value in state.items() if not name.startswith("_")})

    def kept(self) -> dict[str, Any]:
        """Return the settings besides `params` that a saved step keeps of its model, as JSON values."""
        return {}

    def price(self) -> tuple[float, float] | None:
        """Return US dollars per input and per output token, or None where the price is unknown."""
        return None

    def speed(self) -> Speed:
        """Return the speed measured on earlier calls, also those of other processes."""
        return Speed()

    capabilities: frozenset[str] = frozenset()
    """The endpoint's known abilities, in the words of `engine.lm.client.CAPABILITIES`."""

    @property
    def supports_response_format(self) -> bool:
        """True if it takes a JSON schema as response_format."""
        return self.supports_response_schema

    @property
    def supports_response_schema(self) -> bool:
        """The same by DSPy's name: a model of your own may define either."""
        return "json_schema" in self.capabilities

    @property
    def supported_params(self) -> set[str]:
        """Parameters of the OpenAI protocol that it takes, as far as they depend on the model."""
        more = {"response_format": self.supports_response_format, "tools": self.supports_function_calling}
        reasoning = {
            "reasoning_effort": self.supports_reasoning,
            "tool_choice": self.supports_function_calling,
        }
        return {"max_tokens", "n", "stop", "temperature", "top_p"} | {
            k for k, v in (more | reasoning).items() if v
        }

    @property
    def supports_function_calling(self) -> bool:
        """True if it takes `tools` and answers with tool calls."""
        return "tools" in self.capabilities

    @property
    def supports_reasoning(self) -> bool:
        """True if it sends the model's reasoning next to its answer."""
        return "reasoning" in self.capabilities

    @property
    def supports_vision(self) -> bool | None:
        """True if it sees pictures, False if it does not; None where that is not known."""
        return None

    @property
    def supports_citations(self) -> bool:
        """True if it cites from documents that are parts of a message."""
        return "citations" in self.capabilities


async def _own_answer(lm: BaseLM, request: Request) -> Reply:
    return await lm._own_answer(request)


_reached: ContextVar[tuple[BaseLM | None, OwnCall | None, int]] = ContextVar(
    "engine_lm_reached", default=(None, None, 0)
)
"""The model whose method runs, its call, and how many of the answers below the method are reached."""


@contextmanager
def models_shared(memo: dict[int, object]) -> Iterator[None]:
    """Make deep copies with this memo share their models inside the `with` block, as the copies of a program do.

    Elsewhere a deep copy of a model is independent of it. The memo's key is that of a class, which is never copied.
    """
    outermost = not shared_in(memo)
    memo[id(BaseLM)] = BaseLM
    try:
        yield
    finally:
        if outermost:
            del memo[id(BaseLM)]


def shared_in(memo: Mapping[int, object]) -> bool:
    """Return whether a deep copy with this memo shares models (see `models_shared`)."""
    return id(BaseLM) in memo


def _nearest(cls: type[BaseLM], names: tuple[str, ...]) -> str:
    """Return the method that a class, or the first of its bases, defines over BaseLM's; of several in one the first, or ""."""
    for base in cls.__mro__:
        if base is BaseLM:
            break
        for name in names:
            if vars(base).get(name, BaseLM.complete) is not BaseLM.complete:
                return name
    return ""


def _messages(prompt: str | None, messages: Sequence[Message] | None) -> Sequence[Message]:
    return ({"role": "user", "content": prompt or ""},) if messages is None else messages


def _besides_text(choice: Choice) -> dict[str, object]:
    """Return what a completion has besides its text, by the protocol's names."""
    found = {
        "reasoning_content": choice.reasoning,
        "tool_calls": list(choice.tool_calls),
        "citations": list(choice.citations),
    }
    return {name: value for name, value in found.items() if value}


def _choice_as_dspy(choice: Choice) -> str | dict[str, object]:
    extra = _besides_text(choice)
    if choice.logprobs is not None:
        extra["logprobs"] = choice.logprobs
    return {"text": choice.text, **extra} if extra else choice.text


class FallbackLM(BaseLM):
    """Asks `lms` in order; the first answer counts.

    A model is passed over when its call fails for good: refused, unknown, too long for it, without a key, or still failing
    after its own retries. `reply.model` and the history say which one answered. When all fail the last error is raised, which
    names every model. As one model of a program it counts as one call. Raises ConfigurationError without models.

    >>> from engine.errors import ModelNotFoundError
    >>> from engine.testing import ScriptedLM
    >>> gone = ScriptedLM([ModelNotFoundError("There is no such model.")], model="old")
    >>> FallbackLM([gone, ScriptedLM(["hello"], model="new")])("Hi")
    ['hello']
    """

    def __init__(self, lms: Sequence[BaseLM], *, callbacks: Sequence[Any] = ()) -> None:
        if not lms:
            raise ConfigurationError("FallbackLM needs at least one model: FallbackLM([first, second]).")
        super().__init__(lms[0].model)
        self.lms = tuple(lms)
        self.callbacks = callbacks

    def request(
        self, messages: Sequence[Message], *, rollout_id: int | None = None, **params: Any
    ) -> Request:
        """Return a request with the parameters given here only: each model adds its own when it is asked."""
        given = {name: value for name, value in params.items() if value is not None}
        return Request(self.model, tuple(messages), given, rollout_id)

    async def complete(self, request: Request) -> Reply:
        """Answer one request by the first model that can. Raises the last one's LMError or MissingKeyError."""
        problems: list[str] = []
        for lm in self.lms[:-1]:
            try:
                return replace(await lm.answer(_own_request(lm, request)), name=lm.model)
            except (LMError, MissingKeyError) as error:
                problems.append(f"{lm.model}: {error}")
        try:
            last = self.lms[-1]
            return replace(await last.answer(_own_request(last, request)), name=last.model)
        except (LMError, MissingKeyError) as error:
            if problems:
                error.args = (f"No model answered. {' '.join(problems)} {self.lms[-1].model}: {error}",)
            raise

    async def recall(self, request: Request) -> Reply | None:
        """Return the first model's kept answer, or the next one's."""
        for lm in self.lms:
            if (reply := await lm.recall(_own_request(lm, request))) is not None:
                return reply
        return None

    def price(self) -> tuple[float, float] | None:
        """Return the first model's price: that of the usual case."""
        return self.lms[0].price()

    def speed(self) -> Speed:
        """Return the first model's speed."""
        return self.lms[0].speed()

    @property
    def capabilities(self) -> frozenset[str]:  # type: ignore[override]  # those of its models
        """The abilities that all of them have. A JSON schema that the first one takes is left out for the others."""
        found = {word for word, name in _SUPPORTS.items() if all(getattr(lm, name) for lm in self.lms)}
        return frozenset(found | ({"json_schema"} if self.lms[0].supports_response_format else set()))

    def __deepcopy__(self, memo: dict[int, object]) -> FallbackLM:
        if shared_in(memo):
            return self
        return FallbackLM([copy.deepcopy(lm, memo) for lm in self.lms], callbacks=self.callbacks)

    def __repr__(self) -> str:
        return f"FallbackLM([{', '.join(map(repr, self.lms))}])"


def _own_request(lm: BaseLM, request: Request) -> Request:
    params = dict(request.params)
    if not lm.supports_response_format:
        params.pop("response_format", None)
    return lm.request(request.messages, rollout_id=request.rollout_id, **params)


_SUPPORTS = {
    "tools": "supports_function_calling",
    "reasoning": "supports_reasoning",
    "citations": "supports_citations",
}
"""Capability -> the property that tells of it, which a model's class may define by itself."""
