"""Documents as passages: from a list, a table, or a folder of text, Markdown and PDF files.

A long text is cut at paragraphs. Only the path that is given is read, nothing it links to. It knows no index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.dataset import read_dataset
from engine.dataset.documents.paged import read_document
from engine.errors import DatasetError
from engine.records import content_hash

CHUNK = 1000
"""Characters of a passage, about; a paragraph longer than this is cut at sentences."""

_TEXT_FILES = frozenset({".txt", ".text", ".md", ".markdown", ".rst"})
_TABLES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".xlsx", ".parquet"})
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
_SENTENCE_END = re.compile(r"(?<=[.!?。])\s+")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text that can be found: `title` says what it belongs to, `source` is its file, page or row."""

    text: str
    title: str = ""
    source: str = ""

    @property
    def shown(self) -> str:
        """The passage as a prompt shows it: "title | text", in the form of DSPy's data."""
        return f"{self.title} | {self.text}" if self.title else self.text


@dataclass(frozen=True)
class Corpus:
    """Passages in a fixed order. `source` is where they came from, `problems` what could not be read."""

    passages: tuple[Passage, ...]
    source: str = ""
    problems: tuple[str, ...] = ()

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the passages: an index belongs to exactly these."""
        return content_hash([[p.title, p.text] for p in self.passages])

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The passages as they are searched and shown."""
        return tuple(p.shown for p in self.passages)

    def __len__(self) -> int:
        return len(self.passages)


def read_corpus(
    source: object, *, chunk: int = CHUNK, text_column: str | None = None, title_column: str | None = None
) -> Corpus:
    """Return the passages of a list of texts (or passages, or dicts with "text"), a table file, a text or PDF file, or a folder.

    `chunk` is the length of a passage in characters, 0 for whole documents; a list's items are never cut. A table's
    text is `text_column`, else the column with the longest texts; its title a column of that name. Raises
    DatasetError when nothing can be read.

    >>> read_corpus(["Refunds take five days.", "Parcels go out on Monday."]).texts[1]
    'Parcels go out on Monday.'
    """
    if isinstance(source, Corpus):
        return source
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.exists():
            raise DatasetError(f"There is no file or folder {str(path)!r} to read passages from.")
        problems: list[str] = []
        if path.is_dir():
            passages = tuple(_folder(path, chunk, problems))
        elif path.suffix.lower() in _TABLES:
            passages = tuple(_table(path, chunk, text_column, title_column))
        else:
            passages = tuple(_file(path, path.name, chunk))
        if not passages:
            why = f" {problems[0]}" if problems else ""
            raise DatasetError(f"{str(path)!r} holds no text to search.{why}")
        return Corpus(passages, str(path), tuple(problems))
    if isinstance(source, Iterable) and not isinstance(source, Mapping):
        listed = tuple(_passage(item, i) for i, item in enumerate(source))
        if not listed:
            raise DatasetError("The list of passages is empty.")
        return Corpus(listed)
    raise DatasetError(f"Passages come as a list, a file or a folder, not as {type(source).__name__}.")


def _passage(item: object, position: int) -> Passage:
    if isinstance(item, Passage):
        return item
    if isinstance(item, Mapping):
        text = item.get("text") or item.get("long_text")
        if isinstance(text, str):
            return Passage(text, str(item.get("title") or ""), str(item.get("source") or position))
    if isinstance(item, str):
        return Passage(item, "", str(position))
    raise DatasetError(f"Passage {position} is no text: give texts, or dicts with 'text' and 'title'.")


def _folder(folder: Path, chunk: int, problems: list[str]) -> Iterator[Passage]:
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not path.is_file() or path.suffix.lower() not in {*_TEXT_FILES, ".pdf"}:
            continue
        if not path.resolve().is_relative_to(root):
            problems.append(f"{name} is a link out of the folder and is left out.")
            continue
        try:
            yield from _file(path, name, chunk)
        except DatasetError as error:
            problems.append(str(error))


def _file(path: Path, name: str, chunk: int) -> Iterator[Passage]:
    document = read_document(path, name)
    if document.form == "pdf":
        for page in document.pages:
            source = f"{name}, page {page.number}"
            yield from (Passage(piece, path.stem, source) for piece in pieces(page.text, chunk))
        return
    parts = (
        sections(document.text)
        if path.suffix.lower() in (".md", ".markdown")
        else [(path.stem, document.text)]
    )
    for title, part in parts:
        yield from (Passage(piece, title, name) for piece in pieces(part, chunk))


def _table(path: Path, chunk: int, text_column: str | None, title_column: str | None) -> Iterator[Passage]:
    table = read_dataset(path, path.name)
    for wanted in (text_column, title_column):
        if wanted and wanted not in table.columns:
            raise DatasetError(f"{path.name} has no column {wanted!r}. It has: {', '.join(table.columns)}.")
    rows: list[Any] = table.frame.to_dict("records")
    lengths = {c: sum(len(str(row[c] or "")) for row in rows) for c in table.columns}
    text_name = text_column or max(lengths, key=lambda c: lengths[c], default="")
    if title_column is None:
        title_column = next((c for c in table.columns if c.casefold() == "title" and c != text_name), None)
    for row_id, row in enumerate(rows):
        text, title = row.get(text_name), row.get(title_column) if title_column else ""
        for piece in pieces(text if isinstance(text, str) else "" if text is None else str(text), chunk):
            yield Passage(piece, str(title or ""), f"{path.name}, row {table.row_number(row_id)}")


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Iterate over (headings joined by " > ", text) of a Markdown document.

    >>> list(sections("# Refunds\\n\\nFive days.\\n\\n## Late\\n\\nAsk."))
    [('Refunds', 'Five days.'), ('Refunds > Late', 'Ask.')]
    """
    trail: list[str] = []
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        heading = None if fenced else _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        if body := "\n".join(lines).strip():
            yield " > ".join(filter(None, trail)), body
        lines = []
        depth = len(heading[1])
        trail = [*trail[: depth - 1], *[""] * (depth - 1 - len(trail)), heading[2]]
    if body := "\n".join(lines).strip():
        yield " > ".join(filter(None, trail)), body


def pieces(text: str, size: int = CHUNK) -> Iterator[str]:
    """Iterate over a text in pieces of about `size` characters, cut at paragraphs, else sentences, else words.

    >>> list(pieces("One. Two.\\n\\nThree.", 10))
    ['One. Two.', 'Three.']
    """
    text = text.strip()
    if not text:
        return
    if size <= 0 or len(text) <= size:
        yield text
        return
    piece = ""
    for part, glue in _text_parts(text, size):
        if piece and len(piece) + len(glue) + len(part) > size:
            yield piece
            piece = part
        else:
            piece = f"{piece}{glue}{part}" if piece else part
    if piece:
        yield piece


def _text_parts(text: str, size: int) -> Iterator[tuple[str, str]]:
    """The smallest parts to keep whole, each with what joins it to the one before."""
    for paragraph in filter(None, (p.strip() for p in re.split(r"\n\s*\n", text))):
        if len(paragraph) <= size:
            yield paragraph, "\n\n"
            continue
        for i, sentence in enumerate(_SENTENCE_END.split(paragraph)):
            first = "\n\n" if i == 0 else " "
            if len(sentence) <= size:
                yield sentence, first
                continue
            for at in range(0, len(sentence), size):
                yield sentence[at : at + size], first if at == 0 else ""
