"""The door to Streamlit's login at an OpenID Connect provider: is it set up, where is it, and whose is a cookie.

Streamlit answers /auth/login and /oauth2callback, and keeps the user in a signed cookie (`st.login`, `st.user`). Pages get at
these only after their socket is open; here the socket itself is to be refused. That needs four functions of Streamlit that
are not part of its interface; tests/dashboard_tests/serving/test_oidc.py signs in at a real provider and fails when they change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlencode

import streamlit  # noqa: F401 - first: its parts cannot be imported alone
from streamlit.auth_util import encode_provider_token, get_origin_from_redirect_uri, get_secrets_auth_section
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME
from streamlit.web.server.starlette.starlette_websocket import _get_signed_cookie_with_chunks

LOGOUT = "/auth/logout"
PATHS = ("/auth/login", "/oauth2callback", LOGOUT)


def is_set_up() -> bool:
    """Return whether secrets.toml has an [auth] section."""
    return bool(get_secrets_auth_section())


def login_path() -> str:
    """Return the path that leads to the provider, good for two minutes. With several providers it is the first."""
    section = get_secrets_auth_section().to_dict()
    named = [name for name, value in section.items() if isinstance(value, dict) and "client_id" in value]
    provider = "default" if "client_id" in section or not named else named[0]
    return f"{PATHS[0]}?{urlencode({'provider': encode_provider_token(provider)})}"


def user_in(cookies: Mapping[str, str]) -> str:
    """Return the e-mail, in small letters, of the user in Streamlit's cookie, or the user's `sub`; "" without a good cookie.

    An e-mail that the provider has not verified does not count.
    """
    if USER_COOKIE_NAME not in cookies:
        return ""
    cookie = _get_signed_cookie_with_chunks(dict(cookies), USER_COOKIE_NAME)
    user = json.loads(cookie) if cookie else {}
    if not user.get("is_logged_in") or user.get("origin") != get_origin_from_redirect_uri():
        return ""
    email = str(user.get("email") or "").lower()
    return email if email and user.get("email_verified") is not False else str(user.get("sub") or "")
