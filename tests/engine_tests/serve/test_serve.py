"""`tuneboard serve` as a real process on a real port: typed requests, streaming, limits, token, host names, MCP."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from support.asking import ask
from support.ports import own_port
from support.program_files import save_program
from support.run_setup import wait_for
from support.servers.openai_server import OpenAIServer

from engine.export.container import own_key_variables, serve_command
from engine.export.program import read_program
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec

SPEC = PipelineSpec(
    steps=(
        StepSpec(
            name="sort",
            strategy="chain_of_thought",
            instructions="Say on which shelf it belongs.",
            inputs=(
                FieldSpec(name="copy", description="What <b>it</b> is"),
                FieldSpec(name="count", type="int"),
                FieldSpec(name="hint", type="Optional[str]"),
            ),
            outputs=(FieldSpec(name="shelf", choices=("red", "blue")), FieldSpec(name="sure", type="bool")),
        ),
    )
)
REPLY = "[[ ## reasoning ## ]]\nIt is.\n\n[[ ## shelf ## ]]\nred\n\n[[ ## sure ## ]]\nTrue\n\n[[ ## completed ## ]]"
GOOD = {"copy": "a lamp", "count": 3}


@contextlib.contextmanager
def serving(tmp_path, *options, model, env=None):
    path = tmp_path / "program.json"
    save_program(
        SPEC, build_program(SPEC).candidate(), path, model=model, metadata={"title": "Shelves: best"}
    )
    port = own_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "serve", str(path), "--port", str(port), *options],
        env={**os.environ, "TUNEBOARD_HOME": str(tmp_path), **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: process.poll() is not None or answers(f"{url}/health"))
        yield url, process
    finally:
        process.terminate()
        process.communicate(timeout=90)


def answers(url):
    with contextlib.suppress(OSError):
        urllib.request.urlopen(url, timeout=60).close()
        return True
    return False


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with (
        OpenAIServer(answer=REPLY) as server,
        serving(
            tmp_path_factory.mktemp("serve"), model={"name": "openai/test-model", "base_url": server.url}
        ) as (url, _),
    ):
        yield url, server


def test_a_question_is_answered_typed(service):
    url, server = service
    status, text = ask(f"{url}/predict", GOOD)
    assert (status, json.loads(text)) == (200, {"shelf": "red", "sure": True})
    assert "a lamp" in server.requests[-1]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"copy": "x"}, "The field 'count' is missing."),
        ({**GOOD, "count": "many"}, "The field 'count' does not fit: input should be a valid integer"),
        (
            {**GOOD, "other": 1},
            "a field 'other', which the program does not take. Its inputs: copy, count, hint.",
        ),
        (b"{nope", "It is no JSON:"),
        (b"[]", "It must be one JSON object with the inputs: copy, count, hint."),
    ],
)
def test_a_wrong_question_is_one_sentence(service, body, named):
    status, text = ask(f"{service[0]}/predict", body)
    assert status == 422
    assert named in json.loads(text)["error"]


def test_the_interface_is_described(service):
    url, _ = service
    schema = json.loads(ask(f"{url}/openapi.json")[1])
    question = schema["components"]["schemas"]["Question"]
    assert list(question["properties"]) == ["copy", "count", "hint"]
    assert question["required"] == ["copy", "count"]
    answer = schema["components"]["schemas"]["Answer"]["properties"]
    for path in ("/predict", "/stream"):
        told = schema["paths"][path]["post"]["responses"]
        assert {"401", "413", "422", "502", "503", "504"} <= set(told)
        assert told["422"]["content"]["application/json"]["schema"]["$ref"].endswith("/Failure")
    assert answer["shelf"]["enum"] == ["red", "blue"]
    status, page = ask(f"{url}/docs")
    assert status == 200
    assert "Shelves: best" in page
    assert "&lt;b&gt;" in page
    assert "src=" not in page
    assert json.loads(ask(f"{url}/health")[1]) == {"status": "ok", "program": "Shelves: best"}


def test_an_answer_streams_field_by_field(service):
    # Another question than before: what is in the cache comes in one piece.
    status, text = ask(f"{service[0]}/stream", {**GOOD, "count": 11})
    assert status == 200
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    items = [json.loads(event) for event in events[:-1]]
    assert items[-1] == {"answer": {"shelf": "red", "sure": True}}
    shelf = [i for i in items[:-1] if i["field"] == "shelf"]
    assert "".join(i["chunk"] for i in shelf) == "red"
    assert shelf[-1]["last"]
    assert shelf[0]["step"] == "sort.predict"


def test_what_the_model_does_wrong_is_said(service):
    url, server = service
    server.fail_with(404, {"error": {"message": "no such model"}})
    try:
        status, text = ask(f"{url}/predict", {**GOOD, "count": 12})
        assert status == 502
        assert json.loads(text)["kind"] == "ModelNotFoundError"
        _, text = ask(f"{url}/stream", {**GOOD, "count": 13})
        assert "error" in json.loads(text.split("\n\n")[0][6:])
    finally:
        server.recover()


def test_another_host_name_and_too_much_are_refused(service):
    url, _ = service
    assert ask(f"{url}/predict", GOOD, {"Host": "evil.example"})[0] == 403
    status, text = ask(f"{url}/predict", {**GOOD, "copy": "x" * 1_100_000})
    assert status == 413
    assert "1,000,000 bytes" in text
    assert ask(f"{url}/nothing") == (404, '{"error":"Not Found. See /docs."}')
    assert ask(f"{url}/predict")[0] == 405


def test_an_agent_calls_it_over_mcp(service):
    from mcp import Client

    async def run():
        async with Client(f"{service[0]}/mcp") as client:
            tools = (await client.list_tools()).tools
            good = await client.call_tool("shelves_best", GOOD)
            bad = await client.call_tool("shelves_best", {"copy": "x"})
            return tools, good, bad

    tools, good, bad = asyncio.run(run())
    assert [t.name for t in tools] == ["shelves_best"]
    assert list(tools[0].input_schema["properties"]) == ["copy", "count", "hint"]
    assert good.structured_content == {"shelf": "red", "sure": True}
    assert bad.is_error
    assert "'count'" in bad.content[0].text


def test_a_token_is_asked_for(tmp_path):
    options = {"model": {"name": "offline/learner"}, "env": {"MY_TOKEN": "secret-é"}}
    with serving(tmp_path, "--token-env", "MY_TOKEN", "--max-bytes", "500", **options) as (url, _):
        assert ask(f"{url}/health")[0] == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
            assert ask(f"{url}/predict", GOOD, headers)[0] == 401
        assert ask(f"{url}/mcp", {})[0] == 401
        good = {"Authorization": "Bearer " + "secret-é".encode().decode("latin-1")}
        assert ask(f"{url}/predict", GOOD, good)[0] == 200
        assert ask(f"{url}/predict", {**GOOD, "copy": "x" * 500}, good)[0] == 413


def test_an_address_of_the_file_gets_a_key_only_where_the_variable_is_named(tmp_path):
    with OpenAIServer(answer=REPLY) as server:
        model = {"name": "openai/test-model", "base_url": server.url, "key_env": "MY_SERVER_KEY"}
        for number, options in enumerate(((), ("--key-env", "MY_SERVER_KEY"))):
            folder = tmp_path / str(number)
            folder.mkdir()
            with serving(folder, *options, model=model, env={"MY_SERVER_KEY": "mine"}) as (url, _):
                assert ask(f"{url}/predict", GOOD)[0] == 200
        assert [h.get("Authorization") for h in server.headers] == [None, "Bearer mine"]
    path = tmp_path / "0" / "program.json"
    said = subprocess.run(
        [sys.executable, "-m", "engine", "serve", str(path), "--key-env", "OPENAI_API_KEY"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said.returncode == 2
    assert (
        "No model of the program has its key in OPENAI_API_KEY. Its models name MY_SERVER_KEY." in said.stderr
    )
    assert "--key-env MY_SERVER_KEY" in serve_command(key_envs=own_key_variables(read_program(path)))


def test_what_cannot_be_served_is_one_sentence(tmp_path):
    with serving(tmp_path, "--host", "0.0.0.0", model={"name": "offline/learner"}) as (_, process):
        assert process.wait(180) == 2
        assert "needs a token" in process.stderr.read()
    done = subprocess.run(
        [sys.executable, "-m", "engine", "serve", str(tmp_path / "none.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "There is no file" in done.stderr


def test_a_port_that_is_taken_is_said_and_no_address_before(service, tmp_path):
    port = service[0].rpartition(":")[2]
    save_program(
        SPEC, build_program(SPEC).candidate(), tmp_path / "program.json", model={"name": "offline/learner"}
    )
    done = subprocess.run(
        [sys.executable, "-m", "engine", "serve", str(tmp_path / "program.json"), "--port", port],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert port in done.stderr
    assert done.stdout == ""


def test_an_agent_starts_it_over_stdio(tmp_path):
    from mcp import Client, StdioServerParameters

    path = tmp_path / "program.json"
    save_program(SPEC, build_program(SPEC).candidate(), path, model={"name": "offline/learner"})
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "engine", "serve", str(path), "--stdio"],
        env={**os.environ, "TUNEBOARD_HOME": str(tmp_path)},
    )

    async def run():
        async with Client(server) as client:
            return await client.call_tool("a_program_tuned_with_tuneboard", GOOD)

    assert asyncio.run(run()).structured_content["shelf"] in ("red", "blue")


@pytest.mark.parametrize("asked", ["half a request", "an answer that never comes"])
def test_sigterm_ends_it_in_time_whatever_is_open(tmp_path, asked):
    with OpenAIServer(answer=REPLY) as model:
        model.hang()
        settings = {"name": "openai/test-model", "base_url": model.url}
        with serving(tmp_path, model=settings) as (url, process):
            place = ("127.0.0.1", int(url.rpartition(":")[2]))
            with socket.create_connection(place) as connection:
                if asked == "half a request":
                    connection.sendall(
                        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"
                    )
                else:
                    body = str(GOOD).replace("'", '"').encode()
                    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                    connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                    wait_for(lambda: model.hanging == 1)
                time.sleep(0.5)
                started = time.monotonic()
                process.send_signal(signal.SIGTERM)
                process.wait(25)
                assert time.monotonic() - started < 20
