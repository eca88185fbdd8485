"""Short-lived child processes of this Python: given a request, limited in time and memory, ended with all they started.

A child is a module run with `python -P -m`: the request comes on its standard input, its answer goes to standard output.
It must not know the questions.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Self


class Child:
    """One child process; use it in a `with` block, at whose end it is ended.

    `output` is what it writes. After `seconds` (None: no limit) it is killed and `late` is True. With `talks` its standard
    input stays open after the request, for `tell`. Raises OSError where it cannot start.

    >>> with Child("this", b"", seconds=60) as child:
    ...     child.output.readline()
    b'The Zen of Python, by Tim Peters\\n'
    """

    def __init__(
        self,
        module: str,
        request: bytes,
        *,
        seconds: float | None,
        env: Mapping[str, str] | None = None,
        talks: bool = False,
    ) -> None:
        self.late = False
        self._request, self._talks = request, talks
        # A file, not a pipe: a child that writes many warnings does not wait for a reader.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", module],  # -P: no code from the folder that we were started in
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=None if env is None else dict(env),
                start_new_session=True,
            )
        except BaseException:
            self._errors.close()
            raise
        self._timer = threading.Timer(threading.TIMEOUT_MAX if seconds is None else seconds, self._give_up)
        self._timer.daemon = True
        self._timer.start()

    def __enter__(self) -> Self:
        self.tell(self._request)
        if not self._talks:
            assert self._process.stdin is not None  # noqa: S101 - a pipe
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self.end()
        self._errors.close()

    def tell(self, text: bytes) -> None:
        """Write to the child's standard input; without effect where it has ended."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        with suppress(BrokenPipeError):  # it has not read everything: its output says why, or ends
            self._process.stdin.write(text)
            self._process.stdin.flush()

    @property
    def code(self) -> int | None:
        """The child's exit status, negative for the signal that ended it; None while it runs."""
        return self._process.poll()

    @property
    def output(self) -> IO[bytes]:
        """Standard output of the child."""
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        return self._process.stdout

    def last_words(self) -> str:
        """Return the last line that the child wrote to standard error, such as the error that ended it; "" for none."""
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2]

    def end(self, grace: float = 0.0) -> None:
        """End the child and all that it has started, after this many seconds to end by itself, and wait for it."""
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                with suppress(BrokenPipeError):  # a part of the request was still to be written
                    pipe.close()
        self._process.wait()

    def _give_up(self) -> None:
        self.late = True
        self._kill()  # its output ends, and with it the reading

    def _kill(self) -> None:
        if self._process.returncode is not None:
            return  # its number may be another process's by now
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (AttributeError, ProcessLookupError):  # no groups on this system, or it has just ended
            self._process.kill()


def limit_memory(most: int) -> None:
    """Limit this process's memory to `most` bytes; more raises MemoryError. Without effect on Windows."""
    try:
        import resource
    except ImportError:
        return
    # The data segment counts what is really taken; address space would count the libraries that are only mapped.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    with suppress(ValueError, OSError):  # a system that does not count it
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
