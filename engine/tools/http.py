"""One HTTP operation as a tool, and every operation of an OpenAPI document.

Private addresses are refused unless allowed, after the name was looked up too; redirects are not followed; the answer's
size and time are limited. Loads aiohttp: import it where it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import orjson

from engine.basics.addresses import checked_url, connector, limited_body, private_refusal
from engine.basics.data import JsonObject, Values
from engine.errors import ConfigurationError, ToolError
from engine.tools.function import TIMEOUT, Tool, written_out


def check_url(url: str, *, allow_private: bool = False) -> str:
    """Return an http(s) URL. Raises ToolError for another scheme, and for a private address unless that is allowed.

    A host's name is not looked up here: `is_public` decides again for the addresses it turns out to have.

    >>> check_url("https://example.org/a")
    'https://example.org/a'
    """
    try:
        parts = urlsplit(checked_url(url, allow_private=allow_private))
    except ValueError as error:
        raise ToolError(str(error)) from None
    if parts.username or parts.password:
        raise ToolError(
            "A web address of a tool cannot contain a user name or password. Send them as headers."
        )
    return url


MOST_BYTES = 2_000_000
_METHODS = ("get", "post", "put", "patch", "delete")
_PLACE = re.compile(r"{(\w+)}")
_DEEPEST = 7
"""References inside references of an OpenAPI document that are followed."""


def http_tool(
    url: str,
    name: str,
    desc: str = "",
    args: Mapping[str, object] | None = None,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    allow_private: bool = False,
    required: Sequence[str] = (),
) -> Tool:
    """Return a tool that asks one web address.

    Arguments named in braces in `url` fill their place; the others go into the query, or, for POST, PUT and PATCH,
    into a JSON body. `args` maps argument -> JSON schema. `headers` are sent along and never shown to a model.

    >>> tool = http_tool("https://example.org/items/{id}", "item", "Return an item.", {"id": {"type": "string"}})
    >>> tool.name, tool.required
    ('item', ('id',))
    """
    check_url(_PLACE.sub("x", url), allow_private=allow_private)
    _check_host_places(url)
    in_path = _PLACE.findall(url)
    schema = {**{one: {"type": "string"} for one in in_path}, **(args or {})}

    async def ask(**given: object) -> Any:
        filled = _PLACE.sub(lambda place: quote(str(given.get(place[1], "")), safe=""), url)
        rest = {key: value for key, value in given.items() if key not in in_path}
        return await _ask(method.upper(), filled, rest, headers or {}, allow_private)

    needed = [*in_path, *(one for one in required if one not in in_path)]
    return Tool.with_schema(ask, name, desc, {"properties": schema, "required": needed}, TIMEOUT)


def _check_host_places(url: str) -> None:
    """Raise ToolError where an argument could change the host: headers, keys among them, are for the host that is named."""
    host = re.split(r"[/?#]", url.partition("://")[2])[0]
    for label in host.partition(":")[0].split("."):
        if _PLACE.search(label) and not _PLACE.fullmatch(label):
            raise ToolError(
                f"In {url[:80]!r} an argument would be a part of the host. Put a / before the argument."
            )
    if _PLACE.search(host.partition(":")[2]):
        raise ToolError(f"In {url[:80]!r} an argument would be a part of the port. Name the port.")


def openapi_tools(
    document: Mapping[str, object] | str | Path,
    *,
    base_url: str | None = None,
    headers: Mapping[str, str] | None = None,
    allow_private: bool = False,
) -> list[Tool]:
    """Return a tool for each operation of an OpenAPI 3 document: a mapping, its JSON text, or a path to its file.

    Raises ConfigurationError when it is none, ToolError when its server has a private address and that is not allowed.

    >>> paths = {"/add": {"get": {"operationId": "add", "summary": "Add.", "parameters": [
    ...     {"name": "a", "in": "query", "required": True, "schema": {"type": "integer"}}]}}}
    >>> [str(tool) for tool in openapi_tools({"openapi": "3.1.0", "paths": paths}, base_url="https://example.org")]
    ['`add`: Add. Arguments: {"a":{"type":"integer"}}']
    """
    api = _read(document)
    try:
        return list(_operations(api, base_url, headers, allow_private))
    except (TypeError, AttributeError, KeyError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"The OpenAPI document is damaged: {error!r}.") from error


def _operations(
    api: Values, base_url: str | None, headers: Mapping[str, str] | None, allow_private: bool
) -> Iterator[Tool]:
    base = base_url or next((server.get("url", "") for server in api.get("servers", [])), "")
    if not base:
        raise ConfigurationError("The OpenAPI document names no server. Pass base_url='https://...'.")
    for path, operations in api.get("paths", {}).items():
        for method in _METHODS:
            if method not in operations:
                continue
            operation = operations[method]
            name = operation.get("operationId") or f"{method}_{path}"
            schema, required = _arguments(api, operations, operation)
            desc = operation.get("summary") or operation.get("description") or f"{method.upper()} {path}"
            yield http_tool(
                f"{base.rstrip('/')}/{path.lstrip('/')}",  # without its slash, a path would be a part of the host
                re.sub(r"\W+", "_", name).strip("_"),
                desc,
                schema,
                method=method,
                headers=headers,
                allow_private=allow_private,
                required=required,
            )


async def _ask(method: str, url: str, rest: Values, headers: Mapping[str, str], allow_private: bool) -> Any:
    check_url(url, allow_private=allow_private)
    sent: JsonObject = {"headers": dict(headers), "allow_redirects": False}
    if method in ("POST", "PUT", "PATCH"):
        sent["json"] = dict(rest)
    else:
        sent["params"] = {key: _query(value) for key, value in rest.items() if value is not None}
    try:
        async with (
            aiohttp.ClientSession(connector=connector(allow_private=allow_private)) as session,
            session.request(method, url, **sent) as response,
        ):
            body = await limited_body(response, MOST_BYTES)
            return _result(method, url, response, body)
    except aiohttp.ClientError as error:
        raise ToolError(private_refusal(error, url) or f"{url} could not be asked: {error}") from error
    except ValueError as error:
        raise ToolError(str(error)) from None


def _result(method: str, url: str, response: aiohttp.ClientResponse, body: bytes) -> object:
    text = body.decode(response.get_encoding() if response.charset else "utf-8", errors="replace")
    if 300 <= response.status < 400:
        raise ToolError(
            f"{url} points on to {response.headers.get('Location', 'nowhere')}, which is not followed."
        )
    if response.status >= 400:
        raise ToolError(f"{method} {url} failed with status {response.status}: {text[:500]}")
    if "json" not in response.content_type:
        return text
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return text


def _read(document: Mapping[str, object] | str | Path) -> Values:
    if not isinstance(document, Mapping):
        try:
            text = document.read_bytes() if isinstance(document, Path) else document
            document = orjson.loads(text)
        except (OSError, orjson.JSONDecodeError) as error:
            raise ConfigurationError(f"The OpenAPI document cannot be read as JSON: {error}") from error
    if not isinstance(document, Mapping) or not isinstance(document.get("paths"), Mapping):
        raise ConfigurationError("This is no OpenAPI document: it has no 'paths'.")
    return document


def _arguments(api: Values, path: Values, operation: Values) -> tuple[JsonObject, list[str]]:
    """Return the JSON schema of each argument of an operation (path, query, JSON body) and the required ones."""
    schema: dict[str, object] = {}
    required: list[str] = []
    for one in written_out([*path.get("parameters", []), *operation.get("parameters", [])], api, _DEEPEST):
        if one.get("in") not in ("path", "query"):
            continue  # headers and cookies are the caller's to set, not a model's
        described = {"description": one["description"]} if one.get("description") else {}
        schema[one["name"]] = {**one.get("schema", {}), **described}
        if one.get("required"):
            required.append(one["name"])
    content = written_out(operation.get("requestBody", {}), api, _DEEPEST).get("content", {})
    body = content.get("application/json", {}).get("schema", {})
    return {**schema, **body.get("properties", {})}, [*required, *body.get("required", [])]


def _query(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else orjson.dumps(value).decode()
