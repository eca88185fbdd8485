"""Every term of the dashboard in plain words: one sentence each, for tooltips and for the list on the home page.

No Streamlit in here. A term is what the page calls a thing; `other` is what programmers and papers call it.
"""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    """A term, what others call it ("" where there is no other word), and one sentence."""

    name: str
    other: str
    sentence: str


TERMS: tuple[Term, ...] = (
    Term(
        "task",
        "program, pipeline",
        "What the model does for each row: what it reads, what it answers, and how.",
    ),
    Term("instruction", "prompt", "The words that tell the model what to do. Tuning rewrites them."),
    Term(
        "prompt",
        "messages",
        "Everything that is sent to the model for one row: the instruction, solved examples, the inputs.",
    ),
    Term("field", "variable", "One named value that goes in or comes out, such as the message or the team."),
    Term("input", "input field", "A field the model gets to read for each row."),
    Term("output", "output field", "A field the model has to answer; your examples hold the right answers."),
    Term(
        "step",
        "module, node",
        "One part of the task: one question to the model, one search, or one call of a tool.",
    ),
    Term(
        "way of answering",
        "strategy",
        "How a step gets to its answer: at once, by thinking first, with tools, and so on.",
    ),
    Term("corpus", "knowledge base", "Texts that a step searches for passages that help with the answer."),
    Term("passage", "chunk", "One short text of a corpus; a search finds the few that fit best."),
    Term("search", "retrieval", "Finding the passages that say most about a text, before the model answers."),
    Term("tool", "function", "Something a step can call, such as a calculator; it costs no model call."),
    Term(
        "message layout",
        "adapter",
        "How fields are written down in the messages, and how answers are read back.",
    ),
    Term("examples", "dataset", "Rows with the inputs and the right answers."),
    Term("row", "record", "One example: one line of your table."),
    Term(
        "column",
        "feature",
        "One named value of every row of your table; a field of the task is filled from it.",
    ),
    Term("rows to learn from", "training set", "Rows from which solved examples for the prompt are picked."),
    Term(
        "rows to choose by",
        "validation set",
        "Rows on which every candidate prompt is scored; the best one is kept.",
    ),
    Term(
        "final test",
        "test set, hold-out",
        "Rows the search never sees; only the start and the best are scored there, once.",
    ),
    Term(
        "seed",
        "random seed",
        "A number that fixes every chance decision: the same number gives the same result again.",
    ),
    Term("left out", "excluded", "A row that stays in the table and is not used; you say why."),
    Term(
        "written by a model",
        "synthetic",
        "A row that a model made up. It is only learned from, never tested on.",
    ),
    Term(
        "leak",
        "contamination",
        "A test row that nearly repeats a row learned from: it makes the score look better than it is.",
    ),
    Term("score", "metric value", "How good an answer is, from 0 to 1, by the metric you choose."),
    Term("metric", "scorer, reward", "The rule that scores an answer against the right one."),
    Term("run", "experiment", "One search for a better prompt, from the start to the final test."),
    Term("candidate", "trial prompt", "One prompt that a run tries."),
    Term("baseline", "seed prompt", "Your prompt as it was before tuning; everything is compared with it."),
    Term("way of tuning", "optimizer", "The method that looks for better prompts."),
    Term(
        "budget",
        "limit",
        "The most a run may use: calls, tokens, money or time. It stops there and keeps the best.",
    ),
    Term("token", "token", "A piece of a word, about four letters. Models are paid by the token."),
    Term("call", "request", "One question to the model and its answer."),
    Term(
        "solved example",
        "demonstration, few-shot",
        "A row with its right answer that is shown to the model in the prompt.",
    ),
    Term(
        "offline model",
        "stand-in",
        "A small model inside Tuneboard: free, instant, without a key. A real model understands far more.",
    ),
)
_BY_NAME = {term.name: term for term in TERMS}


def explain(name: str) -> str:
    """Return a term's sentence, with what others call it. Raises KeyError for a term that is not listed.

    >>> explain("step")
    'One part of the task: one question to the model, one search, or one call of a tool. Also called: module, node.'
    """
    term = _BY_NAME[name]
    other = f" Also called: {term.other}." if term.other and term.other != term.name else ""
    return f"{term.sentence}{other}"
