"""What a model counted is what every page says: a file of a user's from the box to the report, and a sample of several steps.

`python tests/benchmarks/walk.py` walks all samples and files in the same way and prints a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page
from support.pages.counted_walk import add_model, learner, walk
from support.pages.dashboard_server import Server
from support.servers.openai_server import OpenAIServer


@pytest.fixture(scope="module")
def endpoint() -> Iterator[OpenAIServer]:
    with OpenAIServer(learner) as running:
        yield running


@pytest.mark.parametrize("case", ["money", "festival_questions"])
def test_every_page_shows_the_calls_that_the_model_counted(
    case: str,
    new_page: Callable[..., Page],
    server: Server,
    home: Path,
    endpoint: OpenAIServer,
    tmp_path: Path,
):
    add_model(endpoint.url)
    counted = walk(new_page(), server, endpoint, case, tmp_path)
    assert set(counted.shown.values()) == {counted.server}, counted
