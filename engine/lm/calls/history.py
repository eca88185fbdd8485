"""The last calls, in memory only, to see what was really sent and answered.

A record holds references, no copies, and nothing secret. The lists are bounded, so a long run does not fill memory.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, KeysView, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TextIO

from engine.basics.data import JsonObject, Values
from engine.lm import exchange
from engine.lm.exchange import Message, Reply, Request
from engine.lm.keys import without_secrets
from engine.records import Usage
from engine.runtime import current


@dataclass(frozen=True, slots=True, eq=False)
class Call(Values):
    """One call: what was sent, what came back (or the error's message), and what it cost; by DSPy's keys, too.

    >>> call = Call("m", ({"role": "user", "content": "Hi"},), {}, None, "It failed.")
    >>> call["messages"][0]["content"], call.get("cost"), call["outputs"]
    ('Hi', None, [])
    """

    model: str
    messages: Sequence[Message]
    params: Values
    reply: Reply | None
    error: str | None = None
    model_type: str = "chat"
    callers: tuple[object, ...] = ()
    """The modules that the call was made in, the outermost first."""
    timestamp: float = field(default_factory=time.time)

    @property
    def outputs(self) -> list[str]:
        """The completions' texts."""
        return [choice.text for choice in self.reply.choices] if self.reply else []

    @property
    def usage(self) -> Usage:
        """The call's cost, or what it would have cost when it came from the cache."""
        return self.reply.usage if self.reply else Usage()

    @property
    def cached(self) -> bool:
        """True if the answer came from the cache."""
        return self.reply is not None and self.reply.cached

    def __getitem__(self, key: str) -> Any:
        """Read a value by DSPy's key: history[-1]["messages"], ["outputs"], ["usage"], ["cost"] ..."""
        return _VALUES[key](self)

    def __iter__(self) -> Iterator[str]:
        return iter(_VALUES)

    def __len__(self) -> int:
        return len(_VALUES)

    def keys(self) -> KeysView[str]:
        """Return DSPy's keys."""
        return _VALUES.keys()

    def copy(self) -> JsonObject:
        """Return the call as a plain dict."""
        return dict(self)


_VALUES: Mapping[str, Callable[[Call], Any]] = {
    "prompt": lambda call: prompt_of(call.messages),
    "messages": lambda call: call.messages,
    "kwargs": lambda call: call.params,
    "response": lambda call: call.reply,
    "outputs": lambda call: call.outputs,
    "usage": lambda call: exchange.tokens_of(Usage() if call.cached else call.usage),
    "cost": lambda call: call.usage.cost,
    "timestamp": lambda call: call.timestamp,
    "uuid": lambda call: f"{id(call):x}-{call.timestamp:.6f}",
    "model": lambda call: call.model,
    "response_model": lambda call: call.reply.model if call.reply else None,
    "model_type": lambda call: call.model_type,
    "cached": lambda call: call.cached,
    "error": lambda call: call.error,
}


def prompt_of(messages: Sequence[Message]) -> object:
    """Return the text of a call that consists of one question, as `lm("...")` makes it; None for others."""
    if len(messages) != 1 or messages[0].get("role") != "user":
        return None
    content = messages[0].get("content")
    return content if isinstance(content, str) else None


def record(
    calls: list[Call], model_type: str, request: Request, reply: Reply | None, error: str | None = None
) -> None:
    """Note a call in a model's history, `calls`, and in the process's; nothing in a `context(history=False)`.

    Each keeps the last `max_history_size` calls, a setting, and up to an eighth more: the oldest go several at a time.
    """
    runtime = current()
    if not runtime.history:
        return
    params = without_secrets(request.params)
    call = Call(request.model, request.messages, params, reply, error, model_type, callers.get())
    size = runtime.max_history_size
    most = size + size // 8
    for history in (calls, recent):
        history.append(call)
        if len(history) > most:
            del history[: len(history) - size]


callers: ContextVar[tuple[object, ...]] = ContextVar("engine_lm_callers", default=())
"""The modules that run here, the outermost first."""


class calling:  # noqa: N801 - used like a function
    """`with calling(module):` notes the module on the calls that are made inside."""

    __slots__ = ("_module", "_token")

    def __init__(self, module: object) -> None:
        self._module = module

    def __enter__(self) -> None:
        self._token = callers.set((*callers.get(), self._module))

    def __exit__(self, *_error: object) -> None:
        callers.reset(self._token)


class CallsOf:
    """`module.history`: the calls made by a module, as far as the process's history goes back; a module may set its own."""

    def __get__(self, module: object, owner: type) -> Any:
        """Return the module's calls, the oldest first."""
        return [call for call in recent if any(caller is module for caller in call.callers)]


def inspect_history(n: int = 1, file: TextIO | None = None) -> None:
    """Write the last `n` calls of this process, oldest first, to `file` (standard output by default)."""
    show(recent, n, file)


def show(calls: Sequence[Call], n: int = 1, file: TextIO | None = None) -> None:
    """Write the last `n` of some calls as readable text."""
    out = file or sys.stdout
    if not calls:
        out.write("No model has been called yet.\n")
        return
    for call in list(calls)[-max(n, 1) :]:
        out.write(f"{text_of(call)}\n\n")


def text_of(call: Call) -> str:
    """Return one call as readable text: a heading, each message under its role, then the answers.

    >>> print(text_of(Call("m", ({"role": "user", "content": "Hi"},), {}, None, "It failed.")))
    === m, 0 tokens in, 0 out ===
    --- user ---
    Hi
    --- error ---
    It failed.
    """
    usage = call.usage
    cost = "" if usage.cost is None else f", ${usage.cost:.6f}"
    source = ", from the cache" if call.cached else ""
    parts = [f"=== {call.model}, {usage.input_tokens} tokens in, {usage.output_tokens} out{cost}{source} ==="]
    for message in call.messages:
        parts += [f"--- {message.get('role', '')} ---", _content(message.get("content"))]
    if call.error is not None:
        parts += ["--- error ---", call.error]
    for number, choice in enumerate(call.reply.choices if call.reply else (), 1):
        parts += [f"--- answer {number} ---", choice.text]
        parts += [f"(tool call) {tool_call}" for tool_call in choice.tool_calls]
    return "\n".join(parts)


def _content(content: object) -> str:
    if content is None:
        return ""
    if not isinstance(content, list | tuple):
        return str(content)
    shown = [
        part.get("text", f"[{part.get('type', 'part')}]") if isinstance(part, dict) else str(part)
        for part in content
    ]
    return "\n".join(shown)


recent: list[Call] = []
"""The process's last calls, of all models."""
