"""A page that explains a service: its fields, and how to ask. It loads nothing, from this machine or another."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from pydantic import BaseModel

from engine.serve.contract import Contract


def docs_page(contract: Contract, url: str) -> str:
    """Return the page's HTML; `url` is the service's own address."""
    example = json.dumps(dict.fromkeys(contract.inputs, "..."), ensure_ascii=False)
    ask = f"curl {url}/predict -H 'Content-Type: application/json' -d '{example}'"
    return _PAGE.format(
        title=escape(contract.title),
        description=escape(contract.description),
        inputs=_table(contract.question),
        outputs=_table(contract.answer),
        ask=escape(ask),
        stream=escape(ask.replace("curl ", "curl -N ", 1).replace("/predict", "/stream", 1)),
        mcp=escape(f"{url}/mcp"),
    )


def _table(model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    needed = set(schema.get("required", ()))
    rows = [
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(field))}{'' if name in needed else ', optional'}</td>"
        f"<td>{escape(field.get('description') or '')}</td></tr>"
        for name, field in schema.get("properties", {}).items()
    ]
    return f"<table>{''.join(rows)}</table>"


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(_type(one) for one in field["anyOf"] if one.get("type") != "null")
    inner = f" of {_type(field['items'])}" if field.get("items") else ""
    return f"{field.get('type', field.get('$ref', 'any').rpartition('/')[2])}{inner}"


_PAGE = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}}
pre{{background:#f4f4f4;padding:.8rem;overflow:auto}}td{{padding:.2rem 1rem .2rem 0;vertical-align:top}}
@media (prefers-color-scheme:dark){{body{{background:#111;color:#eee}}pre{{background:#222}}a{{color:#8bf}}}}
</style></head><body><h1>{title}</h1><p style="white-space:pre-wrap">{description}</p>
<h2>You send</h2>{inputs}<h2>You get</h2>{outputs}
<h2>Ask</h2><pre>{ask}</pre><p>As it is written, event by event:</p><pre>{stream}</pre>
<p>Agents ask over MCP at <code>{mcp}</code>. The whole interface as data: <a href="openapi.json">openapi.json</a>.
With a token set, send it as <code>Authorization: Bearer ...</code>.</p></body></html>
"""
