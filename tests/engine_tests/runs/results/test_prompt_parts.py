"""The rules and examples of a prompt, and versions without some of them."""

from engine.records import Candidate, Demo, StepState
from engine.runs.results.prompt_parts import prompt_parts, without_parts

TEXT = "Sort the mail.\n\nRules:\n- Refunds are billing.\n- Bugs are technical.\n\nBe brief:\n1. One word.\n2) No full stop."


def whole():
    demos = (Demo({"mail": "hi", "queue": "sales"}), Demo({"mail": "no", "queue": "bug"}))
    return Candidate({"sort": StepState(TEXT, demos=demos)})


def test_rules_are_the_lines_of_lists_and_examples_come_after_them():
    found = prompt_parts(whole())
    assert [p.text for p in found if p.kind == "rule"] == [
        "Refunds are billing.",
        "Bugs are technical.",
        "One word.",
        "No full stop.",
    ]
    assert [(p.place, p.text) for p in found if p.kind == "example"] == [
        (0, "mail: hi · queue: sales"),
        (1, "mail: no · queue: bug"),
    ]


def test_a_version_leaves_out_what_is_off_and_says_so():
    parent = whole()
    rule, *_, example = prompt_parts(parent)
    child = without_parts(parent, [rule, example], "prompt 4")
    state = child.steps["sort"]
    assert state.instructions == TEXT.replace("- Refunds are billing.\n", "")
    assert state.demos == parent.steps["sort"].demos[:1]
    assert child.parents == (parent.id,)
    assert "the rule “Refunds are billing.” and the example “mail: no" in child.reason


def test_a_heading_goes_with_the_last_of_its_rules():
    parent = whole()
    rules = [p for p in prompt_parts(parent) if p.kind == "rule"]
    child = without_parts(parent, rules)
    assert child.steps["sort"].instructions == "Sort the mail."
    assert child.reason == "Like the prompt, without 4 of its rules."
    assert (
        without_parts(parent, rules[:2])
        .steps["sort"]
        .instructions.startswith("Sort the mail.\n\nBe brief:\n1.")
    )


def test_nothing_left_out_is_the_same_prompt():
    assert without_parts(whole(), []).id == whole().id
