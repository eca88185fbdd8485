"""The sample of documents: its table, and the files made of it."""

from __future__ import annotations

import io
import json
from collections import Counter

import pypdfium2
from PIL import Image

from engine.runs.spec import sample_bytes
from sample_data.invoices import PAGE_BREAK, file_of, papers, write_files

PAPERS = tuple(papers())


def test_the_table_is_what_the_script_makes():
    from sample_data.invoices import table

    assert sample_bytes("invoices.csv") == table()


def test_hard_cases_are_there():
    kinds = Counter(paper.answer["kind"] for paper in PAPERS)
    assert min(kinds.values()) >= 15
    assert sum(paper.answer["date"] is None for paper in PAPERS) >= 10
    assert sum(PAGE_BREAK in paper.text for paper in PAPERS) >= 10
    assert sum("Balance of your account" in paper.text for paper in PAPERS) >= 10
    assert len({paper.answer["number"] for paper in PAPERS}) == len(PAPERS) == 120


def test_a_document_is_the_same_in_every_form():
    paper = next(p for p in PAPERS if PAGE_BREAK in p.text)
    with pypdfium2.PdfDocument(file_of(paper, "pdf")) as pdf:
        assert len(pdf) == 2
        assert paper.answer["number"] in pdf[0].get_textpage().get_text_range()
    picture = Image.open(io.BytesIO(file_of(paper, "png")))
    assert picture.height > 2 * picture.width
    assert file_of(paper, "txt").decode() == paper.text


def test_a_folder_of_texts_comes_with_its_answers(tmp_path):
    write_files(tmp_path, ("txt",))
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(answers) == 120
    assert all((tmp_path / row["file"]).read_text() for row in answers)
    assert answers[0]["lines"][0].keys() == {"article", "quantity", "price"}
