"""The front of the server: page and scripts at once, everything else when it is loaded, an end when it cannot be."""

import threading
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from dashboard.serving.front import HEADERS, Front, package_folder


class Loading:
    """A site that is loaded when a test says so."""

    def __init__(self, error=None):
        self.loaded, self.entered, self.gave_up = threading.Event(), [], threading.Event()
        self.error = error

    def load(self):
        assert self.loaded.wait(180)
        if self.error is not None:
            raise self.error

        async def echo(socket):
            await socket.accept()
            await socket.send_text("from the site")
            await socket.close()

        routes = [
            Route(
                "/own",
                lambda _: PlainTextResponse("from the site", headers={"x-content-type-options": "other"}),
            ),
            Route(
                "/_stcore/health",
                lambda _: PlainTextResponse("ok", headers={"set-cookie": "_streamlit_xsrf=1"}),
            ),
            WebSocketRoute("/live", echo),
        ]
        site = Starlette(routes=routes)

        @asynccontextmanager
        async def lifespan(_):
            self.entered.append("in")
            yield
            self.entered.append("out")

        site.lifespan = lambda: lifespan
        return site

    def client(self):
        return TestClient(Front(self.load, lambda: None, self.gave_up.set).app, base_url="http://127.0.0.1")


def test_page_and_scripts_are_there_before_the_site_is():
    loading = Loading()
    with loading.client() as client:
        for path in ("/", "/run", "/results"):
            page = client.get(path)
            assert page.status_code == 200
            assert "<title>Tuneboard</title>" in page.text
            assert page.headers["cache-control"] == "no-cache"
        script = next(p for p in (package_folder("streamlit") / "static/static/js").glob("index.*.js"))
        served = client.get(f"/static/js/{script.name}")
        assert served.content == script.read_bytes()
        assert served.headers["content-type"].startswith("text/javascript")
        assert "immutable" in served.headers["cache-control"]
        for answer in (page, served):
            assert {name: answer.headers[name.decode()].encode() for name, _ in HEADERS} == dict(HEADERS)
        assert client.get("/_stcore/health").text == "ok"
        assert loading.entered == []
        loading.loaded.set()
    assert loading.entered in ([], ["in", "out"]), "what was started has been stopped"


def test_what_only_the_site_can_answer_waits_for_it():
    loading = Loading()
    with loading.client() as client:
        threading.Timer(0.2, loading.loaded.set).start()
        answer = client.get("/own")
        assert answer.text == "from the site"
        assert answer.headers["x-content-type-options"] == "nosniff", "nobody can weaken the headers"
        with client.websocket_connect("/live", headers={"host": "127.0.0.1"}) as socket:
            assert socket.receive_text() == "from the site"
        assert "set-cookie" in client.get("/_stcore/health").headers, "from now on the site says how it is"
    assert loading.entered == ["in", "out"]


def test_a_page_that_was_open_early_gets_the_cookie_that_uploads_need():
    loading = Loading()
    with loading.client() as client:
        assert "set-cookie" not in client.get("/_stcore/health").headers
        threading.Timer(0.2, loading.loaded.set).start()
        answer = client.get("/_stcore/health", headers={"Sec-Fetch-Mode": "cors"})
        assert answer.headers["set-cookie"] == "_streamlit_xsrf=1"


def test_a_site_that_cannot_be_loaded_ends_the_server_and_says_so(caplog):
    loading = Loading(ImportError("No module named 'pandas'"))
    loading.loaded.set()
    with loading.client() as client:
        answer = client.get("/own")
        assert answer.status_code == 503
        assert "not running" in answer.text
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect("/live", headers={"host": "127.0.0.1"}) as socket,
        ):
            socket.receive_text()
        assert loading.gave_up.is_set()
    assert "No module named 'pandas'" in caplog.text


@pytest.mark.parametrize(
    "path", ["/static/../index.html", "/static/%2e%2e/index.html", "/static/js/", "/etc/passwd"]
)
def test_only_files_by_their_exact_names_are_handed_out(path):
    loading = Loading()
    loading.loaded.set()
    with loading.client() as client:
        assert client.get(path).status_code == 404
