"""Autotune: what it finds, what it leaves alone, and how it handles rules."""

import re
from dataclasses import replace

import pytest
from support.small_optimizers import HintLM, TwoSteps

from engine import loop
from engine.adapters.chat import ChatAdapter
from engine.errors import RunError
from engine.lm.base import BaseLM, Choice, Reply
from engine.modules.predict import Predict
from engine.optimizers.autotune.merging import RuleCheck, merged_rules, text_words
from engine.optimizers.autotune.optimizer import Autotune
from engine.optimizers.autotune.rules import covering_rows, rules_of
from engine.records import Example, TraceStep
from engine.search.budget import Budget
from engine.search.contract import Problem, Proposal, Propose, Score, relay
from engine.search.driver import Driver
from engine.search.settings import make_problem
from engine.testing.contract import ToyLM, toy_rows, toy_settings


def run(settings, **options):
    return loop.run(Driver(settings).search(Autotune(**options).search))


def problem_of(**changes) -> Problem:
    return make_problem(toy_settings(ToyLM(), **changes))


def test_a_task_that_can_be_taught_is_taught_and_that_is_said():
    result = run(toy_settings(ToyLM(), budget=Budget(calls=150)))
    assert result.score is not None
    assert result.score > 0.9
    assert result.reason.startswith("Found: ")
    assert re.search(r"scores 100 %, the starting prompt \d+ %\.", result.reason)


def test_calls_that_would_buy_nothing_are_not_made_and_that_is_said():
    result = run(toy_settings(ToyLM(), budget=Budget(calls=5000)))
    assert result.usage.calls < 2500
    assert re.search(r"[\d,]+ of the 5,000 planned calls were not needed\.$", result.reason)


def test_the_rows_most_like_an_input_are_shown_and_never_the_row_itself():
    result = run(toy_settings(ToyLM(), budget=Budget(calls=60)), proposals=0)
    state = result.best.steps["self"]
    assert (len(state.demos), state.nearest) == (36, 4)
    assert run(toy_settings(ToyLM()), leave_out=("nearest",)).best.steps["self"].nearest == 0


@pytest.mark.parametrize(
    "left_out", ["rules", "examples", "nearest", "reasoning", "layout", "model", "runs", "readable"]
)
def test_every_part_can_be_left_out(left_out):
    result = run(toy_settings(ToyLM(), budget=Budget(calls=120)), leave_out=(left_out,))
    assert result.stopped == "finished"
    found = result.best.steps["self"]
    if left_out == "rules":
        assert found.instructions == result.seed.steps["self"].instructions
    if left_out == "examples":
        assert found.demos == ()


class ThinkingLM(BaseLM):
    """Right only where it is asked to reason first, whatever it is shown or told."""

    def __init__(self):
        super().__init__("thinking")

    async def complete(self, request):
        asked = str(request.messages[0]["content"])
        text = str(request.messages[-1]["content"]).split("]]\n", 1)[-1].split("\n")[0]
        if "`rules`" in asked:
            answer = "[[ ## rules ## ]]\nCount the letters of the word with care."
        elif "`reasoning`" in asked:
            answer = f"[[ ## reasoning ## ]]\nI count.\n\n[[ ## size ## ]]\n{len(text)}"
        else:
            answer = f"[[ ## size ## ]]\n{len(text) if len(text) % 3 == 0 else 0}"
        return Reply((Choice(f"{answer}\n\n[[ ## completed ## ]]"),))


def test_reasoning_first_is_found_where_it_alone_helps():
    rows = {i: Example(text="x" * (i % 17 + 3), size=i % 17 + 3).with_inputs("text") for i in range(96)}
    settings = toy_settings(
        ThinkingLM(),
        program=Predict("text -> size: int"),
        rows=rows,
        train=tuple(range(48)),
        validation=tuple(range(48, 96)),
        metric=lambda example, prediction, trace=None: prediction.size == example.size,
        budget=Budget(calls=500),
    )
    result = run(settings)
    assert result.best.steps["self"].reason_first is True
    assert result.score == 1.0
    assert run(settings, leave_out=("reasoning",)).best.steps["self"].reason_first is None


def test_the_calls_of_a_round_run_together():
    sizes = []

    def counted(problem):
        def count(asks):
            sizes.append(sum(len(a.rows) if isinstance(a, Score) else getattr(a, "n", 0) for a in asks))

        return relay(Autotune().search(problem), count)

    result = loop.run(Driver(toy_settings(ToyLM(), budget=Budget(calls=150))).search(counted))
    assert result.stopped == "finished"
    assert len([n for n in sizes if n]) <= 2 + result.usage.calls / 16


def test_alike_rules_are_merged_and_a_new_wording_replaces_the_old():
    words = ("zorvex", "plim", "quarn", "tresk", "obdel", "wimf")
    current = [f"Where {word} occurs the answer is billing" for word in words]
    merged = merged_rules(
        current,
        [["Where zorvex occurs the answer is shipping"], ["Where jolp occurs: returns"]],
        RuleCheck(problem_of()),
    )
    assert len(merged) == 7
    assert merged[0].endswith("shipping")


def test_rules_are_read_from_lists_and_from_running_text():
    lists = Proposal(({"rules": "- One rule here.\n2) Another rule here.\n\n"},))
    text = Proposal(({"rules": "One rule here. Another rule here."},))
    assert rules_of([lists])[0] == rules_of([text])[0] == ["One rule here.", "Another rule here."]
    assert rules_of([Proposal(())]) == []


def test_every_rule_and_example_of_the_winner_has_its_credit():
    result = run(
        toy_settings(
            ToyLM(),
            rows=toy_rows(48),
            train=tuple(range(24)),
            validation=tuple(range(24, 48)),
            budget=Budget(calls=400),
        )
    )
    state = result.best.steps["self"]
    kinds = [c.kind for c in result.credits]
    assert kinds.count("example") == len(state.demos)
    assert kinds.count("rule") == state.instructions.count("\n- ")
    assert sum(c.fixed for c in result.credits) > sum(c.broken for c in result.credits)
    # What shows each input other examples was also scored without that.
    assert state.nearest == 0 or any(t.label.startswith("readable") for t in result.trials)


def test_of_rules_that_contradict_each_other_the_supported_one_stays():
    check = RuleCheck(problem_of(rows=toy_rows(), train=tuple(range(36))))
    rules = ["Where apple occurs the label is green", "With apple the label is red", "Read closely."]
    assert merged_rules(rules, [], check) == tuple(rules[1:])


def test_of_rules_that_contradict_each_other_without_labels_what_most_readers_say_stays():
    seen = ("zorvex", "plimox", "quarnu", "treska")
    rows = {
        i: Example(text=f"ticket {i} {seen[i % 4]}", reply=f"Reply {i}.").with_inputs("text")
        for i in range(40)
    }
    problem = problem_of(
        program=Predict("text -> reply"), rows=rows, train=tuple(rows), validation=tuple(rows)
    )
    check = RuleCheck(problem)
    current = ["Write plimox replies in a warm manner.", "Tickets with quarnu need a brief manner."]
    readers = [
        ["If the ticket says zorvex, the manner is brief."],
        ["Choose a formal manner wherever zorvex occurs.", "If it says plimox, be formal in manner."],
        ["Tickets with zorvex have the manner brief.", "Zorvex and treska: the closing is farewell."],
    ]
    merged = merged_rules(current, readers, check)
    assert [sorted(text_words(rule) & {"brief", "formal", "warm", "farewell"}) for rule in merged] == [
        ["formal"],  # a proposal corrects a current rule
        ["brief"],
        ["brief"],  # two of three readers
        ["farewell"],  # more words of the inputs: an exception, not a contradiction
    ]


def test_what_a_step_wrote_in_runs_that_ended_well_settles_its_rules_and_examples():
    def call(topic, queue):
        return TraceStep("second", {"topic": topic}, {"queue": queue})

    runs = (
        [(call("harbour", "falcon"), 1.0)] * 5
        + [(call("harbour", "raven"), 1.0)]
        + [(call("harbour", "raven"), 0.0)] * 3
    )
    runs += [(call("meadow", "swift"), 0.0), (call("quarry", "swift"), 1.0)] * 6
    check = RuleCheck(problem_of(), runs)
    rules = ["If it is harbour, the queue is raven.", "Tickets of harbour have the queue falcon."]
    assert check.contradicted(rules[0])
    assert not check.contradicted(rules[1])
    assert not check.contradicted("If it is meadow, the queue is raven.")  # nothing better was written
    assert (
        merged_rules(rules[:1], [rules[1:]], check)
        == merged_rules(rules[1:], [rules[:1]], check)
        == (rules[1],)
    )


def test_what_each_reader_says_counts_as_agreement_and_not_as_mere_wording():
    kinds = {"late": "overdue delivered", "wrong": "colour size", "price": "voucher invoice"}
    rows = {
        i: Example(text=f"order {i}: {kinds[kind].split()[i // 3 % 2]}", kind=kind).with_inputs("text")
        for i in range(60)
        for kind in [list(kinds)[i % 3]]
    }
    check = RuleCheck(problem_of(rows=rows, train=tuple(rows), validation=tuple(rows)))
    readers = [
        [
            f"The kind is {kind} when the text mentions {' or '.join(names.split())}."
            for kind, names in kinds.items()
        ]
        + [f"The kind is price when the text mentions voucher, invoice or word{reader}."]
        for reader in range(6)
    ]
    assert len(merged_rules([], readers, check)) == 3


def test_of_rules_that_say_the_same_of_the_same_words_the_most_general_stays():
    seen = [("lift stuck", "facilities"), ("lift loud", "facilities"), ("badge lost", "security")] * 8
    seen += [(f"other{i}", ("facilities", "security")[i % 2]) for i in range(72)]
    rows = {i: Example(text=text, team=team).with_inputs("text") for i, (text, team) in enumerate(seen)}
    check = RuleCheck(problem_of(rows=rows, train=tuple(rows), validation=tuple(rows)))
    rules = (
        "Where the lift is stuck, the team is facilities.",
        "Anything about a lift: facilities.",
        "A lift that is loud goes to facilities.",
        "Anything of a lift: facilities.",
        "A lost badge goes to security.",
        "Read the whole message.",
    )
    assert check.without_repeats(rules) == (rules[3], rules[4], rules[5])


def test_with_few_calls_the_rules_of_several_steps_are_written_once_and_from_runs():
    batches = []
    settings = toy_settings(
        HintLM(),
        program=TwoSteps(),
        rows=toy_rows(80),
        train=tuple(range(40)),
        validation=tuple(range(40, 80)),
        budget=Budget(calls=60),
    )
    loop.run(Driver(settings).search(lambda problem: relay(Autotune().search(problem), batches.append)))
    writing = [at for at, asks in enumerate(batches) if any(isinstance(a, Propose) for a in asks)]
    assert len(writing) == 1
    assert {a.label for a in batches[writing[0]]} == {"rules for first", "rules for second"}
    assert any(a.trace for asks in batches[: writing[0]] for a in asks if isinstance(a, Score))


@pytest.mark.parametrize("calls", [400, 500, 650])
def test_prompts_that_are_read_more_easily_leave_half_of_the_calls_to_the_finals(calls):
    shares = []

    def search(problem):
        def note(asks):
            left = problem.meter.limit - problem.meter.made
            rows = sum(len(a.rows) for a in asks if isinstance(a, Score) and "readable" in a.label)
            shares.append(rows * problem.calls_per_row / left if rows else 0)

        return relay(Autotune().search(problem), note)

    rows = {"rows": toy_rows(160), "train": tuple(range(80)), "validation": tuple(range(80, 160))}
    settings = toy_settings(HintLM(), program=TwoSteps(), **rows, budget=Budget(calls=calls))
    assert loop.run(Driver(settings).search(search)).stopped == "finished"
    assert 0 < max(shares) <= 0.5


def test_rules_that_the_rows_speak_against_are_found():
    check = RuleCheck(problem_of(rows=toy_rows(), train=tuple(range(36))))
    assert check.contradicted("Where apple occurs the label is green")
    assert not check.contradicted("Where apple occurs the label is red")
    assert not check.contradicted("Read closely.")
    assert check.support("Where apple occurs the label is red") >= 2
    assert check.support("Where apple occurs the label is green") == check.support("Read closely.") == 0


def test_a_label_of_several_words_is_read_as_one():
    seen = [("lift stuck", "Late"), ("badge lost", "Very late"), ("door open", "Not late")] * 8
    seen += [(f"other{i}", ("Late", "Very late")[i % 2]) for i in range(72)]
    rows = {i: Example(text=text, state=state).with_inputs("text") for i, (text, state) in enumerate(seen)}
    check = RuleCheck(problem_of(rows=rows, train=tuple(rows), validation=tuple(rows)))
    assert check.support("Where the badge is lost, the state is very late.") == 8
    assert check.contradicted("Where the badge is lost, the state is late.")
    assert check.support("A stuck lift is late.") == 8
    assert not check.contradicted("A stuck lift is very late or not late.")  # names two


def test_rows_whose_label_their_words_speak_against_teach_no_model():
    class Listening(ToyLM):
        heard = ""

        async def complete(self, request):
            if "labelled_examples" in request.messages[0]["content"]:
                self.heard += request.messages[-1]["content"]
            return await super().complete(request)

    rows, model = toy_rows(120), Listening()
    wrong = {
        i: next(r.label for r in rows.values() if r.label != rows[i].label) for i in (3, 20, 41, 78, 100)
    }
    rows |= {i: Example(text=rows[i].text, label=label).with_inputs("text") for i, label in wrong.items()}
    places = tuple(rows)
    given = {"rows": rows, "train": places[::2], "validation": places[1::2], "budget": Budget(calls=200)}
    result = run(toy_settings(model, **given))
    assert "5 rows with a doubtful label taught no model." in result.reason
    shown = {demo.values["text"] for t in result.trials for demo in t.candidate.steps["self"].demos}
    assert rows[4].text in shown
    assert re.search(rf"{rows[4].text}\b", model.heard)
    assert not [i for i in wrong if rows[i].text in shown or re.search(rf"{rows[i].text}\b", model.heard)]


def test_rows_that_cover_most_are_of_different_kinds():
    problem = problem_of()
    chosen = covering_rows(problem, problem.train, 12)
    assert len({problem.rows[row]["text"].split()[0] for row in chosen}) >= 6


class OneLayoutLM(ToyLM):
    """The toy model, but what it writes is readable in one layout only. `asked` counts what it was asked in each."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        self.layout = layout

    async def complete(self, request):
        system = str(request.messages[0]["content"])
        reply = await super().complete(request)
        if "`rules`" in system or self.layout == "chat":
            return reply
        found = re.search(r"red|green|blue", reply.text.partition("label ## ]]")[2])
        label = found[0] if found else "red"
        if self.layout == "xml" and "<label>" in system:
            return replace(reply, choices=(Choice(f"<label>{label}</label>"),))
        if self.layout == "json" and "JSON object" in system:
            return replace(reply, choices=(Choice(f'{{"label": "{label}"}}'),))
        return replace(reply, choices=(Choice(f"Well, {label[:2]}"),))


@pytest.mark.parametrize("layout", ["xml", "json"])
def test_another_layout_is_found_where_answers_come_out_garbled(layout):
    result = run(toy_settings(OneLayoutLM(layout), budget=Budget(calls=400)))
    assert result.best.steps["self"].adapter == layout
    assert f"answers in the {layout} layout" in result.reason


def test_no_other_layout_is_tried_where_answers_are_readable_or_somebody_has_chosen_one():
    tried = {t.candidate.steps["self"].adapter for t in run(toy_settings(ToyLM())).trials}
    assert tried == {None}
    program = Predict("text -> label")
    program.adapter = ChatAdapter()
    for settings, left_out in (
        (toy_settings(OneLayoutLM("xml"), program=program, budget=Budget(calls=200)), ()),
        (toy_settings(OneLayoutLM("xml"), budget=Budget(calls=200)), ("layout",)),
    ):
        with pytest.raises(RunError, match="can be read"):
            run(settings, leave_out=left_out)
