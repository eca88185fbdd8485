"""Measure the engine next to DSPy and print a table: `make bench`, or `python tests/benchmarks/speed/run.py --only cpu,imports`.

Each benchmark is a function in a bench_*.py file that returns rows; the tuple below is all there is to register.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import bench_dashboard
import bench_evaluate
import bench_mipro
import bench_parts
from bench_children import note
from bench_table import Benchmark, Row, machine, markdown_table, text_table

BENCHMARKS: tuple[Benchmark, ...] = (
    bench_evaluate.cpu,
    bench_evaluate.wall,
    bench_evaluate.cached,
    bench_parts.imports,
    bench_mipro.mipro,
    bench_mipro.mipro_cpu,
    bench_parts.adapters,
    bench_parts.react,
    bench_parts.parallel,
    bench_parts.retrieval,
    bench_dashboard.dashboard,
)


def main() -> int:
    """Run the benchmarks asked for; the exit status says whether every target was met."""
    names = [benchmark.__name__ for benchmark in BENCHMARKS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(names), help=f"some of: {', '.join(names)}")
    parser.add_argument(
        "--markdown", type=Path, help="write the table, with the machine's description, to this file too"
    )
    options = parser.parse_args()
    wanted = options.only.split(",")
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(names)}")
    rows: list[Row] = []
    for benchmark in BENCHMARKS:
        if benchmark.__name__ in wanted:
            note(f"{benchmark.__name__} ...")
            try:
                rows += benchmark()
            except Exception as error:  # noqa: BLE001 - one benchmark that fails must not lose the others' numbers
                note(f"  failed: {error}")
                rows.append(Row(benchmark.__name__, "", (), missed="failed, see above"))
    print(f"{machine()}\n\n{text_table(rows)}")
    if options.markdown:
        options.markdown.write_text(markdown_table(rows))
    return 0 if all(row.met is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
