"""The HTTP application around one program: /predict, /stream, /health, /docs, /openapi.json and /mcp.

Requests and answers are typed by the program's fields. A failure is JSON with one message, never a traceback. `Guard`
checks who asks and how much they send, before anything else.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jinja2
import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.basics.addresses import is_this_machine
from engine.basics.data import JsonObject
from engine.errors import ConfigurationError, EngineError, LMError, first_problem
from engine.evaluate.streaming import StatusMessage, StreamListener, StreamResponse, streamify
from engine.serve.contract import RESPONSES, TOO_SLOW, Contract, failure_message, wrong_request

MAX_BYTES = 1_000_000
"""Bytes that one request may hold, unless another limit is given."""

SECONDS = 300.0
"""Time that one answer may take."""

DISCARDED = 16_000_000
"""Bytes of a request that is too long which are read before its connection is closed."""

OPEN_PATHS = frozenset({"/health"})
"""Answered without a token, so that the service can be monitored."""


def make_app(
    contract: Contract,
    *,
    token: str | None = None,
    max_bytes: int = MAX_BYTES,
    local: bool = True,
    seconds: float = SECONDS,
) -> ASGIApp:
    """Return the service as an ASGI application.

    `token`: what callers must send as a bearer token (None: nothing). A `local` one answers to this machine's names only.
    """
    sessions = StreamableHTTPSessionManager(
        app=mcp_server(contract, seconds), json_response=True, stateless=True
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with sessions.run():
            yield

    app = FastAPI(
        title=contract.title,
        description=contract.description,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    _add_answers(app, contract, seconds)
    _add_pages(app, contract)
    _add_failures(app, contract.inputs)
    app.router.routes.append(Route("/mcp", endpoint=_Sessions(sessions)))
    return Guard(app, token=token, max_bytes=max_bytes, local=local)


def _add_answers(app: FastAPI, contract: Contract, seconds: float) -> None:
    async def predict(question: BaseModel) -> JSONResponse:
        try:
            work = contract.program.acall(**contract.values(question))
            return JSONResponse(contract.answered(await asyncio.wait_for(work, seconds)))
        except (EngineError, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a program raises is one failed answer
            return JSONResponse({"error": failure_message(error), "kind": type(error).__name__}, 500)

    async def stream(question: BaseModel) -> StreamingResponse:
        events = _events(contract, contract.values(question), seconds)
        return StreamingResponse(events, media_type="text/event-stream")

    # The model is made while this runs, so it cannot be written as an annotation.
    for function in (predict, stream):
        function.__annotations__["question"] = contract.question
    app.add_api_route(
        "/predict",
        predict,
        methods=["POST"],
        response_model=contract.answer,
        summary="Answer",
        operation_id="predict",
        responses=RESPONSES,
    )
    app.add_api_route(
        "/stream",
        stream,
        methods=["POST"],
        response_model=None,
        summary="Answer as it is written (server-sent events)",
        operation_id="stream",
        responses=RESPONSES,
        response_class=StreamingResponse,
    )


def _add_pages(app: FastAPI, contract: Contract) -> None:
    async def health() -> dict[str, str]:
        return {"status": "ok", "program": contract.title}

    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(docs_page(contract, str(request.base_url).rstrip("/")))

    app.add_api_route("/health", health, methods=["GET"], summary="Whether the service is up")
    app.add_api_route("/docs", docs, methods=["GET"], include_in_schema=False, response_class=HTMLResponse)
    app.add_api_route("/", docs, methods=["GET"], include_in_schema=False, response_class=HTMLResponse)


async def _events(contract: Contract, values: dict[str, object], seconds: float) -> AsyncIterator[bytes]:
    """Yield server-sent events: a chunk of a field each, then the whole answer, or the error, then [DONE]."""
    listeners = [
        StreamListener(field, predict=step, predict_name=path)
        for path, step in contract.program.named_predictors()
        for field in step.signature.output_fields
        if field in contract.outputs
    ]
    try:
        async with asyncio.timeout(seconds):
            async for item in streamify(contract.program, stream_listeners=listeners)(**values):
                if isinstance(item, StreamResponse):
                    event = {
                        "field": item.signature_field_name,
                        "chunk": item.chunk,
                        "last": item.is_last_chunk,
                        "step": item.predict_name,
                    }
                elif isinstance(item, StatusMessage):
                    event = {"status": item.message}
                else:
                    event = {"answer": contract.answered(item)}
                yield b"data: " + orjson.dumps(event) + b"\n\n"
    except Exception as error:  # noqa: BLE001 - the status is sent already: the error goes where the answer would
        yield b"data: " + orjson.dumps({"error": failure_message(error)}) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _add_failures(app: FastAPI, inputs: Collection[str]) -> None:
    async def wrong_question(_request: Request, error: Any) -> JSONResponse:
        return JSONResponse({"error": wrong_request(error.errors(), inputs)}, 422)

    async def failed(_request: Request, error: Any) -> JSONResponse:
        status = 503 if isinstance(error, ConfigurationError) else 502
        wait = error.retry_after if isinstance(error, LMError) else None
        headers = {"Retry-After": str(round(wait))} if wait else None
        return JSONResponse({"error": failure_message(error), "kind": type(error).__name__}, status, headers)

    async def too_slow(_request: Request, _error: object) -> JSONResponse:
        return JSONResponse({"error": TOO_SLOW}, 504)

    async def elsewhere(_request: Request, error: Any) -> JSONResponse:
        return JSONResponse(
            {"error": f"{error.detail}. See /docs."}, error.status_code, headers=error.headers
        )

    app.add_exception_handler(HTTPException, elsewhere)
    app.add_exception_handler(RequestValidationError, wrong_question)
    app.add_exception_handler(EngineError, failed)
    app.add_exception_handler(TimeoutError, too_slow)


class _Sessions:
    """The MCP endpoint as an ASGI application."""

    def __init__(self, sessions: Any) -> None:
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._sessions.handle_request(scope, receive, send)


# The page at /docs


@cache
def _page() -> jinja2.Template:
    loader = jinja2.PackageLoader("engine.serve", "")
    return jinja2.Environment(loader=loader, autoescape=True).get_template("docs.html.j2")


def docs_page(contract: Contract, url: str) -> str:
    """Return the HTML of the page that explains the service and loads nothing; `url` is the service's address."""
    example = json.dumps(dict.fromkeys(contract.inputs, "..."), ensure_ascii=False)
    ask = f"curl {url}/predict -H 'Content-Type: application/json' -d '{example}'"
    sides = {"inputs": contract.question, "outputs": contract.answer}
    return _page().render(
        contract=contract,
        ask=ask,
        stream=ask.replace("curl ", "curl -N ", 1).replace("/predict", "/stream", 1),
        mcp=f"{url}/mcp",
        type_text=_type_text,
        **{name: model.model_json_schema() for name, model in sides.items()},
    )


def _type_text(field: JsonObject) -> str:
    """Return a field's JSON schema in words."""
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(_type_text(one) for one in field["anyOf"] if one.get("type") != "null")
    inner = f" of {_type_text(field['items'])}" if field.get("items") else ""
    return f"{field.get('type', field.get('$ref', 'any').rpartition('/')[2])}{inner}"


# Who may ask


class Guard:
    """Refuses requests without the token (401), to another host name (403) or with too much to read (413).

    A `local` service refuses a page of another name that resolves here, which stops DNS rebinding.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, max_bytes: int, local: bool) -> None:
        self._app = app
        self._token = token.encode() if token else None
        self._max_bytes = max_bytes
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        if self._local and not is_this_machine(_host(headers)):
            await _refusal(403, "This service answers on this machine's own address only.")(
                scope, receive, send
            )
            return
        if scope["path"] not in OPEN_PATHS and not self._allowed(headers):
            await _refusal(401, "Send the service's token: Authorization: Bearer ...")(scope, receive, send)
            return
        body = await self._body(headers, receive)
        if body is None:
            await _refusal(413, f"The request is over {self._max_bytes:,} bytes.")(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    def _allowed(self, headers: Mapping[bytes, bytes]) -> bool:
        if self._token is None:
            return True
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token)

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes | None:
        """Read the whole body; None when it is too long.

        What is too long is read to its end, within bounds, and thrown away: a caller that is still sending would see a
        broken connection instead of the answer.
        """
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_bytes + DISCARDED:
            return None
        body, size, more = bytearray(), 0, True
        while more and size <= self._max_bytes + DISCARDED:
            message = await receive()
            piece = message.get("body", b"")
            size += len(piece)
            if size <= self._max_bytes:
                body += piece
            more = message["type"] == "http.request" and message.get("more_body", False)
        return None if size > self._max_bytes else bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _host(headers: Mapping[bytes, bytes]) -> str:
    host = headers.get(b"host", b"").decode("latin-1").lower()
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def _refusal(status: int, message: str) -> JSONResponse:
    headers = {401: {"www-authenticate": "Bearer"}, 413: {"connection": "close"}}
    return JSONResponse({"error": message}, status, headers.get(status))


# The program as an MCP tool (Model Context Protocol), so that an agent can call it


def tool_name(title: str) -> str:
    """Return a tool's name for a title: letters, digits and _ only, at most 60.

    >>> tool_name("Support routing: MIPROv2")
    'support_routing_miprov2'
    """
    return re.sub(r"\W+", "_", title.lower(), flags=re.ASCII).strip("_")[:60] or "program"


def mcp_server(contract: Contract, seconds: float | None = None) -> Server[Any]:
    """Return a server with one tool: the program, with its fields as arguments and its answer as structured content.

    An answer may take `seconds` (None: any time).
    """
    name = tool_name(contract.title)
    tool = types.Tool(
        name=name,
        title=contract.title,
        description=contract.description,
        input_schema=contract.question.model_json_schema(),
    )

    async def list_tools(_context: object, _params: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[tool])

    async def call_tool(_context: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name != name:
            return _failed(f"There is no tool {params.name!r}. There is one: {name}.")
        try:
            question = contract.question.model_validate(params.arguments or {})
            work = contract.program.acall(**contract.values(question))
            prediction = await asyncio.wait_for(work, seconds)
        except ValidationError as error:
            return _failed("The argument {!r} is wrong: {}.".format(*first_problem(error)))
        except Exception as error:  # noqa: BLE001 - whatever a program raises is one failed answer
            return _failed(failure_message(error))
        answer = contract.answered(prediction)
        text = types.TextContent(type="text", text=orjson.dumps(answer).decode())
        return types.CallToolResult(content=[text], structured_content=answer)

    return Server("tuneboard", on_list_tools=list_tools, on_call_tool=call_tool)


async def serve_stdio(contract: Contract) -> None:
    """Serve on standard input and output until they close: for an agent that starts the service itself."""
    from mcp.server.stdio import stdio_server

    server = mcp_server(contract)
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


def _failed(message: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=message)], is_error=True)
