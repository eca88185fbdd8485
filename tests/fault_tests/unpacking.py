"""Small files that unpack hugely: each is refused in little memory and time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fault_tests.check import Check, Finding
from support.bombs import BOMBS

MOST_MB = 1000
MOST_SECONDS = 10.0
SPARE_SECONDS = 2.0
"""CPU time to start and end both processes, next to the ten seconds that there are for the work."""

_READ = """
import pathlib, resource, sys
from fault_tests.check import cpu_seconds
from engine.dataset import read_dataset
from engine.errors import DatasetError
path = pathlib.Path(sys.argv[1])
try:
    read_dataset(path)
    refused = 0
except DatasetError:
    refused = 1
own = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(refused, (own + child) / 1000, cpu_seconds())
"""


def measure(folder: Path, small: bool) -> Finding:
    """Read each file in a process of its own, and compare its memory and CPU time (with its child's) with the limits."""
    names = ["repeated.parquet", "endless.xlsx"] if small else list(BOMBS)
    read: list[str] = []
    most_mb = most_seconds = 0.0
    for name in names:
        (folder / name).write_bytes(BOMBS[name]())
        done = subprocess.run(
            [sys.executable, "-c", _READ, str(folder / name)],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=300,
        )
        refused, mb, seconds = map(float, done.stdout.split())
        if not refused:
            read.append(name)
        most_mb, most_seconds = max(most_mb, mb), max(most_seconds, seconds)
    figure = f"{len(names) - len(read)} of {len(names)} refused, at most {most_mb:.0f} MB and {most_seconds:.1f} s of CPU"
    seconds_kept = small or most_seconds <= MOST_SECONDS + SPARE_SECONDS
    return Finding(figure, met=not read and most_mb <= MOST_MB and seconds_kept)


CHECK = Check(
    "unpacking",
    "Small files that unpack hugely",
    f"all refused under {MOST_MB / 1000:g} GB and {MOST_SECONDS:.0f} s",
    measure,
)
