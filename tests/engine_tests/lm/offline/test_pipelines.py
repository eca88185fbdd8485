"""On the shipped pipelines, what is in the prompt, and nothing else, makes the offline learner better."""

from __future__ import annotations

import csv
import random
from statistics import mean
from typing import Any

import pytest

from engine import ChatAdapter, Example, TokenF1, context
from engine.lm.base import BaseLM
from engine.lm.offline.copying import (
    best_sentences,
    next_query,
    question_and_passages,
    short_answer,
    taught_answer,
)
from engine.lm.offline.learner import OfflineLM, reply_text
from engine.optimizers.mipro.proposals import ProposeInstructions
from engine.pipeline.build import Pipeline, build_program
from engine.pipeline.templates import get_sample
from engine.runs.spec import sample_bytes

LM = OfflineLM()


def rows_of(name: str, seed: int = 1) -> list[dict[str, str]]:
    sample = get_sample(name)
    table = list(csv.DictReader(sample_bytes(sample.file).decode().splitlines()))
    rows = [{field: row[column] for field, column in sample.mapping.items()} for row in table]
    return random.Random(seed).sample(rows, len(rows))


def program(name: str, step: str = "", demos: list[Any] | None = None, lead: str = "") -> Pipeline:
    made = build_program(get_sample(name).pipeline)
    if step:
        predictor = dict(made.named_predictors())[step]
        predictor.demos = [Example(d) for d in demos or ()]
        if lead:
            predictor.signature = predictor.signature.with_instructions(lead)
    return made


def share_right(made: Pipeline, rows: list[dict[str, str]], inputs: tuple[str, ...] = ("question",)) -> float:
    with context(lm=LM):
        grades = [TokenF1()(Example(row), made(**{n: row[n] for n in inputs})).score for row in rows]
    return mean(grades)


@pytest.mark.parametrize("name", ["lending_questions", "festival_questions"])
def test_examples_show_that_answers_are_short(name: str):
    rows = rows_of(name)
    plain = share_right(program(name), rows[40:90])
    shown = share_right(program(name, "answer", rows[:16]), rows[40:90])
    assert plain < 0.35
    assert shown > plain + 0.15


def test_so_does_an_instruction():
    rows = rows_of("lending_questions")
    plain = share_right(program("lending_questions"), rows[40:90])
    lead = "Answer in as few words as possible, copied from the passages. If they do not say, answer 'not stated'."
    assert share_right(program("lending_questions", "answer", lead=lead), rows[40:90]) > plain + 0.15


def test_the_second_search_finds_what_the_first_could_not():
    name = "festival_questions"
    rows = rows_of(name)[:40]
    both = program(name)
    with context(lm=LM):
        answers = [both(question=row["question"]) for row in rows]
    first = mean(row["answer"] in " ".join(a.first_passages) for row, a in zip(rows, answers, strict=True))
    second = mean(row["answer"] in " ".join(a.more_passages) for row, a in zip(rows, answers, strict=True))
    assert second > first + 0.3


def test_a_record_is_read_by_examples():
    rows = rows_of("booking_mails")
    fields = ("guest", "day", "people", "room", "reference")

    def right(made: Pipeline) -> float:
        with context(lm=LM):
            answers = [made(mail=row["mail"]) for row in rows[40:80]]
        said = [
            [str(a[f] if a[f] is not None else "") == row[f] for f in fields]
            for a, row in zip(answers, rows[40:80], strict=True)
        ]
        return mean(mean(one) for one in said)

    plain = right(program("booking_mails"))
    assert plain < 0.5
    assert right(program("booking_mails", "extract", rows[:12])) > 0.75


def test_notes_become_the_sentence_that_examples_would_take():
    name = "shift_notes"
    rows = rows_of(name)
    plain = share_right(program(name), rows[40:70], ("handover",))
    shown = share_right(program(name, "write", rows[:12]), rows[40:70], ("handover",))
    assert shown > plain + 0.3


def test_the_agent_searches_calculates_and_ends():
    with context(lm=LM):
        answer = program("shop_questions")(question="What do 3 oak planters cost together?")
    calls = [(answer.trajectory[f"tool_name_{i}"], answer.trajectory[f"tool_args_{i}"]) for i in range(3)]
    assert calls[1:] == [("calculator", {"expression": "3 * 45"}), ("finish", {})]
    assert calls[0][0] == "search"
    assert answer.answer == 135.0


def test_sums_that_examples_teach():
    rows = rows_of("shop_questions")
    divide = "To answer, divide when the text mentions many or how many. Subtract when it says left, back, still or remains."
    plain, told = program("shop_questions"), program("shop_questions", "agent.react", lead="")
    react = dict(told.named_predictors())["agent.react"]
    react.signature = react.signature.with_instructions(f"{divide}\n{react.signature.instructions}")

    def right(made: Pipeline) -> float:
        with context(lm=LM):
            return mean(
                abs(made(question=r["question"]).answer - float(r["answer"])) < 0.01 for r in rows[:60]
            )

    assert right(told) > right(plain) + 0.1


def test_it_knows_no_sample():
    assert isinstance(LM, BaseLM)
    question, passages = question_and_passages(
        (
            (
                "passages",
                '["Ferns | A fern likes shade. Water it on Mondays.", "Cacti | A cactus likes sun. Water it in May."]',
            ),
            ("question", "When do I water the ferns?"),
        )
    )
    found = best_sentences(question, passages)
    assert found[0].text == "Water it on Mondays."
    assert short_answer(question, found[0].text) == "Mondays"
    assert taught_answer(question, found, (("When do I water the roses?", "Fridays"),)) == "Mondays"
    assert best_sentences("anything", ()) == ()
    assert next_query("Who?", []) == "Who?"
    assert question_and_passages((("text", "no passages here"), ("tags", '["a", "b"]')))[1] == ()


@pytest.mark.parametrize(
    ("name", "step", "inputs"),
    [("lending_questions", "answer", ("question",)), ("shift_notes", "write", ("handover",))],
)
def test_an_instruction_it_wrote_itself_from_twenty_rows_helps(name: str, step: str, inputs: tuple[str, ...]):
    rows, sample = rows_of(name), get_sample(name)
    output = sample.pipeline.outputs[0].name
    labelled = [{"inputs": {n: r[n] for n in inputs}, "outputs": {output: r[output]}} for r in rows[:20]]
    given = {
        "program_description": "A pipeline.",
        "step": f"It writes {output}",
        "data_summary": "",
        "labelled_examples": labelled,
        "solved_examples": [],
        "current_instructions": dict(program(name).named_predictors())[step].signature.instructions,
        "tip": "",
    }
    chat = ChatAdapter()
    reply = reply_text(LM.request(chat.format(ProposeInstructions, [], given)))
    written = chat.parse(ProposeInstructions, reply)["proposed_instructions"]
    before = share_right(program(name), rows[40:80], inputs)
    assert share_right(program(name, step, lead=written), rows[40:80], inputs) > before + 0.15
