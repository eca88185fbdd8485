"""Functions, HTTP operations and MCP servers as tools: schemas, checked arguments, and every way to fail."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import http.server
import json
import threading
from collections.abc import Iterator
from enum import Enum
from typing import Literal

import pytest
from pydantic import BaseModel

from engine import Tool
from engine.basics.addresses import is_public
from engine.errors import ConfigurationError, ToolArgumentsError, ToolError, ToolTimeoutError
from engine.tools.function import shown
from engine.tools.http import check_url, http_tool, openapi_tools
from engine.tools.mcp import MCPServer


class Point(BaseModel):
    x: int
    y: int = 0


class Unit(Enum):
    METRE = "m"


def measure(start: Point, unit: Unit = Unit.METRE, mode: Literal["fast", "slow"] = "fast") -> str:
    """Measure something.

    Args:
        start: Where to begin.
        mode (str): How to go about it.
    """
    return f"{type(start).__name__} {start.x} {unit.value} {mode}"


def test_the_schema_comes_from_hints_and_docstring() -> None:
    tool = Tool(measure)
    assert tool.name == "measure"
    assert tool.required == ("start",)
    assert tool.args["start"]["properties"]["x"] == {"type": "integer"}
    assert tool.args["start"]["description"] == "Where to begin."
    assert tool.args["mode"]["description"] == "How to go about it."
    assert "$ref" not in json.dumps(tool.args)
    call = tool.format_as_litellm_function_call()
    assert call["function"]["parameters"]["required"] == ["start"]


def test_arguments_arrive_in_the_functions_types() -> None:
    assert Tool(measure)(start={"x": "3"}, unit="m") == "Point 3 m fast"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "needs the argument 'start'"),
        ({"start": {"x": 1}, "end": 2}, "has no argument 'end'"),
        ({"start": {"x": "y" * 100_000}}, "The argument 'start' of the tool 'measure' does not fit"),
        ({"start": {"x": 1}, "mode": "slowly"}, "Input should be 'fast' or 'slow'"),
    ],
)
def test_wrong_arguments_are_named_briefly(given: dict, sentence: str) -> None:
    with pytest.raises(ToolArgumentsError, match=sentence) as raised:
        Tool(measure)(**given)
    assert len(str(raised.value)) < 500


def test_a_tool_that_raises_is_named() -> None:
    def broken(x: int) -> int:
        return x // 0

    with pytest.raises(ToolError, match="The tool 'broken' failed: ZeroDivisionError"):
        Tool(broken)(x=1)


def test_a_tool_that_hangs_is_given_up() -> None:
    stop = threading.Event()

    async def hang() -> None:
        await asyncio.sleep(60)

    with pytest.raises(ToolTimeoutError, match=r"within 0\.05 seconds"):
        Tool(stop.wait, name="hang", timeout=0.05)()
    stop.set()
    with pytest.raises(ToolTimeoutError):
        Tool(hang, timeout=0.05)()


def test_a_huge_result_is_shown_by_its_ends() -> None:
    text = shown("a" * 5_000_000 + "b" * 5_000_000, 1000)
    assert len(text) < 1100
    assert text.startswith("aaa")
    assert text.endswith("bbb")


def test_a_tool_takes_async_functions_objects_and_any_names() -> None:
    async def late(**parts: int) -> int:
        await asyncio.sleep(0)
        return sum(parts.values())

    class Adder:
        def __call__(self, a: int, b: int = 1) -> int:
            """Add."""
            return a + b

    assert Tool(late)(a=1, b=2) == 3
    adder = Tool(Adder())
    assert (adder.name, adder(a="2")) == ("Adder", 3)
    assert copy.deepcopy(adder).func is adder.func
    assert adder.described("Sum two.").desc == "Sum two."
    with pytest.raises(ConfigurationError, match="cannot be a tool"):
        Tool(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://localhost:80",
        "http://169.254.169.254/latest",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://db.internal/",
        "file:///etc/passwd",
        "http://user:pw@example.org/",
    ],
)
def test_private_and_odd_addresses_are_refused(url: str) -> None:
    with pytest.raises(ToolError):
        check_url(url)


def test_public_addresses_pass() -> None:
    assert is_public("example.org")
    assert is_public("3com.example")
    assert check_url("http://127.0.0.1/x", allow_private=True)


class _Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/away"):
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/")
            self.end_headers()
        elif self.path.startswith("/big"):
            self._answer(200, b"x" * 10_000_000, "text/plain")
        elif self.path.startswith("/hang"):
            self.server.closing.wait(300)  # type: ignore[attr-defined]
        elif self.path.startswith("/missing"):
            self._answer(404, b"no such item", "text/plain")
        else:
            self._answer(200, json.dumps({"path": self.path, "key": self.headers.get("X-Key")}).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, json.dumps({"got": json.loads(body)}).encode())

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    server.closing = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.closing.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_http_operation_is_a_tool(site: str) -> None:
    tool = http_tool(
        f"{site}/items/{{id}}", "item", headers={"X-Key": "k"}, args={"q": {}}, allow_private=True
    )
    assert tool(id="a/b", q=True) == {"path": "/items/a%2Fb?q=true", "key": "k"}
    post = http_tool(site, "add", args={"n": {}}, method="POST", allow_private=True)
    assert post(n=[1]) == {"got": {"n": [1]}}


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/away", "points on to http://169.254.169.254/, which is not followed"),
        ("/big", "answered more than 2000000 bytes"),
        ("/missing", "failed with status 404: no such item"),
    ],
)
def test_http_failures_are_sentences(site: str, path: str, sentence: str) -> None:
    with pytest.raises(ToolError, match=sentence):
        http_tool(site + path, "get", allow_private=True)()


def test_an_address_that_hangs_is_given_up(site: str) -> None:
    tool = http_tool(f"{site}/hang", "slow", allow_private=True)
    tool.timeout = 0.2
    with pytest.raises(ToolTimeoutError, match=r"'slow' gave no result within 0\.2 seconds"):
        tool()


def test_a_private_address_behind_a_name_or_argument_is_refused(site: str) -> None:
    with pytest.raises(ToolError, match="allow_private"):
        http_tool(site, "get")
    hostname = http_tool("http://{host}/", "get")
    with pytest.raises(ToolError, match="allow_private"):
        hostname(host="127.0.0.1")


def test_openapi_operations_are_tools(site: str) -> None:
    document = {
        "openapi": "3.1.0",
        "paths": {
            "/items/{id}": {
                "parameters": [{"$ref": "#/components/parameters/id"}],
                "get": {"operationId": "getItem", "summary": "Get one."},
            },
            "/items": {
                "post": {
                    "operationId": "addItem",
                    "requestBody": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}
                    },
                }
            },
        },
        "components": {
            "parameters": {
                "id": {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
            },
            "schemas": {"Item": {"properties": {"name": {"type": "string"}}, "required": ["name"]}},
        },
    }
    get, add = openapi_tools(json.dumps(document), base_url=site, allow_private=True)
    assert (get.name, get.args, get(id=7)["path"]) == ("getItem", {"id": {"type": "integer"}}, "/items/7")
    assert (add.required, add(name="tea")) == (("name",), {"got": {"name": "tea"}})
    with pytest.raises(ConfigurationError, match="no 'paths'"):
        openapi_tools("{}")


def test_an_mcp_server_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(ToolError, match="cannot be reached"):
        MCPServer("no-such-program-anywhere").tools()
    with pytest.raises(ToolError, match="cannot be reached"):
        MCPServer(url="http://127.0.0.1:9/mcp", timeout=60).tools()
    with pytest.raises(ConfigurationError, match="either a command"):
        MCPServer()


def test_an_argument_may_be_called_like_a_word_of_a_schema():
    def note(definitions: list[str], title: str, properties: int = 1) -> str:
        """Note something."""
        return f"{definitions} {title} {properties}"

    tool = Tool(note)
    assert set(tool.args) == {"definitions", "title", "properties"}
    assert tool(definitions=["a"], title="b") == "['a'] b 1"
    schema = {"type": "object", "properties": {"$defs": {"type": "string"}}, "required": ["$defs"]}
    assert Tool.with_schema(note, "note", "", schema).args == {"$defs": {"type": "string"}}


class Finder:
    """Looks words up. This is not the tool's description."""

    def __call__(self, word: str) -> str:
        """Look a word up.

        word: what to look up
        """
        return word.upper()


class Documented:
    """Looks words up."""

    def __call__(self, word: str) -> str:
        return word.upper()


def test_an_object_is_described_by_its_call_and_else_by_its_class() -> None:
    tool = Tool(Finder(), name="find")
    assert tool.desc.startswith("Look a word up.")
    assert tool.args["word"]["description"] == "what to look up"
    assert Tool(Documented(), name="find").desc == "Looks words up."
    assert tool(word="a") == "A"


class LangChainTool:
    """A tool as LangChain has them."""

    name = "add"
    description = "Add two numbers."

    class args_schema(BaseModel):  # noqa: N801 - LangChain's name
        a: int
        b: int = 1

    async def ainvoke(self, given):
        return given["a"] + given.get("b", 1)


def test_a_tool_of_langchain_is_a_tool() -> None:
    tool = Tool.from_langchain(LangChainTool())
    assert (tool.name, tool.desc, tool.required, list(tool.args)) == (
        "add",
        "Add two numbers.",
        ("a",),
        ["a", "b"],
    )
    assert tool(a=1, b=2) == 3
    with pytest.raises(ToolError, match="needs the argument 'a'"):
        tool(b=2)


def test_a_tool_of_the_installed_langchain_is_a_tool() -> None:
    tools = pytest.importorskip("langchain_core.tools", reason="LangChain is not installed.")

    @tools.tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    assert Tool.from_langchain(add)(a=1, b=2) == 3
