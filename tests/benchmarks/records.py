"""Records from documents next to DSPydantic 0.1.6, on the same local model server and the same rows: `make bench-records`."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from support.servers.openai_server import ServerProcess
from teachable.records import SETS

SEEDS = (1, 2, 3)
PEER = Path(os.environ.get("TUNEBOARD_BENCH_RECORDS_PEER", HERE.parents[1] / ".bench" / "dspydantic"))
LATENCY = 0.02


def run(python: str, library: str, name: str, seed: int) -> dict[str, object]:
    """Return what one side measured, with a server of its own."""
    with ServerProcess(LATENCY, script=HERE / "teachable" / "records.py") as server:
        asked = [python, str(HERE / "records_work.py"), library, name, str(seed), server.url]
        with tempfile.TemporaryDirectory() as cache:  # no answer of another run counts
            home = {**os.environ, "DSPY_CACHEDIR": cache}
            done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=HERE, env=home)
    if done.returncode:
        raise SystemExit(f"{library} failed on {name}:\n{done.stderr[-2000:]}")
    found: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Run both sides on both sets and print a table."""
    sides = [("Tuneboard", sys.executable, "engine")]
    theirs = PEER / "bin" / "python"
    if theirs.exists():
        sides.append(("DSPydantic 0.1.6", str(theirs), "dspydantic"))
    else:
        print("DSPydantic is not installed (python .ci/peers.py dspydantic): this engine alone is measured.")
    for name, (fields, _) in SETS.items():
        print(f"| {name}, {len(SEEDS)} draws of rows | all fields | {' | '.join(fields)} | calls | seconds |")
        print(f"|{'---|' * (len(fields) + 4)}")
        for title, python, library in sides:
            found = [run(python, library, name, seed) for seed in SEEDS]
            scores = [[one["fields"][path] for one in found] for path in fields]
            means = [statistics.mean(values) for values in scores]
            shown = " | ".join(f"{100 * mean:.0f} %" for mean in means)
            calls, seconds = (statistics.mean(one[key] for one in found) for key in ("calls", "seconds"))
            print(
                f"| {title} | {100 * statistics.mean(means):.0f} % | {shown} | {calls:.0f} | {seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
