"""Memory that reading a large file took is given back, and the table stays."""

from __future__ import annotations

import subprocess
import sys

MEASURE = """
import random
from engine.dataset import profile, read_dataset
from engine.dataset.memory import release_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

rng = random.Random(1)
rows = "".join(f"{rng.random()} {'words of a long letter ' * 20}{i},{'ab'[i % 2]}\\n" for i in range(60_000))
table = read_dataset(f"text,team\\n{rows}".encode(), "many.csv")
profiles = profile(table)
before = resident()
release_memory()
print(before - resident(), len(table), profiles[1].distinct)
"""


def test_memory_is_given_back_after_a_large_table():
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    given_back, rows, teams = map(int, done.stdout.split())
    assert given_back > 20_000_000
    assert (rows, teams) == (60_000, 2)
