"""What a user brings to start with is recognised in one line, and drafted without a model."""

from __future__ import annotations

import json

import pytest

from engine.dataset import profile, read_dataset
from engine.errors import DatasetError
from engine.pipeline.build import build_program
from engine.pipeline.importers.attachments import GivenFile
from engine.pipeline.importers.recognise import is_table, recognise
from engine.pipeline.importers.task import import_task
from engine.runs.drafting import draft_task

ROWS = b"mail,team\n" + b"".join(
    f"the {('bill', 'parcel')[i % 2]} {i},{('billing', 'shipping')[i % 2]}\n".encode() for i in range(30)
)
CHAT = json.dumps(
    {
        "model": "m",
        "messages": [{"role": "system", "content": "Sort."}, {"role": "user", "content": "{mail}"}],
    }
)
STATE = json.dumps({
    "solve.predict": {
        "demos": [],
        "signature": {
            "instructions": "Solve it.",
            "fields": [
                {"prefix": "Question:", "description": "${question}"},
                {"prefix": "Reasoning: Let's think", "description": "${reasoning}"},
                {"prefix": "Answer:", "description": "a number"},
            ],
        },
    }
})  # fmt: skip
PDF = GivenFile("bill.pdf", b"%PDF-1.4")


@pytest.mark.parametrize(
    ("text", "files", "line"),
    [
        ("Sort it: {{mail}}", (), "a prompt"),
        ("Sort mails into new and old.", (), "a description in your own words"),
        (CHAT, (), "the messages of a chat"),
        ("", (GivenFile("state.json", STATE.encode()),), "a program saved by DSPy"),
        ("", (GivenFile("qa.py", b'import dspy\nqa = dspy.Predict("a -> b")\n'),), "Python source with a class or a DSPy program"),
        ('{"properties": {"a": {"type": "string"}}}', (), "a JSON Schema"),
        ("class A(BaseModel):\n    x: int", (), "Python source with a class or a DSPy program"),
        ("mail\tteam\nhi\ta\n", (), "a table"),
        (ROWS.decode(), (), "a table"),
        ('[{"mail": "hi", "team": "a"}]', (), "a table"),
        ("", (GivenFile("rows.csv", ROWS),), "the table 'rows.csv'"),
        ("Sort it: {{mail}}", (GivenFile("rows.csv", ROWS),), "a prompt and the table 'rows.csv'"),
        ("", (PDF, GivenFile("answers.csv", ROWS)), "2 files with documents"),
        ("", (GivenFile("bills.zip", b"PK"),), "1 file with documents"),
    ],
)  # fmt: skip
def test_what_is_brought_is_said_in_one_line(text, files, line):
    assert recognise(text, files).line == f"Recognised: {line}."


def test_a_saved_project_and_an_exported_program_are_taken_as_wholes():
    assert recognise("", (GivenFile("p.json", b'{"format": "tuneboard.project", "version": 1}'),)).project
    assert recognise('{"format": "tuneboard.program", "version": 2}').program


@pytest.mark.parametrize(
    ("text", "files", "words"),
    [
        ("  ", (), "Paste a text"),
        ("Sort it.", (GivenFile("a.py", b"x"),), "two tasks"),
        ("", (GivenFile("a.csv", ROWS), GivenFile("b.csv", ROWS)), "several tables"),
    ],
)
def test_what_cannot_be_started_from_says_what_to_bring(text, files, words):
    with pytest.raises(DatasetError, match=words):
        recognise(text, files)


@pytest.mark.parametrize(
    "text",
    [
        "Dear model,\nsort, please, this mail",
        "Sort it, please.",
        CHAT,
        "Hello,\nworld,\nagain",
        "{nope",
        "[" * 5000,
    ],
)
def test_a_text_with_commas_and_a_chat_are_no_tables(text):
    assert not is_table(text)


@pytest.mark.parametrize(
    ("sentence", "inputs", "outputs"),
    [
        ("Sort customer mails into billing, shipping or other", ["mail"], [("category", "str", 3)]),
        ("I want to route support tickets to the right team", ["ticket"], [("team", "str", 0)]),
        ("Please decide whether a review is positive.", ["review"], [("answer", "str", 2)]),
        ("Extract the invoice number, the total amount and the articles from invoices", ["invoice"],
         [("invoice_number", "str", 0), ("total_amount", "float", 0), ("articles", "list[str]", 0)]),
        ("Read the number of guests and the day from booking mails", ["mail"], [("guests", "int", 0), ("day", "str", 0)]),
        ("Summarise meeting notes in one sentence", ["note"], [("summary", "str", 0)]),
        ("Rate essays from 1 to 5", ["essay"], [("rating", "str", 5)]),
        ("Solve word problems", ["problem"], [("answer", "float", 0)]),
        ("Make my day", ["text"], [("answer", "str", 0)]),
    ],
)  # fmt: skip
def test_a_sentence_becomes_fields_by_its_words(sentence, inputs, outputs):
    found = import_task(sentence)
    assert [f.name for f in found.step.inputs] == inputs
    assert [(f.name, f.type, len(f.choices)) for f in found.step.outputs] == outputs
    assert "without a model" in found.notes[0]
    drafted = draft_task(found).pipeline
    assert drafted is not None
    build_program(drafted)


def test_sums_are_thought_about_first():
    assert import_task("Calculate the price of an order").step.strategy == "chain_of_thought"
    assert import_task(STATE).step.strategy == "chain_of_thought"


def test_a_prompt_takes_its_allowed_values_and_columns_from_the_table():
    table = read_dataset(ROWS, "rows.csv")
    brought = recognise("Which team answers?\n{{mail}}\nTeam:", (GivenFile("rows.csv", ROWS),))
    made = draft_task(brought.imported(), table, profile(table))
    assert made.pipeline is not None
    assert made.metric is not None
    assert made.mapping == {"mail": "mail", "team": "team"}
    assert made.pipeline.outputs[0].choices == ("billing", "shipping")
    assert made.metric.name == "ExactMatch"


def test_a_table_that_says_nothing_gives_no_task_and_says_why():
    table = read_dataset(b"id\n" + b"".join(b"%d\n" % i for i in range(30)), "ids.csv")
    made = draft_task(None, table, profile(table))
    assert made.pipeline is None
    assert made.notes
