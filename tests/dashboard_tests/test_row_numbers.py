"""Every page gives a row the number it has in its file: a JSON Lines file, and a CSV with a blank line."""

from __future__ import annotations

import csv
import io
import json

import pytest
from support.pages.page_frame import open_page, said, stored_draft

from dashboard.state import candidates, feedback, launching, reading
from dashboard.state.editing import drafts
from engine.dataset import read_dataset
from engine.pipeline.templates import SAMPLES
from engine.runs.results import report
from engine.runs.spec import sample_bytes
from engine.runs.worker import work
from engine.store.store import Store


def jsonl(rows):
    return "rows.jsonl", "\n".join(json.dumps(row) for row in rows).encode()


def csv_with_a_blank_line(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerow(rows[0])
    text.write("\n\n")
    writer.writerows(rows[1:])
    return "rows.csv", text.getvalue().encode()


@pytest.fixture(params=[jsonl, csv_with_a_blank_line])
def project(request, home):
    rows = list(csv.DictReader(sample_bytes(SAMPLES[0].file).decode().splitlines(keepends=True)))[:40]
    name, content = request.param(rows)
    project = drafts.project_from_sample(SAMPLES[0])
    drafts.update(project, dataset=drafts.add_file(read_dataset(content, name), content, "upload"))
    return project


@pytest.fixture
def run(project, tmp_path):
    spec = stored_draft(project).to_run()
    run = launching.create(project, spec.model_dump(mode="json"), "A run")
    work(tmp_path, run)
    return reading.run(run)


def numbers_in(dataset):
    """Row id -> the line of the file in which its message is."""
    with reading.open_store() as store:
        stored = store.datasets.get(dataset)
    lines = stored.content.decode().splitlines()
    return {
        at: next(number for number, line in enumerate(lines, 1) if row["message"] in line)
        for at, row in enumerate(read_dataset(stored.content, stored.name).rows())
    }


def test_results_show_and_link_rows_by_their_number(project, run):
    numbers = numbers_in(run.spec["dataset"])
    rows = [o.row for o in reading.read_store(report.tested, run)[0]]
    last = str(numbers[rows[-1]])
    app = open_page(project=project, run=run.id)
    app.session_state["results_tab"] = "Rows"
    for name, value in {"project": project, "run": run.id, "row": last, "rows": "All rows"}.items():
        app.query_params[name] = value
    app.switch_page("results/page.py").run()
    assert not app.exception
    table = next(d.value for d in app.dataframe if "Expected" in d.value.columns)
    assert list(table["Row"]) == [numbers[row] for row in rows]
    assert f"Row {last}" in said(app)


def test_a_prompt_the_playground_and_feedback_show_the_number(project, run):
    numbers = numbers_in(run.spec["dataset"])
    trial = next(t for t in reading.snapshot(run).trials if t.split == "validation")
    rows = [o.row for o in reading.outcomes(run, trial.number)]
    app = open_page("run", project=project, run=run.id, prompt="0")
    app.session_state["prompt_rows"] = True
    app.run()
    table = next((d.value for d in app.dataframe if "Model says" in d.value.columns), None)
    assert table is not None
    assert sorted(table["Row"]) == [numbers[row] for row in rows]

    app = open_page("try_it", project=project, run=run.id)
    outcomes = reading.read_store(report.tested, run)[0]
    assert [o.split(":")[0] for o in app.selectbox(key=f"try_row_{run.id}").options[1:]] == [
        f"Row {numbers[o.row]}" for o in outcomes
    ]

    feedback.save(project, run.spec["dataset"], rows[0], (run.id, "c"), (-1, "Mind the plan.", "billing"))
    assert f"Row {numbers[rows[0]]}: Mind the plan." in said(open_page("tune", project=project))


def test_a_preview_shows_the_number(project):
    app = open_page("metric", project=project)
    app.button(key="try_metric").click().run()
    (table,) = [d.value for d in app.dataframe if "Model says" in d.value.columns]
    dataset = stored_draft(project).dataset
    numbers = numbers_in(dataset)
    by_message = {row["message"]: numbers[at] for at, row in enumerate(reading.dataset(dataset).rows())}
    assert list(table["Row"]) == [by_message[text] for text in table["message"]]


def test_outcomes_stored_without_a_number_get_it_from_the_file(project, run):
    trial = next(t for t in reading.snapshot(run).trials if t.split == "test")
    known = reading.outcomes(run, trial.number)
    with Store.open() as store:
        store.connection.write("UPDATE outcomes SET content = json_remove(content, '$.number')")
    assert reading.outcomes(run, trial.number) == known
    assert [o.number for o in known] == [numbers_in(run.spec["dataset"])[o.row] for o in known]


def test_a_file_that_is_gone_leaves_the_rows_of_a_sheet(project):
    assert reading.row_numbers("gone", [0, 7]) == {0: 2, 7: 9}


def test_prompts_side_by_side_count_alike(project, run):
    found = candidates.chosen(run, run.result.best_candidate, "", [run])
    numbers = numbers_in(run.spec["dataset"])
    for one in found:
        assert all(o.number == numbers[o.row] for o in candidates.outcomes(one, "test"))
