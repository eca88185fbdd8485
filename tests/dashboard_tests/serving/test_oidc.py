"""Signing in at a real OpenID Connect provider on this machine, through Streamlit's own login: discovery, code, keys, cookie."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from support.pages.dashboard_server import Server

from engine.store.users import USERS_VARIABLE, UserFile


class Provider(BaseHTTPRequestHandler):
    """A small provider: whoever asks is the user in `claims`, and each code is good once."""

    claims: dict = {}
    key = RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"}, private=True)
    codes: dict = {}

    def do_GET(self):
        url = urlsplit(self.path)
        base = f"http://127.0.0.1:{self.server.server_port}"
        if url.path == "/.well-known/openid-configuration":
            self.answer(
                {
                    "issuer": base,
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                    "jwks_uri": f"{base}/jwks",
                    "code_challenge_methods_supported": ["S256"],
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            )
        elif url.path == "/jwks":
            self.answer({"keys": [self.key.as_dict(private=False)]})
        elif url.path == "/authorize":
            asked = dict(parse_qsl(url.query))
            code = f"code-{len(self.codes)}"
            self.codes[code] = asked
            self.send_response(302)
            back = urlencode({"code": code, "state": asked["state"]})
            self.send_header("location", f"{asked['redirect_uri']}?{back}")
            self.end_headers()

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        asked = self.codes.pop(form["code"][0])
        base = f"http://127.0.0.1:{self.server.server_port}"
        claims = {"iss": base, "aud": asked["client_id"], "iat": 1, "exp": 2**33, "nonce": asked["nonce"]}
        token = jwt.encode({"alg": "RS256", "kid": "one"}, claims | self.claims, self.key)
        self.answer({"access_token": "a", "token_type": "Bearer", "id_token": token, "expires_in": 60})

    def answer(self, content):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A dashboard whose users sign in at the provider: everyone at example.org, and one user by `sub`."""
    provider = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    home = tmp_path_factory.mktemp("team")
    file = UserFile(home / "users.txt")
    file.add("@example.org", oidc=True)
    file.add("sub-7", oidc=True)
    running = Server(home)
    (home / ".streamlit").mkdir()
    (home / ".streamlit" / "secrets.toml").write_text(
        f"""[auth]
redirect_uri = "{running.url}/oauth2callback"
cookie_secret = "a-long-secret-for-this-test-alone-0123456789"
client_id = "tuneboard"
client_secret = "secret"
server_metadata_url = "http://127.0.0.1:{provider.server_port}/.well-known/openid-configuration"
"""
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(USERS_VARIABLE, str(file.path))
        patch.setenv("HOME", str(home))
        running.start()
    yield running
    running.stop()
    provider.shutdown()
    provider.server_close()


async def visit(server, *, sign_in=True, before=lambda: None):
    """Return the status of the first page and whether the socket opens, after signing in as the provider says."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        if sign_in:
            async with browser.get(f"{server.url}/sign-in/oidc") as reply:
                await reply.read()
        before()
        async with browser.get(server.url) as reply:
            status, page = reply.status, await reply.text()
        try:
            async with browser.ws_connect(f"{server.url}/_stcore/stream", headers={"Origin": server.url}):
                return status, page, True
        except aiohttp.WSServerHandshakeError:
            return status, page, False


def visited(server, claims=None, **how):
    Provider.claims = claims or {}
    return asyncio.run(visit(server, **how))


def test_who_has_not_signed_in_is_led_to_the_provider_and_reaches_nothing(server):
    status, page, opened = visited(server, sign_in=False)
    assert (status, opened) == (401, False)
    assert "Sign in with your organisation" in page


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "1", "email": "Eva@Example.org", "email_verified": True},
        {"sub": "1", "email": "eva@example.org"},
        {"sub": "sub-7"},
    ],
)
def test_a_user_of_the_file_comes_in(server, claims):
    status, _, opened = visited(server, claims)
    assert (status, opened) == (200, True)


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "1", "email": "eva@evil.org", "email_verified": True},
        {"sub": "1", "email": "eva@example.org", "email_verified": False},
        {"sub": "1"},
        {"sub": "@example.org"},
    ],
)
def test_a_user_of_another_domain_or_without_a_verified_address_stays_out(server, claims):
    status, page, opened = visited(server, claims)
    assert (status, opened) == (401, False)
    assert "may not come in here" in page


def test_a_forged_cookie_of_streamlit_is_refused(server):
    async def forged():
        cookies = {"_streamlit_user": json.dumps({"is_logged_in": True, "email": "eva@example.org"})}
        async with aiohttp.ClientSession(cookies=cookies) as browser, browser.get(server.url) as reply:
            return reply.status

    assert asyncio.run(forged()) == 401


def test_a_user_whose_line_is_removed_is_out(server):
    file = UserFile(server.home / "users.txt")
    status, _, opened = visited(server, {"sub": "sub-7"}, before=lambda: file.remove("sub-7"))
    assert (status, opened) == (401, False)
