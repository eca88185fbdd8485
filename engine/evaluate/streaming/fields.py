"""Finds a field's text in a reply that is still being written: in marked sections, in a JSON object, in tags.

Text that may turn out to be the end mark is held back, so that no piece is ever withdrawn. Knows layouts
and nothing of models or programs.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod

from pydantic_core import from_json

from engine.adapters.xml import unescaped


class FieldReader(ABC):
    """Reads one field. `feed` returns the text that is certain now, and whether the field is complete."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.finished = False
        self._reply = ""
        self._given = 0

    def feed(self, text: str) -> tuple[str, bool]:
        """Take a piece of the reply."""
        self._reply += text
        return self._step(ended=False)

    def end(self) -> tuple[str, bool]:
        """Return what is left of the field now that the reply is complete."""
        return self._step(ended=True)

    def _step(self, *, ended: bool) -> tuple[str, bool]:
        if self.finished:
            return "", False
        value, done = self._value(ended=ended)
        if value is None:
            return "", False
        new = value[self._given :]
        self._given += len(new)
        self.finished = done
        return new, done

    @abstractmethod
    def _value(self, *, ended: bool) -> tuple[str | None, bool]:
        """Return the field's text as far as it is certain (None: it has not begun), and whether that is all."""


class _Between(FieldReader):
    """A field between two marks."""

    start: re.Pattern[str]
    end_mark: re.Pattern[str]
    maybe_end: re.Pattern[str]

    def _value(self, *, ended: bool) -> tuple[str | None, bool]:
        begin = self.start.search(self._reply)
        if begin is None:
            return None, False
        # The line break of the mark is not part of the value; it may come in the next piece.
        value = self._reply[begin.end() :].lstrip()
        end = self.end_mark.search(value)
        if end is not None:
            return value[: end.start()].rstrip(), True
        if ended:
            return value.rstrip(), True
        cut = self.maybe_end.search(value)
        return (value if cut is None else value[: cut.start()]).rstrip(), False


class ChatReader(_Between):
    r"""A `[[ ## name ## ]]` section.

    >>> reader = ChatReader("answer")
    >>> [reader.feed(piece) for piece in ("[[ ## answer", " ## ]]\nBlue", " sky\n\n[[ ##", " completed ## ]]")]
    [('', False), ('Blue', False), (' sky', False), ('', True)]
    """

    end_mark = re.compile(r"^[ \t>#]*(\*\*)?\[\[ ?## ?\w+ ?## ?\]\]", re.MULTILINE)
    maybe_end = re.compile(r"^[ \t>#]*\*{0,2}\[(\[( (#(#( [^\n]*)?)?)?)?)?\Z", re.MULTILINE)

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.start = re.compile(
            rf"^[ \t>#]*(\*\*)?\[\[ ?## ?{re.escape(name)} ?## ?\]\](\*\*)?", re.MULTILINE
        )


class XMLReader(_Between):
    """A `<name>` element, its text as it reads.

    >>> reader = XMLReader("answer")
    >>> [reader.feed(piece) for piece in ("<answer>Blue &a", "mp; red</ans", "wer>")]
    [('Blue', False), (' & red', False), ('', True)]
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.start = re.compile(rf"<{re.escape(name)}>")
        mark = f"</{name}>"
        self.end_mark = re.compile(re.escape(mark))
        pieces = "|".join(re.escape(mark[:i]) for i in range(len(mark) - 1, 0, -1))
        self.maybe_end = re.compile(rf"(?:{pieces})\Z")

    def _value(self, *, ended: bool) -> tuple[str | None, bool]:
        value, done = super()._value(ended=ended)
        if value is None or "&" not in value:
            return value, done
        # A character written as XML has it may be cut in two; text that may become one is held back.
        return unescaped(value if done else _OPEN_REFERENCE.sub("", value).rstrip()), done


_OPEN_REFERENCE = re.compile(r"&#?\w{0,8}\Z")


class JSONReader(FieldReader):
    r"""One key of a JSON object: a text as it is spelled out, any other value as JSON.

    >>> reader = JSONReader("answer")
    >>> [reader.feed(piece) for piece in ('{"answer": "a \\', 'n b', '", "x": 1}')]
    [('a ', False), ('\n b', False), ('', True)]
    """

    def _value(self, *, ended: bool) -> tuple[str | None, bool]:
        at = _key_end(self._reply, self.name)
        if at is None:
            return None, False
        rest = self._reply[at:].lstrip()
        if not rest:
            return None, False
        if not rest.startswith('"'):
            return _whole(rest, ended=ended)
        whole = _STRING.match(rest)
        return _decoded_text(rest if whole is None else whole[0]), whole is not None


def _key_end(reply: str, name: str) -> int | None:
    """Return where a key of the outermost object has its value, skipping nested objects."""
    depth = 0
    for token in _TOKEN.finditer(reply, max(reply.find("{"), 0)):
        if token[0] == '"':
            return None  # a text that is not complete
        if token[0] in "{[":
            depth += 1
        elif token[0] in "}]":
            depth -= 1
        elif depth == 1 and token["colon"] and token["text"] == name:
            return token.end()
    return None


def _decoded_text(written: str) -> str:
    """Return a JSON text, decoded as far as it has come; an escape that is not complete waits for the next piece."""
    plain = re.sub(r"[\x00-\x1f]", lambda found: f"\\u{ord(found[0]):04x}", written)
    try:
        return str(from_json(plain, allow_partial="trailing-strings"))
    except ValueError:
        return written.strip('"')


def _whole(rest: str, *, ended: bool) -> tuple[str | None, bool]:
    """Return a value that is no text once it is complete; half a list is of no use to anyone."""
    try:
        _, end = json.JSONDecoder().raw_decode(rest)
    except ValueError:
        return (rest.rstrip().rstrip("}").rstrip(), True) if ended else (None, False)
    if end == len(rest) and not ended:
        return None, False  # a number may go on
    return rest[:end], True


_STRING = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"', re.DOTALL)
_TOKEN = re.compile(rf'{_STRING.pattern}(?P<colon>\s*:)?|[{{}}\[\]"]', re.DOTALL)


def reader_for(adapter: object, name: str) -> FieldReader | None:
    """Return what reads a field from an adapter's replies; None for a layout that cannot be read in pieces."""
    readers = (_READERS.get(kind.__name__) for kind in type(adapter).__mro__)
    return next((reader(name) for reader in readers if reader is not None), None)


_READERS: dict[str, type[FieldReader]] = {
    "JSONAdapter": JSONReader,
    "XMLAdapter": XMLReader,
    "ChatAdapter": ChatReader,
}
