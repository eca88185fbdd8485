"""A service whose callers send half a request, or headers without end."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.run_setup import wait_for

from engine.serve.server import LimitedProtocol, server_of


async def echo(scope, receive, send):
    """Answer with how many bytes came."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)
    body = str(size).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})


class Impatient(LimitedProtocol):
    seconds = 1.0


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = server_of(echo)
    server.config.lifespan = "off"
    server.config.http = Impatient
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(60)
    listening.close()


def sent(port: int, *pieces: bytes, seconds: float = 20.0) -> bytes:
    """Send pieces and return all that comes until the server closes the connection, or nothing more for a while."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
        found = b""
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65536):
                found += data
        return found


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"


@pytest.mark.parametrize(
    "pieces", [(b"",), (b"POST / HT",), (HEAD,), (HEAD, b"\r\n"), (HEAD, b"\r\n", b"12345")], ids=range(5)
)
def test_a_request_that_does_not_come_to_its_end_is_given_up(port, pieces):
    started = time.monotonic()
    assert b"408 Request Timeout" in sent(port, *pieces)
    assert time.monotonic() - started < 10


def test_headers_without_an_end_are_refused(port):
    header = b"X-Filler: " + b"x" * 8000 + b"\r\n"
    assert b"431" in sent(port, b"GET / HTTP/1.1\r\nHost: x\r\n", *[header] * 40)


def test_one_connection_serves_many_requests_and_a_large_one(port):
    whole = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for size in (0, 5, 300_000, 7):
            connection.sendall(whole % size + b"x" * size)
            found = b""
            while not found.endswith(b"\r\n\r\n%d" % size):
                found += connection.recv(65536)


CROWDED = """
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
sys.path.insert(0, sys.argv[1])
from engine_tests.serve.test_limits import echo
from engine.serve.server import server_of
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
listening.listen()
server = server_of(echo)
server.config.lifespan = "off"
print(listening.getsockname()[1], flush=True)
server.run(sockets=[listening])
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of open files are POSIX's")
@pytest.mark.parametrize(
    "half", [b"GET / HTTP/1.1\r\nHost: x\r\n", HEAD + b"\r\n1234", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]
)
def test_more_half_sent_or_idle_requests_than_files_may_be_open_stop_no_good_one(half):
    tests = Path(__file__).parents[2]
    child = subprocess.Popen([sys.executable, "-c", CROWDED, str(tests)], stdout=subprocess.PIPE, text=True)
    try:
        port = int(child.stdout.readline())
        with contextlib.ExitStack() as stack:
            for number in range(300):
                open_one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
                with contextlib.suppress(ConnectionError):
                    open_one.sendall(half)
                if number % 50 == 49:
                    assert b" 200 " in sent(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
