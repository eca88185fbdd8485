"""Making outside text safe where Streamlit reads Markdown (labels, captions, alerts). No Streamlit in here.

An image in Markdown is fetched by the browser, even in a button's label. Whole texts go through `st.text`
or `st.code`; this is for a name or a sentence inside a label.
"""

from __future__ import annotations

import re

_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>:$~&@^=/\"'])")


def plain(text: str, longest: int = 400) -> str:
    """Return text with every Markdown character escaped, on one line, cut where it is too long.

    >>> plain("![x](http://a)")
    '\\\\!\\\\[x\\\\]\\\\(http\\\\:\\\\/\\\\/a\\\\)'
    """
    flat = " ".join(text.split())
    if len(flat) > longest:
        flat = f"{flat[:longest].rstrip()}…"
    return _MARKS.sub(r"\\\1", flat)


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> count(1, "row"), count(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
