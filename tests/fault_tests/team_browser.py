"""The attempts of `team` that need a browser: markup in names, and a page of another port."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from playwright.sync_api import Page
from support.pages.browser_frame import chromium
from support.pages.page_socket import PAGES

from dashboard.state import users
from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES

if TYPE_CHECKING:
    from fault_tests.team import Team

Tried = Iterator[tuple[str, bool]]

HOSTILE = (
    "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>",
    "![x](http://evil.example/x.png) [y](javascript:window.pwned=1)",
    "$$\\href{javascript:window.pwned=1}{x}$$ :material/x: \x1b[31m\u202e<svg onload=window.pwned=1>",
)


def hostile_names(team: Team) -> Tried:
    """Projects whose names and texts are markup, opened by others in a browser."""
    for name in HOSTILE:
        with users.acting("mallory"):
            project = drafts.project_from_sample(SAMPLES[0])
            drafts.rename_project(project, name)
        with chromium() as browser:
            page = browser.new_page()
            outside: list[str] = []
            page.on("request", lambda request, seen=outside: seen.append(request.url))
            _browser_sign_in(page, team, "root")
            for path in PAGES:
                page.goto(f"{team.server.url}/{path}?project={project}")
                page.wait_for_timeout(1500)
                own = all(u.startswith((team.server.url, "data:", "blob:", "ws")) for u in outside)
                signed_in = page.get_by_label("Token", exact=True).count() == 0
                yield f"{path} {name[:20]}", signed_in and own and not page.evaluate("window.pwned")


EVIL = """<body><script>
const at = '%s', opened = [];
const socket = (path) => new Promise((done) => { try { const s = new WebSocket(at.replace('http', 'ws') + path);
  s.onmessage = () => done(path); s.onerror = s.onclose = () => done(''); setTimeout(() => done(''), 3000); } catch { done('') } });
const get = (path, way) => fetch(at + path, way).then((r) => r.text()).then((t) => t ? path : '').catch(() => '');
window.result = Promise.all([socket('/_stcore/stream'), socket('/live/%s'), get('/', {credentials: 'include'}),
  get('/sign-out', {method: 'POST', credentials: 'include'}), get('/settings', {credentials: 'include'})]);
</script><img src="%s/sign-out"><iframe src="%s/sign-out"></iframe></body>"""


def cross_origin_page(team: Team) -> Tried:
    """A page of another port, opened by a signed-in user: it reads nothing, and cannot sign the user out."""
    url = team.server.url
    page_text = (EVIL % (url, team.run, url, url)).encode()

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page_text)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil) as evil, chromium() as browser:
        threading.Thread(target=evil.serve_forever, daemon=True).start()
        page = browser.new_page()
        _browser_sign_in(page, team, "ada")
        page.goto(f"http://127.0.0.1:{evil.server_port}/")
        read = page.evaluate("window.result")
        for path, found in zip(("stream", "live", "/", "POST sign-out", "settings"), read, strict=True):
            yield f"another port reads {path}", not found
        page.goto(url)
        page.wait_for_timeout(1000)
        yield "another port signs out", page.get_by_label("Token", exact=True).count() == 0
        evil.shutdown()


def _browser_sign_in(page: Page, team: Team, name: str) -> None:
    page.goto(team.server.url)
    page.get_by_label("Token").fill(team.tokens[name])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_timeout(1500)
