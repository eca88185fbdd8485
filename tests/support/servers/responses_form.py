"""OpenAI's /responses and /completions as `openai_server` speaks them: what is refused, whole replies, events of a stream."""

from __future__ import annotations

import json
import re
import time
from typing import Any

KNOWN = """
background conversation include input instructions max_output_tokens max_tool_calls metadata model parallel_tool_calls
previous_response_id prompt prompt_cache_key reasoning safety_identifier service_tier store stream stream_options temperature
text tool_choice tools top_logprobs top_p truncation user
""".split()
"""Parameters of /responses; it refuses all others."""

ITEMS = {
    "function_call": {"type", "call_id", "name", "arguments"},
    "function_call_output": {"type", "call_id", "output"},
}
PARTS = {
    "input_text": {"type", "text"},
    "output_text": {"type", "text"},
    "input_image": {"type", "image_url", "detail", "file_id"},
    "input_file": {"type", "file_data", "filename", "file_id", "file_url"},
}


def refusal(path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """The error that OpenAI answers a wrong body with, or None."""
    if path.endswith("/completions") and not path.endswith("/chat/completions"):
        return None if isinstance(body.get("prompt"), str) else _error("missing_required_parameter", "prompt")
    if not path.endswith("/responses"):
        return None
    if unknown := sorted(body.keys() - set(KNOWN)):
        return _error("unknown_parameter", unknown[0])
    for number, item in enumerate(body["input"]):
        at = f"input[{number}]"
        if "role" not in item:
            wanted = ITEMS.get(item.get("type", ""))
            if wanted is None or item.keys() != wanted:
                return _error("invalid_value", at)
            continue
        content = item["content"]
        for place, part in enumerate(content if isinstance(content, list) else ()):
            fits = PARTS.get(part.get("type"), set())
            side = "output_text" if item["role"] == "assistant" else "input_"
            if not fits.issuperset(part) or not part["type"].startswith(side):
                return _error("invalid_value", f"{at}.content[{place}]")
    for tool in body.get("tools", ()):
        if tool.get("type") == "function" and not isinstance(tool.get("name"), str):
            return _error("missing_required_parameter", "tools[0].name")
    return None


def _error(code: str, name: str) -> dict[str, Any]:
    words = {
        "unknown_parameter": "Unknown parameter",
        "missing_required_parameter": "Missing required parameter",
    }
    message = f"{words.get(code, 'Invalid value')}: '{name}'."
    return {"message": message, "type": "invalid_request_error", "param": name, "code": code}


def reply(body: dict[str, Any], answer: Any, reasoning: str = "") -> dict[str, Any]:
    """A whole reply; `answer` is its text, a list of output items, or a dict of the reply's parts."""
    given = answer if isinstance(answer, dict) else {}
    output = answer if isinstance(answer, list) else [message(str(answer))]
    if reasoning:
        thought = {"type": "summary_text", "text": reasoning}
        output = [
            {"type": "reasoning", "id": "rs_1", "summary": [thought], "encrypted_content": None},
            *output,
        ]
    read = len(json.dumps(body["input"])) // 4
    usage = {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": read // 2},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 12},
        "total_tokens": read + 20,
    }
    return {
        "id": "resp_local",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": body["model"],
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": body.get("tools", []),
        "usage": usage,
        **given,
    }


def message(text: str, annotations: Any = (), logprobs: Any = ()) -> dict[str, Any]:
    """An output item with a text."""
    part = {"type": "output_text", "text": text, "annotations": [*annotations], "logprobs": [*logprobs]}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


def call(name: str, arguments: dict[str, Any], call_id: str = "call_1") -> dict[str, Any]:
    """An output item that calls a tool."""
    given = {"name": name, "arguments": json.dumps(arguments), "call_id": call_id}
    return {"type": "function_call", "id": "fc_1", "status": "completed", **given}


def events(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream, in the order OpenAI sends them."""
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    found: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(whole["output"]):
        where = {"item_id": item["id"], "output_index": index}
        empty = {k: [] if k in ("content", "summary") else v for k, v in item.items()}
        found.append({"type": "response.output_item.added", "output_index": index, "item": empty})
        if item["type"] == "reasoning":
            for part in item["summary"]:
                kind, at = "response.reasoning_summary_text", {**where, "summary_index": 0}
                found += [{"type": f"{kind}.delta", **at, "delta": text} for text in _pieces(part["text"])]
                found.append({"type": f"{kind}.done", **at, "text": part["text"]})
        elif item["type"] == "function_call":
            kind = "response.function_call_arguments"
            found += [
                {"type": f"{kind}.delta", **where, "delta": text} for text in _pieces(item["arguments"])
            ]
            found.append({"type": f"{kind}.done", **where, "arguments": item["arguments"]})
        else:
            for place, part in enumerate(item["content"]):
                at = {**where, "content_index": place}
                kind = "response.refusal" if part["type"] == "refusal" else "response.output_text"
                text = part.get("text") or part.get("refusal")
                found.append({"type": "response.content_part.added", **at, "part": {**part, "text": ""}})
                found += [{"type": f"{kind}.delta", **at, "delta": piece} for piece in _pieces(text)]
                found.append({"type": f"{kind}.done", **at, "text": text})
                found.append({"type": "response.content_part.done", **at, "part": part})
        found.append({"type": "response.output_item.done", "output_index": index, "item": item})
    found.append({"type": f"response.{whole['status']}", "response": whole})
    return [{**event, "sequence_number": number} for number, event in enumerate(found)]


def text_reply(chat: dict[str, Any]) -> dict[str, Any]:
    """A reply of /completions, made of a chat reply."""
    choices = [
        {
            "index": c["index"],
            "text": c["message"]["content"],
            "logprobs": None,
            "finish_reason": c["finish_reason"],
        }
        for c in chat["choices"]
    ]
    return {**chat, "object": "text_completion", "choices": choices}


def text_events(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream of /completions."""
    frame = {"id": whole["id"], "object": "text_completion", "model": whole["model"]}
    choice = {"index": 0, "logprobs": None, "finish_reason": None}
    found = [
        {**frame, "choices": [{**choice, "text": text}]} for text in _pieces(whole["choices"][0]["text"])
    ]
    found.append({**frame, "choices": [{**choice, "text": "", "finish_reason": "stop"}]})
    return [*found, {**frame, "choices": [], "usage": whole["usage"]}]


def _pieces(text: str) -> list[str]:
    return re.findall(r"(?s).{1,7}", text)
