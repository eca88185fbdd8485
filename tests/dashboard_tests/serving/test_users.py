"""Signing in with a token: who has no cookie gets the page to sign in and nothing else, and no cookie is forged or kept."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from support.run_setup import add_run, wait_for

from dashboard.serving import access, stream
from dashboard.serving.access import SIGN_IN, SIGN_OUT, USER_HEADER, Cookies
from dashboard.serving.front import Front
from engine.store.store import FILE_NAME, Store
from engine.store.users import URL_VARIABLE, USERS_VARIABLE, User, UserFile

HERE = "http://127.0.0.1:8501"
SOCKET = {"origin": HERE, "host": "127.0.0.1:8501"}
NAME = f"{access.COOKIE}-8501"


async def echo(socket):
    await socket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            await socket.receive_text()
            await socket.send_text(socket.headers[USER_HEADER])


def site():
    async def who(request):
        return JSONResponse(request.headers.getlist(USER_HEADER))

    made = Starlette(
        routes=[
            Route("/{path:path}", who, methods=["GET", "POST"]),
            WebSocketRoute("/_stcore/stream", echo),
            WebSocketRoute(stream.PATH, stream.live),
        ]
    )
    made.lifespan = lambda: lambda _: made.router.lifespan_context(made)
    return made


@pytest.fixture
def file(home, monkeypatch):
    monkeypatch.setenv(USERS_VARIABLE, str(home / "users.txt"))
    return UserFile(home / "users.txt")


@pytest.fixture
def tokens(file):
    return {name: file.add(name) for name in ("ada", "bob")}


@pytest.fixture
def client(file):
    app = Front(site, lambda: None, lambda: None, file).app
    with TestClient(app, base_url=HERE, follow_redirects=False) as made:
        yield made


def sign_in(client, token, **form):
    return client.post(SIGN_IN, data={"token": token, **form}, headers={"origin": HERE})


def cookie_of(answer):
    return answer.headers["set-cookie"].partition(";")[0].partition("=")[2].strip('"')


def socket_opens(client, **headers):
    try:
        with client.websocket_connect("/_stcore/stream", headers=SOCKET | headers) as socket:
            socket.send_text("?")
            return socket.receive_text()
    except WebSocketDisconnect:
        return False


PATHS = (
    "/", "/run", "/own", "/media/x.csv", "/static/js/x.js", "/vendor/plotly.min.js", "/_stcore/host-config",
    "/_stcore/upload_file/1/2", "/auth/login", "/component/x", "/?token=abc", "//x",
)  # fmt: skip


def test_without_a_cookie_there_is_the_page_to_sign_in_and_nothing_else(client, tokens):
    for path in PATHS:
        answer = client.get(path)
        assert (answer.status_code, "Sign in to Tuneboard" in answer.text) == (401, True), path
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            assert client.request(method, path).status_code == 401, (method, path)
    assert "no-store" in client.get("/run").headers["cache-control"]
    for path in ("/_stcore/stream", "/live/0123456789ab"):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(path, headers=SOCKET):
            pass


def test_a_token_is_asked_for_once_and_a_strict_cookie_kept(client, tokens):
    answer = sign_in(client, f" {tokens['bob']} ", to="/results?project=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/results?project=1")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert tokens["bob"] not in answer.headers["set-cookie"]
    assert client.get("/own").json() == ["bob"]
    assert socket_opens(client, cookie=f"{NAME}={cookie_of(answer)}") == "bob"


def test_no_browser_can_say_who_it_is(client, tokens):
    sign_in(client, tokens["bob"])
    for name in (USER_HEADER, USER_HEADER.upper(), "X-Tuneboard-User"):
        assert client.get("/own", headers={name: "ada"}).json() == ["bob"]
    client.cookies.clear()
    assert client.get("/own", headers={USER_HEADER: "ada"}).status_code == 401


def test_forged_cookies_are_refused(client, tokens, file):
    cookie = cookie_of(sign_in(client, tokens["bob"]))
    client.cookies.clear()
    name, end, nonce, signature = cookie.split("|")
    forged = (
        f"ada|{end}|{nonce}|{signature}", f"{name}|{int(end) + 9}|{nonce}|{signature}", f"{name}|{end}|{nonce}|",
        f"{name}|{end}|{nonce}|{'0' * 64}", "ada", "|||", "", tokens["bob"], file.proof("bob"),
        Cookies(file).made(User("ada")), cookie + "x", cookie.upper(),
    )  # fmt: skip
    for one in forged:
        headers = {"cookie": f"{NAME}={one}"}
        assert client.get("/own", headers=headers).status_code == 401, one
        assert not socket_opens(client, **headers), one
    assert client.get("/own", headers={"cookie": f"{NAME}={cookie}"}).json() == ["bob"]


def test_cookies_end_with_their_time_the_users_token_and_signing_out(client, tokens, file, monkeypatch):
    with monkeypatch.context() as short:
        short.setattr(access, "COOKIE_SECONDS", -1)
        old = cookie_of(sign_in(client, tokens["bob"]))
    assert client.get("/own", headers={"cookie": f"{NAME}={old}"}).status_code == 401
    sign_in(client, tokens["bob"])
    assert client.get("/own").json() == ["bob"]
    file.add("bob")
    assert client.get("/own").status_code == 401

    kept = cookie_of(sign_in(client, tokens["ada"]))
    out = client.post(SIGN_OUT, headers={"origin": HERE})
    assert (out.status_code, out.headers["location"]) == (303, "/")
    assert "max-age=0" in out.headers["set-cookie"].lower()
    assert client.get("/own", headers={"cookie": f"{NAME}={kept}"}).status_code == 401, (
        "a kept copy is no use"
    )


def test_a_removed_user_is_out_at_the_next_request_and_the_next_message(client, tokens, file):
    sign_in(client, tokens["bob"])
    headers = {"cookie": f"{NAME}={client.cookies[NAME].strip(chr(34))}"}
    with client.websocket_connect("/_stcore/stream", headers=SOCKET | headers) as socket:
        socket.send_text("?")
        assert socket.receive_text() == "bob"
        file.remove("bob")
        socket.send_text("?")
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()
    assert client.get("/own").status_code == 401


def test_wrong_tokens_are_slow_few_at_once_and_hold_up_no_right_one(client, tokens, monkeypatch):
    monkeypatch.setattr(access, "WRONG_SECONDS", 2.0)
    started = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        wrong = [pool.submit(sign_in, client, f"wrong{n}", to="/results?project=1") for n in range(20)]
        wait_for(lambda: sum(answer.done() for answer in wrong) == 20 - access.MOST_WRONG)
        assert sign_in(client, tokens["ada"]).status_code == 303
        waiting = [answer for answer in wrong if not answer.done()]
        assert waiting
    assert time.monotonic() - started >= 2.0
    assert {answer.result().status_code for answer in waiting} == {401}
    assert 'value="/results?project=1"' in waiting[0].result().text
    assert sorted(answer.result().status_code for answer in wrong) == [401] * 5 + [429] * 15


def test_tokens_are_in_no_file_and_no_log(client, tokens, file, tmp_path, caplog):
    monkeyed = "a-wrong-token-that-was-typed"
    with caplog.at_level(logging.DEBUG):
        sign_in(client, tokens["ada"])
        sign_in(client, monkeyed)
    assert "A wrong token came from testclient." in caplog.text
    with caplog.at_level(logging.DEBUG):
        client.get("/own")
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (*tokens.values(), monkeyed):
        assert secret.encode() not in kept
        assert secret not in caplog.text
    assert file.path.stat().st_mode & 0o077 == 0


def test_the_form_takes_no_huge_body_and_leads_to_no_other_machine(client, tokens):
    assert sign_in(client, "x" * 100_000).status_code == 413
    for to in ("//evil.example/x", "/\\evil.example", "https://evil.example"):
        where = sign_in(client, tokens["ada"], to=to).headers["location"]
        assert where.startswith("/")
        assert not where.startswith(("//", "/\\"))
    client.cookies.clear()
    page = client.get('/run?a="><script>alert(1)</script>').text
    assert "<script>" not in page
    other = client.post(SIGN_IN, data={"token": tokens["ada"]}, headers={"origin": "https://evil.example"})
    assert other.status_code == 403


def test_under_its_public_address_the_cookie_is_for_https_alone(client, tokens, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, "https://tuneboard.example.org")
    assert "secure" in sign_in(client, tokens["ada"]).headers["set-cookie"].lower()
    assert "tuneboard.example.org" in access.own_hosts()


def test_the_live_stream_of_a_run_is_for_members_of_its_project(client, tokens, tmp_path, file):
    run = add_run(tmp_path)
    with Store(tmp_path / FILE_NAME) as store:
        project = store.runs.get(run).project_id
        store.members.set_role(project, "ada", "owner")
        store.members.set_role(project, "bob", "viewer")
        cookie = f"{NAME}={cookie_of(sign_in(client, tokens['bob']))}"
        with client.websocket_connect(f"/live/{run}", headers=SOCKET | {"cookie": cookie}) as socket:
            assert "run" in str(socket.receive_text())
            store.members.remove(project, "bob")
            store.events.add(run, "note", "secret news")
            heard = []
            with suppress(WebSocketDisconnect):
                for _ in range(100):
                    heard.append(socket.receive_text())
            assert len(heard) < 100
            assert "secret news" not in str(heard)
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect(f"/live/{run}", headers=SOCKET | {"cookie": cookie}),
        ):
            pass
