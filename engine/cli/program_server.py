"""Serving an exported program: over HTTP until Ctrl-C, or over MCP on standard input and output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from engine.errors import ConfigurationError
from engine.export.dockerfile import own_key_variables
from engine.export.json import ProgramFile, read_program
from engine.serve.contract import contract_of
from engine.serve.server import Place, serve_http, serve_stdio


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served in which way: the program's file, another model than its own, MCP on standard streams.

    `key_envs`: the variables with keys that may go to the addresses which the file, or `base_url`, names.
    """

    program: Path
    model: str | None = None
    base_url: str | None = None
    key_envs: tuple[str, ...] = ()
    stdio: bool = False


def serve_program(serving: Serving, place: Place) -> int:
    """Serve until it is interrupted; return the exit code. Raises ProgramFileError, ConfigurationError."""
    file = read_program(serving.program)
    lm = None
    if serving.model is not None:
        from engine.lm.client import LM

        lm = LM(serving.model, api_base=serving.base_url, key_env=next(iter(serving.key_envs), None))
    else:
        _check_named(file, serving.key_envs)
    contract = contract_of(file, file.build(lm=lm, key_envs=serving.key_envs))
    if serving.stdio:
        serve_stdio(contract)
        return 0
    guarded = f", with the token in {place.token_env}" if place.token else ""

    def started() -> None:
        console = Console()
        console.print(
            f"{contract.title} is at {place.url}/docs{guarded} (Ctrl-C ends it).",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
        console.file.flush()

    try:
        serve_http(contract, place, started)
    except KeyboardInterrupt:
        return 0
    return 0


def _check_named(file: ProgramFile, key_envs: tuple[str, ...]) -> None:
    named = own_key_variables(file)
    for name in key_envs:
        if name not in named:
            raise ConfigurationError(
                f"No model of the program has its key in {name}. "
                + (f"Its models name {', '.join(named)}." if named else "None of them needs --key-env.")
            )
