"""Make sure there is a Chromium for the browser tests, or say why there is none.

Tried in order: $TUNEBOARD_CHROMIUM, a Chromium or Chrome on the PATH, Playwright's own, Playwright's
download, the system's package manager (as root), then both once more. Exit status 0: there is one that starts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from fetching import run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 300.0
"""For one command; a test run that waits for longer is over in any case."""


def found() -> str | None:
    """Return the path of a browser that is here already, and starts."""
    named = os.environ.get("TUNEBOARD_CHROMIUM")
    on_path = [path for name in NAMES if (path := shutil.which(name))]
    return next((path for path in (named, *on_path, playwrights_own()) if path and starts(path)), None)


def playwrights_own() -> str:
    """Return the path of the browser that Playwright downloads, whether it has or not."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def starts(path: str) -> bool:
    """Return whether a browser can be started: a download may lack libraries, and Ubuntu's chromium-browser may be a note only."""
    if not Path(path).exists():
        return False
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=120, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return said.returncode == 0


def installers() -> list[list[str]]:
    """Return the commands that may bring a browser, in the order to try them."""
    commands = [[sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"]]
    if shutil.which("apt-get"):
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"]
        commands += [
            [*sudo, "apt-get", "update", "-qq"],
            [*sudo, "apt-get", "install", "-y", "-qq", "chromium"],
        ]
    return commands


def main() -> int:
    """Find or install a browser; return the exit status."""
    if path := found():
        print("browser:", path)
        return 0
    for turn in range(2):
        if turn:
            time.sleep(20)
        for command in installers():
            print("browser:", " ".join(command), flush=True)
            try:
                print(run(command, tries=1, seconds=SECONDS), end="")
            except (OSError, subprocess.SubprocessError) as error:
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
