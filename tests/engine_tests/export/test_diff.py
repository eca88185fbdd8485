from time import process_time

from engine.basics.text import Line, Segment, difference


def texts(segments: tuple[Segment, ...] | None, kind: str) -> str:
    return "".join(s.text for s in segments or () if s.kind in ("same", kind))


def test_equal_texts_have_no_difference():
    found = difference("a\nb", "a\nb")
    assert (found.added, found.removed) == (0, 0)
    assert not any(line.changed for line in found.lines)


def test_both_sides_can_be_read_back_from_the_segments():
    before, after = (
        "Route the ticket.\nBe brief.\nUse one word.",
        "Route the customer's ticket.\nUse one word.\nNever guess.",
    )
    found = difference(before, after)
    assert "\n".join(texts(x.before, "removed") for x in found.lines if x.before is not None) == before
    assert "\n".join(texts(x.after, "added") for x in found.lines if x.after is not None) == after


def test_a_new_line_stands_alone():
    assert difference("a", "a\nb").lines[-1] == Line(None, (Segment("added", "b"),))


def test_from_nothing_to_something_counts_words():
    assert difference("", "one two three").added == 3


def test_a_long_prompt_is_compared_quickly():
    before = "\n".join(f"rule {i}: words that stay the same number {i}" for i in range(600))
    after = before.replace("stay", "remain", 300)
    started = process_time()  # of this process alone: others may have the machine
    difference(before, after)
    assert process_time() - started < 10
