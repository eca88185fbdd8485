"""Addresses: which are public, and where a connection may really lead."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator

import aiohttp
import pytest

from engine.basics.addresses import checked_url, connector, is_public
from engine.errors import ToolError
from engine.tools.http import http_tool, openapi_tools

NOT_PUBLIC = [
    "127.0.0.1",
    "127\u30020\u30020\u30021",
    "\uff11\uff12\uff17.0.0.1",
    "127\uff0e0\uff0e0\uff0e1",
    "127\uff610\uff610\uff611",
    "\u2460\u2461\u2466.0.0.1",
    "2130706433",
    "0x7f.1",
    "127.1",
    "10.0.0.1.",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::808:808",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "fec0::1",
    "fe80::1%eth0",
    "fd00::1",
    "ff02::1",
    "224.0.0.1",
    "100.64.0.1",
    "0.0.0.0",
]


@pytest.mark.parametrize("host", NOT_PUBLIC)
def test_an_address_of_this_machine_or_a_private_network_is_not_public(host: str):
    assert not is_public(host)
    with pytest.raises(ValueError, match="allow_private"):
        checked_url(f"http://[{host}]/" if ":" in host else f"http://{host}/")


@pytest.mark.parametrize(
    "host",
    ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8", "bücher.example"],
)
def test_a_public_address_passes(host: str):
    assert is_public(host)


class _Seen(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("X-Key")))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Seen)
    made.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127\u30020\u30020\u30021", "localhost", "[::ffff:127.0.0.1]"])
def test_no_connection_is_made_to_a_private_address_however_it_is_written(server, host: str):
    url = f"http://{host}:{server.server_address[1]}/"

    async def ask(allow_private: bool) -> int:
        made = connector(allow_private=allow_private)
        async with aiohttp.ClientSession(connector=made) as session, session.get(url) as response:
            return response.status

    with pytest.raises(aiohttp.ClientConnectorError) as failure:
        asyncio.run(ask(allow_private=False))
    assert isinstance(failure.value.__cause__, PermissionError)
    assert server.seen == []
    assert asyncio.run(ask(allow_private=True)) == 200


def test_a_tool_reaches_no_loopback_through_an_argument_with_other_dots(server):
    tool = http_tool("http://{host}/x", "get", headers={"X-Key": "k"})
    for host in ("127\u30020\u30020\u30021", "localhost", "127.0.0.1"):
        with pytest.raises(ToolError):
            tool(host=f"{host}:{server.server_address[1]}")
    assert server.seen == []


@pytest.mark.parametrize("path", ["@127.0.0.1:{port}/x", ".evil.example/x", "x"])
def test_a_path_without_its_slash_is_no_part_of_the_host(server, path: str):
    port = server.server_address[1]
    document = {"openapi": "3.1.0", "paths": {path.format(port=port): {"get": {"operationId": "get"}}}}
    (tool,) = openapi_tools(
        document, base_url=f"http://127.0.0.1:{port}", headers={"X-Key": "k"}, allow_private=True
    )
    tool()
    assert server.seen == [(f"/{path.format(port=port)}", "k")]


@pytest.mark.parametrize(
    "url", ["https://example.org{path}", "https://example.org:{port}/", "https://a{b}.org/x"]
)
def test_an_argument_cannot_be_a_part_of_a_hosts_name(url: str):
    with pytest.raises(ToolError, match="would be a part of the"):
        http_tool(url, "get")


def test_an_argument_can_be_a_whole_part_of_a_hosts_name():
    assert http_tool("https://{tenant}.example.org/x?{q}", "get").required == ("tenant", "q")
