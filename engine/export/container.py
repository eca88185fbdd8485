"""A program as a folder that a container is built from: Dockerfile, program file, this very Tuneboard, and how to use it.

No key is in it: the container is given the model's key and its own token when it is started.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from engine.errors import ProgramFileError
from engine.export.container_wheel import wheel, zipped
from engine.export.dockerfile import PORT, dockerfile, variables
from engine.export.json import ProgramFile, to_text


def container(program: ProgramFile) -> bytes:
    """Return the folder as a zip.

    Raises ProgramFileError for a program that searches a corpus too large for its file, and where Tuneboard is not
    installed as a package.
    """
    for step in program.pipeline.steps:
        if step.options.corpus.file:
            raise ProgramFileError(
                f"The step {step.name!r} searches {step.options.corpus.file!r}, which is too large to go along. "
                "Write a Dockerfile of your own that brings it to the same place."
            )
    package = wheel()
    files = {
        "Dockerfile": dockerfile(program, package.name).encode(),
        ".dockerignore": f"*\n!program.json\n!{package.name}\n".encode(),
        "README.md": _readme(program).encode(),
        "program.json": to_text(program).encode(),
        package.name: package.content,
    }
    return zipped(files)


def _readme(program: ProgramFile) -> str:
    title = " ".join(str(program.metadata.get("title") or "A program tuned with Tuneboard").split())
    names = variables(program)
    lines = README.format(
        title=title.replace("`", "'"),
        port=PORT,
        exports="".join(f'export {name}="..."\n' for name in names[1:]),
        given=" ".join(f"-e {name}" for name in names),
    )
    return lines + (LOCAL if _is_local(program) else "")


def _is_local(program: ProgramFile) -> bool:
    """Whether a model runs on the machine itself, which a container does not see by that address."""
    models = [model for model in (program.model, *program.pipeline.models) if model is not None]
    hosts = [urlsplit(model.base_url or "").hostname for model in models]
    prefixes = [model.name.partition("/")[0] for model in models if not model.base_url]
    return any(h in ("localhost", "127.0.0.1", "::1") for h in hosts) or any(p in LOCALS for p in prefixes)


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
