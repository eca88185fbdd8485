"""The terminal: all that the commands print passes here, so that no text of others can steer it."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from engine.basics.text import visible


def echo(text: object, *, err: bool = False) -> None:
    """Print a line."""
    typer.echo(visible(str(text).rstrip()), err=err)


class Screen(Console):
    """A console whose texts and cells have visible control characters."""

    def render_str(self, text: str, **named: Any) -> Text:
        """Return a text as it is drawn."""
        return super().render_str(visible(text), **named)
