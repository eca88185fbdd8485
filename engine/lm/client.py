"""`LM`: one client for every model, whichever way its requests travel.

What goes round each call is written down in `engine.lm.calls.middleware`. It knows no provider's protocol and no program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

from engine import parts
from engine.basics.data import JsonObject, Values
from engine.errors import ConfigurationError, MissingKeyError, ModelNotFoundError
from engine.lm.base import BaseLM, Message, Reply, Request, shared_in
from engine.lm.calls.cache import Cache, chosen_cache, default_cache
from engine.lm.calls.middleware import answer_by_layers
from engine.lm.calls.speeds import Speed, speeds
from engine.lm.choice import ModelChoice, Route, find_route, is_offline, is_reasoning_model, without_password
from engine.lm.exchange import Price, Transport, priced
from engine.lm.keys import Secret, key_for, without_secrets
from engine.lm.local.sources import find_source, hosted_choice
from engine.lm.options import OF_TRIES, ModelOptions, for_direct, read_options, under_one_name
from engine.lm.prices import price
from engine.lm.transports.failures import unsendable

TIMEOUT = 120.0
"""Seconds that one try may take, unless another time is given."""


def endpoint_id(route: Route) -> str:
    """Return what the cache's keys call a route's endpoint.

    The stand-in's is a hash of its source, so that a new version of it does not answer from an old one's cache. That of
    weights on this machine changes with them.
    """
    if route.protocol == "local":
        try:
            return f"local:{find_source(route.name).stamp}"
        except ModelNotFoundError:
            return "local"  # the call says what is missing
    if route.protocol != "offline":
        return route.endpoint
    digest = hashlib.sha256()
    for source in sorted((Path(__file__).parent / "offline").glob("*.py")):
        digest.update(source.read_bytes())
    return f"offline:{digest.hexdigest()[:16]}"


KEEP: Values = {"type": "ephemeral"}


def marked(messages: Sequence[Message], mark: Mapping[str, object]) -> tuple[Message, ...]:
    """Return messages with a mark behind the system message and behind the last turn before the question.

    The messages up to these marks are the same for every row: the instruction and the demonstrations.

    >>> marked(({"role": "system", "content": "Sort."}, {"role": "user", "content": "x"}), KEEP)[0]["content"]
    [{'type': 'text', 'text': 'Sort.', 'cache_control': {'type': 'ephemeral'}}]
    """
    places = {i for i, message in enumerate(messages) if message.get("role") in ("system", "developer")}
    fixed = {max(places)} if places else set()
    asking = [i for i, message in enumerate(messages) if message.get("role") == "user"]
    if asking and asking[-1] > 0:
        fixed.add(asking[-1] - 1)
    return tuple(
        {**message, "content": _with_cache_mark(message.get("content"), mark)} if i in fixed else message
        for i, message in enumerate(messages)
    )


def marked_at(messages: Sequence[Message], points: Sequence[Values]) -> tuple[Message, ...]:
    """Return messages with a mark at some points, in litellm's form: by the message's role, its index, or both.

    >>> marked_at(({"role": "user", "content": "x"},), [{"location": "message", "index": -1}])[0]["content"]
    [{'type': 'text', 'text': 'x', 'cache_control': {'type': 'ephemeral'}}]
    """
    marked_messages = list(messages)
    for point in points:
        role, index = point.get("role"), point.get("index")
        for i, message in enumerate(marked_messages):
            chosen = index is None or int(index) % len(messages) == i
            if chosen and role in (None, message.get("role")):
                mark = point.get("control") or KEEP
                marked_messages[i] = {**message, "content": _with_cache_mark(message.get("content"), mark)}
    return tuple(marked_messages)


def _with_cache_mark(content: object, mark: Mapping[str, object]) -> object:
    if isinstance(content, str) and content.strip():  # an empty text may carry no mark
        content = [{"type": "text", "text": content}]
    if isinstance(content, list) and content and isinstance(content[-1], Mapping):
        return [*content[:-1], {**content[-1], "cache_control": dict(mark)}]
    return content


CAPABILITIES = ("json_schema", "tools", "reasoning", "citations", "cache_marks")
"""A JSON schema as response_format; `tools` and tool calls; reasoning next to the answer; citations from documents that are
parts of a message; marks that say what to keep in the provider's prompt cache."""


def capabilities_of(route: Route, price: Price | None) -> frozenset[str]:
    """Return the known capabilities of a model behind a route.

    >>> from engine.lm.choice import find_route
    >>> from engine.lm.prices import price
    >>> sorted(capabilities_of(find_route("openai/gpt-4o-mini"), price("openai/gpt-4o-mini")))
    ['json_schema', 'tools']
    """
    capabilities: set[str] = set()
    provider = route.provider
    if (price and price.json_schema) or (provider and provider.json_schema):
        capabilities.add("json_schema")
    if price and price.tools:
        capabilities.add("tools")
    # OpenAI's reasoning models do not send their reasoning.
    if price and price.reasoning and not is_reasoning_model(route.model):
        capabilities.add("reasoning")
    if "claude" in route.model.lower():
        capabilities.add("cache_marks")
        if route.protocol == "litellm" and provider is not None and provider.prefix == "anthropic":
            capabilities.add("citations")
    return frozenset(capabilities)


def checked(given: Collection[str], model: str) -> frozenset[str]:
    """Return the given capabilities as a set. Raises ConfigurationError for an unknown one."""
    capabilities = frozenset((given,) if isinstance(given, str) else given)
    if unknown := capabilities.difference(CAPABILITIES):
        raise ConfigurationError(
            f"{model!r}: there is no capability {min(unknown)!r}. Choose from: {', '.join(CAPABILITIES)}."
        )
    return capabilities


class LM(BaseLM):
    """A language model by its name, "provider/model", as in DSPy and litellm.

    `cache` is True for the persistent call cache, False for none, or a `Cache`. `num_retries` counts the tries
    after the first. `timeout` is in seconds, for one try. `api_key` is kept in memory only; without it the
    provider's environment variable (or the one named by `key_env`) and the system's keyring are looked into.
    `api_base` (or `base_url`) is the address of an endpoint that speaks the OpenAI protocol.

    `transport` sends the requests, whatever endpoint the name has.

    `model_type` is "chat", "responses" (OpenAI's newer form, which some models need) or "text" (a prompt to complete).

    Further keywords: `rpm` and `tpm` (requests and tokens a minute), `price` (US dollars per input and per output token),
    `extra_headers`, `extra_body` and `extra_query` (more of the request, as it is), `ssl_verify`, `drop_params` (leave out
    what the endpoint refuses by name); `capabilities`, what the endpoint can do where that is not known (see
    `engine.lm.client`); `prompt_cache`, True or the provider's settings ({"ttl": "1h"}), to mark the parts of each
    prompt that a provider should keep, where it needs such marks. `engine.lm.options` has all of them, with litellm's names.
    All others are parameters of each call (temperature, max_tokens, stop, ...).

    Raises ConfigurationError for a name or an address that cannot be one; calls raise LMError, or
    MissingKeyError if a key is needed and not set.

    >>> lm = LM("openai/gpt-5-mini", temperature=1.0, api_key="sk-very-secret")
    >>> lm
    LM('openai/gpt-5-mini', temperature=1.0)
    >>> lm.copy(temperature=None).params
    {}
    """

    records = True

    def __init__(  # noqa: PLR0913 - DSPy's arguments in DSPy's order
        self,
        model: str,
        model_type: str = "chat",
        temperature: float | None = None,
        max_tokens: int | None = None,
        cache: bool | Cache = True,
        callbacks: Sequence[Any] | None = None,
        num_retries: int = 3,
        *,
        timeout: float = TIMEOUT,
        api_key: str | None = None,
        api_base: str | None = None,
        transport: Transport | None = None,
        **params: Any,
    ) -> None:
        given = under_one_name(
            {"num_retries": num_retries, "timeout": timeout, "api_base": api_base, **params}
        )
        asked = {"temperature": temperature, "max_tokens": max_tokens}
        self._settings: JsonObject = {"cache": cache, "model_type": model_type, **asked, **given}
        if transport is not None:
            self._settings["transport"] = transport
        self._api_key = Secret(api_key or "", "given")
        hosted = None if given.get("api_base") else hosted_choice(model)
        if hosted is not None:  # a tuned model at a provider
            given = {"key_env": hosted.key_env, **given, "api_base": hosted.base_url}
        self.options = options = read_options(model, given)
        # An engine of the user's is asked in text, unless it is said to take more.
        known = () if transport is not None and options.capabilities is None else options.capabilities
        self._given = None if known is None else checked(known, model)
        self.route = routed(hosted.name if hosted else model, options, transport)
        sent = dict(options.params)
        if self.route.protocol == "openai":
            sent = for_direct(model, sent, openai=self.route.at_openai)
        super().__init__(
            model, _model_type(model, model_type), temperature, max_tokens, cache, callbacks, **sent
        )
        keep = options.prompt_cache
        self._keep = {**KEEP, **(keep if isinstance(keep, Mapping) else {})} if keep else None
        self.num_retries, self.timeout = options.num_retries, options.timeout
        self.rpm, self.tpm, self.key_env = options.rpm, options.tpm, options.key_env
        self.headers = options.headers
        self._transport = transport

    async def complete(self, request: Request) -> Reply:
        """Answer one request: from the cache, or by asking the endpoint and keeping the answer.

        Raises LMError after the retries, MissingKeyError before anything is sent.
        """
        return await answer_by_layers(self, with_schema(request))

    async def recall(self, request: Request) -> Reply | None:
        """Return the kept answer to a request, or None where it would have to be asked for (never of the offline model)."""
        if self.route.protocol == "offline":
            return await LM.complete(self, request)
        request, cache = self.cache_for(with_schema(request))
        reply = None if cache is None else cache.get(self.cache_key(request), faulty=self.may_say_nothing)
        return reply and priced(reply, self.price())

    def price(self) -> tuple[float, float] | None:
        """Return US dollars per input and per output token, or None where the price is unknown."""
        return None if self.known_price is None else (self.known_price.input, self.known_price.output)

    def speed(self) -> Speed:
        """Return the speed measured on earlier calls of this model at this address."""
        return speeds().get(self.place, Speed())

    @property
    def supports_vision(self) -> bool | None:
        """True if it sees pictures, as far as the price table says."""
        return None if self.known_price is None else self.known_price.vision

    @cached_property
    def capabilities(self) -> frozenset[str]:  # type: ignore[override]  # found out when it is first asked for
        """The endpoint's abilities, as far as they are known or given."""
        return capabilities_of(self.route, self.known_price) if self._given is None else self._given

    def copy(self, **changes: Any) -> Self:
        """Return a new model with some settings changed; None takes a parameter away. The history starts empty.

        `copy.deepcopy(lm)` does the same, also inside a list or a dict. A program's copy shares the program's models.
        What a subclass has put on the model is shared with it.
        """
        model = changes.pop("model", self.model)
        key = changes.pop("api_key", self._api_key.reveal() or None)
        settings = {"callbacks": self.callbacks, **self._settings, **self.params, **under_one_name(changes)}
        other = type(self).__new__(type(self))
        found_out = {name for name, member in vars(LM).items() if isinstance(member, cached_property)}
        other.__dict__.update({k: v for k, v in vars(self).items() if k not in found_out})
        options: JsonObject = {k: v for k, v in settings.items() if v is not None}
        LM.__init__(other, model, api_key=key, **options)
        return other

    def kept(self) -> JsonObject:
        """Return the settings that a saved step keeps: those that change how it is called, no address and no key.

        Raises ConfigurationError with a transport of the user's, which no file can hold.
        """
        if "transport" in self._settings:
            raise ConfigurationError(
                f"{self.model!r} is asked by an engine of your own, which cannot be saved. Save the program without this model "
                "(set_lm(None)), and set it again after loading."
            )
        usual = {"model_type": "chat", "num_retries": 3, "timeout": TIMEOUT}
        names = ("model_type", "num_retries", "timeout", "rpm", "tpm", "prompt_cache", "capabilities")
        settings = {name: self._settings[name] for name in names if self._settings.get(name) is not None}
        if "capabilities" in settings:
            settings["capabilities"] = sorted(self.capabilities)
        return {name: value for name, value in settings.items() if usual.get(name) != value}

    def dump_state(self) -> JsonObject:
        """Return the settings as JSON values, without anything secret: `LM(**state)` makes the model again."""
        self.kept()  # a transport cannot be saved
        state = {k: v for k, v in without_secrets(self._settings).items() if k != "cache" and v is not None}
        state |= {k: without_password(state[k]) for k in ("api_base", "base_url") if k in state}
        return {"model": self.model, **state, "cache": self.cache is not False}

    def __repr__(self) -> str:
        shown = "".join(f", {name}={value!r}" for name, value in without_secrets(self.params).items())
        base = f", api_base={without_password(self.route.base_url or '')!r}" if self.route.custom else ""
        return f"{type(self).__name__}({self.model!r}{shown}{base})"

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self if shared_in(memo) else self.copy()

    def __reduce__(self) -> tuple[object, ...]:
        # Pickled by its settings: without the key, the connection and the history.
        return _rebuild, (type(self), self.dump_state())

    # What the layers of `engine.lm.calls.middleware` ask of a model

    @property
    def may_say_nothing(self) -> bool:
        """True if an empty answer is accepted: a completed text may need no more, and local weights have no such fault."""
        return self.model_type == "text" or self.route.protocol == "local"

    @property
    def computes(self) -> bool:
        """True if answers are computed by the asking process, and nothing is sent anywhere."""
        return self.route.protocol in ("offline", "local")

    def cache_for(self, request: Request) -> tuple[Request, Cache | None]:
        """Return the request without its own cache setting, and the cache that holds for it."""
        setting = self.cache
        if "cache" in request.params:
            params = dict(request.params)
            setting = params.pop("cache")
            request = replace(request, params=params)
        if setting is False:
            return request, None
        if isinstance(setting, Cache):
            return request, setting
        chosen = chosen_cache()
        return request, self._usual_cache if chosen is True else chosen or None

    def cache_key(self, request: Request) -> str:
        """Return the key under which the answer is kept, the same however long and often the call is tried.

        Raises InvalidRequestError for what no JSON can be made of.
        """
        if not OF_TRIES.isdisjoint(request.params):
            asked = {name: value for name, value in request.params.items() if name not in OF_TRIES}
            request = replace(request, params=asked)
        try:
            return request.key(self._endpoint)
        except TypeError as error:
            raise unsendable(self.model, error) from None

    def with_marks(self, request: Request) -> Request:
        """Return the request with marks of what the provider should keep, where that was asked for and it needs them."""
        if self.options.marks:
            request = replace(request, messages=marked_at(request.messages, self.options.marks))
        if self._keep is None or "cache_marks" not in self.capabilities:
            return request
        return replace(request, messages=marked(request.messages, self._keep))

    def transport(self) -> Transport:
        """Return the way requests travel. Raises MissingKeyError if a key is needed and not set."""
        if self._transport is None:
            self._transport = self._transport_class()(self, self._needed_key())
        return self._transport

    def _transport_class(self) -> Callable[..., Transport]:
        protocol = self.route.protocol
        name = protocol if protocol in ("offline", "local") else f"{protocol} {self.model_type}"
        transport: Callable[..., Transport] = parts.load(parts.TRANSPORTS, name, "transport")
        return transport

    def _needed_key(self) -> Secret:
        route = self.route
        key = self._api_key or key_for(route, self.key_env)
        provider = route.provider
        if provider and provider.needs_key and not (key or route.custom or self.headers):
            raise MissingKeyError(
                f"{route.name!r} needs an API key for {provider.title} and none was found in the {key.where}: set "
                "it, or give the key on the Settings page or as api_key."
            )
        return key

    @cached_property
    def _usual_cache(self) -> Cache:
        return default_cache()

    @cached_property
    def _endpoint(self) -> str:
        name = endpoint_id(self.route)
        return name if self.model_type == "chat" else f"{name} {self.model_type}"

    @cached_property
    def place(self) -> str:
        """The name of this model at this address in what was measured of its speed."""
        return hashlib.sha256(f"{self.model}\n{self.route.endpoint}".encode()).hexdigest()[:24]

    @cached_property
    def known_price(self) -> Price | None:
        """The price per token: as given, else from the table; None where it is unknown."""
        listed, given = price(self.model), self.options.price
        if given is None:
            return listed
        return (listed or Price(*given, given[0]))._replace(
            input=given[0], output=given[1], cached_input=given[0]
        )


def with_schema(request: Request) -> Request:
    """A pydantic model given as response_format is sent, and kept, as its JSON schema."""
    wanted = request.params.get("response_format")
    if not isinstance(wanted, type) or not hasattr(wanted, "model_json_schema"):
        return request
    schema = {"name": wanted.__name__, "schema": wanted.model_json_schema(), "strict": True}
    return replace(
        request, params={**request.params, "response_format": {"type": "json_schema", "json_schema": schema}}
    )


MODEL_TYPES = ("chat", "responses", "text")


def _model_type(model: str, given: str | None) -> str:
    kind = "text" if model.startswith("text-completion-") else given or "chat"
    if kind not in MODEL_TYPES:
        raise ConfigurationError(
            f"{model!r}: there is no model_type {kind!r}. Choose from: {', '.join(MODEL_TYPES)}."
        )
    return kind


def routed(model: str, options: ModelOptions, transport: Transport | None = None) -> Route:
    """Return the way of a model's requests under some options. Raises ConfigurationError for a name that is none."""
    if transport is not None:
        kind = type(getattr(transport, "engine", transport))
        return Route(model, model, "litellm", f"own://{kind.__module__}.{kind.__qualname__}", custom=True)
    provider = options.custom_llm_provider
    name = model if provider is None or model.startswith(f"{provider}/") else f"{provider}/{model}"
    route = find_route(name, options.api_base)
    if provider is not None and route.provider is None and route.protocol == "openai":
        route = replace(route, model=route.model.removeprefix(f"{provider}/"))
    if options.by_litellm and route.protocol == "openai":
        prefix = route.provider.prefix if route.provider else "openai"
        return replace(route, model=f"{prefix}/{route.model}", protocol="litellm")
    return route


def _rebuild(kind: type[LM], state: JsonObject) -> LM:
    lm = kind.__new__(kind)
    LM.__init__(lm, **state)
    return lm


def make_lm(choice: ModelChoice) -> LM:
    """Return a model. Its key is looked up when it is first called, in the environment and the keyring.

    Raises ConfigurationError for no name, and for an address that is none.
    """
    return LM(
        choice.name,
        api_base=choice.base_url,
        key_env=choice.key_env,
        temperature=choice.temperature,
        max_tokens=choice.max_tokens,
        timeout=TIMEOUT if choice.timeout is None else choice.timeout,
        # The offline model is quick, free and always answers the same: keeping its answers would only fill the disk.
        cache=not is_offline(choice),
    )


shared_lm = lru_cache(maxsize=32)(make_lm)
"""`make_lm`'s model, the same one for equal choices, so that its limits and its connection are shared."""
