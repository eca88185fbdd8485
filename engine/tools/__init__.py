"""Tools of a program: functions, remote services, and a sandbox for Python that a model wrote.

function     a plain function as a tool: schema from its hints and docstring, checked arguments, a time limit
interpreter  Python in a sandbox with limits on time, memory and output; pyodide  a whole Python in one, optional
mcp          the tools of an MCP server, over stdio or HTTP
http         one HTTP operation, or every operation of an OpenAPI document, as tools

They know nothing of modules, signatures or optimizers. Third-party packages are loaded on first use.
"""

from __future__ import annotations

from engine.tools.function import Tool
from engine.tools.interpreter import PythonInterpreter

__all__ = ["PythonInterpreter", "Tool"]
