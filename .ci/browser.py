"""Make sure there is a Chromium for the browser tests, or say why there is none.

Tried in order: $TUNEBOARD_CHROMIUM, a Chromium or Chrome on the PATH, Playwright's own, Playwright's
download, the system's package manager (as root). Exit status 0: there is one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def found() -> str | None:
    """Return the path of a browser that is here already."""
    named = os.environ.get("TUNEBOARD_CHROMIUM")
    if named and Path(named).exists():
        return named
    on_path = next((path for name in NAMES if (path := shutil.which(name))), None)
    return on_path or playwrights_own()


def playwrights_own() -> str | None:
    """Return the path of the browser that Playwright downloaded, if it did."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def installers() -> list[list[str]]:
    """Return the commands that may bring a browser, in the order to try them."""
    commands = [[sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"]]
    if shutil.which("apt-get"):
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        commands += [
            [*sudo, "apt-get", "update", "-qq"],
            [*sudo, "apt-get", "install", "-y", "-qq", "chromium"],
        ]
    return commands


def main() -> int:
    """Find or install a browser; return the exit status."""
    for command in [None, *installers()]:
        if command is not None:
            print("browser:", " ".join(command), flush=True)
            try:
                subprocess.run(command, check=False, stdin=subprocess.DEVNULL, timeout=600)
            except (OSError, subprocess.TimeoutExpired) as error:
                print("browser:", error, flush=True)
        if path := found():
            print("browser:", path)
            return 0
    print(
        "No Chromium was found and none could be installed. Install one, or set TUNEBOARD_CHROMIUM to its path."
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
