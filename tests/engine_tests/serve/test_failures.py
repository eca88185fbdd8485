"""A service that is asked wrongly, too much or too fast, whose program fails or hangs: over a real port, in one sentence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvicorn
from support.asking import ask
from support.run_setup import wait_for

from engine import Module, Predict, Prediction, ReAct, Signature, Tool, context
from engine.errors import ToolError
from engine.export.program import program_file
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.runtime import configure
from engine.serve.app import make_app
from engine.serve.contract import contract_of
from engine.testing import ScriptedLM

SPEC = PipelineSpec(steps=(StepSpec(inputs=(FieldSpec(name="do"),), outputs=(FieldSpec(name="answer"),)),))


class Trouble(Module):
    """Does what it is told."""

    async def aforward(self, do: str) -> Prediction:
        if do == "hang":
            await asyncio.sleep(3600)
        if do == "raise":
            raise ZeroDivisionError("the secret is 42")
        if do == "tool":
            raise ToolError("The tool 'x' failed.")
        await asyncio.sleep(0.05)
        return Prediction(answer=do.upper())


@contextlib.contextmanager
def serving(program: Any, spec: PipelineSpec = SPEC, **options: Any) -> Iterator[str]:
    contract = contract_of(program_file(spec, build_program(spec).candidate()), program)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(contract, **options), log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        wait_for(lambda: server.started or not thread.is_alive())
        yield url
    finally:
        server.should_exit = True
        thread.join(60)
        listening.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(Trouble(), seconds=60, max_bytes=2000) as found:
        yield found


@pytest.fixture(scope="module")
def impatient() -> Iterator[str]:
    with serving(Trouble(), seconds=0.5) as found:
        yield found


@pytest.mark.parametrize(
    ("do", "status", "told"),
    [
        ("hang", 504, "took too long"),
        ("raise", 500, "The service's own log says why"),
        ("tool", 502, "The tool 'x' failed."),
    ],
)
def test_a_program_that_hangs_or_fails_is_one_sentence(
    url: str, impatient: str, do: str, status: int, told: str
) -> None:
    url = impatient if do == "hang" else url
    got, text = ask(f"{url}/predict", {"do": do})
    assert got == status
    assert told in json.loads(text)["error"]
    assert "secret" not in text
    assert "Traceback" not in text
    got, text = ask(f"{url}/stream", {"do": do})
    assert got == 200
    assert told in text
    assert "secret" not in text
    assert text.endswith("data: [DONE]\n\n")


def test_over_mcp_too_and_the_service_goes_on(url: str, impatient: str) -> None:
    from mcp import Client

    async def run() -> list[Any]:
        async with Client(f"{impatient}/mcp") as client:
            name = (await client.list_tools()).tools[0].name
            hang = await client.call_tool(name, {"do": "hang"})
        async with Client(f"{url}/mcp") as client:
            asked = [*({"do": do} for do in ("raise", "tool", "fine")), {"wrong": 1}, {}]
            answers = [await client.call_tool(name, one) for one in asked]
            return [hang, *answers, await client.call_tool("other", {})]

    hang, fails, tool, fine, *wrong = asyncio.run(run())
    assert "took too long" in hang.content[0].text
    assert "secret" not in fails.content[0].text
    assert "The tool 'x' failed." in tool.content[0].text
    assert fine.structured_content == {"answer": "FINE"}
    assert all(one.is_error for one in (hang, fails, tool, *wrong))
    assert "There is no tool 'other'" in wrong[-1].content[0].text


def test_half_of_a_character_is_a_wrong_request(url: str) -> None:
    for half in (b"\\ud800", b"\xed\xa0\x80"):
        body = b'{"do": "%s"}' % half
        answer = raw(url, HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert answer.startswith(b"HTTP/1.1 422")
        assert b"half of a character" in answer


def raw(url: str, request: bytes) -> bytes:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.sendall(request)
        connection.settimeout(60)
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while piece := connection.recv(65536):
                answer += piece
    return answer


HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"


def test_too_much_in_pieces_without_a_length_is_refused(url: str) -> None:
    piece = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    answer = raw(url, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + piece * 3 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"over 2,000 bytes" in answer
    good = b'{"do": "a"}'
    answer = raw(url, HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(good), good))
    assert b'{"answer":"A"}' in answer


@pytest.mark.parametrize(
    "request_text",
    [
        HEAD + b'Content-Length: 5\r\n\r\n{"do"',
        HEAD + b"Content-Length: 2\r\n\r\n\xff\xfe",
        HEAD + b"Content-Length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_what_is_no_request_is_answered_and_harms_nobody(url: str, request_text: bytes) -> None:
    status = raw(url, request_text).split(b" ")[1]
    assert status in (b"422", b"400")
    assert ask(f"{url}/predict", {"do": "go on"}) == (200, '{"answer":"GO ON"}')


def test_many_at_once_are_answered(url: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda i: ask(f"{url}/predict", {"do": f"q{i}"}), range(64)))
    assert found == [(200, json.dumps({"answer": f"Q{i}"}, separators=(",", ":"))) for i in range(64)]


def test_an_agents_tools_are_told_of_while_it_streams() -> None:
    def look(up: str) -> str:
        """Look something up."""
        return f"{up}: yes"

    script = [
        {"next_thought": "Look.", "next_tool_name": "look", "next_tool_args": {"up": "a"}},
        {"next_thought": "Done.", "next_tool_name": "finish", "next_tool_args": {}},
        {"reasoning": "It says so.", "answer": "yes"},
    ]
    agent = ReAct(Signature("do -> answer"), tools=[Tool(look)])
    agent.set_lm(ScriptedLM(script))
    with serving(agent) as url:
        status, text = ask(f"{url}/stream", {"do": "a"})
    events = [json.loads(line[6:]) for line in text.split("\n\n") if line and "[DONE]" not in line]
    assert status == 200
    assert {"status": "Calling the tool look ..."} in events
    assert events[-1] == {"answer": {"answer": "yes"}}


def test_no_model_is_the_services_own_fault() -> None:
    configure(lm=None)
    with serving(Predict("do -> answer")) as url, context(lm=None):
        status, text = ask(f"{url}/predict", {"do": "a"})
    assert status == 503
    assert "No model is set" in json.loads(text)["error"]
