"""The `tuneboard` command: `main` is its entry point.

app       the commands, their options, and their errors
serve     opening the dashboard, serving a program
tune      demo, run: carrying out a run with a progress bar, and its report
programs  eval, export
check     a program checked in continuous integration
upkeep    runs put away in a file and brought back, tuned models, a team's deploy folder, what is installed
output    the terminal: all printing passes here

Nothing here computes: a command reads its arguments, calls the engine and prints. This is the only
package of the engine that prints.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process and exit with its code."""
    from engine.cli.app import run_app  # the terminal libraries load only when the command runs

    run_app()


__all__ = ["main"]
