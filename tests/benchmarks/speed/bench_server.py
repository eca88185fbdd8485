"""A local server whose answers differ from prompt to prompt, so that a search has something to tell apart.

A label is drawn, by a hash of the whole prompt, from all labels; any other field gets a sentence of its own. The
same prompt always gets the same answer. Runs as a process of its own: `python bench_server.py --latency 0.2`.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jobs_work
import orjson
from support.servers.openai_server import BareServer, ServerProcess, default_answer, run_server


class VariedServerProcess(ServerProcess):
    """The server in a child process; `url` and `stats()` as its base class."""

    def __init__(self, latency: float) -> None:
        super().__init__(latency)
        self._command = [sys.executable, __file__, "--latency", str(latency)]


def varied_answer(body: dict[str, Any]) -> str:
    """Fill every field the prompt asks for, by a hash of the prompt."""
    digest = hashlib.sha256(orjson.dumps(body["messages"])).hexdigest()
    label = jobs_work.LABELS[int(digest[:8], 16) % len(jobs_work.LABELS)]
    sentence = f"Note {digest[:10]}: read the message closely and choose the team that can act on it."
    answer = default_answer(body)
    return answer.replace("[[ ## label ## ]]\nok", f"[[ ## label ## ]]\n{label}").replace(
        "]]\nok", f"]]\n{sentence}"
    )


def main() -> None:
    """Serve until stopped; the first line on standard output is the base URL."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    run_server(BareServer(varied_answer, options.latency))


if __name__ == "__main__":
    main()
