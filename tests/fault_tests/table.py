"""Try faults on Tuneboard and print a table: `make test-faults`, or `python tests/fault_tests/table.py --only kills`.

To add a line, write a function `measure(folder, small) -> Finding` in a file of this folder and add its `Check` to CHECKS.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from fault_tests import (  # noqa: E402 - the folder must be on the path first
    clocks,
    endpoints,
    grading,
    kills,
    outages,
    parsers,
    repeats,
    sandbox,
    storage,
    strangers,
    team,
    unpacking,
)
from fault_tests.check import Check, Finding, markdown_table  # noqa: E402

CHECKS: tuple[Check, ...] = (
    *kills.CHECKS,
    *repeats.CHECKS,
    clocks.CHECK,
    *endpoints.CHECKS,
    outages.CHECK,
    *storage.CHECKS,
    unpacking.CHECK,
    grading.CHECK,
    parsers.CHECK,
    sandbox.CHECK,
    strangers.CHECK,
    team.CHECK,
)


def main() -> int:
    """Measure the checks asked for; the exit status says whether every goal was met."""
    names = [check.name for check in CHECKS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(names), help=f"some of: {', '.join(names)}")
    parser.add_argument("--small", action="store_true", help="the small part that is in `make test`")
    parser.add_argument("--markdown", type=Path, help="write the table to this file too")
    parser.add_argument(
        "--minutes",
        type=float,
        default=parsers.DEFAULT_SECONDS / 60,
        help="CPU time of each parser (10 is the goal)",
    )
    options = parser.parse_args()
    os.environ[parsers.SECONDS] = str(60 * options.minutes)
    wanted = options.only.split(",")
    if unknown := sorted(set(wanted) - set(names)):
        parser.error(f"there is no check {unknown[0]!r}; choose from {', '.join(names)}")
    findings = [(check, measured(check, options.small)) for check in CHECKS if check.name in wanted]
    table = markdown_table(findings)
    print(f"\n{table}")
    if options.markdown:
        options.markdown.write_text(table + "\n")
    return 0 if all(found.met for _, found in findings) else 1


def measured(check: Check, small: bool) -> Finding:
    """Measure a check in a folder of its own; one that breaks off is a finding too."""
    started = time.monotonic()
    os.environ.setdefault("OPENAI_API_KEY", "sk-test-never-stored")
    with tempfile.TemporaryDirectory(prefix="tuneboard-faults-") as folder:
        try:
            found = check.measure(Path(folder), small)
        except Exception as error:  # noqa: BLE001 - one check that fails must not lose the others' figures
            found = Finding(f"broke off: {type(error).__name__}: {error}", met=False)
    print(f"{check.name}: {found.figure} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
