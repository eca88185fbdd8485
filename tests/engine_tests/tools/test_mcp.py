"""MCP servers as real processes, over HTTP and stdio: their tools raise, hang, answer 10 MB and vanish; agents go on."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import Evaluate, Example, ReAct, context
from engine.errors import ToolArgumentsError, ToolError, ToolTimeoutError
from engine.testing import ScriptedLM, asked
from engine.tools.mcp import MCPServer

SERVER = '''
import sys, time
from mcp.server.mcpserver import Context, MCPServer
server = MCPServer("test")
@server.tool()
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b
@server.tool()
def fail() -> str:
    """Always fail."""
    raise ValueError("broken on purpose")
@server.tool()
async def hang() -> str:
    """Never answer."""
    import anyio
    await anyio.sleep(3600)
@server.tool()
def big() -> str:
    """Answer ten megabytes."""
    return "a" * 5_000_000 + "b" * 5_000_000
@server.tool()
def who(ctx: Context) -> str:
    """Say who asks."""
    return ctx.request_context.request.headers.get("x-caller", "nobody")
if sys.argv[1] == "stdio":
    server.run("stdio")
else:
    import socket, uvicorn
    served = uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="critical"))
    served.run(sockets=[socket.socket(fileno=int(sys.argv[2]))])
'''


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mcp") / "server.py"
    path.write_text(SERVER)
    return path


@contextlib.contextmanager
def listening(script: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.create_server(("127.0.0.1", 0)) as ours:  # requests wait there until the child answers them
        port = ours.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, str(script), "http", str(ours.fileno())],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[ours.fileno()],
        )
    try:
        yield f"http://127.0.0.1:{port}/mcp", process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def url(script: Path) -> Iterator[str]:
    with listening(script) as (found, _):
        yield found


@pytest.fixture(params=["http", "stdio"])
def server(request: pytest.FixtureRequest, url: str, script: Path) -> MCPServer:
    if request.param == "http":
        return MCPServer(url=url, timeout=120)
    return MCPServer(sys.executable, [str(script), "stdio"], timeout=120)


def test_tools_come_with_descriptions_and_schemas_and_answer(server: MCPServer) -> None:
    with server as tools:
        by_name = {tool.name: tool for tool in tools}
        assert set(by_name) >= {"add", "fail", "hang", "big"}
        add = by_name["add"]
        assert (add.desc, add.required, add.args["b"]["type"]) == ("Add two numbers.", ("a",), "integer")
        assert add(a=2, b=3) == "5"
        assert add(a=2) == "3"
        with pytest.raises(ToolArgumentsError, match="needs the argument 'a'"):
            add()
        with pytest.raises(ToolArgumentsError, match="has no argument 'c'"):
            add(a=1, c=2)


def test_a_tool_that_raises_hangs_or_answers_too_much(server: MCPServer) -> None:
    with server as tools:
        by_name = {tool.name: tool for tool in tools}
        with pytest.raises(ToolError, match="The tool 'fail' failed"):
            by_name["fail"]()
        hang = by_name["hang"]
        hang.timeout = 0.3
        with pytest.raises(ToolTimeoutError, match=r"'hang' gave no result within 0\.3 seconds"):
            hang()
        assert len(by_name["big"]()) == 10_000_000
        assert by_name["add"](a=1) == "2"  # the connection has survived all that


def test_headers_travel_and_are_shown_to_nobody(url: str) -> None:
    with MCPServer(url=url, headers={"X-Caller": "tuneboard"}) as tools:
        who = next(tool for tool in tools if tool.name == "who")
        assert who() == "tuneboard"
        assert "tuneboard" not in str(who) + repr(who) + repr(vars(who))


def model(request: Any) -> dict[str, Any]:
    """An agent's model: calls the tool the question names, then answers with the start of what it saw."""
    inputs, outputs = asked(request)
    if "answer" in outputs:
        seen = inputs["trajectory"].split("Observation: ", 1)[1]
        return {"reasoning": "Seen.", "answer": seen.split("\n")[0][:60]}
    name = "finish" if "Observation" in inputs["trajectory"] else inputs["question"]
    args = {"a": 1} if name == "add" else {}
    return {"next_thought": "Go on.", "next_tool_name": name, "next_tool_args": args}


def test_an_agent_learns_of_it_by_name_and_the_other_rows_go_on(url: str) -> None:
    expected = {"add": "2", "fail": "ToolError: The", "hang": "ToolTimeoutError: The", "big": "aaaaa"}
    rows = [Example(question=q, answer=a).with_inputs("question") for q, a in expected.items()]
    with MCPServer(url=url) as tools, context(lm=ScriptedLM(model)):
        next(tool for tool in tools if tool.name == "hang").timeout = 0.5
        agent = ReAct("question -> answer", tools=tools)
        found = Evaluate(devset=rows, metric=lambda row, made: made.answer.startswith(row.answer))(agent)
    assert found.score == 100.0, [o.prediction for o in found.outcomes]
    assert found.failures == []
    observed = found.results[3][1].trajectory["observation_0"]
    assert len(observed) < 11_000
    assert "characters left out" in observed


def test_a_server_that_goes_away_is_an_error_in_time_and_can_be_met_again(script: Path) -> None:
    with listening(script) as (url, process):
        server = MCPServer(url=url, timeout=300)
        add = next(tool for tool in server.tools() if tool.name == "add")
        assert add(a=1) == "2"
        process.kill()
        process.wait()
        started = time.monotonic()
        with pytest.raises(ToolError, match="'add'"):
            add(a=1)
        with pytest.raises(ToolError):
            server.tools()
        assert time.monotonic() - started < 200, "the time limit was not waited for"
        server.close()
    with listening(script) as (url, _), MCPServer(url=url, timeout=120) as tools:
        assert next(tool for tool in tools if tool.name == "add")(a=4) == "5"


def test_a_started_server_that_ends_is_an_error_in_time(tmp_path: Path) -> None:
    script = tmp_path / "ends.py"
    script.write_text(SERVER.replace('    """Always fail."""', "    import os; os._exit(3)"))
    with MCPServer(sys.executable, [str(script), "stdio"], timeout=300) as tools:
        by_name = {tool.name: tool for tool in tools}
        started = time.monotonic()
        with pytest.raises(ToolError, match="'fail'"):
            by_name["fail"]()
        with pytest.raises(ToolError, match="'add'"):
            by_name["add"](a=1)
        assert time.monotonic() - started < 200, "the time limit was not waited for"


def test_what_is_no_mcp_server_is_one_sentence(tmp_path: Path) -> None:
    script = tmp_path / "other.py"
    script.write_text("print('hello')")
    with pytest.raises(ToolError, match="cannot be reached"):
        MCPServer(sys.executable, [str(script)], timeout=60).tools()
