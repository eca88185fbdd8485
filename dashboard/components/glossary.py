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
    Term(
        "practice score",
        "validation score",
        "A score on the rows that a search chooses by. It flatters the prompts that were chosen; the test rows tell.",
    ),
    Term("metric", "scorer, reward", "The rule that scores an answer against the right one."),
    Term("judge", "LLM as a judge", "A model that scores answers by what you tell it to look for."),
    Term(
        "agreement",
        "Cohen's kappa",
        "How often a metric's scores and your own grades are the same, beyond what chance would give: 1 is always, 0 is by chance.",
    ),
    Term(
        "objective",
        "goal, Pareto front",
        "What decides between programs: the score alone, or the price or time of an answer among those that score nearly as well.",
    ),
    Term("run", "experiment", "One search for a better prompt, from the start to the final test."),
    Term("candidate", "trial prompt", "One prompt that a run tries."),
    Term("baseline", "seed prompt", "Your prompt as it was before tuning; everything is compared with it."),
    Term("best prompt", "winner", "The candidate that a run chose; it is what you take away."),
    Term(
        "best so far",
        "leader",
        "The prompt whose score on the validation rows is surest to be the highest. One that ran only some of these rows is "
        "compared on them with the start, and its score is drawn towards the start's. The band is the 95 % interval of the score.",
    ),
    Term("gain", "improvement", "What the best prompt scores above the baseline, in points of 100."),
    Term(
        "likely gain",
        "95 % confidence interval",
        "Where the true gain lies most likely, in points of 100. If 0 is within it, the gain may be luck.",
    ),
    Term(
        "verdict",
        "significance",
        "One sentence, worked out from the final test's rows, that says whether the best prompt is better.",
    ),
    Term(
        "family",
        "lineage",
        "Which prompt was made from which: a line leads from a prompt to those it came from.",
    ),
    Term(
        "beaten outright",
        "dominated",
        "A prompt for which there is another that is as good or better, and cheaper.",
    ),
    Term(
        "step's share",
        "credit assignment",
        "How much of the gain is one step's doing, judged by prompts that differ in that step alone.",
    ),
    Term("way of tuning", "optimizer", "The method that looks for better prompts."),
    Term(
        "budget",
        "limit",
        "The most a run may use: calls, tokens, money or time. It stops there and keeps the best.",
    ),
    Term(
        "estimate",
        "dry run",
        "What a run will take, worked out by searching with a pretend model. Nothing is sent or paid.",
    ),
    Term("frozen", "fixed, held constant", "A part of the prompt that tuning must leave as it is."),
    Term(
        "comparable",
        "same benchmark",
        "Two runs whose scores mean the same: their data, split, metric, judge, model and task are equal.",
    ),
    Term(
        "feedback on an answer",
        "human feedback",
        "Your opinion of an answer, with a thumb or in words. The next run reads it, except on test rows.",
    ),
    Term("token", "token", "A piece of a word, about four letters. Models are paid by the token."),
    Term("call", "request", "One question to the model and its answer."),
    Term(
        "solved example",
        "demonstration, few-shot",
        "A row with its right answer that is shown to the model in the prompt.",
    ),
    Term(
        "model", "LLM", "What reads the prompt and answers: a service on the net, or a program on a machine."
    ),
    Term(
        "training of a model",
        "fine-tuning, weights",
        "Changing a small model itself, until it answers as the rows do: not its prompt, its weights.",
    ),
    Term("teacher", "large model", "The model whose right answers a small one learns from."),
    Term(
        "base model",
        "student, checkpoint",
        "The small model that is trained: as its maker published it, under its maker's licence.",
    ),
    Term(
        "tuned model", "fine-tuned model", "A model that a run has trained. It can be chosen like any other."
    ),
    Term("provider", "endpoint, host", "Where a model runs, and who is paid for it."),
    Term("key", "API key", "The password of your account at a provider. It is never written into a project."),
    Term(
        "answer kept for reuse",
        "cache",
        "A paid answer that is stored, so that the same question is not paid for again.",
    ),
    Term("version", "release", "A program that was kept, with a number. One of them is in use."),
    Term("in use", "deployed", "The program that you work with, at most one in a project."),
    Term(
        "prompt taken",
        "exported candidate",
        "The one of a run's prompts that its exports hold, that is tried, and that is kept as a version. You decide; "
        "at first it is the best one where it is surely better (or as good and cheaper or faster, where that is the goal), else the start.",
    ),
    Term(
        "proof",
        "round trip, regression test",
        "The exported file, read again and run on the test rows: it must answer as the run did.",
    ),
    Term(
        "offline model",
        "stand-in",
        "A small model inside Tuneboard: free, instant, without a key. A real model understands far more.",
    ),
)
NUMBERED = "Here: its number in your file; the header is row 1."
"""Addition to the explanation of a column of row numbers."""

_BY_NAME = {term.name: term for term in TERMS}


def explain(name: str, more: str = "") -> str:
    """Return a term's sentence, what to add at this place, and the usual other names.

    Raises KeyError for a term that is not listed.

    >>> explain("step")
    'One part of the task: one question to the model, one search, or one call of a tool. Also called: module, node.'
    """
    term = _BY_NAME[name]
    other = f"Also called: {term.other}." if term.other and term.other != term.name else ""
    return " ".join(part for part in (term.sentence, more, other) if part)
