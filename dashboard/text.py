"""Making outside text safe where Streamlit reads Markdown (labels, captions, alerts). No Streamlit in here.

An image in Markdown is fetched by the browser, even in a button's label. Whole texts go through `st.text`
or `st.code`; this is for a name or a sentence inside a label.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TypeVar

from engine.lm.local.sources import LOCAL

_Key = TypeVar("_Key", bound=Hashable)

_ADDRESS = re.compile(r"(?<=:)(?=//)|(?<=\bwww)(?=\.)|(?<=[\w.+-])(?=@\w)", re.IGNORECASE)
_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>:$~&@^=/\"'])")


def escape_markdown(text: str, longest: int = 400) -> str:
    """Return text with every Markdown character escaped, on one line, cut where it is too long.

    A web address, or one of e-mail, gets a character of no width, or it would become a link even so.

    >>> escape_markdown("![x](http://a)").replace("\\u2060", "^")
    '\\\\!\\\\[x\\\\]\\\\(http\\\\:^\\\\/\\\\/a\\\\)'
    >>> escape_markdown("ada@example").replace("\\u2060", "^")
    'ada^\\\\@example'
    """
    flat = " ".join(text.split())
    if len(flat) > longest:
        flat = f"{flat[:longest].rstrip()}…"
    return _MARKS.sub(r"\\\1", _ADDRESS.sub("\u2060", flat))


def model_name(name: str) -> str:
    """Return a model's name as users read it: of a folder on this machine its last part first.

    >>> model_name("openai/gpt-5-mini"), model_name("local//models/small"), model_name("local/Qwen/Qwen3-0.6B")
    ('openai/gpt-5-mini', 'small (in /models)', 'local/Qwen/Qwen3-0.6B')
    """
    path = Path(name.removeprefix(LOCAL))
    return f"{path.name} (in {path.parent})" if name.startswith(LOCAL) and path.is_absolute() else name


def last_line(error: str) -> str:
    """Return an error's last line: of a traceback, that is what went wrong."""
    return error.strip().rpartition("\n")[2]


def upper_first(text: str) -> str:
    """Return a text with a capital first letter.

    >>> upper_first("the 4 most similar of 174 examples")
    'The 4 most similar of 174 examples'
    """
    return f"{text[:1].upper()}{text[1:]}"


def prompt_name(number: int) -> str:
    """Return a run's prompt as a sentence names it.

    >>> prompt_name(0), prompt_name(3)
    ('the starting prompt', 'prompt 3')
    """
    return f"prompt {number}" if number else "the starting prompt"


def distinct(names: Mapping[_Key, str]) -> dict[_Key, str]:
    """Return the names with a number behind those seen before: choices differ by their text alone.

    >>> distinct({1: "Mail", 2: "Mail", 3: "Calls"})
    {1: 'Mail', 2: 'Mail (2)', 3: 'Calls'}
    """
    seen: Counter[str] = Counter()
    numbered: dict[_Key, str] = {}
    for key, name in names.items():
        seen[name] += 1
        numbered[key] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return numbered
