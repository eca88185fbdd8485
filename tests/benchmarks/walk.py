"""Every sample and three files of a user's, walked in a browser with a model that counts: `python tests/benchmarks/walk.py [CASE ...]`.

Prints for each what the model counted next to what the pages, the history and the report say. It needs a Chromium.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import shutil

from playwright.sync_api import expect
from support.pages.browser_frame import BACKSTOP, chromium
from support.pages.counted_walk import CASES, add_model, learner, walk
from support.pages.dashboard_server import Server
from support.pages.page_traffic import follow
from support.servers.openai_server import OpenAIServer


def main(cases: list[str]) -> int:
    """Walk the cases; return how many of them disagree."""
    expect.set_options(timeout=1000 * BACKSTOP)
    home = Path(tempfile.mkdtemp(prefix="walk-"))
    os.environ["TUNEBOARD_HOME"] = str(home)
    server, wrong = Server(home).start(), 0
    print(
        "| rows | the model counted | run | history | report | money | seconds |\n|---|---|---|---|---|---|---|"
    )
    try:
        with OpenAIServer(learner, latency=0.02) as endpoint, chromium() as browser:
            add_model(endpoint.url)
            for case in cases:
                began = time.monotonic()
                context = browser.new_context(viewport={"width": 1280, "height": 900})
                follow(context)
                counted = walk(context.new_page(), server, endpoint, case, home)
                context.close()
                wrong += not counted.agrees
                places = " | ".join(f"{counted.shown[place]:,}" for place in ("run", "history", "report"))
                took = time.monotonic() - began
                print(
                    f"| {case} | {counted.server:,} | {places} | {counted.money} | {took:.0f} |", flush=True
                )
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(CASES)))
