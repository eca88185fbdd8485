"""Extract: records out of texts, PDFs and pictures; long documents in parts; evidence."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from typing import Literal

import pypdfium2
import pytest
from PIL import Image as Pictures
from pydantic import BaseModel, Field
from support.mixed_pdf import mixed_pdf

from engine import PDF, Image, InputField, OutputField, Signature, context
from engine.errors import AdapterParseError, ContextWindowExceededError, DatasetError
from engine.lm.offline.learner import OfflineLM
from engine.modules.extract import Extract, Quote
from engine.testing import ScriptedLM
from sample_data.invoices import file_of, papers

PAPERS = tuple(papers())


class Item(BaseModel):
    article: str
    quantity: int
    price: float | None = None


class Invoice(BaseModel):
    kind: Literal["invoice", "credit note", "delivery note"]
    number: str = Field(alias="no")
    date: str | None = None
    supplier: str
    customer: str
    currency: str | None = None
    total: float | None = None
    due: str | None = None
    lines: list[Item]


class Read(Signature):
    """Read the document."""

    document: str = InputField()
    record: Invoice = OutputField()


def right(paper) -> dict:
    return {"no": paper.answer["number"], **{k: v for k, v in paper.answer.items() if k != "number"}}


def shown(lm: ScriptedLM, call: int = 0) -> str:
    return str(lm.requests[call].messages[-1]["content"])


@pytest.mark.parametrize("form", ["txt", "pdf"])
def test_a_record_is_an_instance_with_evidence(form: str):
    paper = PAPERS[1]
    data = file_of(paper, form)
    given = paper.text if form == "txt" else PDF.from_bytes(data, "paper.pdf")
    with context(lm=ScriptedLM([{"record": right(paper)}])):
        found = Extract(Read)(document=given)
    assert isinstance(found.record, Invoice)
    evidence = {one["path"]: one for one in found.evidence}
    assert evidence["record.total"]["quote"] == "283,58"
    assert ("boxes" in evidence["record.total"]) == (form == "pdf")
    assert evidence["record.lines[2].quantity"]["line"] == evidence["record.lines[2].article"]["line"]
    assert not any(one["how"] == "none" for one in found.evidence)


def test_an_invented_value_is_marked():
    paper = PAPERS[1]
    lm = ScriptedLM([{"record": {**right(paper), "due": "2031-01-01", "total": 999.99}}])
    with context(lm=lm):
        found = Extract(Read)(document=paper.text)
    marked = {one["path"] for one in found.evidence if one["how"] == "none"}
    assert marked == {"record.due", "record.total"}


def test_a_reply_that_does_not_validate_is_repaired_once():
    paper = PAPERS[1]
    bad = '{"record": {"no": "x", "kind": "bill"}}'
    lm = ScriptedLM([bad, {"record": right(paper)}])
    with context(lm=lm):
        assert Extract(Read)(document=paper.text).record.number == paper.answer["number"]
    assert len(lm.requests) == 2
    assert "kind" in shown(lm, 1)


def test_a_model_with_structured_output_is_asked_by_schema_and_once_more():
    class Native(ScriptedLM):
        supports_response_format = True

    paper = PAPERS[1]
    lm = Native(['{"record": {"no": 7', json.dumps({"record": right(paper)})])
    with context(lm=lm):
        Extract(Read)(document=paper.text)
    assert len(lm.requests) == 2
    schema = lm.requests[0].params["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert "record" in schema["schema"]["properties"]
    lm = Native(["{", "{", "{"])
    with context(lm=lm), pytest.raises(AdapterParseError):
        Extract(Read)(document=paper.text)
    assert len(lm.requests) == 2


def long_text(pages: int = 4) -> str:
    return "\f".join(
        f"Order {n}\n" + "\n".join(f"Pot no. {n}{at:03} x {at}" for at in range(120))
        for n in range(1, pages + 1)
    )


class Order(Signature):
    """Read the order."""

    document: str = InputField()
    customer: str | None = OutputField()
    total: float | None = OutputField()
    pots: list[str] = OutputField()


def test_a_long_document_is_read_in_parts_and_merged():
    replies = {
        "Order 1": {"customer": "Ann", "total": 3.0, "pots": ["1001", "1002"]},
        "Order 2": {"customer": None, "total": 7.0, "pots": ["1002", "2001"]},
        "Order 3": {"customer": "Al", "total": 3.0, "pots": []},
        "Order 4": {"customer": "Al", "total": 2.0, "pots": ["4001", "4001"]},
    }

    def answer(request):
        text = str(request.messages[-1]["content"])
        return next(reply for start, reply in replies.items() if start in text)

    text = long_text() + "\nCustomer Al\nTotal 2.00"
    lm = ScriptedLM(answer)
    with context(lm=lm):
        found = Extract(Order, longest=2500)(document=text)
    assert len(lm.requests) == 4
    assert all("[Page" in shown(lm, call) for call in range(4))
    assert found.customer == "Al"
    assert found.total == 2.0
    assert found.pots == ["1001", "1002", "1002", "2001", "4001", "4001"]
    assert next(one for one in found.evidence if one["path"] == "total")["page"] == 4


def test_a_page_that_is_too_long_is_divided_at_sections():
    lm = ScriptedLM(lambda request: {"customer": None, "total": None, "pots": []})
    with context(lm=lm):
        Extract(Order, longest=2000)(document="\n\n".join("word " * 150 for _ in range(8)))
    assert 3 <= len(lm.requests) <= 6


def test_a_full_context_makes_the_parts_shorter():
    def answer(request):
        if len(str(request.messages[-1]["content"])) > 5000:
            raise ContextWindowExceededError("too long")
        return {"customer": "Al", "total": None, "pots": []}

    lm = ScriptedLM(answer)
    with context(lm=lm):
        assert Extract(Order)(document=long_text()).customer == "Al"


def scan(pages: int) -> bytes:
    made = pypdfium2.PdfDocument.new()
    for _ in range(pages):
        made.new_page(200, 300)
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def test_a_scan_is_sent_as_pictures():
    lm = ScriptedLM(lambda request: {"customer": "Al", "total": None, "pots": []})
    with context(lm=lm):
        found = Extract(Order)(document=PDF.from_bytes(scan(2), "scan.pdf"))
    kinds = [part["type"] for part in lm.requests[0].messages[-1]["content"]]
    assert kinds.count("image_url") == 2
    assert found.evidence == []
    with context(lm=lm):
        Extract(Order)(document=PDF.from_bytes(scan(21), "scan.pdf"))
    assert len(lm.requests) == 3


def message_parts(lm: ScriptedLM, call: int = 0) -> list[str]:
    """Return the parts of a call's message in order: "picture", or the text."""
    content = lm.requests[call].messages[-1]["content"]
    content = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return ["picture" if part["type"] == "image_url" else part["text"] for part in content]


def test_scanned_pages_go_as_pictures_next_to_the_text_of_the_others():
    lm = ScriptedLM(lambda request: {"customer": "Al", "total": None, "pots": []})
    with context(lm=lm):
        Extract(Order)(document=PDF.from_bytes(mixed_pdf("tst-"), "mixed.pdf"))
    first, picture, last = message_parts(lm)
    assert picture == "picture"
    assert "[Page 1]" in first
    assert "[Page 3]" in last
    assert all("283,58" in text for text in (first, last))


def test_parts_of_a_long_document_keep_scanned_pages_in_their_place():
    lm = ScriptedLM(lambda request: {"customer": "Al", "total": None, "pots": []})
    with context(lm=lm):
        Extract(Order, longest=2000)(document=PDF.from_bytes(mixed_pdf("tstttts"), "mixed.pdf"))
    calls = [message_parts(lm, call) for call in range(len(lm.requests))]
    assert len(calls) > 1
    assert sum(parts.count("picture") for parts in calls) == 2
    assert sorted(parts.index("picture") for parts in calls if "picture" in parts) == [1, 1]


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        ("s", "is a scan without text"),
        *((pages, r"has .* picture.* \(page 2.*\)") for pages in ("ts", "ts-s")),
    ],
)
def test_a_page_that_a_model_without_eyes_cannot_read_is_one_sentence(pages: str, words: str):
    data = scan(1) if pages == "s" else mixed_pdf(pages)
    with context(lm=OfflineLM()), pytest.raises(DatasetError, match=f"'mixed.pdf' {words}, and offline"):
        Extract(Order)(document=PDF.from_bytes(data, "mixed.pdf"))


def test_an_empty_page_needs_no_eyes():
    with context(lm=OfflineLM()):
        assert Extract(Order)(document=PDF.from_bytes(mixed_pdf("t-"), "mixed.pdf")).pots is not None


def line_items(*, shared: object = None) -> list[Item]:
    """Return the lines read from two pages that hold the same line each."""

    class Lines(Signature):
        """Read the lines."""

        document: str = InputField()
        terms: str = InputField()
        lines: list[Item] = OutputField()

    lm = ScriptedLM(lambda request: {"lines": [{"article": "Pot", "quantity": 2}] * (shared is None or 1)})
    page = "\n".join([*(f"{n}. nothing" for n in range(150)), "Pot x 2" if shared is None else "nothing"])
    with context(lm=lm):
        found = Extract(Lines, longest=2500)(document=f"{page}\f{page}", terms=shared or "")
    assert len(lm.requests) == 2
    return list(found.lines)


def test_equal_lines_of_two_pages_are_two_lines():
    assert line_items() == [Item(article="Pot", quantity=2)] * 2


def test_a_line_of_a_document_that_goes_with_every_part_is_one_line():
    assert line_items(shared="Pot x 2") == [Item(article="Pot", quantity=2)]


def test_a_large_picture_is_scaled_down():
    out = io.BytesIO()
    Pictures.new("L", (8000, 5000)).save(out, format="PNG")
    lm = ScriptedLM(lambda request: {"customer": "Al", "total": None, "pots": []})
    with context(lm=lm):
        Extract(Order)(document=Image(out.getvalue()))
    (url,) = [
        p["image_url"]["url"] for p in lm.requests[0].messages[-1]["content"] if p["type"] == "image_url"
    ]
    assert Pictures.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size == (2000, 1250)


def test_quotes_are_asked_for_and_checked():
    reply = {"customer": "Al", "total": 3, "pots": [], "quotes": [{"path": "total", "text": "Due 3.00"}]}
    lm = ScriptedLM([reply])
    with context(lm=lm):
        found = Extract(Order, quotes=True)(document="Total 3.00\nDue 3.00\nFor Al")
    assert {one["path"]: one.get("quoted", False) for one in found.evidence} == {
        "customer": False,
        "total": True,
    }
    assert "quotes" not in found
    assert Quote(path="a", text="b").path == "a"


def test_an_encrypted_pdf_fails_its_row_and_the_rest_goes_on():
    lm = ScriptedLM(lambda request: {"customer": "Al", "total": None, "pots": []})
    program = Extract(Order)

    async def both():
        given = (PDF.from_bytes(b"%PDF-1.7 broken", "a.pdf"), "For Al")
        return await asyncio.gather(*(program.acall(document=one) for one in given), return_exceptions=True)

    with context(lm=lm):
        failed, found = asyncio.run(both())
    assert str(failed).startswith("'a.pdf' is a broken PDF")
    assert found.customer == "Al"
