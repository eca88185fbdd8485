"""Commands that serve a tuned model by another server, and an adapter merged into its base. Nothing here loads weights."""

from __future__ import annotations

import shlex
from pathlib import Path

import orjson

from engine.basics.children import Child
from engine.errors import ConfigurationError, TrainingError, UnknownNameError
from engine.lm.local.sources import find_source, missing_extra
from engine.lm.tuned import PREFIX, get_tuned

SERVERS = ("vllm", "sglang", "ollama")
LONGEST_MERGE = 3600.0
"""Seconds that merging may take: it reads and writes all weights once."""

_PREFIXES = {"vllm": "hosted_vllm", "sglang": "sglang", "ollama": "ollama"}


def served_name(model: str, server: str) -> str:
    """Return the name by which `engine.LM` asks a tuned model at a server that was started with `serving_command`.

    >>> served_name("tuned/a1b2", "vllm")
    'hosted_vllm/a1b2'
    """
    if server not in SERVERS:
        raise UnknownNameError("server for tuned models", server, SERVERS)
    return f"{_PREFIXES[server]}/{get_name(model)}"


def get_name(model: str) -> str:
    """Return a tuned model's name as servers take it: without the prefix, a checkpoint's "@" as "-"."""
    return model.removeprefix(PREFIX).replace("@", "-")


def serving_command(model: str, server: str, merged: str | Path | None = None) -> str:
    """Return the command that serves a local tuned model by "vllm", "sglang" or "ollama".

    vLLM and SGLang serve the base with the adapter on it; `merged` is a folder of `merge_adapter`, which Ollama needs for an
    adapter ("merged/NAME" where none is given). Raises UnknownNameError, ModelNotFoundError, or ConfigurationError for a hosted model.
    """
    name = served_name(model, server).partition("/")[2]
    if model.startswith(PREFIX) and get_tuned(model).hosted is not None:
        raise ConfigurationError(f"{model} is at its provider, which serves it: no command is needed.")
    source = find_source(model)
    whole = (
        str(merged) if merged else f"merged/{name}" if source.adapter and server == "ollama" else source.base
    )
    plain, put = shlex.quote(whole), shlex.quote(name)
    if server == "ollama":
        lines = shlex.quote(f"FROM {whole}")
        return f"printf '%s\\n' {lines} > Modelfile && ollama create {put} -f Modelfile"
    adapter = None if merged else source.adapter
    pair = shlex.quote(f"{name}={adapter}")
    if server == "vllm":
        if adapter is None:
            return f"vllm serve {plain} --served-model-name {put}"
        return f"vllm serve {plain} --enable-lora --lora-modules {pair} --max-lora-rank {_rank(adapter)}"
    start = f"python -m sglang.launch_server --model-path {plain} --port 30000"
    return f"{start} --served-model-name {put}" if adapter is None else f"{start} --lora-paths {pair}"


def _rank(adapter: Path) -> int:
    """Return the smallest rank vLLM knows that is enough for an adapter."""
    try:
        rank = int(orjson.loads((adapter / "adapter_config.json").read_bytes())["r"])
    except (OSError, ValueError, KeyError, TypeError):
        return 64
    return next((size for size in (8, 16, 32, 64, 128, 256, 320) if size >= rank), 512)


def merge_adapter(model: str, folder: str | Path) -> Path:
    """Write a tuned model's whole weights, its adapter merged into the base, and its tokenizer into a folder; return it.

    A child process does it, so that this one loads no weights. Raises ConfigurationError where the libraries are missing,
    ModelNotFoundError for an unknown model, TrainingError where it failed.
    """
    if missing := missing_extra():
        raise ConfigurationError(missing)
    source = find_source(model)
    target = Path(folder).expanduser().resolve()
    request = orjson.dumps({"model": source.name, "folder": str(target)})
    with Child("engine.lm.local.serving", request, seconds=LONGEST_MERGE) as child:
        answer = child.output.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        child.end(grace=30)
        if answer != "done":
            raise TrainingError(
                f"{model} was not merged into {target}: {child.last_words() or 'the process was ended, perhaps for lack of memory'}"
            )
    return target


def main() -> None:
    """Merge, in the child process."""
    import sys

    from engine.lm.local.weights import merge

    request = orjson.loads(sys.stdin.buffer.read())
    merge(find_source(request["model"]), Path(request["folder"]))
    sys.stdout.write("\ndone\n")


if __name__ == "__main__":
    main()
