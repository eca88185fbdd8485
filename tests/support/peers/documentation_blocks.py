"""Runs the code blocks of Markdown files, with DSPy or with the engine in its place, and prints what they print as JSON.

    python documentation_blocks.py dspy|engine FILE.md ...

The library is imported once; each file then has a process of its own, forked from there. Only the standard library is used, so that DSPy's own environment can run it. In a block, `say(...)` sets what the models at
`URL` answer: field values by name, or a function of the input fields that returns them. `OPENAI_API_BASE` leads there too.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

Say = Callable[..., Any]
"""A function of the input fields, and of the names of the output fields if it takes two arguments."""
FIELD = re.compile(r"\[\[ ## (\w+) ## \]\]")


class Block(NamedTuple):
    """A code block: its page, its title on that page, and the code."""

    page: str
    title: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.page}: {self.title}"


def blocks_of(file: Path) -> list[Block]:
    """Return the blocks of a file: pages are its headings of level two, titles those of level three."""
    found: list[Block] = []
    page = title = ""
    parts = re.split(
        r"^(#{2,3} [^\n]+|```python\n.*?^```)$", file.read_text(), flags=re.MULTILINE | re.DOTALL
    )
    for part in parts:
        if part.startswith("### "):
            title = part[4:]
        elif part.startswith("## "):
            page = part[3:]
        elif part.startswith("```python"):
            found.append(Block(page, title, part[len("```python\n") : -3]))
    assert len({block.name for block in found}) == len(found), [b.name for b in found if found.count(b) > 1]
    return found


class Endpoint:
    """A model server on this machine that speaks the OpenAI protocol, and a retriever at /search."""

    def __init__(self) -> None:
        self.answer: Say = lambda inputs: {}
        self.calls = 0
        self.bodies: list[dict[str, Any]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def say(self, function: Say | None = None, **values: Any) -> None:
        """Set what is answered from now on."""
        self.answer = function or (lambda inputs: values)
        self.calls = 0
        self.bodies.clear()

    def message(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the assistant's message for a chat request."""
        last = _text(body["messages"][-1]["content"])
        wanted = [name for name in FIELD.findall(last.rsplit("\n\n", 1)[-1]) if name != "completed"]
        both = self.answer.__code__.co_argcount > 1
        values = self.answer(_inputs(last), wanted) if both else self.answer(_inputs(last))
        if isinstance(values, str):
            return {"role": "assistant", "content": values}
        if "tool_calls" in values and body.get("tools"):
            calls = [
                {
                    "id": f"call_{n}",
                    "type": "function",
                    "function": {"name": c["name"], "arguments": json.dumps(c["args"])},
                }
                for n, c in enumerate(values["tool_calls"])
            ]
            return {"role": "assistant", "content": None, "tool_calls": calls}
        everything = "\n".join(_text(m["content"]) for m in body["messages"])
        if wanted:
            texts = [f"[[ ## {name} ## ]]\n{_shown(values.get(name, f'some {name}'))}\n" for name in wanted]
            return {"role": "assistant", "content": "\n".join([*texts, "[[ ## completed ## ]]"])}
        if "JSON" in everything:
            return {"role": "assistant", "content": json.dumps(values)}
        if "<" in everything and ">" in everything:
            content = "\n".join(f"<{name}>\n{_shown(value)}\n</{name}>" for name, value in values.items())
            return {"role": "assistant", "content": content}
        return {"role": "assistant", "content": str(values.get("text", "Hello."))}


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _text(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content)
    return str(content)


def _inputs(message: str) -> dict[str, str]:
    """Return the input fields of a prompt's last message."""
    parts = FIELD.split(message.rsplit("\n\n", 1)[0])
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            asked, k = query.get("query", [""])[0], int(query.get("k", ["1"])[0])
            hits = [
                {"text": f"About {asked} ({n})", "pid": n, "rank": n, "score": 10.0 - n}
                for n in range(1, k + 1)
            ]
            self._send({"topk": hits})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            endpoint.calls += 1
            endpoint.bodies.append(body)
            if self.path.endswith("/embeddings"):
                texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
                data = [
                    {
                        "object": "embedding",
                        "index": n,
                        "embedding": [float(t.count(c)) for c in "aeiou"] + [1.0],
                    }
                    for n, t in enumerate(texts)
                ]
                usage = {"prompt_tokens": 3, "total_tokens": 3}
                self._send({"object": "list", "data": data, "model": body["model"], "usage": usage})
                return
            if self.path.endswith("/responses"):
                self._send(_response(body, endpoint))
                return
            choices = [
                {"index": n, "message": endpoint.message(body), "finish_reason": "stop"}
                for n in range(body.get("n") or 1)
            ]
            usage = {"prompt_tokens": 30, "completion_tokens": 7, "total_tokens": 37}
            reply = {"id": "x", "created": 1, "model": body["model"], "choices": choices, "usage": usage}
            if body.get("stream"):
                self._stream(reply)
            else:
                self._send({**reply, "object": "chat.completion"})

        def _send(self, reply: dict[str, Any]) -> None:
            raw = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def _stream(self, reply: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": reply["model"]}
            content = reply["choices"][0]["message"]["content"] or ""
            pieces = re.findall(r"\S+\s*|\s+", content)
            deltas: list[dict[str, Any]] = [
                {"role": "assistant", "content": ""},
                *({"content": p} for p in pieces),
            ]
            for delta in deltas:
                self._event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            self._event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            self._event({**head, "choices": [], "usage": reply["usage"]})
            self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True

        def _event(self, event: dict[str, Any]) -> None:
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")

    return Handler


def _response(body: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """Return the reply of the Responses API."""
    given = body["input"]
    messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
    text = endpoint.message({**body, "messages": messages})["content"]
    content = [{"type": "output_text", "text": text, "annotations": []}]
    output = [{"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}]
    usage = {
        "input_tokens": 30,
        "output_tokens": 7,
        "total_tokens": 37,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    return {
        "id": "r",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": body["model"],
        "output": output,
        "usage": usage,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
    }


@contextlib.contextmanager
def _elsewhere() -> Iterator[None]:
    """Run in a folder of its own."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def run(file: Path) -> dict[str, dict[str, str]]:
    """Run every block of a file and return what it printed, and its error, by name."""
    import dspy

    endpoint = Endpoint()
    os.environ |= {
        "OPENAI_API_KEY": "sk-none",
        "OPENAI_API_BASE": endpoint.url,
        "OPENAI_BASE_URL": endpoint.url,
    }
    results: dict[str, dict[str, str]] = {}
    for block in blocks_of(file):
        endpoint.say()
        lm = dspy.LM("openai/gpt-4o-mini", cache=False)
        dspy.configure(lm=lm, adapter=None, rm=None, callbacks=[], track_usage=False)
        printed, error = io.StringIO(), ""
        # A block's own print: what a library prints meanwhile, such as progress, is not compared.
        names = {
            "say": endpoint.say,
            "URL": endpoint.url,
            "ENDPOINT": endpoint,
            "print": functools.partial(print, file=printed),
            "__name__": "__main__",
        }
        with _elsewhere(), contextlib.redirect_stdout(io.StringIO()):
            try:
                exec(compile(block.code, block.name, "exec", dont_inherit=True), {**names, "dspy": dspy})
            except Exception as raised:  # noqa: BLE001 - an error is a result, too
                error = f"{type(raised).__name__}: {raised}"
        results[block.name] = {"printed": printed.getvalue(), "error": error}
    return results


def import_library(library: str) -> None:
    """Import DSPy, or let the engine answer for it, with what most blocks need."""
    warnings.simplefilter("ignore")
    if library == "engine":
        import engine

        engine.compat.as_dspy()
    import dspy

    for name in (
        "LM",
        "Predict",
        "ReAct",
        "Evaluate",
        "MIPROv2",
        "streamify",
        "JSONAdapter",
        "Embedder",
        "Image",
    ):
        getattr(dspy, name)
    with contextlib.suppress(ImportError):
        __import__("litellm" if library == "dspy" else "aiohttp")


def forked(file: Path) -> dict[str, dict[str, str]]:
    """Run a file's blocks in a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with os.fdopen(writing, "w") as out:
                json.dump(run(file), out)
            code = 0
        finally:
            os._exit(code)  # no exit handlers: threads of the blocks may still wait
    os.close(writing)
    with os.fdopen(reading) as results:
        text = results.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"{file.name} was not run to its end.")
    found: dict[str, dict[str, str]] = json.loads(text)
    return found


if __name__ == "__main__":
    import_library(sys.argv[1])
    print(json.dumps({Path(name).stem: forked(Path(name).resolve()) for name in sys.argv[2:]}))
