"""Autotune where nothing can be learned: it keeps the start and says so within 15 % of the calls, whatever the task looks like."""

import random
import re
from dataclasses import replace

import pytest
from support.small_optimizers import Relay

from engine import loop
from engine.lm.base import BaseLM, Choice, Reply
from engine.metrics import Grade
from engine.modules.module import Module
from engine.modules.predict import Predict
from engine.optimizers.autotune.optimizer import Autotune
from engine.optimizers.autotune.rules import words_predict_labels
from engine.records import Example
from engine.search.budget import Budget
from engine.search.driver import Driver
from engine.search.settings import make_problem
from engine.testing.contract import ToyLM, toy_rows, toy_settings

_LABELS = ("red", "green", "blue", "grey")
_MARKS = ("zorvex", "plimox", "quarnu", "treska")
_WORDS = [
    "please",
    "kindly",
    "today",
    "about",
    "again",
    "with",
    "from",
    "under",
    "window",
    "morning",
    "paper",
    "station",
    "little",
    "garden",
]


class DeafLM(BaseLM):
    """Answers at random, whatever it is told or shown, and the same to the same prompt."""

    def __init__(self, constant: str = "", name: str = "deaf") -> None:
        super().__init__(name)
        self.constant = constant

    async def complete(self, request):
        asked = str(request.messages[0]["content"]).partition("output fields")[2].partition("All inter")[0]
        drawn = random.Random(str(request.key()))
        values = {
            name: "Count the letters with care."
            if name == "rules"
            else self.constant or drawn.choice(_LABELS)
            for name in re.findall(r"^\d+\. `(\w+)`", asked, re.MULTILINE)
        }
        text = "".join(f"[[ ## {name} ## ]]\n{value}\n\n" for name, value in values.items())
        return Reply((Choice(f"{text}[[ ## completed ## ]]"),))


def rows(kind: str, n: int = 200) -> dict[int, Example]:
    """Rows whose words tell of the label ("told"), do not ("untold"), or whose answer is no label ("open")."""
    rng = random.Random(7)
    made = {}
    for i in range(n):
        words = rng.choices(_WORDS, k=12)
        place = rng.randrange(4)
        label = str(rng.randrange(10_000)) if kind == "open" else _LABELS[place]
        words[3] = _MARKS[place] if kind == "told" else words[3]
        made[i] = Example(text=f"{i}: {' '.join(words)}", label=label).with_inputs("text")
    return made


def settings(kind: str, lm: BaseLM, calls: int, program: Module | None = None, **changes):
    return toy_settings(
        lm,
        program=program or Predict("text -> label"),
        rows=rows(kind),
        train=tuple(range(100)),
        validation=tuple(range(100, 200)),
        budget=Budget(calls=calls),
        **{"metric": lambda e, p, trace=None: e.label == p.label, **changes},
    )


def tuned(made, seed: int = 0):
    return loop.run(Driver(made).search(Autotune(seed=seed).search))


@pytest.mark.parametrize("seed", range(6))
def test_chance_finds_nothing_on_any_seed(seed):
    result = tuned(settings("untold", DeafLM(), 650), seed)
    assert result.best.id == result.seed.id
    assert "Nothing to gain" in result.reason
    assert result.usage.calls <= 0.15 * 650


@pytest.mark.parametrize(
    ("kind", "program"),
    [("told", None), ("open", None), ("untold", Relay())],
    ids=["a model that learns nothing", "answers that are no labels", "two steps"],
)
@pytest.mark.parametrize("calls", [650, 2000])
def test_it_stops_whatever_the_task_looks_like(kind, program, calls):
    lm = DeafLM("red" if kind == "told" else "")
    result = tuned(settings(kind, lm, calls, program))
    assert result.best.id == result.seed.id
    # Where no answer is ever right, that is what a person must hear first.
    assert ("Every answer scored 0" if kind == "open" else "Nothing to gain") in result.reason
    assert result.usage.calls <= 0.15 * calls


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_a_metric_that_never_changes_ends_it_early(score):
    result = tuned(settings("told", DeafLM(), 650, metric=lambda e, p, trace=None: score))
    assert result.best.id == result.seed.id
    assert result.usage.calls <= 0.15 * 650


def test_a_lucky_candidate_is_hardly_ever_taken_for_a_better_one():
    # Each model draws other answers: the same lucky prompt would count again and again.
    results = [tuned(settings("told", DeafLM(name=f"deaf{seed}"), 400), seed) for seed in range(8)]
    assert sum(result.best.id != result.seed.id for result in results) <= 1


class PoliteLM(BaseLM):
    """Replies as its rules say; writes rules from what is said about runs, and useless ones where nothing is said."""

    def __init__(self) -> None:
        super().__init__("polite")

    async def complete(self, request):
        asked, last = str(request.messages[0]["content"]), str(request.messages[-1]["content"])
        if "`rules`" in asked:
            found = sorted(set(re.findall(r"With \w+ the reply must say \w+", last)))
            drawn = random.Random(str(request.key())).sample(found, min(4, len(found)))
            text = "[[ ## rules ## ]]\n" + ("\n".join(drawn) or "Be polite to each customer.")
        else:
            words = re.findall(r"mark\w+", last.partition("Respond with")[0])[-1:]
            taught = re.search(f"With {words[0]} the reply must say (\\w+)", asked)
            text = f"[[ ## reply ## ]]\n{taught[1] if taught else 'say0' if words[0] == 'mark0' else 'Hello'}"
        return Reply((Choice(f"{text}\n\n[[ ## completed ## ]]"),))


@pytest.mark.parametrize("calls", [120, 1000])
def test_it_does_not_give_up_before_rules_from_feedback_were_raced(calls):
    def metric(example, prediction, trace=None):
        mark = example.text.split()[-1]
        wanted = mark.replace("mark", "say")
        return Grade(float(prediction.reply == wanted), f"With {mark} the reply must say {wanted}")

    texts = [f"Ticket {i} mark{i % 8}" for i in range(120)]
    made = settings("open", PoliteLM(), calls, Predict("text -> reply"), metric=metric)
    made = replace(
        made,
        rows={i: Example(text=text).with_inputs("text") for i, text in enumerate(texts)},
        train=tuple(range(60)),
        validation=tuple(range(60, 120)),
    )
    result = tuned(made)
    assert result.best.id != result.seed.id
    assert result.score > 0.8


def test_words_that_tell_of_labels_are_told_from_chance():
    def told(made, n):
        problem = make_problem(toy_settings(ToyLM(), rows=made, train=tuple(range(n)), validation=()))
        return words_predict_labels(problem, random.Random(0))

    assert told(rows("told"), 200) is True
    assert told(toy_rows(), 36) is True
    assert told(rows("untold"), 200) is False
    assert told(rows("open"), 200) is None
