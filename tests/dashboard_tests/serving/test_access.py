"""Who reaches the dashboard: its own pages, no page of another port, and with a token only who has it."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from support.pages.dashboard_server import Server
from support.ports import own_port
from support.run_setup import wait_for

from dashboard.serving.access import OneToken
from dashboard.serving.front import Front

HERE = "http://127.0.0.1:8501"
TOKEN = "a-token/with+signs&more"


async def echo(socket):
    await socket.accept()
    await socket.send_text("from the site")
    await socket.close()


def site():
    made = Starlette(
        routes=[
            Route("/own", lambda _: PlainTextResponse("from the site"), methods=["GET", "POST"]),
            WebSocketRoute("/_stcore/stream", echo),
        ]
    )

    @asynccontextmanager
    async def lifespan(_):
        yield

    made.lifespan = lambda: lifespan
    return made


def client(token=""):
    app = Front(site, lambda: None, lambda: None, OneToken(token) if token else None).app
    return TestClient(app, base_url=HERE, follow_redirects=False)


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:8601", "http://localhost:8501", "null", "https://evil.example"]
)
def test_a_page_from_another_address_reaches_nothing(origin):
    with client() as browser:
        for method in ("GET", "POST"):
            assert browser.request(method, "/own", headers={"origin": origin}).status_code == 403
        with (
            pytest.raises(WebSocketDisconnect),
            browser.websocket_connect(
                "/_stcore/stream", headers={"origin": origin, "host": "127.0.0.1:8501"}
            ),
        ):
            pass


def test_an_own_page_reaches_everything():
    with client() as browser:
        assert browser.post("/own", headers={"origin": HERE}).text == "from the site"
        headers = {"origin": HERE, "host": "127.0.0.1:8501"}
        with browser.websocket_connect("/_stcore/stream", headers=headers) as socket:
            assert socket.receive_text() == "from the site"


def test_with_a_token_only_who_has_it_gets_in():
    with client(TOKEN) as browser:
        for path in ("/", "/own", "/own?token=wrong", "/run?token=", "/static/js/x.js"):
            assert browser.get(path).status_code == 401
        assert browser.post("/own", params={"token": TOKEN}).status_code == 401
        browser.cookies.set("tuneboard-user-8501", "wrong")
        assert browser.get("/own").status_code == 401
        browser.cookies.clear()
        host = {"host": "127.0.0.1:8501"}
        with pytest.raises(WebSocketDisconnect), browser.websocket_connect("/_stcore/stream", headers=host):
            pass
        opened = browser.get("/own", params={"token": TOKEN, "page": "2"})
        assert (opened.status_code, opened.headers["location"]) == (303, "/own?page=2")
        cookie = opened.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert browser.get("/own").text == "from the site"
        host["cookie"] = opened.headers["set-cookie"].partition(";")[0]
        with browser.websocket_connect("/_stcore/stream", headers=host) as socket:
            assert socket.receive_text() == "from the site"


def test_cookies_of_other_programs_on_this_machine_keep_nobody_out():
    with client(TOKEN) as browser:
        own = browser.get("/own", params={"token": TOKEN}).headers["set-cookie"].partition(";")[0]
        browser.cookies.clear()
        for foreign in ('prefs={"a":1, "b":2}', "a b=c", '"', "=", "é=ü".encode().decode("latin-1")):
            for both in (f"{foreign}; {own}", f"{own}; {foreign}"):
                headers = {"cookie": both.encode("latin-1")}
                assert browser.get("/own", headers=headers).text == "from the site", both


def test_the_way_in_leads_to_no_other_machine():
    with client(TOKEN) as browser:
        for path in ("//evil.example/x", "/\\evil.example/x"):
            browser.cookies.clear()
            opened = browser.get(f"{HERE}{path}", params={"token": TOKEN})
            assert not opened.headers["location"].startswith(("//", "/\\", "http"))


def test_streamlits_own_socket_refuses_a_page_of_another_port(tmp_path):
    async def connect(port, origin):
        url = f"http://127.0.0.1:{port}/_stcore/stream"
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(url, headers={"Origin": origin}):
                    return True
            except aiohttp.WSServerHandshakeError:
                return False

    server = Server(tmp_path).start()
    try:
        assert asyncio.run(connect(server.port, server.url))
        assert not asyncio.run(connect(server.port, "http://127.0.0.1:1"))
        assert not asyncio.run(connect(server.port, f"http://localhost:{server.port}"))
    finally:
        server.stop()


def test_the_command_prints_the_address_with_the_token(tmp_path):
    port = own_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "open", "--port", str(port), "--no-browser", "--token"],
        env={**os.environ, "TUNEBOARD_HOME": str(tmp_path), "TUNEBOARD_DASHBOARD_TOKEN": "abc"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    async def status(path):
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as reply:
            return reply.status

    try:
        assert f"http://127.0.0.1:{port}/?token=abc " in process.stdout.readline()
        assert asyncio.run(status("/")) == 401
        wait_for(
            lambda: asyncio.run(status("/?token=abc")) == 401
        )  # aiohttp keeps no cookie of an address without a name
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
