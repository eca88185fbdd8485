"""Running a service until it is interrupted; without another host given, for this machine only."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import ConfigurationError
from engine.serve.contract import Contract

TOKEN_ENV = "TUNEBOARD_SERVE_TOKEN"  # noqa: S105 - the variable's name, not a token
"""The environment variable that holds the bearer token callers must send."""

LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Address:
    """Address of a service, and how much a request may hold. `token_env` names the token's variable."""

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


def serve_http(contract: Contract, address: Address, started: Callable[[], None] = lambda: None) -> None:
    """Serve over HTTP until it is interrupted; call `started` once the port is bound, and requests wait there.

    Raises ConfigurationError when the port is taken, or when others could reach it and no token is set.
    """
    import uvicorn

    from engine.serve.app import LOCAL_HOSTS, make_app

    local = address.host in LOCAL
    if not local and address.token is None:
        raise ConfigurationError(
            f"Others can reach {address.host}, so the service needs a token: set {address.token_env} to a secret text."
        )
    app = make_app(
        contract, token=address.token, max_bytes=address.max_bytes, hosts=LOCAL_HOSTS if local else None
    )
    listening = _listen(address)
    started()
    config = uvicorn.Config(app, log_level="warning", limit_concurrency=1000, timeout_keep_alive=30)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()


def serve_stdio(contract: Contract) -> None:
    """Serve as an MCP server on standard input and output until they close."""
    from engine.serve import mcp

    asyncio.run(mcp.serve_stdio(contract))


def _listen(address: Address) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    if os.name == "posix":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address.host, address.port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"Port {address.port} on {address.host} cannot be used: {error.strerror or error}. Choose another with --port."
        ) from error
    return listening
