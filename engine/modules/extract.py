"""`Extract`: a typed record out of a document, long ones in parts, with evidence for every value.

It knows documents and one step; how a record is asked for and repaired is the adapter's business.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from engine import loop
from engine.adapters.json import JSONAdapter
from engine.basics.data import Values
from engine.basics.text import counted, first_of
from engine.dataset.documents.evidence import Evidence, evidence_for, next_to_name
from engine.dataset.documents.paged import PagedDocument, read_document
from engine.errors import AdapterParseError, ContextWindowExceededError, DatasetError, first_problem
from engine.lm.choice import is_offline
from engine.modules.predict import Answerer, Predict
from engine.records import json_value
from engine.runtime import context, current
from engine.signature import AnySignature, OutputField, Signature, ensure_signature
from engine.signature.prediction import Prediction
from engine.signature.types.base import split_data_uri
from engine.signature.types.media import PDF, File, Image
from engine.signature.types.textual import Document

EVIDENCE, QUOTES = "evidence", "quotes"

LONGEST_PART = 60_000
"""Characters of a document that one call reads: about 15,000 tokens, which models with eyes and without have room for."""

MOST_PARTS = 200
_SHORTEST_PART = 2_000
_AT_ONCE = 8


class Quote(BaseModel):
    """The words of the document that one value was read from."""

    path: str = Field(description='The value\'s field, as in "total" or "lines[0].price"')
    text: str = Field(description="The words of the document, copied letter by letter")


class Extract(Answerer):
    """Read a typed record out of a document: a text, a `PDF`, an `Image`, several of them, or a `PagedDocument`.

    The outputs are the record: a Pydantic model, or several fields. A model with native structured output is asked
    by JSON schema; a damaged reply is salvaged, and one that does not validate is sent back once with the error.
    Pages with text are read as text; scanned ones are sent as pictures, next to the text of the others. A text
    longer than `longest` characters is read in parts, by pages or sections: lists are joined, and of several values
    for a field the one with evidence counts, then the commonest. The prediction's `evidence` holds the place of
    each value (see `Evidence.to_json`); a value that was not found is marked "none". With `quotes` the model is
    asked for the words it read each value from, and these are checked. Raises DatasetError for a document that
    cannot be read. The step inside is `read`.

    >>> from engine import context
    >>> from engine.testing import ScriptedLM
    >>> read = Extract("document -> number, total: float")
    >>> with context(lm=ScriptedLM([{"number": "A-7", "total": 12.5}])):
    ...     found = read(document="Invoice A-7\\nTotal 12,50")
    >>> found.total, [(one["path"], one["line"]) for one in found.evidence]
    (12.5, [('number', 1), ('total', 2)])
    """

    def __init__(
        self,
        signature: AnySignature,
        *,
        evidence: bool = True,
        quotes: bool = False,
        longest: int = LONGEST_PART,
        **config: Any,
    ) -> None:
        super().__init__()
        self.evidence = evidence
        self.quotes = quotes
        self.longest = max(_SHORTEST_PART, longest)
        task = ensure_signature(signature)
        if quotes:
            task = task.append(QUOTES, OutputField(desc=QUOTE), list[Quote])
        self.read = Predict(task, **config)

    @property
    def signature(self) -> type[Signature]:
        """The task: what goes in, and the record that comes out."""
        return self.read.signature

    async def aforward(self, **inputs: object) -> Prediction:
        """Read one document, in one call or in several."""
        given = await _apart(not all(isinstance(v, str) for v in inputs.values()), _all_opened, inputs)
        documents = [one for opened in given.values() if isinstance(opened, list) for one in opened]
        self.check_eyes(documents)
        if not documents:
            return await self._ask_step(inputs)
        # Of several inputs the longest is the one that is divided.
        long = max(given, key=lambda name: _length(given[name]))
        return await self._read(inputs, given, long, self.longest)

    async def _read(self, inputs: dict[str, object], given: Values, long: str, longest: int) -> Prediction:
        """Read a document in parts of a length; in shorter ones where that is too much for the model."""
        parts = _document_parts(given[long], longest) if isinstance(given[long], list) else []
        names = [name for name in inputs if name != long or len(parts) <= 1]
        heavy = not all(isinstance(inputs[name], str) for name in names)
        sent = await _apart(
            heavy, lambda: {name: _message_value(given[name], inputs[name]) for name in names}
        )

        async def read(part: _DocumentPart) -> Prediction:
            return await self._ask_step({**sent, long: await _apart(part.has_scans, lambda: part.sent)})

        answers: Sequence[Prediction]
        try:
            if len(parts) <= 1:
                answers = [await self._ask_step(sent)]
            else:
                # Pictures of a long scan are never all in memory at once.
                answers = await loop.all_of(map(read, parts), _AT_ONCE)
        except ContextWindowExceededError:
            if longest <= _SHORTEST_PART or _length(given[long]) <= _SHORTEST_PART:
                raise
            return await self._read(
                inputs, given, long, max(_SHORTEST_PART, min(longest, _length(given[long])) // 2)
            )
        documents = [d for one in given.values() if isinstance(one, list) for d in one]
        heavy = sum(map(_length, given.values())) > _QUICK
        overlap = any(isinstance(one, list) for name, one in given.items() if name != long)
        return cast(Prediction, await _apart(heavy, self._whole, answers, parts, documents, overlap))

    async def _ask_step(self, values: Values, shown: type[Signature] | None = None) -> Prediction:
        """Ask the step once; natively for a record where the model can and no other layout was chosen.

        `shown` is what the model is shown in place of the step's signature.
        """
        lm = self.read.lm or current().lm
        plain = self.read.adapter is None and current().adapter is None
        native = plain and lm is not None and lm.supports_response_format
        signature = shown or self.read.prompted()
        for name, value in values.items():
            if name in signature.input_fields and (kind := _kind_of(value)) is not None:
                signature = _retyped(signature, name, kind)
        changed = {} if signature is self.read.signature else {"signature": signature}
        with context(adapter=_NATIVE) if native else nullcontext():
            answer: Prediction = await self.read.acall(**values, **changed)
            return answer

    def _whole(
        self,
        answers: Sequence[Prediction],
        parts: Sequence[_DocumentPart],
        documents: Sequence[PagedDocument],
        overlap: bool,
    ) -> Prediction:
        """Return one answer made of the parts' answers, with its evidence; `overlap`: a document went with every part."""
        names = [name for name in self.signature.output_fields if name != QUOTES]
        if len(answers) == 1:
            values = dict(answers[0])
        else:
            records = [
                _Found({n: json_value(a[n]) for n in names}, part, overlap)
                for a, part in zip(answers, parts, strict=True)
            ]
            merged = {name: _merged([r.inside(name) for r in records], name) for name in names}
            values = {name: _typed(merged[name], self.signature.annotation(name), name) for name in names}
        quotes = {q.path: q.text for a in answers for q in a.get(QUOTES) or ()}
        values.pop(QUOTES, None)
        if self.evidence:
            record = {name: values[name] for name in names}
            single = names[0] if len(names) == 1 else ""
            values[EVIDENCE] = [one.to_json() for one in _evidence(documents, record, quotes, single)]
        return Prediction.of(values)

    @property
    def is_blind(self) -> bool:
        """True if the current model is known to see no pictures."""
        lm = self.read.lm or current().lm
        return lm is not None and (lm.supports_vision is False or is_offline(lm.model))

    def check_eyes(self, documents: Sequence[PagedDocument]) -> None:
        """Raise DatasetError for a document with pages that are pictures where the model sees none."""
        unseen = next((one for one in documents if one.scans), None)
        if unseen is None or not self.is_blind:
            return
        lm = self.read.lm or current().lm
        raise DatasetError(
            f"{unseen.name!r} {_to_be_seen(unseen)}, and {lm and lm.model} sees no pictures. Choose a model that sees pictures, or give the text."
        )


def _to_be_seen(document: PagedDocument) -> str:
    if not document.has_text:
        return f"is {'a scan' if document.form == 'pdf' else 'a picture'} without text"
    numbers = [str(number) for number in document.scans]
    return f"has {counted(len(numbers), 'page that is a picture', 'pages that are pictures')} (page {first_of(numbers, 5)})"


class Scan(NamedTuple):
    """A page that is a picture; it is drawn when it is sent."""

    document: PagedDocument
    page: int


class _DocumentPart(NamedTuple):
    """A part of a document: texts, and pages that are pictures, in the document's order."""

    pieces: tuple[str | Scan, ...]

    @property
    def text(self) -> str:
        """The text that there is."""
        return "\n\n".join(one for one in self.pieces if isinstance(one, str))

    @property
    def has_scans(self) -> bool:
        """True if pages have to be drawn."""
        return any(isinstance(one, Scan) for one in self.pieces)

    @property
    def sent(self) -> object:
        """The content for the model: text, pictures, or both in turn."""
        if not self.has_scans:
            return self.text
        sent = [
            Document(one) if isinstance(one, str) else Image(one.document.picture(one.page))
            for one in self.pieces
        ]
        return sent[0] if len(sent) == 1 else sent


class _Found(NamedTuple):
    """A value, and the part that it was read from; `overlap`: other documents went with that part and every other."""

    value: Any
    part: _DocumentPart
    overlap: bool

    def inside(self, key: str) -> _Found:
        """Return what a record has for a key."""
        return self._replace(value=self.value.get(key))


_NATIVE = JSONAdapter()


_QUICK = 20_000
"""Characters of a document in which evidence is found in no time to speak of."""


async def _apart(heavy: bool, work: Callable[..., Any], *args: object) -> Any:
    """Return what some work gives; heavy work is done in a thread, so that other documents go on."""
    return await loop.in_thread(work, *args) if heavy else work(*args)


def _all_opened(inputs: Mapping[str, object]) -> dict[str, object]:
    return {name: _opened(value, name) for name, value in inputs.items()}


def _opened(value: object, name: str) -> object:
    """Return the documents that an input holds; anything else as it is. Raises DatasetError."""
    if isinstance(value, PagedDocument):
        return [value]
    if isinstance(value, str):
        return [read_document(value, name)] if value.strip() else value
    if isinstance(value, Document) and value.media_type == "text/plain":
        return [read_document(value.data, value.title or name)]
    if isinstance(value, PDF | File) and value.file_data:
        parts = split_data_uri(value.file_data)
        return [read_document(_bytes(parts[1]), value.filename or name)] if parts else value
    if isinstance(value, Image) and (parts := split_data_uri(value.url)) and parts[0] != "image/svg+xml":
        return [read_document(_bytes(parts[1]), name)]
    if isinstance(value, list | tuple) and value:
        inside = [_opened(one, f"{name} {at}") for at, one in enumerate(value, 1)]
        if all(isinstance(one, list) for one in inside) and not all(isinstance(one, str) for one in value):
            return [document for one in inside if isinstance(one, list) for document in one]
    return value


def _bytes(data: str) -> bytes:
    import base64

    return base64.b64decode(data)


def _length(opened: object) -> int:
    return sum(len(page.text) for one in opened for page in one.pages) if isinstance(opened, list) else -1


def _message_value(opened: object, value: object) -> object:
    """Return what is sent to the model for an input: text where there is one, else pictures of pages."""
    if not isinstance(opened, list) or isinstance(value, str | Document):
        return value
    if isinstance(value, Image) and not opened[0].notes and len(opened[0].pages) == 1:
        return value  # small enough as it is
    return _DocumentPart(tuple(document_pieces(opened))).sent


def document_pieces(documents: Sequence[PagedDocument], longest: int = sys.maxsize) -> Iterator[str | Scan]:
    """Iterate over the pages of documents: texts of at most a length, each with its page's number, and pictures."""
    for one in documents:
        scans = set(one.scans)
        for page in one.pages:
            if page.number in scans:
                yield Scan(one, page.number)
            elif len(one.pages) == 1:
                yield from _sections(page.text, longest)
            elif page.text.strip():
                for piece in _sections(page.text, longest):
                    yield PAGE.format(number=page.number, text=piece.strip("\n"))


def _document_parts(documents: Sequence[PagedDocument], longest: int) -> list[_DocumentPart]:
    """Return the parts of documents: whole pages together up to a length, sections of a page that is longer.

    A part has at most `_PICTURES` pages that are pictures. Raises DatasetError for too many parts.
    """
    parts: list[_DocumentPart] = []
    group: list[str | Scan] = []
    for piece in document_pieces(documents, longest):
        scans = sum(isinstance(one, Scan) for one in (*group, piece))
        length = sum(len(one) for one in (*group, piece) if isinstance(one, str))
        if group and (scans > _PICTURES or length > longest):
            parts.append(_DocumentPart(tuple(group)))
            group = []
        group.append(piece)
    if group:
        parts.append(_DocumentPart(tuple(group)))
    if len(parts) > MOST_PARTS:
        raise DatasetError(
            f"{documents[0].name!r} takes {len(parts):,} calls to read; at most {MOST_PARTS} are made. Divide it."
        )
    return parts


_PICTURES = 20
"""Pages of a scan in one call."""


def _sections(text: str, longest: int) -> Iterator[str]:
    """Iterate over pieces of a text, divided at blank lines if there are any, else at lines, else anywhere."""
    while len(text) > longest:
        at = max(text.rfind("\n\n", longest // 2, longest), 0) or max(
            text.rfind("\n", longest // 2, longest), 0
        )
        at = at or longest
        yield text[:at]
        text = text[at:].lstrip("\n")
    yield text


def _kind_of(value: object) -> object:
    """Return the type of what is sent in the place of a document."""
    if isinstance(value, str):
        return str
    if isinstance(value, Image):
        return Image
    if not isinstance(value, list) or not any(isinstance(one, Image) for one in value):
        return None
    return list[Image] if all(isinstance(one, Image) for one in value) else list[Image | Document]


@lru_cache(maxsize=256)
def _retyped(signature: type[Signature], name: str, kind: object) -> type[Signature]:
    return (
        signature
        if signature.annotation(name) in (kind, Document)
        else signature.with_updated_fields(name, type_=kind)
    )


# Answers of several parts


def _merged(found: Sequence[_Found], path: str) -> object:
    """Return one value of the parts' values: lists joined, records merged field by field, else the likeliest."""
    filled = [one for one in found if one.value not in (None, "", [], {})]
    if not filled:
        return found[0].value
    if all(isinstance(one.value, list) for one in filled):
        return _joined(filled)
    if all(isinstance(one.value, dict) for one in filled):
        keys = dict.fromkeys(key for one in filled for key in one.value)
        return {key: _merged([one.inside(key) for one in filled], f"{path}.{key}") for key in keys}
    counts = [sum(other.value == one.value for other in filled) for one in filled]
    best = max(range(len(filled)), key=lambda at: (_support(filled[at], path), counts[at], -at))
    return filled[best].value


def _joined(lists: Sequence[_Found]) -> list[object]:
    """Return the items of several parts in order; equal items of two parts are two items.

    Of a document that went with every part each of them gives the same items: an item that an earlier part has
    given, and that does not stand in its part, comes once.
    """
    whole: list[object] = []
    for one in lists:
        before = list(whole)
        whole += [
            item
            for item in one.value
            if not one.overlap or item not in before or one.part.has_scans or _is_in_part(item, one.part)
        ]
    return whole


def _is_in_part(item: object, part: _DocumentPart) -> bool:
    """Return whether all values of an item stand in a part."""
    evidence = evidence_for(read_document(part.text), {"item": item}) if part.text.strip() else ()
    return bool(evidence) and not any(one.marked for one in evidence)


def _support(one: _Found, path: str) -> int:
    """Return how well a value is supported by its part: 2 next to its name, 1 elsewhere, 0 not found."""
    if not one.part.text.strip():
        return 0
    document = read_document(one.part.text)
    evidence = evidence_for(document, {path.rpartition(".")[2]: one.value})
    if not evidence or any(e.marked for e in evidence):
        return 0
    return 1 + next_to_name(document.pages[evidence[0].page - 1], evidence[0].start, evidence[0].path)


def _typed(value: object, annotation: Any, name: str) -> object:
    """Return a merged value as its type. Raises AdapterParseError that names the field."""
    try:
        return TypeAdapter(annotation).validate_python(value, by_alias=True, by_name=True)
    except ValidationError as error:
        where, message = first_problem(error)
        path = f"{name}.{where}" if where else name
        raise AdapterParseError(
            f"What the parts of the document say does not go together: {path}: {message}."
        ) from None


def _evidence(
    documents: Sequence[PagedDocument], record: Mapping[str, object], quotes: Mapping[str, str], single: str
) -> list[Evidence]:
    """Return evidence from documents with text; paths of a single output leave its name out of quotes."""
    named = {**quotes, **({f"{single}.{path}": text for path, text in quotes.items()} if single else {})}
    return best_evidence([one for one in documents if one.has_text], record, named)


def best_evidence(
    documents: Sequence[PagedDocument], record: object, quotes: Mapping[str, str] | None = None
) -> list[Evidence]:
    """Return evidence for each value of a record, from the first document that has it."""
    best: list[Evidence] = []
    for document in documents:
        evidence = evidence_for(document, record, quotes or {})
        pairs = zip(best or evidence, evidence, strict=True)
        best = [new if old.marked and not new.marked else old for old, new in pairs]
    return best


PAGE = "[Page {number}]\n{text}"
QUOTE = "For each value the words of the document that it was read from."
