"""`PyodideInterpreter`: a whole Python as a sandbox, for code that is more than `PythonInterpreter` can run.

CPython compiled to WebAssembly (Pyodide) in a Deno process that may do nothing but read Pyodide's own folder: no files,
network, environment or other processes. Both are optional: `pip install "tuneboard[pyodide]"` brings Deno, and
Pyodide's folder is what `npm pack pyodide` holds, unpacked; nothing is downloaded here. It knows nothing of models or prompts.
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
from engine.callbacks import observed
from engine.errors import ConfigurationError, SandboxError, SandboxMemoryError, SandboxTimeoutError
from engine.home import data_home
from engine.records import json_value
from engine.tools.function import shown
from engine.tools.sandbox import CALL_LIMIT, OUTPUT_LIMIT, SEEN_BY_CODE, Execution, HostCalls, Sandbox

FOLDER_ENV = "TUNEBOARD_PYODIDE"
"""The environment variable that names Pyodide's folder."""

TIME_LIMIT = 10.0
MEMORY_LIMIT = 512 * 2**20


class PyodideInterpreter(Sandbox):
    """A sandbox with all of Python: classes, generators, the standard library. Slower to start than `PythonInterpreter`.

    Arguments are those of `PythonInterpreter`. `folder` is Pyodide's (else TUNEBOARD_PYODIDE, else `pyodide` in the data
    folder), `deno` the program (else the one installed). Starting takes seconds, once; the process then stays until
    `shutdown`, or the end of a `with` block. Where code is stopped for its time, memory or output the variables are gone.
    Raises ConfigurationError when Deno or Pyodide is missing, SandboxError and its kin like `PythonInterpreter`.

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
        tools: Sequence[Any] | Mapping[str, Any] | None = None,
        output_fields: Sequence[Any] | None = None,
        *,
        time_limit: float = TIME_LIMIT,
        memory_limit: int = MEMORY_LIMIT,
        folder: str | Path | None = None,
        **options: Any,
    ) -> None:
        self._deno: str | None = options.pop("deno", None)
        self._seed: int = options.pop("seed", 0)
        super().__init__(
            tools,
            output_fields,
            output_limit=options.pop("output_limit", OUTPUT_LIMIT),
            call_limit=options.pop("call_limit", CALL_LIMIT),
            callbacks=options.pop("callbacks", None),
        )
        if options:
            raise ConfigurationError(f"PyodideInterpreter takes no argument {min(options)!r}.")
        self.time_limit = time_limit
        self.memory_limit = memory_limit
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    def shutdown(self) -> None:
        """End the process; variables are forgotten."""
        process, self._process = self._process, None
        if process is not None:
            ended = loop.submit(_ended(process))
            if not loop.on_loop():
                ended.result()

    async def _run(self, code: str, variables: dict[str, object]) -> Execution:
        process = await self._started()
        work = _Work(self, process)
        known = {name: json_value(value) for name, value in variables.items()}
        await work.send({"code": code, "variables": known, "tools": list(self.tools)})
        try:
            return await work.outcome()
        except _FailedError as error:
            raise error.reason from None  # the code's own mistake: the state before it is kept
        except BaseException:
            self._process = None
            with observed("interpreter_shutdown", self, {}):
                await _ended(process)
            raise

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        folder = pyodide_folder(self._folder)
        command = [
            *(self._deno or deno_program(), "run", "--no-prompt", "--no-config", "--no-lock", "--no-remote"),
            *("--no-npm", f"--allow-read={folder}", str(Path(__file__).with_suffix(".mjs"))),
            *(str(folder), str(self.memory_limit), str(self._seed)),
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
                await _ended(process)
                raise
            if b"ready" not in first:
                await _ended(process)
                raise SandboxError(f"Pyodide did not start from {str(folder)!r}. Unpack it there again.")
        self._process = process
        return process


class _FailedError(Exception):
    """Carries what the code itself did wrong; its process is unharmed."""

    def __init__(self, reason: SandboxError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _Work:
    """One execution under way: messages to and from the process."""

    def __init__(self, interpreter: PyodideInterpreter, process: asyncio.subprocess.Process) -> None:
        self._interpreter = interpreter
        self._process = process
        self._calls = HostCalls(interpreter)
        self._printed: list[str] = []
        self._room = interpreter.output_limit
        self._left = interpreter.time_limit

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
                self._take(message["print"])
            elif "call" in message:
                await self.send(await self._answer(message))
            elif "submit" in message:
                self._calls.submit(message["args"], message["kwargs"])
                await self.send({"result": None})
            elif "failed" in message:
                raise self._failure(message)
            else:
                return Execution(message["done"], "".join(self._printed), self._calls.submitted)

    async def _next(self) -> dict[str, Any]:
        started = time.monotonic()
        try:
            assert self._process.stdout is not None  # noqa: S101 - piped when it was started
            line = await asyncio.wait_for(self._process.stdout.readline(), max(0.0, self._left))
        except TimeoutError:
            limit = self._interpreter.time_limit
            raise SandboxTimeoutError(
                f"The code ran longer than the {limit:g} seconds it may take."
            ) from None
        except ValueError:
            raise SandboxError("The code gave a value too large to hand over.") from None
        self._left -= time.monotonic() - started
        if not line:
            raise SandboxMemoryError("The sandbox broke off: the code needed more than it may use.")
        found: dict[str, object] = json.loads(line)
        return found

    def _take(self, text: str) -> None:
        self._printed.append(text[: max(0, self._room)])
        self._room -= len(text)
        if self._room < 0:
            raise SandboxError(f"More than {self._interpreter.output_limit} characters were printed.")

    async def _answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        try:
            result = await self._calls.answer(message["call"], message["args"], message["kwargs"])
            return {"result": json_value(result)}
        except SEEN_BY_CODE as error:
            return {"error": type(error).__name__, "message": str(error)}

    def _failure(self, message: Mapping[str, object]) -> Exception:
        if message["kind"] == "MemoryError":
            return SandboxMemoryError("The code needed more memory than it may use.")
        return _FailedError(SandboxError(shown(message["failed"], _LONGEST_TRACEBACK)))


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
    found = str(neighbour) if neighbour.is_file() else shutil.which("deno")
    if found is None:
        raise ConfigurationError("Deno is not installed. Install it with: pip install 'tuneboard[pyodide]'")
    return found


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


_START_SECONDS = 120.0
_LONGEST_MESSAGE = 64 * 2**20
_LONGEST_TRACEBACK = 4000
