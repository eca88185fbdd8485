"""A real local server that speaks the OpenAI chat protocol, counts what it serves and misbehaves on demand.

In a test, as a context manager (it runs on a thread with an event loop of its own):

    with OpenAIServer(answer=lambda body: "billing", latency=0.01) as server:
        lm = LM("openai/test-model", api_base=server.url, api_key="sk-test", cache=False)
        server.fail_with(429, headers={"Retry-After": "0"}, times=2)

As a process of its own, so that it shares no CPU time with what is measured:

    with ServerProcess(latency=0.2) as server: ...          # server.url, server.stats()
    python tests/openai_server.py --port 8399 --latency 0.2

A test that must act while a run is under way does not race it: `server.hold(after=10)` answers ten requests and keeps
the others waiting until `server.release()`; `server.gather(64)` answers none before 64 are there at once.

`server.faults` chooses a failure for a request by its body, which comes at once.

With "stream" in the body it answers in pieces, as server-sent events: `server.piece_seconds` apart; it drops the
connection after `server.break_after` pieces, waits after `server.hold_after` pieces until that is None again, and
`server.streams = False` makes it answer in one piece all the same.

`/v1/responses` and `/v1/completions` answer in OpenAI's other two forms (`responses_form`), `/v1/messages` in
Anthropic's, for the tests of the litellm gateway.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from support.servers import responses_form

Answer = Callable[[dict[str, Any]], Any]
"""Body of the request -> the text (or a list of texts, one for each completion, or a whole reply dict)."""


@dataclass
class Failure:
    """A fault to show, and the number of requests it lasts (None: until `recover`)."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None
    hang: bool = False
    drop: bool = False


def body_hash(body: Mapping[str, Any]) -> str:
    """The SHA-256 of a request body, keys sorted: the key of `served`."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def default_answer(body: dict[str, Any]) -> str:
    """Fill every `[[ ## field ## ]]` the prompt asks for with "ok", else answer "ok"."""
    messages = body.get("messages") or [m for m in body["input"] if "role" in m]
    system = "".join(str(m["content"]) for m in messages if m["role"] in ("system", "developer"))
    names = list(dict.fromkeys(re.findall(r"\[\[ ## (\w+) ## \]\]", system)))
    asked = str(messages[-1]["content"])
    names = [n for n in names if n != "completed" and f"[[ ## {n} ## ]]\n" not in asked]
    if not names:
        return "ok"
    return "\n\n".join([f"[[ ## {n} ## ]]\nok" for n in names] + ["[[ ## completed ## ]]"])


class OpenAIServer:
    """The server on a thread. `url` is the base URL to give a client (it ends in /v1).

    `requests` holds the bodies as received, `headers` and `queries` their headers and query strings, `served` counts the answers that were
    completely written to a client that was still there, by `body_hash`; `peak` is the highest number of
    requests in progress at once. `models`: names it knows (others get 404); `api_key`: the only key it takes
    (others get 401); None takes any.
    """

    def __init__(
        self,
        answer: Answer | str = default_answer,
        latency: float = 0.0,
        *,
        port: int = 0,
        models: tuple[str, ...] | None = None,
        api_key: str | None = None,
    ) -> None:
        self.answer: Answer = (lambda body: answer) if isinstance(answer, str) else answer
        self.latency = latency
        self.port = port
        self.models = models
        self.api_key = api_key
        self.faults: Callable[[dict[str, Any]], Failure | None] = lambda body: None
        self.streams = True
        self.reasoning = ""
        self.piece_seconds = 0.0
        self.break_after: int | None = None
        self.hold_after: int | None = None
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.queries: list[str] = []
        self.served: Counter[str] = Counter()
        self.connections: set[int] = set()
        self.active = 0
        self.peak = 0
        self.held = 0
        self.hanging = 0
        self._free: int | None = None
        self._gathering = 0
        self._failures: deque[Failure] = deque()
        self._hang_at: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()

    # What a test calls.

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def calls(self) -> int:
        """Chat requests received so far."""
        return len(self.requests)

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of all chat requests received so far and of their answers, also of those that nobody has waited for."""
        bodies = list(self.requests)
        return sum(map(_tokens, bodies)), sum(len(str(self.answer(body))) // 4 + 1 for body in bodies)

    def fail_with(
        self,
        status: int,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        times: int | None = None,
        content_type: str | None = None,
    ) -> None:
        """Answer the next `times` requests (None: all) with this status; calls queue up one after another."""
        if body is None:
            body = {"error": {"message": f"This is a {status}.", "type": "error", "code": None}}
        raw = (
            body
            if isinstance(body, bytes)
            else body.encode()
            if isinstance(body, str)
            else orjson.dumps(body)
        )
        kind = content_type or ("application/json" if not isinstance(body, str | bytes) else "text/plain")
        self._failures.append(Failure(status, raw, kind, headers or {}, times))

    def html(self, status: int = 200, times: int | None = None) -> None:
        """Answer with a web page."""
        page = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Welcome</body></html>"
        self.fail_with(status, page, times=times, content_type="text/html")

    def empty(self, times: int | None = None) -> None:
        """Answer 200 with nothing."""
        self.fail_with(200, b"", times=times, content_type="application/json")

    def truncated(self, times: int | None = None) -> None:
        """Answer 200 with half of a JSON reply."""
        whole = b'{"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "bil'
        self.fail_with(200, whole, times=times, content_type="application/json")

    def hang(self, times: int | None = None) -> None:
        """Accept the request and never answer."""
        self._failures.append(Failure(times=times, hang=True))

    def hang_after(self, answers: int) -> None:
        """Answer until so many answers were served, then accept requests and never answer."""
        self._hang_at = answers

    def hold(self, after: int = 0) -> None:
        """Let so many requests through, and keep those that follow (`held` counts them) until `release`."""
        self._free = after

    def gather(self, requests: int) -> None:
        """Keep requests until so many are there at once; from then on let all of them through."""
        self._gathering = requests

    def release(self) -> None:
        """Answer what was held, and all that comes."""
        self._free = None

    def drop(self, times: int | None = None) -> None:
        """Close the connection without an answer."""
        self._failures.append(Failure(times=times, drop=True))

    def recover(self) -> None:
        """Behave again."""
        self._failures.clear()
        self._hang_at = None
        self.release()

    def forget(self) -> None:
        """Empty the counters."""
        self.requests.clear()
        self.headers.clear()
        self.queries.clear()
        self.served.clear()
        self.connections.clear()
        self.peak = 0

    def __enter__(self) -> OpenAIServer:
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main()), name="openai-server", daemon=True
        )
        self._thread.start()
        if not self._ready.wait(90):
            raise RuntimeError("The local test server did not start.")
        return self

    def __exit__(self, *exc: object) -> None:
        loop, stop, thread = self._loop, self._stop, self._thread
        if loop is not None and stop is not None and thread is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)

    # What runs on the server's thread.

    def app(self) -> web.Application:
        """The routes, for the one that runs the loop."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        for prefix in ("", "/v1"):
            app.router.add_post(f"{prefix}/chat/completions", self._chat)
            app.router.add_post(f"{prefix}/embeddings", self._embed)
            app.router.add_post(f"{prefix}/messages", self._messages)
            app.router.add_post(f"{prefix}/responses", self._responses)
            app.router.add_post(f"{prefix}/completions", self._completions)
            app.router.add_get(f"{prefix}/models", self._models)
        return app

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, backlog=2048)
        await site.start()
        server = site._server
        assert server is not None
        self.port = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self._ready.set()
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._chat_reply)

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._embed_reply)

    def _embed_reply(self, body: dict[str, Any]) -> dict[str, Any]:
        data = [
            {"object": "embedding", "index": i, "embedding": [float(len(text)), 1.0]}
            for i, text in enumerate(body["input"])
        ]
        usage = {"prompt_tokens": len(data), "total_tokens": len(data)}
        return {"object": "list", "model": body["model"], "data": data, "usage": usage}

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._anthropic_reply)

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._response_reply)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._text_reply)

    def _response_reply(self, body: dict[str, Any]) -> dict[str, Any]:
        return responses_form.reply(body, self.answer(body), self.reasoning)

    def _text_reply(self, body: dict[str, Any]) -> dict[str, Any]:
        chat = self._chat_reply({**body, "messages": [{"role": "user", "content": body["prompt"]}]})
        return responses_form.text_reply(chat)

    async def _serve(
        self, request: web.Request, reply: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        self.queries.append(request.query_string)
        self.connections.add(id(request.transport))
        self.active += 1
        self.peak = max(self.peak, self.active)
        try:
            if not await self._let_through(request):
                return web.Response()
            return await self._respond(request, body, reply)
        finally:
            self.active -= 1

    async def _let_through(self, request: web.Request) -> bool:
        """Wait while the request is held; return whether somebody still waits for its answer."""
        if self.active >= self._gathering:
            self._gathering = 0
        if self._may_pass():
            return True
        self.held += 1
        try:
            # Looked at, not awaited: a test opens the gate from its own thread.
            return await _until(self._may_pass, request)
        finally:
            self.held -= 1

    def _may_pass(self) -> bool:
        if self._gathering or self._free == 0:
            return False
        if self._free:
            self._free -= 1
        return True

    async def _respond(
        self, request: web.Request, body: dict[str, Any], reply: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> web.StreamResponse:
        failure = self._next_failure()
        at_once = failure is None and (failure := self.faults(body)) is not None
        if failure is not None and failure.hang:
            self.hanging += 1
            try:
                await _until(lambda: False, request)
            finally:
                self.hanging -= 1
            return web.Response()
        if failure is not None and failure.drop:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if self.latency and not at_once:
            await asyncio.sleep(self.latency)
        refusal = None if failure is not None else self._refusal(request, body)
        if failure is not None or refusal is not None:
            status, raw, kind, headers = refusal or (
                failure.status,
                failure.body,
                failure.content_type,
                failure.headers,
            )
            return web.Response(status=status, body=raw, content_type=kind, headers=headers)
        if body.get("stream") and self.streams:
            whole = reply(body)
            in_pieces = self._anthropic_stream if reply == self._anthropic_reply else self._stream
            with contextlib.suppress(ConnectionError):
                return await in_pieces(request, body, whole)
            return web.Response()
        response = web.Response(body=orjson.dumps(reply(body)), content_type="application/json")
        try:
            await response.prepare(request)
            await response.write_eof()
        except ConnectionError:
            return response
        if request.transport is not None and not request.transport.is_closing():
            self.served[body_hash(body)] += 1
        return response

    async def _stream(
        self, request: web.Request, body: dict[str, Any], whole: dict[str, Any]
    ) -> web.StreamResponse:
        """Answer in pieces of a few characters, then the usage, then [DONE]."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        return await self._in_pieces(request, response, body, self._events(body, whole))

    def _events(self, body: dict[str, Any], whole: dict[str, Any]) -> list[dict[str, Any]]:
        if "output" in whole:
            return responses_form.events(whole)
        choice = whole["choices"][0]
        if "message" not in choice:
            return responses_form.text_events(whole)
        message = choice["message"]
        frame = {"id": whole.get("id"), "object": "chat.completion.chunk", "model": body["model"]}
        deltas = [{"role": "assistant", "content": ""}]
        deltas += [{"reasoning_content": text} for text in (message.get("reasoning_content"),) if text]
        deltas += [{"content": text} for text in re.findall(r"(?s).{1,7}", message.get("content") or "")]
        deltas += [{"tool_calls": [{"index": i, **c}]} for i, c in enumerate(message.get("tool_calls") or ())]
        events = [{**frame, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        events.append({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            events.append({**frame, "choices": [], "usage": whole.get("usage")})
        return events

    async def _in_pieces(
        self,
        request: web.Request,
        response: web.StreamResponse,
        body: dict[str, Any],
        events: list[dict[str, Any]],
    ) -> web.StreamResponse:
        for number, event in enumerate(events):
            if self.break_after is not None and number >= self.break_after:
                if request.transport is not None:
                    request.transport.abort()
                return response
            if self.piece_seconds:
                await asyncio.sleep(self.piece_seconds)
            if number == self.hold_after and not await _until(lambda: self.hold_after is None, request):
                return response
            name = f"event: {event['type']}\n".encode() if "type" in event else b""
            await response.write(name + b"data: " + orjson.dumps(event) + b"\n\n")
        if "type" not in events[-1]:
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        self.served[body_hash(body)] += 1
        return response

    async def _anthropic_stream(
        self, request: web.Request, body: dict[str, Any], whole: dict[str, Any]
    ) -> web.StreamResponse:
        """The same in Anthropic's form: events with names."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        text = whole["content"][0]["text"]
        start = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 0}}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ]
        for piece in re.findall(r"(?s).{1,7}", text):
            delta = {"type": "text_delta", "text": piece}
            events.append({"type": "content_block_delta", "index": 0, "delta": delta})
        events += [
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": whole["usage"],
            },
            {"type": "message_stop"},
        ]
        for event in events:
            name = event["type"].encode()
            await response.write(b"event: " + name + b"\ndata: " + orjson.dumps(event) + b"\n\n")
        await response.write_eof()
        self.served[body_hash(body)] += 1
        return response

    def _next_failure(self) -> Failure | None:
        if self._hang_at is not None and sum(self.served.values()) >= self._hang_at:
            return Failure(hang=True)
        while self._failures:
            failure = self._failures[0]
            if failure.times is None:
                return failure
            if failure.times > 0:
                failure.times -= 1
                return failure
            self._failures.popleft()
        return None

    def _refusal(
        self, request: web.Request, body: dict[str, Any]
    ) -> tuple[int, bytes, str, Mapping[str, str]] | None:
        sent = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.headers.get(
            "x-api-key"
        )
        if self.api_key is not None and sent != self.api_key:
            error = {"message": f"Incorrect API key provided: {sent}.", "code": "invalid_api_key"}
            return 401, orjson.dumps({"error": error}), "application/json", {}
        if (refused := responses_form.refusal(request.path, body)) is not None:
            return 400, orjson.dumps({"error": refused}), "application/json", {}
        if self.models is not None and body["model"] not in self.models:
            error = {"message": f"The model `{body['model']}` does not exist", "code": "model_not_found"}
            return 404, orjson.dumps({"error": error}), "application/json", {}
        return None

    def _texts(self, body: dict[str, Any]) -> Any:
        answer = self.answer(body)
        if isinstance(answer, dict | list):
            return answer
        return [answer] + [self.answer(body) for _ in range(int(body.get("n") or 1) - 1)]

    def _chat_reply(self, body: dict[str, Any]) -> dict[str, Any]:
        texts = self._texts(body)
        if isinstance(texts, dict):
            return texts
        prompt, completion = _tokens(body), sum(len(str(t)) // 4 + 1 for t in texts)
        return {
            "id": "chatcmpl-local",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [
                {"index": i, "message": {"role": "assistant", "content": str(t)}, "finish_reason": "stop"}
                for i, t in enumerate(texts)
            ],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
            },
        }

    def _anthropic_reply(self, body: dict[str, Any]) -> dict[str, Any]:
        texts = self._texts(body)
        if isinstance(texts, dict):
            return texts
        text = str(texts[0])
        return {
            "id": "msg_local",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": _tokens(body), "output_tokens": len(text) // 4 + 1},
        }

    async def _models(self, request: web.Request) -> web.Response:
        names = self.models or ("test-model",)
        return web.json_response({"object": "list", "data": [{"id": n, "object": "model"} for n in names]})


class ServerProcess:
    """A bare, fast server in a child process; `url` as above, `stats()` -> served, distinct, peak."""

    def __init__(
        self, latency: float = 0.0, answer: str | None = None, script: str | Path = __file__
    ) -> None:
        """Answer with a text after `latency` seconds; `script` is a file that calls `main` with another answer."""
        self._command = [sys.executable, str(script), "--latency", str(latency)]
        if answer is not None:
            self._command += ["--answer", answer]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> ServerProcess:
        tests = Path(__file__).parents[2]
        paths = (tests, tests / "benchmarks", tests / "benchmarks" / "speed")
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, env=env)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("The local server process did not start.")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            if self._process.stdout is not None:
                self._process.stdout.close()

    def stats(self) -> dict[str, int]:
        """Ask the process for its counters."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/stats", timeout=60) as response:
            counters: dict[str, int] = json.load(response)
        return counters


class BareServer:
    """The same chat protocol over a plain socket protocol, for `ServerProcess`.

    A web framework takes 0.5 ms for a request, more than the clients that are measured against it; this takes 0.05.
    It answers well-formed requests only and does not misbehave.
    """

    def __init__(self, answer: Answer | str | None, latency: float) -> None:
        self.answer: Answer = (
            (lambda body: answer) if isinstance(answer, str) else default_answer if answer is None else answer
        )
        self.latency = latency
        self.served = 0
        self.active = 0
        self.peak = 0
        self.seen: set[int] = set()

    def reply(self, body: bytes) -> bytes:
        """The HTTP response to a request's body."""
        self.served += 1
        self.seen.add(hash(body))
        request = orjson.loads(body)
        texts = [str(self.answer(request)) for _ in range(request.get("n") or 1)]
        tokens_in, tokens_out = len(body) // 4, sum(map(len, texts)) // 4 + 1
        usage = {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
        }
        return _http(
            {
                "id": "chatcmpl-local",
                "object": "chat.completion",
                "created": 1,
                "model": request["model"],
                "choices": [
                    {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                    for i, text in enumerate(texts)
                ],
                "usage": usage,
            }
        )

    def stats(self) -> bytes:
        """The HTTP response with the counters."""
        return _http({"served": self.served, "distinct": len(self.seen), "peak": self.peak})

    async def serve(self, port: int) -> None:
        """Serve until cancelled; writes the base URL to standard output first."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self, loop), "127.0.0.1", port, backlog=2048)
        sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1\n")
        sys.stdout.flush()
        await server.serve_forever()


class _Connection(asyncio.Protocol):
    def __init__(self, server: BareServer, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.loop = loop
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, gap, rest = self.buffer.partition(b"\r\n\r\n")
        if not gap:
            return
        found = re.search(rb"(?i)content-length:\s*(\d+)", head)
        size = int(found[1]) if found else 0
        if len(rest) < size:
            return
        self.buffer = rest[size:]
        if head.startswith(b"GET"):
            self.transport.write(self.server.stats())
            return
        self.server.active += 1
        self.server.peak = max(self.server.peak, self.server.active)
        self.loop.call_later(self.server.latency, self.respond, rest[:size])

    def respond(self, body: bytes) -> None:
        self.server.active -= 1
        if not self.transport.is_closing():
            self.transport.write(self.server.reply(body))


def _http(body: dict[str, Any]) -> bytes:
    raw = orjson.dumps(body)
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw


async def _until(condition: Callable[[], bool], request: web.Request) -> bool:
    """Wait until the condition holds; return False as soon as the caller has gone."""
    while not condition():
        if request.transport is None or request.transport.is_closing():
            return False
        await asyncio.sleep(0.005)
    return True


def _tokens(body: Mapping[str, Any]) -> int:
    return sum(len(str(m.get("content"))) // 4 + 4 for m in body.get("messages", ()))


def main(answer: Answer | None = None) -> None:
    """Serve until stopped, by a function of answers where there is one; the first line on standard output is the base URL."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--answer", default=None, help="the text of every answer")
    options = parser.parse_args()
    server = BareServer(answer or options.answer, options.latency)
    with contextlib.suppress(KeyboardInterrupt):
        _runner()(server.serve(options.port))


def _runner() -> Callable[[Any], Any]:
    try:
        import uvloop
    except ImportError:  # not made for Windows
        return asyncio.run
    return uvloop.run


if __name__ == "__main__":
    main()
