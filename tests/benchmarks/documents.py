"""Documents in numbers: `python tests/benchmarks/documents.py [--documents 1000]` writes the guide's table.

Each measurement runs in a child process of its own, whose memory is what the system counts at its highest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from support.servers.openai_server import ServerProcess

if TYPE_CHECKING:
    from pydantic import BaseModel

    import engine

LATENCY, CONCURRENCY = 0.2, 64
PAGES = 500
MOST_MEMORY = 1_000_000_000


def highest_mb() -> float:
    """Return the most memory that this process has had, in MB."""
    # Not ru_maxrss: that begins with the memory of the process that started this one.
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _answers() -> str:
    from sample_data.invoices import papers

    return json.dumps({"record": next(papers()).answer})


def prompter(url: str, documents: int) -> dict[str, float]:
    """Read many documents with `Prompter.apredict_each`, one after the other out of a generator."""
    import asyncio

    import engine

    program = engine.Prompter(model=_record(), lm=_model(url))

    async def read(number: int) -> int:
        return sum([type(record) is program.model async for _, record in _each(number)])

    def _each(number: int) -> AsyncIterator[tuple[int, Any]]:
        return program.apredict_each(_copies(number), max_concurrency=CONCURRENCY)

    return _timed(lambda number: asyncio.run(read(number)), documents)


def extract(url: str, documents: int) -> dict[str, float]:
    """Read many documents with `Extract`, evidence included."""
    import engine

    signature = engine.make_signature(
        {"document": (str, engine.InputField()), "record": (_record(), engine.OutputField())}
    )
    program, lm = engine.Extract(signature), _model(url)

    def read(number: int) -> int:
        rows = [engine.Example(document=text).with_inputs("document") for text in _copies(number)]
        with engine.context(lm=lm):
            return sum(one is not None for one in program.batch(rows, num_threads=CONCURRENCY))

    return _timed(read, documents)


def _record() -> type[BaseModel]:
    from pydantic import create_model

    fields: dict[str, Any] = {
        "number": str,
        "customer": str,
        "total": float | None,
        "lines": list[dict[str, object]],
    }
    return create_model("Invoice", **fields)


def _model(url: str) -> engine.LM:
    import engine

    return engine.LM("openai/m", api_base=url, api_key="sk-local", cache=False, capabilities={"json_schema"})


def _copies(number: int) -> Iterator[str]:
    """Iterate over a number of documents, no two of them equal."""
    texts = _texts()
    return (f"Copy {at}\n{texts[at % len(texts)]}" for at in range(number))


@cache
def _texts() -> list[str]:
    from sample_data.invoices import papers

    return [paper.text for paper in papers()]


def _timed(read: Callable[[int], int], documents: int) -> dict[str, float]:
    """Return what it takes to read documents; `read` returns how many it has read."""
    read(CONCURRENCY)  # opens the connections
    early, cpu, start = highest_mb(), time.process_time(), time.monotonic()
    if (done := read(documents)) != documents:
        raise SystemExit(f"{documents - done} documents were not read.")
    seconds = time.monotonic() - start
    cpu_ms = 1000 * (time.process_time() - cpu) / documents
    return {"seconds": seconds, "cpu_ms": cpu_ms, "grown_mb": highest_mb() - early}


def large_pdf(_url: str, pages: int) -> dict[str, float]:
    """Read a PDF of many pages within 1 GB, draw three of them, and look for a record of forty values."""
    import engine
    from engine.basics.children import limit_memory
    from sample_data.invoices import Paper, file_of

    texts = _texts()
    whole = "\f".join(
        f"Sheet {at + 1}\n{texts[at % len(texts)].partition(chr(12))[0]}" for at in range(pages)
    )
    data = file_of(Paper("large", whole, "Courier", {}), "pdf")
    limit_memory(MOST_MEMORY)
    start = time.monotonic()
    document = engine.read_document(data, "large.pdf")
    read = time.monotonic() - start
    for page in (1, pages // 2, pages):
        document.picture(page)
    start = time.monotonic()
    found = engine.evidence_for(
        document, {"lines": [{"sheet": f"Sheet {at}"} for at in range(1, pages, pages // 40)]}
    )
    if any(one.marked for one in found):
        raise SystemExit("Some values were not found.")
    return {"seconds": read, "evidence_seconds": time.monotonic() - start, "highest_mb": highest_mb()}


JOBS: dict[str, Callable[[str, int], dict[str, float]]] = {
    "prompter": prompter,
    "extract": extract,
    "large_pdf": large_pdf,
}


def measured(job: str, url: str, number: int) -> dict[str, float]:
    """Run a job in a process of its own and return its figures."""
    command = [sys.executable, __file__, "--job", job, "--url", url, "--documents", str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{job} failed: {done.stderr.strip()[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("--url", default="")
    given = parser.parse_args()
    if given.job:
        print(json.dumps(JOBS[given.job](given.url, given.documents)))
        return
    ideal = given.documents * LATENCY / CONCURRENCY
    print("| what | figure | target | met |\n|---|---|---|---|")
    with ServerProcess(latency=LATENCY, answer=_answers()) as server:
        for job, name in (("prompter", "`Prompter`"), ("extract", "`Extract` with evidence")):
            found = measured(job, server.url, given.documents)
            share = found["seconds"] / ideal
            title = f"{name}, {given.documents:,} documents at 200 ms, concurrency {CONCURRENCY}, wall / ideal ({ideal:.2f} s)"
            print(f"| {title} | {share:.2f} x | <= 1.1 x | {'yes' if share <= 1.1 else 'no'} |")
            print(f"| The same, CPU of the client a document | {found['cpu_ms']:.1f} ms | | |")
            print(f"| The same, memory grown over the first {CONCURRENCY} | {found['grown_mb']:.0f} MB | | |")
    pdf = measured("large_pdf", "-", PAGES)
    met = "yes" if pdf["highest_mb"] < MOST_MEMORY / 1e6 else "no"
    print(f"| A PDF of {PAGES} pages: highest memory | {pdf['highest_mb']:.0f} MB | < 1,000 MB | {met} |")
    print(f"| The same, read | {pdf['seconds']:.2f} s | | |")
    print(f"| The same, evidence of 40 values with boxes | {pdf['evidence_seconds']:.2f} s | | |")


if __name__ == "__main__":
    main()
