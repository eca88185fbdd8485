"""A program as a folder that a container is built from: Dockerfile, program file, the installed Tuneboard, and how to use it.

No key is in it: the container is given the model's key and its own token when it is started.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from engine.basics.addresses import is_this_machine
from engine.errors import ProgramFileError
from engine.export.formats import ExportFormat
from engine.export.program import ProgramFile, to_text
from engine.export.weights import WEIGHTS, Files, lineage, models_of, tuned_of, weight_files, zipped
from engine.lm.choice import key_variable

PORT = 8600


def dockerfile(program: ProgramFile, wheel: str) -> str:
    """Return the Dockerfile's text, for a wheel of that name; its first lines say how to build and start it."""
    given = _docker_options(program)
    command = ["tuneboard", "serve", "program.json", "--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104 - in a container
    for name in own_key_variables(program):
        command += ["--key-env", name]
    weights = any(model.hosted is None for model in tuned_of(program))
    return FILE.format(
        wheel=wheel,
        extra="[weights]" if weights else "",
        copied=f"COPY --chown=program {WEIGHTS} /home/program/data\n"
        if program.candidate.tuned_models
        else "",
        port=PORT,
        given=given,
        command=json.dumps(command),
    )


def _docker_options(program: ProgramFile) -> str:
    """Return the options of `docker run`: variables, and folders with base models, which are at the same place inside."""
    bases = dict.fromkeys(m.base_model for m in tuned_of(program) if m.hosted is None and m.method != "full")
    folders = [base for base in bases if Path(base).is_absolute() and base.isprintable()]
    mounts = [f"-v {shlex.quote(f'{folder}:{folder}:ro')}" for folder in folders]
    return " ".join([*(f"-e {name}" for name in variables(program)), *mounts])


def variables(program: ProgramFile) -> list[str]:
    """Return what the container has to be given: the name of its token, and of the keys of the models."""
    names = ["TUNEBOARD_SERVE_TOKEN", *dict.fromkeys(filter(None, map(key_variable, models_of(program))))]
    for name in names:
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):  # it becomes a part of commands
            raise ProgramFileError(
                f"The key's variable is called {name!r}. In a container its name may have letters, digits and _ only."
            )
    return names


def serve_command(path: str = "program.json", key_envs: Sequence[str] = ()) -> str:
    """Return the command that serves a program file on this machine; `key_envs`: see `own_key_variables`."""
    shown = f'"{path}"' if " " in path else path
    return " ".join([f"tuneboard serve {shown} --port {PORT}", *(f"--key-env {name}" for name in key_envs)])


def own_key_variables(program: ProgramFile) -> list[str]:
    """Return the variables with keys for models' own addresses: the user who serves the program has to name them."""
    return list(dict.fromkeys(m.key_env for m in models_of(program) if m.base_url and m.key_env))


FILE = """\
#   docker build -t tuned-program .
#   docker run --rm -p 127.0.0.1:{port}:{port} {given} tuned-program
# Callers send the token: Authorization: Bearer ... ; the service describes itself at http://127.0.0.1:{port}/docs
FROM python:3.12.12-slim-bookworm
WORKDIR /srv
COPY {wheel} /tmp/
RUN pip install --no-cache-dir "/tmp/{wheel}{extra}" && rm /tmp/{wheel} && useradd --create-home program
COPY program.json .
{copied}USER program
ENV TUNEBOARD_HOME=/home/program/data
EXPOSE {port}
HEALTHCHECK CMD python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/health', timeout=3)"
CMD {command}
"""


PACKAGES = ("engine", "dashboard", "sample_data")
TOP = """\
Wheel-Version: 1.0
Generator: tuneboard
Root-Is-Purelib: true
Tag: py3-none-any
"""


@lru_cache(maxsize=1)
def wheel() -> tuple[str, bytes]:
    """Return the wheel's file name and its bytes, made once a process.

    Raises ProgramFileError where Tuneboard is not installed as a package.
    """
    try:
        known = distribution("tuneboard")
    except PackageNotFoundError as error:
        raise ProgramFileError(
            "No package can be made of this Tuneboard, because it is not installed as one. Install it with pip, editable or not."
        ) from error
    named = f"tuneboard-{known.version}"
    files = {**dict(_modules()), **dict(_about(known, f"{named}.dist-info"))}
    record = ""
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        record += f"{path},sha256={digest},{len(data)}\n"
    files[f"{named}.dist-info/RECORD"] = f"{record}{named}.dist-info/RECORD,,\n".encode()
    return f"{named}-py3-none-any.whl", zipped(files)


def _modules() -> Iterator[tuple[str, bytes]]:
    """Yield every file of the packages, by its path in the wheel."""
    for package in PACKAGES:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(folder).rglob("*")):
                inside = path.relative_to(folder)
                if path.is_file() and "__pycache__" not in inside.parts and path.suffix != ".pyc":
                    yield f"{package}/{inside.as_posix()}", path.read_bytes()


def _about(known: Distribution, folder: str) -> Iterator[tuple[str, bytes]]:
    """Yield the package's metadata: its dependencies, its command and its licence."""
    yield f"{folder}/METADATA", (known.read_text("METADATA") or "").encode()
    yield f"{folder}/WHEEL", TOP.encode()
    yield f"{folder}/entry_points.txt", (known.read_text("entry_points.txt") or "").encode()
    if licence := known.read_text("licenses/LICENSE"):
        yield f"{folder}/licenses/LICENSE", licence.encode()


def container(program: ProgramFile) -> Files:
    """Return the folder's files.

    Raises ProgramFileError for a program that searches a corpus too large for its file, and where Tuneboard is not
    installed as a package.
    """
    for step in program.pipeline.steps:
        if step.options.corpus.file:
            raise ProgramFileError(
                f"The step {step.name!r} searches {step.options.corpus.file!r}, which is too large to go along. "
                "Write your own Dockerfile that copies it to the same place."
            )
    name, package = wheel()
    weights = weight_files(program)
    along = f"!{WEIGHTS}\n" if weights else ""
    return {
        "Dockerfile": dockerfile(program, name).encode(),
        ".dockerignore": f"*\n!program.json\n!{name}\n{along}".encode(),
        "README.md": _readme(program).encode(),
        "program.json": to_text(program).encode(),
        name: package,
        **weights,
    }


def _readme(program: ProgramFile) -> str:
    names = variables(program)
    lines = README.format(
        title=program.title.replace("`", "'"),
        port=PORT,
        exports="".join(f'export {name}="..."\n' for name in names[1:]),
        given=_docker_options(program),
    )
    models = models_of(program)
    hosts = [urlsplit(model.base_url or "").hostname or "" for model in models]
    prefixes = [model.name.partition("/")[0] for model in models if not model.base_url]
    # A container does not see the machine itself by these addresses.
    local = any(map(is_this_machine, hosts)) or any(p in LOCALS for p in prefixes)
    about = lineage(program)
    return lines + (LOCAL if local else "") + (f"\n{about}\n" if about else "")


LOCALS = ("ollama", "ollama_chat", "lm_studio", "hosted_vllm", "vllm", "sglang")
README = """\
# {title}

A service that answers as the tuned program does, in a container. It takes Docker or Podman, and a network while it is built.

```sh
docker build -t tuned-program .

export TUNEBOARD_SERVE_TOKEN="$(openssl rand -hex 24)"
{exports}docker run --rm -p 127.0.0.1:{port}:{port} {given} tuned-program
```

Ask it, and see which requests it takes at http://127.0.0.1:{port}/docs:

```sh
curl -H "Authorization: Bearer $TUNEBOARD_SERVE_TOKEN" http://127.0.0.1:{port}/openapi.json
```

`program.json` is the program, the `.whl` file the Tuneboard it was tuned with. Neither holds a key.
"""
LOCAL = """
The program asks a model on your own machine. A container does not see it under `localhost`: add `--network host` to
`docker run` (Linux), or write `host.docker.internal` for the address in `program.json`.
"""

FORM = ExportFormat(
    name="container",
    title="Container",
    about="A folder to build a container from, with Tuneboard in it: serves the program over HTTP, behind a token.",
    file_name="program_container.zip",
    render=container,
    on_demand=True,
)
