"""The OpenAI protocol's other two kinds of request: /responses, and /completions for a prompt as plain text.

Both are asked and answered in the terms of chat, as everywhere in the engine; here they are put into their own form and back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from engine.basics.data import JsonObject, Values
from engine.lm.base import Choice, Message, Request
from engine.lm.exchange import choice_of
from engine.lm.streaming import Assembly, Chunk
from engine.lm.transports.openai_http import OpenAITransport


class ResponsesTransport(OpenAITransport):
    """One model at one endpoint, asked by way of /responses."""

    path = "/responses"
    streamed: ClassVar[Mapping[str, object]] = {"stream": True}

    def __init__(self, lm: Any, key: Any) -> None:
        super().__init__(lm, key)
        self.assembly = ResponseAssembly
        self._developer = lm.options.developer_role

    def _shaped(self, body: JsonObject) -> JsonObject:
        return response_request(body, developer=self._developer)

    def _choices(self, reply: Values, request: Request) -> tuple[Choice, ...]:  # noqa: ARG002 - the base's
        return (response_choice(reply),)


class TextTransport(OpenAITransport):
    """One model at one endpoint, asked to go on with a text, by way of /completions."""

    path = "/completions"

    def _shaped(self, body: JsonObject) -> JsonObject:
        return text_request(body)

    def _choices(self, reply: Values, request: Request) -> tuple[Choice, ...]:
        return super()._choices({"choices": list(map(as_chat, reply["choices"]))}, request)


# Requests


def response_request(chat: Values, *, developer: bool = False) -> JsonObject:
    """Return the body of a chat request as one for /responses; what has the same name in both stays as it is.

    Without `developer` the system message keeps its role.

    >>> response_request({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9})
    {'model': 'm', 'input': [{'role': 'user', 'content': 'Hi'}], 'max_output_tokens': 9}
    """
    rest = {name: value for name, value in chat.items() if name not in _REPLACED}
    body: JsonObject = {"model": rest.pop("model"), "input": list(_items(chat["messages"], developer))}
    limit = chat.get("max_tokens", chat.get("max_completion_tokens"))
    if limit is not None:
        body["max_output_tokens"] = limit
    text = dict(rest.pop("text", None) or {})
    if chat.get("response_format") is not None:
        text["format"] = _flat(chat["response_format"], "json_schema")
    if chat.get("verbosity") is not None:
        text["verbosity"] = chat["verbosity"]
    if text:
        body["text"] = text
    if chat.get("reasoning_effort") is not None:
        rest.setdefault("reasoning", {"effort": chat["reasoning_effort"]})
    if chat.get("tools"):
        body["tools"] = [_tool(tool) for tool in chat["tools"]]
    if chat.get("tool_choice") is not None:
        body["tool_choice"] = _flat(chat["tool_choice"], "function")
    if chat.get("logprobs"):
        rest["include"] = [*rest.get("include", ()), "message.output_text.logprobs"]
    return body | rest


_REPLACED = frozenset(
    """
    messages max_tokens max_completion_tokens response_format verbosity reasoning_effort tools tool_choice logprobs n
    """.split()
)
"""Parameters of a chat request with another form; there is no `n`: the client asks once for each completion."""


def _flat(value: Any, inner: str) -> Any:
    """Return {"type": t, inner: {...}} as {"type": t, ...}."""
    if not isinstance(value, Mapping) or not isinstance(value.get(inner), Mapping):
        return value
    return {**{k: v for k, v in value.items() if k != inner}, **value[inner]}


def _tool(tool: Any) -> Any:
    flat = _flat(tool, "function")
    # Chat takes a tool's schema as it is; here it would be strict unless that is switched off.
    return {**flat, "strict": False} if flat is not tool and "strict" not in flat else flat


def _items(messages: Sequence[Message], developer: bool) -> Iterator[JsonObject]:
    """Return messages as items: a turn, the calls of tools in it, or a tool's result."""
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role == "tool":
            output = content if isinstance(content, str) else _text_of(content)
            yield {"type": "function_call_output", "call_id": message.get("tool_call_id"), "output": output}
            continue
        calls = message.get("tool_calls") or ()
        if content or not calls:
            shown = (
                content if isinstance(content, str) else [_part(part, str(role)) for part in content or ()]
            )
            yield {"role": "developer" if developer and role == "system" else role, "content": shown}
        for call in calls:
            function = call["function"]
            named = {"call_id": call.get("id"), "name": function["name"], "arguments": function["arguments"]}
            yield {"type": "function_call", **named}


def _part(part: Values, role: str) -> Any:
    """Return a part of a message's content: a text, an image or a file; any other as it is."""
    kind = part.get("type")
    if kind == "text":
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part["text"]}
    if kind == "image_url":
        image = part["image_url"]
        given = image if isinstance(image, Mapping) else {"url": image}
        detail = {"detail": given["detail"]} if given.get("detail") else {}
        return {"type": "input_image", "image_url": given["url"], **detail}
    if kind == "file":
        return {
            "type": "input_file",
            **{k: v for k, v in part["file"].items() if v is not None and k != "format"},
        }
    return part


def _text_of(content: Any) -> str:
    return "".join(
        str(part.get("text", "")) if isinstance(part, Mapping) else str(part) for part in content or ()
    )


def text_request(chat: Values) -> JsonObject:
    """Return the body of a chat request as one for /completions: the messages' texts, one after another.

    >>> text_request({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
    {'model': 'm', 'prompt': 'Hi\\n\\nBEGIN RESPONSE:'}
    """
    contents = (message.get("content") for message in chat["messages"])
    texts = [content if isinstance(content, str) else _text_of(content) for content in contents]
    rest = {name: value for name, value in chat.items() if name not in ("model", "messages")}
    return {"model": chat["model"], "prompt": "\n\n".join([*texts, BEGIN]), **rest}


BEGIN = "BEGIN RESPONSE:"


# Replies


def response_choice(reply: Values) -> Choice:
    """Read a reply of /responses as one completion. Raises KeyError, TypeError or ValueError where it is none."""
    if reply.get("status") == "failed" or reply.get("error"):
        raise ValueError("a failed response")
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[JsonObject] = []
    message: JsonObject = {"annotations": [], "logprobs": []}
    for item in reply["output"]:
        kind = item.get("type")
        if kind == "message":
            texts += _read_content(item["content"], message)
        elif kind == "reasoning":
            thoughts += [str(part["text"]) for part in item.get("content") or item.get("summary") or ()]
        elif kind == "function_call":
            function = {"name": item["name"], "arguments": item["arguments"]}
            calls.append({"id": item.get("call_id"), "type": "function", "function": function})
    return choice_of(
        {
            "finish_reason": _finish(reply, bool(calls)),
            "logprobs": {"content": message["logprobs"]} if message["logprobs"] else None,
            "message": {
                "content": "".join(texts) if texts or "refusal" not in message else None,
                "refusal": message.get("refusal"),
                "reasoning_content": "\n\n".join(thoughts),
                "tool_calls": calls,
                "citations": message["annotations"],
            },
        }
    )


def _read_content(content: Sequence[Values], message: JsonObject) -> Iterator[str]:
    for part in content:
        if part.get("type") == "refusal":
            message["refusal"] = message.get("refusal", "") + str(part["refusal"])
        elif isinstance(text := part.get("text"), str):
            yield text
        message["annotations"] += part.get("annotations") or ()
        message["logprobs"] += part.get("logprobs") or ()


def _finish(reply: Values, called: bool) -> str:
    if reply.get("status") == "incomplete":
        reason = (reply.get("incomplete_details") or {}).get("reason")
        return "length" if reason in (None, "max_output_tokens") else str(reason)
    return "tool_calls" if called else "stop"


def as_chat(choice: Values) -> JsonObject:
    """Return a completion of /completions as one of chat, which it is already where it came in pieces."""
    return {**choice, "message": choice["message"] if "message" in choice else {"content": choice["text"]}}


class ResponseAssembly(Assembly):
    """Puts the events of /responses together: the last of them holds the whole reply.

    >>> assembly = ResponseAssembly()
    >>> [assembly.add(b'{"type": "response.output_text.delta", "delta": "hi"}')]
    [Chunk(text='hi', reasoning='', finish_reason=None, model='')]
    """

    def __init__(self) -> None:
        super().__init__()
        self._whole: JsonObject = {}
        self._begun = False

    def add(self, data: bytes) -> Chunk | None:
        """Take one event; return the piece it carries, if any. Raises ValueError where it is no JSON object."""
        return None if data == b"[DONE]" else super().add(data)

    def add_event(self, event: Values) -> Chunk | None:
        """Take one event that is read already. Raises ValueError where its piece is no text."""
        kind = event.get("type")
        if kind in _PIECES:
            piece = event["delta"]
            if not isinstance(piece, str):
                raise ValueError("A piece is no text.")
            self._begun = self._begun or bool(piece)
            return Chunk(**{_PIECES[kind]: piece}, model=self._model)
        if kind == "error":
            self.error = event if event.get("error") else {"error": dict(event)}
        if not isinstance(whole := event.get("response"), Mapping):
            return None
        self._model = str(whole.get("model") or self._model)
        if kind == "response.failed":
            self.error = {"error": whole.get("error") or {"message": "The response failed."}}
        if kind not in ("response.completed", "response.incomplete"):
            return None
        self._whole, self.done = dict(whole), True
        return Chunk(finish_reason=response_choice(whole).finish_reason, model=self._model)

    @property
    def begun(self) -> bool:
        """True once a piece has come."""
        return self._begun

    def reply(self) -> JsonObject:
        """Return the whole reply as the endpoint would have sent it in one piece."""
        return self._whole


_PIECES = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "text",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
}
"""Kind of event -> the part of a `Chunk` that its piece is."""
