"""About 120 invoices, credit notes and delivery notes, made by rules: as texts, as PDFs and as pictures, with right answers.

    python -m sample_data.invoices FOLDER    # writes the files, and answers.jsonl next to them

`invoices.csv` holds the same texts and answers; a test compares the two. Companies and people are invented.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import io
import json
import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

Form = Literal["txt", "pdf", "png"]
FORMS: tuple[Form, ...] = ("txt", "pdf", "png")
DOCUMENTS = 120
PAGE_BREAK = "\f"


class Line(NamedTuple):
    """One line of a document; a delivery note has no price."""

    article: str
    quantity: int
    price: float | None


class Paper(NamedTuple):
    """One document: its name, its text (pages between form feeds), its font, and the right answer."""

    name: str
    text: str
    font: str
    answer: dict[str, Any]


class _Company(NamedTuple):
    name: str
    place: str
    currency: str
    numbers: str
    dates: str
    layout: str
    prefix: str
    articles: tuple[tuple[str, float], ...]


def _company(row: str) -> _Company:
    name, place, currency, numbers, dates, layout, prefix, articles = (
        part.strip() for part in row.split("|")
    )
    priced = (one.strip().rpartition(" ") for one in articles.split(";"))
    goods = tuple((article, float(price)) for article, _, price in priced)
    return _Company(name, place, currency, numbers, dates, layout, prefix.replace("_", " "), goods)


_COMPANIES = tuple(
    _company(row)
    for row in """\
Harrow & Finch Ltd | 14 Mill Lane, Leeds | GBP | en | long | table | HF- | \
Oak shelf 80 cm 42.5; Wall bracket 6.2; Picture rail 2 m 18.9; Box of screws 3.75; Wood oil 1 l 14
Lindqvist Papier GmbH | Hafenweg 3, Bremen | EUR | de | dots | table | RE_ | \
Copy paper A4, 500 sheets 4.9; Card A5, grey 11.2; Envelopes C5, 100 pieces 7.35; Ring binder 2.6; Label roll 9.95
Castellan Tools Inc. | 220 Dock Street, Portland | USD | en | us | form | INV- | \
Torque wrench 89; Hex key set 12.49; Work gloves, pair 7.99; Clamp 12 in 21.5; Drill bit 8 mm 4.25
Atelier Sorel SARL | 9 rue des Lilas, Lyon | EUR | fr | long | letter | F | \
Linen tablecloth 58; Cotton napkin 4.8; Velvet cushion 27.9; Curtain, dyed 112.5; Silk ribbon 10 m 8.4
Bergwerk Optik AG | Seestrasse 40, Chur | CHF | ch | dots | form | B- | \
Lens 50 mm 214; Lens cap 5.5; Tripod head 96.4; Cleaning cloth 3.2; Filter, polarising 47.8
Two Rivers Roastery | Quay 7, Bristol | GBP | en | long | receipt |  | \
Espresso beans 1 kg 17.5; Filter beans 1 kg 16; Paper cups, 50 pieces 4.1; Oat milk 1 l 1.85; Grinder burrs 63
Osei Garden Supply | 51 Station Road, York | GBP | en | iso | letter | OG/ | \
Clay pot 18 cm 6; Compost 40 l 7.25; Rose 'Morning Post' 13.5; Bamboo cane 0.9; Watering can 9 l 18
Nordal Kjemi AS | Fjordgata 12, Bergen | EUR | de | iso | columns | N | \
Citric acid 5 kg 23.6; Glass cleaner 10 l 19.8; Nitrile gloves, 100 pieces 8.75; Spray bottle 2.15; Descaler 2 l 11.4
""".splitlines()
)
_CUSTOMERS = [
    "Maple House Hotel",
    "Ferris Dental Practice",
    "Kestrel Primary School",
    "Studio Anand",
    "The Copper Kettle",
    "Vanterpool Events",
    "Moss & Daughter",
    "Radio Lantern",
    "St Bride's Library",
    "Ilse Wagner Interiors",
    "Northlight Cycles",
    "Pereira Translations",
]
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip  # whatever the locale


class _Draft(NamedTuple):
    """The facts of a document, before they are laid out."""

    company: _Company
    customer: str
    kind: str
    number: str
    day: date | None
    due: date | None
    order: str | None
    lines: tuple[Line, ...]
    hard: str
    extra: random.Random

    def money(self, value: float) -> str:
        return _number(value, self.company.numbers)

    def written(self, day: date) -> str:
        return _date(day, self.company.dates)

    @property
    def net(self) -> float:
        return round(sum(one.quantity * (one.price or 0) for one in self.lines), 2)

    @property
    def tax(self) -> float:
        return round(self.net * _TAX[self.company.currency], 2)

    @property
    def total(self) -> float:
        return round(self.net + self.tax, 2)


_TAX = {"GBP": 0.2, "EUR": 0.19, "USD": 0.0825, "CHF": 0.081}


def papers() -> Iterator[Paper]:
    """Iterate over the documents, always the same ones.

    >>> first = next(papers())
    >>> first.name, first.answer["kind"]
    ('paper-001', 'invoice')
    """
    for number in range(1, DOCUMENTS + 1):
        draft = _draft(number)
        pages = _LAYOUTS[draft.company.layout](draft)
        font = {"letter": "Times-Roman", "form": "Helvetica"}.get(draft.company.layout, "Courier")
        yield Paper(f"paper-{number:03}", PAGE_BREAK.join(pages), font, _answer(draft))


def _draft(number: int) -> _Draft:
    chance = random.Random(f"paper {number}")
    company = _COMPANIES[(number - 1) % len(_COMPANIES)]
    kind = (
        "invoice"
        if number % 8 == 1
        else chance.choices(("invoice", "delivery note", "credit note"), (6, 2, 2))[0]
    )
    hard = chance.choices(("", "two totals", "no date", "two pages"), (5, 2, 1.5, 1.5))[0]
    day = date(2026, 1, 5) + timedelta(days=chance.randrange(290))
    count = chance.randint(22, 30) if hard == "two pages" else chance.randint(1, 5)
    lines = []
    for at in range(count):
        article, price = company.articles[at % 5] if hard == "two pages" else chance.choice(company.articles)
        shade = f" no. {at // 5 + 1}" if hard == "two pages" else ""
        lines.append(Line(article + shade, chance.randint(1, 12), None if kind == "delivery note" else price))
    return _Draft(
        company=company,
        customer=chance.choice(_CUSTOMERS),
        kind=kind,
        number=f"{company.prefix}{chance.randint(1000, 99999)}",
        day=None if hard == "no date" else day,
        due=day + timedelta(days=chance.choice((14, 21, 30)))
        if kind == "invoice" and chance.random() < 0.7
        else None,
        order=f"PO-{chance.randint(100, 999)}" if chance.random() < 0.5 else None,
        lines=tuple(lines),
        hard=hard,
        extra=chance,
    )


def _answer(draft: _Draft) -> dict[str, Any]:
    sign = -1 if draft.kind == "credit note" else 1
    priced = draft.kind != "delivery note"
    return {
        "kind": draft.kind,
        "number": draft.number,
        "date": draft.day.isoformat() if draft.day else None,
        "supplier": draft.company.name,
        "customer": draft.customer,
        "currency": draft.company.currency if priced else None,
        "total": sign * draft.total if priced else None,
        "due": draft.due.isoformat() if draft.due else None,
        "lines": [one._asdict() for one in draft.lines],
    }


def _number(value: float, style: str) -> str:
    whole, _, cents = f"{value:,.2f}".partition(".")
    thousands, point = {"en": (",", "."), "de": (".", ","), "fr": (" ", ","), "ch": ("'", ".")}[style]
    return whole.replace(",", thousands) + point + cents


def _date(day: date, style: str) -> str:
    if style == "long":
        return f"{day.day} {MONTHS[day.month - 1]} {day.year}"
    return day.strftime({"dots": "%d.%m.%Y", "us": "%m/%d/%Y", "iso": "%Y-%m-%d"}[style])


_TITLES = {"invoice": "INVOICE", "credit note": "CREDIT NOTE", "delivery note": "DELIVERY NOTE"}
_ROWS_A_PAGE = 18


def _facts(draft: _Draft) -> list[tuple[str, str]]:
    """Return what a document says of itself, as labels and texts."""
    facts = [(f"{draft.kind.capitalize()} no.", draft.number)]
    if draft.day:
        facts.append(("Date", draft.written(draft.day)))
    if draft.order:
        facts.append(("Your order", draft.order))
    if draft.kind == "credit note":
        facts.append(("Credits invoice", f"{draft.company.prefix}{draft.extra.randint(1000, 99999)}"))
    if draft.due:
        facts.append(("Payable by", draft.written(draft.due)))
    return facts


def _sums(draft: _Draft) -> list[tuple[str, str]]:
    """Return the amounts under the lines; with two totals, the wrong one may come last."""
    if draft.kind == "delivery note":
        return []
    code, percent = draft.company.currency, f"{100 * _TAX[draft.company.currency]:.4g}"
    total = "Credit in your favour" if draft.kind == "credit note" else "Total"
    sums = [
        ("Net", draft.money(draft.net)),
        (f"Tax {percent} %", draft.money(draft.tax)),
        (f"{total} {code}", draft.money(draft.total)),
    ]
    if draft.hard == "two totals":
        older = round(draft.extra.uniform(20, 400), 2)
        sums += [
            ("Open from earlier invoices", draft.money(older)),
            (f"Balance of your account {code}", draft.money(older + draft.total)),
        ]
    return sums


def _pages(draft: _Draft, head: list[str], rows: list[str], foot: list[str]) -> list[str]:
    """Return pages of text; long lists go on on the next page, with a subtotal carried forward."""
    pages: list[str] = []
    for start in range(0, len(rows), _ROWS_A_PAGE):
        part = rows[start : start + _ROWS_A_PAGE]
        top = (
            head
            if start == 0
            else [
                f"{draft.company.name}   {_TITLES[draft.kind].lower()} {draft.number}   page 2",
                "Continued",
                "",
            ]
        )
        last = start + _ROWS_A_PAGE >= len(rows)
        sub = sum(one.quantity * (one.price or 0) for one in draft.lines[: start + _ROWS_A_PAGE])
        carried = [
            "",
            "Continued on page 2"
            if draft.kind == "delivery note"
            else f"Carried forward: {draft.money(sub)}",
        ]
        pages.append("\n".join([*top, *part, *(foot if last else carried)]))
    return pages


def _cells(draft: _Draft, one: Line) -> tuple[str, ...]:
    if one.price is None:
        return one.article, str(one.quantity)
    return one.article, str(one.quantity), draft.money(one.price), draft.money(one.quantity * one.price)


def _table(draft: _Draft) -> list[str]:
    priced = draft.kind != "delivery note"
    head = [
        draft.company.name,
        draft.company.place,
        "",
        f"{_TITLES[draft.kind]:^72}".rstrip(),
        "",
        "To:",
        f"  {draft.customer}",
        "",
    ]
    head += [f"{label + ':':<20}{value}" for label, value in _facts(draft)]
    titles = ("Article", "Qty", "Price", "Amount") if priced else ("Article", "Delivered")
    rows = [_columns(_cells(draft, one)) for one in draft.lines]
    foot = ["-" * 72, *(f"{label:>50}{value:>20}" for label, value in _sums(draft)), "", _closing(draft)]
    return _pages(draft, [*head, "", _columns(titles), "-" * 72], rows, foot)


def _columns(cells: tuple[str, ...]) -> str:
    return f"{cells[0]:<36}" + "".join(f"{cell:>12}" for cell in cells[1:])


def _form(draft: _Draft) -> list[str]:
    head = [
        _TITLES[draft.kind],
        "",
        f"Supplier: {draft.company.name}",
        f"Address: {draft.company.place}",
        f"Bill to: {draft.customer}",
    ]
    head += [f"{label}: {value}" for label, value in _facts(draft)]
    if draft.company.dates == "us":
        head.append("(dates are month/day/year)")
    rows = []
    for at, one in enumerate(draft.lines, 1):
        cells = _cells(draft, one)
        rows.append(
            f"{at}. {cells[0]}; quantity {cells[1]}"
            + (f"; each {cells[2]}; sum {cells[3]}" if len(cells) > 2 else "")
        )
    foot = ["", *(f"{label}: {value}" for label, value in _sums(draft)), "", _closing(draft)]
    return _pages(draft, [*head, "", "Positions"], rows, foot)


def _letter(draft: _Draft) -> list[str]:
    facts = dict(_facts(draft))
    number = facts.pop(f"{draft.kind.capitalize()} no.")
    day = facts.pop("Date", None)
    head = [f"{draft.company.name}, {draft.company.place}", "", draft.customer, ""]
    head += [f"{draft.company.place.rpartition(', ')[2]}, {day}", ""] if day else []
    opening = {
        "invoice": f"thank you for your order. This is our invoice {number}.",
        "credit note": f"we are sorry for the trouble. This is our credit note {number}.",
        "delivery note": f"with this delivery note {number} you receive:",
    }[draft.kind]
    head += ["Dear customer,", "", opening, *(f"{label}: {value}." for label, value in facts.items()), ""]
    rows = []
    for one in draft.lines:
        cells = _cells(draft, one)
        rows.append(
            f"{cells[1]} x {cells[0]}" + (f" at {cells[2]}, makes {cells[3]}" if len(cells) > 2 else "")
        )
    foot = [
        "",
        *(f"{label}: {value}" for label, value in _sums(draft)),
        "",
        _closing(draft),
        "",
        "With kind regards",
        draft.company.name,
    ]
    return _pages(draft, head, rows, foot)


def _receipt(draft: _Draft) -> list[str]:
    head = [
        f"{draft.company.name:^40}".rstrip(),
        f"{draft.company.place:^40}".rstrip(),
        "=" * 40,
        _TITLES[draft.kind],
    ]
    head += [f"{label:<16}{value:>24}" for label, value in [*_facts(draft), ("Customer", draft.customer)]]
    rows = []
    for one in draft.lines:
        cells = _cells(draft, one)
        rows.append(
            f"{cells[0]}\n"
            + (f"   {cells[1]} x {cells[2]:<12}{cells[3]:>20}" if len(cells) > 2 else f"   {cells[1]} pieces")
        )
    foot = ["=" * 40, *(f"{label:<28}{value:>12}" for label, value in _sums(draft)), "", _closing(draft)]
    return _pages(draft, [*head, "-" * 40], rows, foot)


def _two_columns(draft: _Draft) -> list[str]:
    left = [draft.company.name, draft.company.place, "", "Deliver to", draft.customer]
    right = [_TITLES[draft.kind], *(f"{label} {value}" for label, value in _facts(draft))]
    height = max(len(left), len(right))
    left, right = left + [""] * (height - len(left)), right + [""] * (height - len(right))
    head = [f"{a:<38}{b}".rstrip() for a, b in zip(left, right, strict=True)]
    rows = ["  |  ".join((*_cells(draft, one)[1::-1], *_cells(draft, one)[2:])) for one in draft.lines]
    foot = ["", *(f"{value:>14}  {label}" for label, value in _sums(draft)), "", _closing(draft)]
    return _pages(
        draft,
        [*head, "", "Pieces  |  Article" + ("  |  Each  |  Sum" if draft.kind != "delivery note" else "")],
        rows,
        foot,
    )


def _closing(draft: _Draft) -> str:
    if draft.kind == "delivery note":
        return draft.extra.choice(("Received in good order: ______________", "The invoice follows by mail."))
    return draft.extra.choice(
        (
            "Thank you.",
            "Please quote the number above.",
            "Goods remain ours until they are paid.",
            "Questions? Call us on 0113 555 0142.",
        )
    )


_LAYOUTS = {"table": _table, "form": _form, "letter": _letter, "receipt": _receipt, "columns": _two_columns}


def table() -> bytes:
    """Return the documents' texts and right answers as a CSV file: what `invoices.csv` holds, with the articles' names as lines."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for at, paper in enumerate(papers()):
        *names, _ = paper.answer
        if at == 0:
            writer.writerow(["file", "document", *(f"correct_{name}" for name in (*names, "articles"))])
        articles = json.dumps([one["article"] for one in paper.answer["lines"]], ensure_ascii=False)
        writer.writerow([paper.name, paper.text, *(paper.answer[name] for name in names), articles])
    return out.getvalue().encode()


def file_of(paper: Paper, form: Form) -> bytes:
    """Return a document as a file: a text, a PDF with text, or a picture of its pages, one below the other."""
    if form == "txt":
        return paper.text.encode()
    return _pdf(paper) if form == "pdf" else _picture(paper)


_WIDTH, _HEIGHT, _MARGIN, _LEADING = 595, 842, 54, 14
_SIZE = {"Courier": 10.0, "Helvetica": 10.5, "Times-Roman": 11.5}


def _pdf(paper: Paper) -> bytes:
    import pypdfium2
    import pypdfium2.raw as pdfium

    made = pypdfium2.PdfDocument.new()
    font = pdfium.FPDFText_LoadStandardFont(made.raw, paper.font.encode())
    for text in paper.text.split(PAGE_BREAK):
        page = made.new_page(_WIDTH, _HEIGHT)
        for at, line in enumerate(text.split("\n")):
            if line.strip():
                shown = pdfium.FPDFPageObj_CreateTextObj(made.raw, font, _SIZE[paper.font])
                units = (line + "\0").encode("utf-16-le")
                pdfium.FPDFText_SetText(shown, (ctypes.c_ushort * (len(units) // 2)).from_buffer_copy(units))
                pdfium.FPDFPageObj_Transform(shown, 1, 0, 0, 1, _MARGIN, _HEIGHT - _MARGIN - at * _LEADING)
                pdfium.FPDFPage_InsertObject(page.raw, shown)
        page.gen_content()
    out = io.BytesIO()
    made.save(out)
    pdfium.FPDFFont_Close(font)
    made.close()
    return out.getvalue()


def _picture(paper: Paper) -> bytes:
    """Return a picture as a scanner gives it: grey, and every third one a little crooked."""
    import pypdfium2
    from PIL import Image

    file = pypdfium2.PdfDocument(_pdf(paper))
    pages = [page.render(scale=1.5, grayscale=True).to_pil() for page in file]
    whole = Image.new("L", (pages[0].width, sum(page.height for page in pages)), 255)
    for at, page in enumerate(pages):
        whole.paste(page, (0, at * pages[0].height))
    file.close()
    if int(paper.name[-3:]) % 3 == 0:
        whole = whole.rotate(0.8, fillcolor=245, resample=Image.Resampling.BILINEAR)
    out = io.BytesIO()
    whole.save(out, format="PNG", optimize=True)
    return out.getvalue()


def write_files(folder: Path, forms: tuple[Form, ...] = FORMS) -> None:
    """Write every document in every form to a folder, and the right answers as `answers.jsonl`, by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    answers = []
    for paper in papers():
        for form in forms:
            name = f"{paper.name}.{form}"
            (folder / name).write_bytes(file_of(paper, form))
            answers.append(json.dumps({"file": name, **paper.answer}, ensure_ascii=False))
    (folder / "answers.jsonl").write_text("\n".join(answers) + "\n", encoding="utf-8")


def main() -> None:
    """Write the files to a folder."""
    parser = argparse.ArgumentParser(
        description="Write the sample's invoices and delivery notes to a folder."
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("invoices"), help="made where it is missing"
    )
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS, help="default: %(default)s")
    given = parser.parse_args()
    write_files(given.folder, tuple(given.forms))


if __name__ == "__main__":
    main()
