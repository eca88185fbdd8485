"""A tuned program as a web service: typed HTTP with OpenAPI, a streaming endpoint, and MCP for agents.

    contract  requests, answers and failures as pydantic models
    app       the HTTP application: /predict, /stream, /health, /openapi.json, /docs, /mcp; who may ask; the MCP tool
    server    the process around it: address, limits, descriptors, end

It knows exported programs and nothing of runs or stores; `engine.cli.serve` runs it.
"""
