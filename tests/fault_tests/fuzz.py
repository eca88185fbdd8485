"""A parser asked by atheris, a fuzzer that is led by coverage: `python tests/fault_tests/fuzz.py CSV 600` (CPU seconds).

Prints one line of JSON: the number of inputs, and each uncaught exception with its place and the input that led to it.
It goes on after an exception, so that one does not hide the others.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from fault_tests.check import cpu_seconds  # noqa: E402 - the folder must be on the path first
from hypothesis import given  # noqa: E402

SEEDS = 64
MOST_BYTES = 4096
LONGEST_SECONDS = 600
MEGABYTES = 4096


def fuzz(name: str, seconds: float) -> None:
    """Ask a parser until the time is over, print what was found, and end the process."""
    import atheris  # not in the lock: `make test-faults` installs it

    with atheris.instrument_imports(include=["engine", "dashboard"]):
        from fault_tests import parsers

    parser = next(p for p in parsers.PARSERS if p.name == name)
    inputs = 0
    errors: dict[str, str] = {}
    began = cpu_seconds()

    @given(parser.made)
    def ask(made: object) -> None:
        nonlocal inputs
        inputs += 1
        try:
            parsers.ask(parser, made)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            errors.setdefault(_place(error), repr(made)[:2000])
        if cpu_seconds() - began >= seconds:
            print(json.dumps({"inputs": inputs, "errors": errors}), flush=True)
            os._exit(0)  # atheris has no other way to end with a status of success

    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder)
        for number in range(SEEDS):
            (corpus / str(number)).write_bytes(random.Random(number).randbytes(MOST_BYTES // 4))
        flags = [
            "-len_control=0",
            f"-max_len={MOST_BYTES}",
            f"-timeout={LONGEST_SECONDS}",
            f"-rss_limit_mb={MEGABYTES}",
        ]
        atheris.Setup(
            [sys.argv[0], *flags, f"-artifact_prefix={folder}/", folder], ask.hypothesis.fuzz_one_input
        )
        atheris.Fuzz()


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__} in {where}"


if __name__ == "__main__":
    fuzz(sys.argv[1], float(sys.argv[2]))
