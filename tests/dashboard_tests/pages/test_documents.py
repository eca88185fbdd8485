"""Records out of documents, on the pages: a pile taken in, read next to its answers, corrected; over a real store."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from page_frame import open_page, said, stored_draft

from dashboard.state import drafts


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path


def pile(number: int = 12) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for n in range(number):
            archive.writestr(f"bill-{n}.txt", f"Bill no. {n}\n<b>Total</b> {n}.50 EUR\fSecond page {n}")
        archive.writestr(
            "answers.json",
            json.dumps([{"file": f"bill-{n}", "number": n, "total": n + 0.5} for n in range(number)]),
        )
        archive.writestr("photo.heic", b"\0\0\0\x18ftypheic" + b"\0" * 40)
    return out.getvalue()


def test_a_pile_becomes_a_project_and_names_what_it_could_not_use():
    project = drafts.create_project(drafts.UNTITLED)
    app = open_page("examples", project=project)
    app.segmented_control(key="source_way").set_value("Documents").run()
    app.button(key="use_documents").click().run()
    assert "Choose documents first." in said(app)
    app.file_uploader[0].upload("bills.zip", pile(), "application/zip").run()
    app.button(key="use_documents").click().run()
    assert not app.exception
    draft = stored_draft(project)
    assert [f.name for f in draft.pipeline.outputs] == ["number", "total"]
    assert draft.metric.name == "JSONMatch"
    assert "1 file was not used" in said(app)
    assert draft.mapping["total"] == "correct_total"
