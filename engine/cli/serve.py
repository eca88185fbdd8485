"""Serving a program, and opening the dashboard: its server as a child process on this machine, and a browser window."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from engine.basics.addresses import is_this_machine
from engine.basics.home import ENVIRONMENT_VARIABLE, READ_ONLY_VARIABLE, data_home
from engine.cli.output import echo
from engine.errors import ConfigurationError, EngineError
from engine.export.container import own_key_variables
from engine.export.program import ProgramFile, read_program
from engine.serve.contract import Contract, contract_of
from engine.store.store import Store
from engine.store.users import Team

TOKEN_ENV = "TUNEBOARD_SERVE_TOKEN"  # noqa: S105 - the variable's name, not a token
"""The environment variable that holds the bearer token callers must send."""


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
        """The address as callers write it."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def serve_program(
    program: Path,
    address: Address,
    *,
    model: str | None = None,
    base_url: str | None = None,
    key_envs: tuple[str, ...] = (),
    stdio: bool = False,
) -> None:
    """Serve a program's file until it is interrupted, over HTTP or, with `stdio`, as an MCP server on standard streams.

    `model` is another model than its own; `key_envs` are the variables with keys that may go to the addresses which the
    file, or `base_url`, names. Raises ProgramFileError, ConfigurationError.
    """
    file = read_program(program)
    lm = None
    if model is not None:
        from engine.lm.client import LM

        lm = LM(model, api_base=base_url, key_env=next(iter(key_envs), None))
    else:
        _check_named(file, key_envs)
    contract = contract_of(file, file.build(lm=lm, key_envs=key_envs))
    if stdio:
        from engine.serve.app import serve_stdio

        asyncio.run(serve_stdio(contract))
    else:
        with contextlib.suppress(KeyboardInterrupt):
            _serve_http(contract, address)


def _serve_http(contract: Contract, address: Address) -> None:
    """Serve over HTTP; say where, once the port is bound and requests wait there.

    Raises ConfigurationError when the port is taken, or when others could reach it and no token is set.
    """
    from engine.serve.app import make_app
    from engine.serve.server import server_of

    local = is_this_machine(address.host)
    if not local and address.token is None:
        raise ConfigurationError(
            f"Others can reach {address.host}, so the service needs a token: set {address.token_env} to a secret text."
        )
    app = make_app(contract, token=address.token, max_bytes=address.max_bytes, local=local)
    try:
        listening = _bound(address.host, address.port)
        listening.listen()
    except OSError as error:
        raise ConfigurationError(
            f"Port {address.port} on {address.host} cannot be used: {error.strerror or error}. Choose another with --port."
        ) from error
    with listening:
        guarded = f", with the token in {address.token_env}" if address.token else ""
        echo(f"{contract.title} is at {address.url}/docs{guarded} (Ctrl-C ends it).")
        server_of(app).run(sockets=[listening])


def _check_named(file: ProgramFile, key_envs: tuple[str, ...]) -> None:
    named = own_key_variables(file)
    for name in key_envs:
        if name not in named:
            raise ConfigurationError(
                f"No model of the program has its key in {name}. "
                + (f"Its models name {', '.join(named)}." if named else "None of them needs --key-env.")
            )


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket bound to a port. Raises OSError where it is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


# The dashboard

DASHBOARD_TOKEN = "TUNEBOARD_DASHBOARD_TOKEN"  # noqa: S105 - the variable's name, as `dashboard.serving.access` reads it
HOST, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104 - only with users: see `Team`
FIRST_PORT = 8501
PORTS = 100
START_SECONDS = 60.0
LOOK_SECONDS = 0.2


def serve_dashboard(
    port: int | None,
    *,
    browser: bool = True,
    read_only: bool = False,
    token: bool = False,
    team: Team | None = None,
) -> int:
    """Serve the dashboard until it is interrupted; return the server's exit code. With `read_only` nothing can be changed.

    With `token` only who opens the printed address gets in: the one in TUNEBOARD_DASHBOARD_TOKEN, or a new one. A
    `team` with users signs in instead.

    Raises ConfigurationError when the port is taken or the dashboard is not installed, StoreError when
    the data folder cannot be used.
    """
    if importlib.util.find_spec("dashboard") is None or importlib.util.find_spec("streamlit") is None:
        raise ConfigurationError("The dashboard is not installed. Run: pip install tuneboard")
    team = _checked(team or Team(), token=token)
    Store.open(read_only=read_only).close()  # a folder that cannot be used is reported here, not on a page
    if port is not None and not _is_free(port):
        raise ConfigurationError(f"The port {port} is taken by another program. Choose another with --port.")
    chosen = port or free_port()
    url = f"http://{HOST if team.host == EVERYWHERE else team.host}:{chosen}"
    secret = (os.environ.get(DASHBOARD_TOKEN) or secrets.token_urlsafe(24)) if token else ""
    interrupted = _interrupted()
    process = _server(chosen, secret, team, read_only=read_only)
    try:
        if not _answers(url, process, interrupted):
            return 0 if interrupted() else process.returncode or 1
        place = f"{url}/?{urlencode({'token': secret})}" if secret else team.url or url
        echo(f"Tuneboard is at {place} (Ctrl-C ends it; runs in progress go on).")
        if browser:
            webbrowser.open(place)
        while process.poll() is None and not interrupted():
            time.sleep(LOOK_SECONDS)
        return process.returncode or 0
    finally:
        _end(process)


def _server(port: int, secret: str, team: Team, *, read_only: bool) -> subprocess.Popen[bytes]:
    given = ["--port", str(port), "--host", team.host]
    return subprocess.Popen(  # noqa: S603 - our own module, a number and an address
        [sys.executable, "-P", "-m", "dashboard.server", *given],  # -P: see `engine.basics.children`
        env={
            **os.environ,
            ENVIRONMENT_VARIABLE: str(data_home()),
            **({READ_ONLY_VARIABLE: "1"} if read_only else {}),
            DASHBOARD_TOKEN: secret,
            **team.environment(),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # its own greeting; what goes wrong comes on stderr
        # In its own session: Ctrl-C comes here alone, and this process ends the server in good order.
        start_new_session=True,
    )


def _checked(team: Team, *, token: bool) -> Team:
    team.check()
    if token and team.users is not None:
        raise ConfigurationError("Users have a token each: leave out --token.")
    return team


def free_port(first: int = FIRST_PORT) -> int:
    """Return the first port from `first` up that nothing listens on. Raises ConfigurationError."""
    for port in range(first, min(first + PORTS, 65536)):
        if _is_free(port):
            return port
    raise ConfigurationError(
        f"All ports from {first} to {first + PORTS - 1} are taken. Choose one with --port."
    )


def _is_free(port: int) -> bool:
    try:
        _bound(HOST, port).close()
    except OSError:
        return False
    return True


def _answers(url: str, process: subprocess.Popen[bytes], interrupted: Callable[[], bool]) -> bool:
    """Wait until the server answers; return False when it ended first or was interrupted."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None or interrupted():
            return False
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):  # noqa: S310 - our own address
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise EngineError(
        f"The dashboard did not start within {START_SECONDS:.0f} seconds. Look at the messages above."
    )


def _interrupted() -> Callable[[], bool]:
    """Return a check for Ctrl-C, SIGTERM or a closed terminal, so that no server is left behind.

    Signals are noted and polled: an exception raised by one is lost where Python happens to be in a destructor.
    """
    signals: list[int] = []
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, _frame: signals.append(number))
    return lambda: bool(signals)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
