"""The HTTP application around one program: /predict, /stream, /health, /docs, /openapi.json and /mcp.

Requests and answers are typed by the program's fields. A failure is JSON with one sentence, never a traceback.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from html import escape
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Route

from engine.errors import ConfigurationError, EngineError, LMError
from engine.serve.contract import Contract
from engine.serve.failure import RESPONSES, TOO_SLOW, sentence, wrong_request
from engine.serve.guard import App, Guard
from engine.streaming import StatusMessage, StreamListener, StreamResponse, streamify


def docs_page(contract: Contract, url: str) -> str:
    """Return the page's HTML; `url` is the service's own address."""
    example = json.dumps(dict.fromkeys(contract.inputs, "..."), ensure_ascii=False)
    ask = f"curl {url}/predict -H 'Content-Type: application/json' -d '{example}'"
    return _PAGE.format(
        title=escape(contract.title),
        description=escape(contract.description),
        inputs=_table(contract.question),
        outputs=_table(contract.answer),
        ask=escape(ask),
        stream=escape(ask.replace("curl ", "curl -N ", 1).replace("/predict", "/stream", 1)),
        mcp=escape(f"{url}/mcp"),
    )


def _table(model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    needed = set(schema.get("required", ()))
    rows = [
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(field))}{'' if name in needed else ', optional'}</td>"
        f"<td>{escape(field.get('description') or '')}</td></tr>"
        for name, field in schema.get("properties", {}).items()
    ]
    return f"<table>{''.join(rows)}</table>"


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(_type(one) for one in field["anyOf"] if one.get("type") != "null")
    inner = f" of {_type(field['items'])}" if field.get("items") else ""
    return f"{field.get('type', field.get('$ref', 'any').rpartition('/')[2])}{inner}"


_PAGE = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}}
pre{{background:#f4f4f4;padding:.8rem;overflow:auto}}td{{padding:.2rem 1rem .2rem 0;vertical-align:top}}
@media (prefers-color-scheme:dark){{body{{background:#111;color:#eee}}pre{{background:#222}}a{{color:#8bf}}}}
</style></head><body><h1>{title}</h1><p style="white-space:pre-wrap">{description}</p>
<h2>You send</h2>{inputs}<h2>You get</h2>{outputs}
<h2>Ask</h2><pre>{ask}</pre><p>As it is written, event by event:</p><pre>{stream}</pre>
<p>Agents ask over MCP at <code>{mcp}</code>. The whole interface as data: <a href="openapi.json">openapi.json</a>.
With a token set, send it as <code>Authorization: Bearer ...</code>.</p></body></html>
"""


MAX_BYTES = 1_000_000
"""How much one request may hold unless it is told otherwise."""

SECONDS = 300.0
"""How long one answer may take."""

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


def make_app(
    contract: Contract,
    *,
    token: str | None = None,
    max_bytes: int = MAX_BYTES,
    hosts: frozenset[str] | None = LOCAL_HOSTS,
    seconds: float = SECONDS,
) -> App:
    """Return the service as an ASGI application.

    `token`: what callers must send as a bearer token (None: nothing). `hosts`: the host names it answers to
    (None: any).
    """
    sessions = _mcp_sessions(contract, seconds)

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
    return Guard(app, token=token, max_bytes=max_bytes, hosts=hosts)


def _add_answers(app: FastAPI, contract: Contract, seconds: float) -> None:
    async def predict(question: Any) -> JSONResponse:
        try:
            work = contract.program.acall(**contract.values(question))
            return JSONResponse(contract.answered(await asyncio.wait_for(work, seconds)))
        except (EngineError, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a program raises is one failed answer
            return JSONResponse({"error": sentence(error), "kind": type(error).__name__}, 500)

    async def stream(question: Any) -> StreamingResponse:
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

    async def docs(request: Any) -> HTMLResponse:
        return HTMLResponse(docs_page(contract, str(request.base_url).rstrip("/")))

    docs.__annotations__["request"] = Request
    app.add_api_route("/health", health, methods=["GET"], summary="Whether the service is up")
    app.add_api_route("/docs", docs, methods=["GET"], include_in_schema=False, response_class=HTMLResponse)
    app.add_api_route("/", docs, methods=["GET"], include_in_schema=False, response_class=HTMLResponse)


async def _events(contract: Contract, values: dict[str, Any], seconds: float) -> AsyncIterator[bytes]:
    """Server-sent events: a chunk of a field each, then the whole answer, or the error, then [DONE]."""
    try:
        async with asyncio.timeout(seconds):
            async for item in _streamed(contract)(**values):
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
                yield _event(event)
    except Exception as error:  # noqa: BLE001 - the status is sent already: the error goes where the answer would
        yield _event({"error": sentence(error)})
    yield b"data: [DONE]\n\n"


def _streamed(contract: Contract) -> Any:
    listeners = [
        StreamListener(field, predict=step, predict_name=path)
        for path, step in contract.program.named_predictors()
        for field in step.signature.output_fields
        if field in contract.outputs
    ]
    return streamify(contract.program, stream_listeners=listeners)


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _add_failures(app: FastAPI, inputs: Collection[str]) -> None:
    async def wrong_question(_request: Request, error: Any) -> JSONResponse:
        return JSONResponse({"error": wrong_request(error.errors(), inputs)}, 422)

    async def failed(_request: Request, error: Any) -> JSONResponse:
        status = 503 if isinstance(error, ConfigurationError) else 502
        return JSONResponse(
            {"error": sentence(error), "kind": type(error).__name__},
            status,
            headers={"Retry-After": str(round(error.retry_after))}
            if isinstance(error, LMError) and error.retry_after
            else None,
        )

    async def too_slow(_request: Request, _error: Any) -> JSONResponse:
        return JSONResponse({"error": TOO_SLOW}, 504)

    async def elsewhere(_request: Request, error: Any) -> JSONResponse:
        return JSONResponse(
            {"error": f"{error.detail}. See /docs."}, error.status_code, headers=error.headers
        )

    app.add_exception_handler(HTTPException, elsewhere)
    app.add_exception_handler(RequestValidationError, wrong_question)
    app.add_exception_handler(EngineError, failed)
    app.add_exception_handler(TimeoutError, too_slow)


def _mcp_sessions(contract: Contract, seconds: float) -> Any:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from engine.serve.mcp import mcp_server

    return StreamableHTTPSessionManager(app=mcp_server(contract, seconds), json_response=True, stateless=True)


class _Sessions:
    """The MCP endpoint as an ASGI application."""

    def __init__(self, sessions: Any) -> None:
        self._sessions = sessions

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._sessions.handle_request(scope, receive, send)
