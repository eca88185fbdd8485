"""A program as an MCP tool (Model Context Protocol), so that an agent can call it, over HTTP or standard input and output.

It knows contracts and the `mcp` package.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson
from mcp import types
from mcp.server.lowlevel import Server
from pydantic import ValidationError

from engine.serve.contract import Contract, failure_message


def tool_name(title: str) -> str:
    """Return a tool's name for a title: letters, digits and _ only, at most 60.

    >>> tool_name("Support routing: MIPROv2")
    'support_routing_miprov2'
    """
    return re.sub(r"\W+", "_", title.lower(), flags=re.ASCII).strip("_")[:60] or "program"


def mcp_server(contract: Contract, seconds: float | None = None) -> Server[Any]:
    """Return a server with one tool: the program, with its fields as arguments and its answer as structured content.

    An answer may take `seconds` (None: any time).
    """
    name = tool_name(contract.title)
    tool = types.Tool(
        name=name,
        title=contract.title,
        description=contract.description,
        input_schema=contract.question.model_json_schema(),
    )

    async def list_tools(_context: object, _params: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[tool])

    async def call_tool(_context: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name != name:
            return _failed(f"There is no tool {params.name!r}. There is one: {name}.")
        try:
            question = contract.question.model_validate(params.arguments or {})
            work = contract.program.acall(**contract.values(question))
            prediction = await asyncio.wait_for(work, seconds)
        except ValidationError as error:
            first = error.errors()[0]
            return _failed(f"The argument {'.'.join(map(str, first['loc']))!r} is wrong: {first['msg']}.")
        except Exception as error:  # noqa: BLE001 - whatever a program raises is one failed answer
            return _failed(failure_message(error))
        answer = contract.answered(prediction)
        text = types.TextContent(type="text", text=orjson.dumps(answer).decode())
        return types.CallToolResult(content=[text], structured_content=answer)

    return Server("tuneboard", on_list_tools=list_tools, on_call_tool=call_tool)


async def serve_stdio(contract: Contract) -> None:
    """Serve on standard input and output until they close: for an agent that starts the service itself."""
    from mcp.server.stdio import stdio_server

    server = mcp_server(contract)
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


def _failed(message: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=message)], is_error=True)
