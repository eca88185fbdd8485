"""A Dockerfile that serves a program file: HTTP with typed requests, docs and MCP, behind a token.

It lies beside `program.json` and a wheel of Tuneboard (see `container`). No key is in the image: the container is given
the model's key and its own token when it is started.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from engine.export.json import ProgramFile
from engine.lm.catalog import find_provider
from engine.lm.choice import ModelChoice

PORT = 8600


def dockerfile(program: ProgramFile, wheel: str) -> str:
    """Return the Dockerfile's text, for a wheel of that name; its first lines say how to build and start it."""
    given = " ".join(f"-e {name}" for name in variables(program))
    command = ["tuneboard", "serve", "program.json", "--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104 - in a container
    for name in own_key_variables(program):
        command += ["--key-env", name]
    return FILE.format(wheel=wheel, port=PORT, given=given, command=json.dumps(command))


def variables(program: ProgramFile) -> list[str]:
    """Return what the container has to be given: the name of its token, and of the keys of the models."""
    return ["TUNEBOARD_SERVE_TOKEN", *_key_variables(program)]


def serve_command(path: str = "program.json", key_envs: Sequence[str] = ()) -> str:
    """Return the command that serves a program file on this machine; `key_envs`: see `own_key_variables`.

    >>> serve_command()
    'tuneboard serve program.json --port 8600'
    """
    shown = f'"{path}"' if " " in path else path
    return " ".join([f"tuneboard serve {shown} --port {PORT}", *(f"--key-env {name}" for name in key_envs)])


def own_key_variables(program: ProgramFile) -> list[str]:
    """Return the variables with keys for addresses of their own: whoever serves the program has to name them."""
    return list(dict.fromkeys(m.key_env for m in program.models if m.base_url and m.key_env))


def _key_variables(program: ProgramFile) -> Sequence[str]:
    """The variables that hold the models' keys, each once."""
    return list(dict.fromkeys(filter(None, map(_key_variable, program.models))))


def _key_variable(model: ModelChoice) -> str | None:
    if model.key_env:
        return model.key_env
    provider = find_provider(model.name)
    return provider.key_env if provider is not None and provider.needs_key and not model.base_url else None


FILE = """\
#   docker build -t tuned-program .
#   docker run --rm -p 127.0.0.1:{port}:{port} {given} tuned-program
# Callers send the token: Authorization: Bearer ... ; the service describes itself at http://127.0.0.1:{port}/docs
FROM python:3.12-slim
WORKDIR /srv
COPY {wheel} /tmp/
RUN pip install --no-cache-dir /tmp/{wheel} && rm /tmp/{wheel} && useradd --create-home program
COPY program.json .
USER program
ENV TUNEBOARD_HOME=/home/program/data
EXPOSE {port}
HEALTHCHECK CMD python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/health', timeout=3)"
CMD {command}
"""
