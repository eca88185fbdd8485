"""A tuned program as a web service: typed HTTP with OpenAPI, a streaming endpoint, and MCP for agents.

    contract  requests, answers and failures as pydantic models
    app       the HTTP application: /predict, /stream, /health, /openapi.json, /docs, /mcp; who may ask
    mcp       the program as an MCP tool, over HTTP or standard input and output
    server    running it until it is interrupted

It knows exported programs and nothing of runs or stores. FastAPI, uvicorn and mcp are loaded when something is served.
"""
