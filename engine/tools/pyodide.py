"""`PyodideInterpreter`: a whole Python as a sandbox, for code that is more than `PythonInterpreter` can run.

CPython compiled to WebAssembly (Pyodide) in a Deno process that may do nothing but read Pyodide's folder: no files,
network, environment or other processes. Both are optional: `pip install "tuneboard[pyodide]"` brings Deno, and
Pyodide's folder is what `npm pack pyodide` holds, unpacked; nothing is downloaded here. It knows nothing of models
or prompts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine import loop
from engine.basics.data import JsonObject, Values
from engine.basics.home import data_home
from engine.callbacks import observed
from engine.errors import ConfigurationError, SandboxError, SandboxMemoryError
from engine.records import json_value
from engine.tools.function import shown
from engine.tools.interpreter import LONGEST_TRACEBACK, SEEN_BY_CODE, Execution, HostSide, Sandbox

FOLDER_ENV = "TUNEBOARD_PYODIDE"
"""The environment variable that names Pyodide's folder."""


class PyodideInterpreter(Sandbox):
    """A sandbox with all of Python: classes, generators, the standard library. Slower to start than `PythonInterpreter`.

    Arguments are those of `PythonInterpreter`. `folder` is Pyodide's (else TUNEBOARD_PYODIDE, else `pyodide` in the
    data folder), `deno` the program (else the one installed). Starting takes seconds, once; the process then stays
    until `shutdown`, or the end of a `with` block. Where code is stopped for its time, memory or output the
    variables are gone. Raises ConfigurationError when Deno or Pyodide is missing, SandboxError and its kin like
    `PythonInterpreter`.

    >>> PyodideInterpreter(folder="/nowhere")("1 + 1")
    Traceback (most recent call last):
    ...
    engine.errors.ConfigurationError: There is no Pyodide in '/nowhere'. Unpack what `npm pack pyodide` fetches there, or name its folder in TUNEBOARD_PYODIDE.
    """

    dialect = """\
The code runs in a sandboxed CPython with its standard library. It has no files of this machine, no network, no threads, \
no other processes, no input(), and no packages beyond the standard library. Print what you want to see."""

    def __init__(
        self,
        tools: Sequence[object] | Values | None = None,
        output_fields: Sequence[object] | None = None,
        *,
        memory_limit: int = 512 * 2**20,
        folder: str | Path | None = None,
        deno: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(tools, output_fields, memory_limit=memory_limit, **options)
        self._folder = folder
        self._deno = deno
        self._process: asyncio.subprocess.Process | None = None

    def shutdown(self) -> None:
        """End the process; variables are forgotten."""
        process, self._process = self._process, None
        if process is not None:
            ended = loop.submit(_end_process(process))
            if not loop.on_loop():
                ended.result()

    async def _run(self, code: str, variables: dict[str, object]) -> Execution:
        process = await self._started()
        work = _Work(self, process)
        known = {name: json_value(value) for name, value in variables.items()}
        await work.send({"code": code, "variables": known, "tools": list(self.tools)})
        try:
            return await work.outcome()
        except BaseException:
            if not work.unharmed:
                self._process = None
                with observed("interpreter_shutdown", self, {}):
                    await _end_process(process)
            raise

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        folder = pyodide_folder(self._folder)
        command = [
            *(self._deno or deno_program(), "run", "--no-prompt", "--no-config", "--no-lock", "--no-remote"),
            *("--no-npm", f"--allow-read={folder}", str(Path(__file__).with_suffix(".mjs"))),
            *(str(folder), str(self.memory_limit), str(self.seed)),
        ]
        with observed("interpreter_startup", self, {}):
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={"DENO_DIR": str(data_home() / "deno"), "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"},
                limit=_LONGEST_MESSAGE,
            )
            try:
                assert process.stdout is not None  # noqa: S101 - piped above
                first = await asyncio.wait_for(process.stdout.readline(), _START_SECONDS)
            except BaseException:
                await _end_process(process)
                raise
            if b"ready" not in first:
                await _end_process(process)
                raise SandboxError(f"Pyodide did not start from {str(folder)!r}. Unpack it there again.")
        self._process = process
        return process


class _Work(HostSide):
    """One execution in a process: messages to and from it."""

    unharmed = False
    """True if the process can go on after an error."""

    def __init__(self, sandbox: Sandbox, process: asyncio.subprocess.Process) -> None:
        super().__init__(sandbox)
        self._process = process
        self._left = sandbox.time_limit

    async def send(self, message: Mapping[str, object]) -> None:
        """Write one message."""
        if self._process.stdin is not None:
            with contextlib.suppress(ConnectionError):  # reported when it is read from
                self._process.stdin.write(json.dumps(message).encode() + b"\n")
                await self._process.stdin.drain()

    async def outcome(self) -> Execution:
        """Answer the code's calls until it ends."""
        while True:
            message = await self._next()
            if "print" in message:
                if not self.fits(message["print"]):
                    raise self.too_much()
            elif "call" in message:
                await self.send(await self._reply(message))
            elif "submit" in message:
                self.submit(message["args"], message["kwargs"])
                await self.send({"result": None})
            elif "failed" in message:
                if message["kind"] == "MemoryError":
                    raise SandboxMemoryError("The code needed more memory than it may use.")
                self.unharmed = True  # a mistake of the code: the state before it stays
                raise SandboxError(shown(message["failed"], LONGEST_TRACEBACK))
            else:
                return self.ended(message["done"])

    async def _next(self) -> JsonObject:
        started = time.monotonic()
        try:
            assert self._process.stdout is not None  # noqa: S101 - piped when it was started
            line = await asyncio.wait_for(self._process.stdout.readline(), max(0.0, self._left))
        except TimeoutError:
            raise self.too_long() from None
        except ValueError:
            raise SandboxError("The code gave a value too large to hand over.") from None
        self._left -= time.monotonic() - started
        if not line:
            raise SandboxMemoryError("The sandbox broke off: the code needed more than it may use.")
        try:
            found: dict[str, object] = json.loads(line)
        except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists in lists
            raise SandboxError("The code gave a value that cannot be handed over.") from None
        return found

    async def _reply(self, message: Values) -> JsonObject:
        try:
            result = await self.answer(message["call"], message["args"], message["kwargs"])
            return {"result": json_value(result)}
        except SandboxError:
            raise  # the end of the execution
        except SEEN_BY_CODE as error:
            return {"error": type(error).__name__, "message": str(error)}


def pyodide_folder(given: str | Path | None = None) -> Path:
    """Return Pyodide's folder. Raises ConfigurationError when it is missing."""
    folder = Path(given or os.environ.get(FOLDER_ENV) or data_home() / "pyodide").expanduser().absolute()
    if not (folder / "pyodide.mjs").is_file():
        raise ConfigurationError(
            f"There is no Pyodide in {str(folder)!r}. Unpack what `npm pack pyodide` fetches there, or name its folder "
            f"in {FOLDER_ENV}."
        )
    return folder


def deno_program() -> str:
    """Return the path of Deno: next to this Python, else on the path. Raises ConfigurationError when it is missing."""
    neighbour = Path(sys.executable).with_name("deno")
    program = str(neighbour) if neighbour.is_file() else shutil.which("deno")
    if program is None:
        raise ConfigurationError("Deno is not installed. Install it with: pip install 'tuneboard[pyodide]'")
    return program


async def _end_process(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


_START_SECONDS = 120.0
_LONGEST_MESSAGE = 64 * 2**20
