"""Runs a service until it is interrupted, on this machine only unless it is told otherwise."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from mcp import types
from mcp.server.lowlevel import Server
from pydantic import ValidationError

from engine.errors import ConfigurationError
from engine.serve.app import sentence
from engine.serve.contract import Contract


def tool_name(title: str) -> str:
    """Return a tool's name for a title: letters, digits and _ only, at most 60.

    >>> tool_name("Support routing: MIPROv2")
    'support_routing_miprov2'
    """
    return re.sub(r"\W+", "_", title.lower(), flags=re.ASCII).strip("_")[:60] or "program"


def mcp_server(contract: Contract, seconds: float | None = None) -> Server[Any]:
    """Return a server with one tool: the program, with its fields as arguments and its answer as structured content.

    An answer may take so many `seconds` (None: any).
    """
    name = tool_name(contract.title)
    tool = types.Tool(
        name=name,
        title=contract.title,
        description=contract.description,
        input_schema=contract.question.model_json_schema(),
    )

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[tool])

    async def call_tool(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name != name:
            return _failed(f"There is no tool {params.name!r}. There is one: {name}.")
        try:
            question = contract.question.model_validate(params.arguments or {})
            work = contract.program.acall(**contract.values(question))
            prediction = await asyncio.wait_for(work, seconds)
        except ValidationError as error:
            first = error.errors()[0]
            return _failed(f"The argument {'.'.join(map(str, first['loc']))!r} is wrong: {first['msg']}.")
        except Exception as error:  # noqa: BLE001 - whatever a program raises is one failed answer
            return _failed(sentence(error))
        answer = contract.answered(prediction)
        text = types.TextContent(type="text", text=orjson.dumps(answer).decode())
        return types.CallToolResult(content=[text], structured_content=answer)

    return Server("tuneboard", on_list_tools=list_tools, on_call_tool=call_tool)


async def _answer_on_stdio(contract: Contract) -> None:
    """Serve on standard input and output until they close: for an agent that starts the service itself."""
    from mcp.server.stdio import stdio_server

    server = mcp_server(contract)
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


def _failed(sentence: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=sentence)], is_error=True)


TOKEN_ENV = "TUNEBOARD_SERVE_TOKEN"  # noqa: S105 - the variable's name, not a token
"""The environment variable that holds the bearer token callers must send."""

LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service listens, and how much a request may hold. `token_env` names the token's variable."""

    host: str = "127.0.0.1"
    port: int = 8600
    max_bytes: int = 1_000_000
    token_env: str = TOKEN_ENV

    @property
    def token(self) -> str | None:
        """The token callers must send, if one is set."""
        return os.environ.get(self.token_env) or None

    @property
    def url(self) -> str:
        """The address."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def serve_http(contract: Contract, place: Place, started: Callable[[], None] = lambda: None) -> None:
    """Serve over HTTP until it is interrupted; call `started` once the port is ours, and requests wait there.

    Raises ConfigurationError when the port is taken, or when others could reach it and no token is set.
    """
    import uvicorn

    from engine.serve.app import LOCAL_HOSTS, make_app

    local = place.host in LOCAL
    if not local and place.token is None:
        raise ConfigurationError(
            f"Others can reach {place.host}, so the service needs a token: set {place.token_env} to a secret text."
        )
    app = make_app(
        contract, token=place.token, max_bytes=place.max_bytes, hosts=LOCAL_HOSTS if local else None
    )
    listening = _listen(place)
    started()
    config = uvicorn.Config(app, log_level="warning", limit_concurrency=1000, timeout_keep_alive=30)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()


def serve_stdio(contract: Contract) -> None:
    """Serve as an MCP server on standard input and output until they close."""

    asyncio.run(_answer_on_stdio(contract))


def _listen(place: Place) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in place.host else socket.AF_INET)
    if os.name == "posix":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((place.host, place.port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"Port {place.port} on {place.host} cannot be used: {error.strerror or error}. Choose another with --port."
        ) from error
    return listening
