"""A Dockerfile that serves a program file: HTTP with typed requests, docs and MCP, behind a token.

It lies beside `program.json`. No key is in the image: the container is given the model's key and its own token when
it is started.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from engine.export.json import ProgramFile
from engine.lm.catalog import find_provider

PORT = 8600


def dockerfile(program: ProgramFile) -> str:
    """Return the Dockerfile's text; its first lines say how to build and start it."""
    variables = ["TUNEBOARD_SERVE_TOKEN", *filter(None, [_key_variable(program)])]
    given = " ".join(f"-e {name}" for name in variables)
    return FILE.format(version=_version(), port=PORT, given=given)


def serve_command(path: str = "program.json") -> str:
    """Return the command that serves a program file on this machine.

    >>> serve_command()
    'tuneboard serve program.json --port 8600'
    """
    shown = f'"{path}"' if " " in path else path
    return f"tuneboard serve {shown} --port {PORT}"


def _key_variable(program: ProgramFile) -> str | None:
    model = program.model
    if model is None:
        return None
    if model.key_env:
        return model.key_env
    provider = find_provider(model.name)
    return provider.key_env if provider is not None and provider.needs_key and not model.base_url else None


def _version() -> str:
    try:
        return f"tuneboard=={version('tuneboard')}"
    except PackageNotFoundError:
        return "tuneboard"


FILE = """\
# Put this file beside program.json, then:
#   docker build -t tuned-program .
#   docker run --rm -p 127.0.0.1:{port}:{port} {given} tuned-program
# Callers send the token: Authorization: Bearer ... ; the service describes itself at http://127.0.0.1:{port}/docs
FROM python:3.12-slim
RUN pip install --no-cache-dir "{version}" && useradd --create-home program
WORKDIR /srv
COPY program.json .
USER program
ENV TUNEBOARD_HOME=/home/program/data
EXPOSE {port}
HEALTHCHECK CMD python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/health', timeout=3)"
CMD ["tuneboard", "serve", "program.json", "--host", "0.0.0.0", "--port", "{port}"]
"""
