"""The parts of a log's records: requests, replies, spans, observations and users' scores, in the forms that tools write.

Anything may be missing or of another type: what cannot be read is left aside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.basics.data import JsonObject, Values
from engine.basics.text import json_of


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One call of a log. `variables` are named inputs where the log has them, as of a prompt template."""

    input: str
    output: str
    model: str = ""
    thumbs: str = ""
    comment: str = ""
    system: str = ""
    variables: tuple[tuple[str, str], ...] = ()


def messages_of(value: object) -> list[Values]:
    """Return messages as they are or in JSON text; none for anything else."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = json_of(value)
        except ValueError:
            return []
    if isinstance(value, Mapping) and isinstance(value.get("messages"), list):
        value = value["messages"]
    if isinstance(value, Mapping) and isinstance(value.get("role"), str):
        value = [value]
    if not isinstance(value, list) or not value:
        return []
    messages: list[Values] = [
        {str(key).removeprefix("message."): part for key, part in message.items()}  # OpenInference's keys
        for message in _mappings([m.get("message", m) for m in _mappings(value)])
    ]
    return (
        messages
        if len(messages) == len(value) and all(isinstance(m.get("role"), str) for m in messages)
        else []
    )


def content_text(content: object) -> str:
    """Return a content as text: as it is, the texts among its parts, or a call of a tool as JSON."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (p if isinstance(p, str) else _part(p) for p in content if isinstance(p, str | Mapping))
        return "\n".join(p for p in parts if p)
    return json.dumps(content, ensure_ascii=False) if isinstance(content, Mapping) else str(content)


def _part(part: Values) -> str:
    part = {str(k).removeprefix("message_content."): v for k, v in part.items()}
    text = part.get("text", part.get("content"))
    return text if isinstance(text, str) else ""


def _message_text(message: Values) -> str:
    text = content_text(message.get("parts") or message.get("contents") or message.get("content"))
    if text or not message.get("tool_calls"):
        return text
    return json.dumps(message["tool_calls"], ensure_ascii=False)


def _question_of(value: object) -> tuple[str, str]:
    """Return the system's text and what was asked, of messages or any other input; of a conversation all turns."""
    messages = messages_of(value)
    if not messages:
        if isinstance(value, Mapping) and len(value) == 1:
            (value,) = value.values()
        return "", content_text(value)
    system = "\n\n".join(_message_text(m) for m in messages if m["role"] in ("system", "developer"))
    turns = [m for m in messages if m["role"] not in ("system", "developer")]
    if len(turns) == 1:
        return system, _message_text(turns[0])
    return system, "\n\n".join(f"{m['role']}: {_message_text(m)}" for m in turns)


def _answered(value: object) -> str:
    """Return the answer in a reply: of a completion its first choice, of messages the last, else the value as text."""
    if isinstance(value, str) and (messages := messages_of(value)):
        return _message_text(messages[-1])
    if isinstance(value, Mapping):
        choices = value.get("choices")
        if choices == []:
            return ""
        if isinstance(choices, list) and isinstance(choices[0], Mapping):
            message = choices[0].get("message")
            return (
                _message_text(message)
                if isinstance(message, Mapping)
                else content_text(choices[0].get("text"))
            )
        for key in ("output_text", "content", "parts", "text", "answer", "output", "completion", "result"):
            if value.get(key):
                return _answered(value[key])
        return _message_text(value) if value.get("tool_calls") else content_text(value)
    if messages := messages_of(value):
        return _message_text(messages[-1])
    return content_text(value)


def _thumbs(value: object) -> str:
    """Return a user's score as up, down or nothing: a truth, a number, or a word.

    >>> _thumbs(-1), _thumbs(0.9), _thumbs("thumbs_down"), _thumbs(True), _thumbs("blue")
    ('down', 'up', 'down', 'up', '')
    """
    if isinstance(value, bool):
        return "up" if value else "down"
    if isinstance(value, int | float):
        return "down" if value <= 0 or (value < 0.5) else "up"
    word = re.sub(r"[\s_]", "-", str(value or "").strip().casefold())
    return "down" if word in _BAD else "up" if word in _GOOD else ""


_BAD = "down thumbs-down thumb-down bad negative wrong incorrect false 👎 dislike no".split()
_GOOD = "up thumbs-up thumb-up good positive right correct true 👍 like yes".split()


_FEEDBACK = "feedback user_feedback rating thumbs score scores evaluations annotations label".split()
_ABOUT_USER = re.compile(r"user|feedback|thumb|rating|correct|quality|helpful|label|annotat", re.I)


def _judged(record: Values) -> tuple[str, str]:
    """Return the thumbs and the comment of a record's feedback, in the forms that logs have it in."""
    thumbs, comment = "", ""
    for key in _FEEDBACK:
        for one in _scores(record.get(key)):
            thumbs = thumbs or one[0]
            comment = comment or one[1]
    return thumbs, comment


def _scores(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for one in value:
            yield from _scores(one)
    elif isinstance(value, Mapping):
        both = dict(value)
        for inside in _mappings([value.get("result")]):
            both.update(inside)
        given = next(
            (
                both[k]
                for k in ("value", "score", "thumbs", "rating", "stringValue", "string_value", "label")
                if both.get(k) is not None
            ),
            None,
        )
        comment = next(
            (both[k] for k in ("comment", "explanation", "reason", "text") if isinstance(both.get(k), str)),
            "",
        )
        if given is None and not comment:
            for name, one in value.items():
                if _ABOUT_USER.search(str(name)):
                    yield from _scores(one)
        else:
            yield _thumbs(given) if given is not None else "", comment
    elif value is not None:
        yield _thumbs(value), ""


# Chat completions


def request_of(record: Values) -> Values:
    """Return the request in a line of a log; the line itself where it is the request."""
    for key in ("request", "body", "input", "kwargs", "params"):
        inside = record.get(key)
        if isinstance(inside, Mapping) and ("messages" in inside or "input" in inside):
            return inside
    return record


def reply_of(record: Values) -> object:
    """Return the reply in a line of a log, or None."""
    for key in ("response", "completion", "reply", "output", "result"):
        inside = record.get(key)
        if inside:
            body = inside.get("body") if isinstance(inside, Mapping) else None
            return body if isinstance(body, Mapping) else inside
    return record if record.get("choices") else None


def chat_call(record: Values) -> LoggedCall | None:
    """Return the call in a line of chat completions."""
    request, reply = request_of(record), reply_of(record)
    asked = messages_of(request.get("messages") or request.get("input"))
    answer = _answered(reply) if reply else ""
    if not answer and asked and asked[-1]["role"] == "assistant":  # as in a file to fine-tune with
        asked, answer = asked[:-1], _message_text(asked[-1])
    system, text = _question_of(list(asked))
    model = (
        request.get("model")
        or record.get("model")
        or (reply.get("model") if isinstance(reply, Mapping) else "")
    )
    return LoggedCall(text, answer, str(model or ""), *_judged(record), system)


# Spans


def _mappings(value: object) -> Iterator[Values]:
    """Iterate over the objects in a list; anything else is left aside."""
    return (one for one in value if isinstance(one, Mapping)) if isinstance(value, list | tuple) else iter(())


def records_in(records: Iterable[object], traces: bool = False) -> Iterator[Values]:
    """Iterate over the spans in a log's lines or files; with `traces` also over the generations in a trace."""
    for record in _mappings([*records]):
        wrapped = record.get("resourceSpans") or record.get("resource_spans")
        if wrapped:
            for resource in _mappings(wrapped):
                for scope in _mappings(resource.get("scopeSpans") or resource.get("scope_spans")):
                    yield from _mappings(scope.get("spans"))
        else:
            yield from (_generations(record) if traces else ()) or [record]


def attributes_of(span: Values) -> JsonObject:
    """Return a span's attributes by their dotted names: from OTLP's list, from nested objects, from columns."""
    attributes: JsonObject = {}
    given = span.get("attributes")
    if isinstance(given, list):
        attributes.update(
            {str(one["key"]): _otlp_value(one.get("value")) for one in _mappings(given) if "key" in one}
        )
    elif isinstance(given, Mapping):
        attributes.update(_dotted(given))
    attributes.update(
        {str(k).removeprefix("attributes."): v for k, v in span.items() if str(k).startswith("attributes.")}
    )
    return attributes


def _otlp_value(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    if "arrayValue" in value:
        inside = value["arrayValue"]
        return [_otlp_value(v) for v in inside.get("values", ())] if isinstance(inside, Mapping) else []
    if "kvlistValue" in value:
        inside = value["kvlistValue"]
        pairs = inside.get("values", ()) if isinstance(inside, Mapping) else ()
        return {
            str(p["key"]): _otlp_value(p.get("value")) for p in pairs if isinstance(p, Mapping) and "key" in p
        }
    return next(iter(value.values()), None) if len(value) == 1 else dict(value)


def _dotted(value: Values, before: str = "") -> Iterator[tuple[str, Any]]:
    for key, inside in value.items():
        name = f"{before}{key}"
        yield name, inside
        if isinstance(inside, Mapping):
            yield from _dotted(inside, f"{name}.")


def _indexed(attributes: Values, prefix: str) -> list[Values]:
    """Return the messages that attributes spread out, as in `llm.input_messages.0.message.content`."""
    by_place: dict[int, JsonObject] = {}
    for name, value in attributes.items():
        if match := re.fullmatch(rf"{re.escape(prefix)}\.(\d+)\.(?:message\.)?(role|content)", name):
            by_place.setdefault(int(match[1]), {})[match[2]] = value
    return [by_place[at] for at in sorted(by_place) if "role" in by_place[at]]


def span_call(span: Values) -> LoggedCall | None:
    """Return the call in a span; None for a span that is no model call."""
    attributes = attributes_of(span)
    kind = str(attributes.get("openinference.span.kind") or span.get("span_kind") or "LLM").upper()
    operation = str(attributes.get("gen_ai.operation.name") or "chat")
    if kind not in ("LLM", "UNKNOWN", "INTERNAL", "CLIENT") or operation in (
        "embeddings",
        "execute_tool",
        "invoke_agent",
    ):
        return None
    events = _event_messages(span)
    asked = next(filter(None, (
        attributes.get("gen_ai.input.messages"), attributes.get("llm.input_messages"),
        _indexed(attributes, "llm.input_messages"), _indexed(attributes, "gen_ai.prompt"), events[0],
        attributes.get("gen_ai.prompt"), attributes.get("input.value"),
    )), "")  # fmt: skip
    answer = next(filter(None, (
        attributes.get("gen_ai.output.messages"), attributes.get("llm.output_messages"),
        _indexed(attributes, "llm.output_messages"), _indexed(attributes, "gen_ai.completion"), events[1],
        attributes.get("gen_ai.completion"), attributes.get("output.value"),
    )), "")  # fmt: skip
    instructions = attributes.get("gen_ai.system_instructions")
    system, text = _question_of(_plain(asked))
    if instructions:
        system = "\n\n".join(filter(None, (content_text(_plain(instructions)), system)))
    model = (
        attributes.get("gen_ai.response.model")
        or attributes.get("gen_ai.request.model")
        or attributes.get("llm.model_name")
    )
    return LoggedCall(
        text, _answered(_plain(answer)), str(model or ""), *_judged(span), system,
        _variables(attributes.get("llm.prompt_template.variables")),
    )  # fmt: skip


def _plain(value: object) -> object:
    """Return what a JSON text holds; any other value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json_of(value)
        except ValueError:
            return value
    return value


def _event_messages(span: Values) -> tuple[list[Values], list[Values]]:
    """Return the messages in and out that older conventions put into a span's events."""
    asked: list[Values] = []
    answered: list[Values] = []
    for event in _mappings(span.get("events")):
        name, body = str(event.get("name", "")), attributes_of(event)
        if name == "gen_ai.choice":
            message = _plain(body.get("message")) if body.get("message") else body
            answered.append(
                {"role": "assistant", **(message if isinstance(message, Mapping) else {"content": message})}
            )
        elif name.startswith("gen_ai.") and name.endswith(".message"):
            asked.append({"role": name.split(".")[1], "content": body.get("content", "")})
        elif name == "gen_ai.client.inference.operation.details":
            asked += messages_of(body.get("gen_ai.input.messages"))
            answered += messages_of(body.get("gen_ai.output.messages"))
    return asked, answered


def _variables(value: object) -> tuple[tuple[str, str], ...]:
    variables = _plain(value)
    if not isinstance(variables, Mapping):
        return ()
    return tuple(
        (str(name), content_text(one))
        for name, one in variables.items()
        if re.fullmatch(r"\w{1,60}", str(name))
    )


# Langfuse


def _generations(trace: Values) -> list[Values]:
    """Return a trace's generations, each with the trace's scores; none for an observation alone."""
    scores = [*_mappings(trace.get("scores"))]
    generations: list[Values] = []
    for one in _mappings(trace.get("observations")):
        if one.get("type") == "GENERATION":
            its_scores = [s for s in scores if s.get("observationId") in (None, one.get("id"))]
            generations.append({**one, "scores": its_scores})
    return generations


def langfuse_call(record: Values) -> LoggedCall | None:
    """Return the call in an observation or a trace; None for one that is no model call."""
    if record.get("type") not in (None, "GENERATION", "TRACE"):
        return None
    asked, answer = _plain(record.get("input")), _plain(record.get("output"))
    model = record.get("model") or record.get("provided_model_name") or record.get("providedModelName") or ""
    system, text = _question_of(asked)
    named = (
        () if messages_of(asked) or not isinstance(asked, Mapping) or len(asked) < 2 else _variables(asked)
    )
    return LoggedCall("" if named else text, _answered(answer), str(model), *_judged(record), system, named)
