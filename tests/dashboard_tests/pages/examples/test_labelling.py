"""Rows from a log are labelled one at a time, the most doubtful first; each label is an edit that can be undone."""

from __future__ import annotations

import json

import pytest
from support.pages.page_frame import open_page, said, stored_draft

from dashboard.state import reading
from dashboard.state.editing import labelling, starting
from engine.dataset.logs import OUTPUT
from engine.errors import DatasetError
from engine.runs.intake.attachments import BroughtFile


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path))
    return tmp_path


def from_log() -> str:
    def line(n: int) -> str:
        asked = [
            {"role": "system", "content": "Sort it."},
            {"role": "user", "content": f"the {('bill', 'parcel')[n % 2]} {n}"},
        ]
        answer = {"role": "assistant", "content": ("billing", "shipping")[n % 2]}
        thumbs = {3: "down", 5: "up"}.get(n)
        return json.dumps(
            {"messages": asked, "response": {"choices": [{"message": answer}]}, "feedback": thumbs}
        )

    content = "\n".join(line(n) for n in range(30)).encode()
    open_page()
    return starting.start_project("", [BroughtFile("calls.jsonl", content)])


def label_page(project: str):
    app = open_page("examples", project=project)
    app.session_state["example_tabs"] = "Label"
    return app.run()


def table_of(project: str):
    return reading.dataset(stored_draft(project).dataset)


def test_a_log_is_labelled_by_keys_in_the_order_of_doubt():
    project = from_log()
    app = label_page(project)
    assert "**29 rows to label**, 0 labelled" in said(app)
    assert "Row 4. Its user gave a thumbs-down." in said(app)
    app.button(key="label_value_0").click().run()
    assert not app.exception
    assert table_of(project).values(OUTPUT)[3] == "billing"
    assert "**28 rows to label**, 1 labelled" in said(app)
    assert not app.toast
    assert "Nothing else has answered it yet." in said(app)
    app.button(key="label_skip").click().run()
    app.button(key="label_accept").click().run()
    assert labelling.labelled_rows(table_of(project)) == {1, 3}
    app.button(key="label_out").click().run()
    assert list(stored_draft(project).excluded) == [2]
    assert [p.step for p in stored_draft(project).problems()] == ["tune"]


def test_rows_where_the_current_prompt_disagrees_come_first():
    project = from_log()
    app = label_page(project)
    app.button(key="label_ask").click().run(timeout=180)
    assert not app.exception
    found = app.session_state[f"label_answers_{project}"]
    assert set(found) == set(range(30)) - {5}
    reasons = [d.reason for d in labelling.queue(project, stored_draft(project), table_of(project))]
    assert reasons[0].startswith("Its user")


def test_a_blank_label_is_refused():
    project = from_log()
    with pytest.raises(DatasetError, match="needs an answer"):
        labelling.label(project, 0, "  ")
