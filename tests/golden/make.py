"""Writes the golden files again (`make golden`): what the engine does now, as text that the tests compare with.

`python tests/golden/make.py pages/examples` writes only those whose path begins so; with `--print` it prints their
texts instead, to compare two commits.

Golden files hold on to today's behaviour while code moves. The chosen ones are for people to read; of each other text
`digests.txt` has a line. Where one differs the difference is a bug, or it is meant: then it is written again, and the
commit message gives the reason.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from golden import commands, exports, frozen_files, messages, pages, searches
from golden.files import write

PARTS: dict[str, tuple[tuple[str, ...], Callable[[str], str]]] = {
    "commands": (commands.NAMES, commands.commands_text),
    "frozen": (frozen_files.NAMES, frozen_files.frozen_text),
    "messages": (messages.NAMES, messages.messages_log),
    "exports": ((*exports.NAMES, exports.CODE), exports.exports_log),
    "pages": (pages.NAMES, pages.page_text),
    "searches": (searches.NAMES, searches.search_log),
}
"""Folder of golden files -> their names, and what makes one."""

GOLDEN: dict[str, Callable[[], str]] = {
    f"{folder}/{name}.txt": partial(make, name) for folder, (names, make) in PARTS.items() for name in names
}
"""Golden file -> what makes its text."""

if __name__ == "__main__":
    wanted = tuple(word for word in sys.argv[1:] if word != "--print")
    texts = {path: make() for path, make in GOLDEN.items() if not wanted or path.startswith(wanted)}
    if "--print" in sys.argv:
        print(*(f"======== {path}\n{text}" for path, text in texts.items()), sep="\n")
    else:
        write(texts, tidy=not wanted)
