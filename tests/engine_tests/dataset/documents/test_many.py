"""Many documents and large ones, in small: the figures are in the benchmarks' guide."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.servers.openai_server import OpenAIServer

import engine
from sample_data.invoices import papers

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "documents.py"


def test_a_large_pdf_is_read_within_little_memory():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--job", "large_pdf", "--documents", "120"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert json.loads(done.stdout.splitlines()[-1])["highest_mb"] < 400


def test_documents_of_a_batch_are_asked_for_at_once():
    texts = [paper.text for paper in papers()][:64]
    with OpenAIServer(answer=lambda body: '{"number": "A-7"}') as server:
        server.gather(64)  # none is answered before all are there
        lm = engine.LM(
            "openai/m", api_base=server.url, api_key="sk-local", cache=False, capabilities={"json_schema"}
        )
        rows = [engine.Example(document=text).with_inputs("document") for text in texts]
        with engine.context(lm=lm):
            found = engine.Extract("document -> number").batch(rows, num_threads=64)
    assert [one.number for one in found] == ["A-7"] * 64
    assert server.calls == 64
