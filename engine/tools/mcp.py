"""The tools of an MCP server (Model Context Protocol), over stdio or HTTP.

The connection lives on the engine's event loop until it is closed. The `mcp` package is loaded when a server is
connected. It knows nothing of prompts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from engine import loop
from engine.errors import ConfigurationError, ToolError
from engine.tools.function import TIMEOUT, Tool


class MCPServer:
    """A connection to an MCP server: a command to start (`MCPServer("python", ["server.py"])`) or a `url`.

    `tools()` connects and returns the server's tools; `close()`, or the end of a `with` block, ends the connection.
    Of the environment the command sees only what `env` gives it, and the few variables every program needs. `headers`
    go with every HTTP request. `timeout` is in seconds, for connecting and for each call. Raises ToolError when the
    server cannot be reached.

    >>> MCPServer(url="http://127.0.0.1:9/mcp").name
    'http://127.0.0.1:9/mcp'
    """

    def __init__(
        self,
        command: str | None = None,
        args: Sequence[str] = (),
        *,
        env: Mapping[str, str] | None = None,
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        if (command is None) == (url is None):
            raise ConfigurationError("An MCP server needs either a command to start or a url.")
        self.name = url or " ".join([command or "", *args])
        self.timeout = timeout
        self._command, self._args, self._env = command, list(args), dict(env or {})
        self._url, self._headers = url, dict(headers or {})
        self._client: Any = None
        self._closing: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    def tools(self) -> list[Tool]:
        """Connect, if need be, and return the server's tools."""
        return loop.run(self.atools())

    async def atools(self) -> list[Tool]:
        """Connect and return the server's tools, in async code."""
        return await loop.here_or_there(self._tools())

    def close(self) -> None:
        """End the connection, and the server if it was started here."""
        loop.run(self.aclose())

    async def aclose(self) -> None:
        """End the connection, in async code."""
        await loop.here_or_there(self._close())

    def __enter__(self) -> list[Tool]:
        return self.tools()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _tools(self) -> list[Tool]:
        if self._client is None:
            await self._connect()
        found: list[Tool] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await asyncio.wait_for(self._client.list_tools(cursor=cursor), self.timeout)
            found += [Tool.from_mcp_tool(self._client, tool, timeout=self.timeout) for tool in page.tools]
            cursor = getattr(page, "next_cursor", None)
            if not cursor:
                break
        return found

    async def _connect(self) -> None:
        ready: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        # A connection must end in the task that began it, so it gets a task to itself.
        self._task = asyncio.ensure_future(self._hold(ready, self._closing))
        try:
            self._client = await asyncio.wait_for(asyncio.shield(ready), self.timeout)
        except Exception as error:
            self._task.cancel()
            with contextlib.suppress(BaseException):
                await self._task
            raise ToolError(f"The MCP server {self.name!r} cannot be reached: {_reason(error)}") from error

    async def _hold(self, ready: asyncio.Future[object], closing: asyncio.Event) -> None:
        from mcp import Client, StdioServerParameters

        try:
            async with contextlib.AsyncExitStack() as stack:
                server: Any = self._url
                if self._url is None:
                    server = StdioServerParameters(
                        command=self._command or "", args=self._args, env=self._env or None
                    )
                elif self._headers:
                    server = await _with_headers(stack, self._url, self._headers)
                client = await stack.enter_async_context(Client(server, read_timeout_seconds=self.timeout))
                ready.set_result(client)
                await closing.wait()
        except Exception as error:  # noqa: BLE001 - passed to the waiting caller; a connection lost later shows at the next call
            if not ready.done():
                ready.set_exception(error)
            self._client = None

    async def _close(self) -> None:
        if self._task is None or self._closing is None:
            return
        self._closing.set()
        await asyncio.wait([self._task], timeout=self.timeout)
        self._client = self._task = None


async def _with_headers(stack: contextlib.AsyncExitStack, url: str, headers: Mapping[str, str]) -> object:
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    client = await stack.enter_async_context(create_mcp_http_client(headers=dict(headers)))
    return streamable_http_client(url, http_client=client)


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return str(error) or type(error).__name__


_MOST_PAGES = 100
