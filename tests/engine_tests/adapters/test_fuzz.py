"""No reply, however odd, may raise anything but AdapterParseError; what an adapter writes it must read."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from engine.adapters import Adapter, ChatAdapter, JSONAdapter, XMLAdapter, chat
from engine.errors import AdapterParseError
from engine.signature import InputField, OutputField, Signature


class Part(BaseModel):
    name: str
    weight: float | None = None


class Everything(Signature):
    """Fill it in."""

    q: str = InputField()
    flag: bool = OutputField()
    count: int = OutputField(ge=-1000, le=1000)
    ratio: float = OutputField()
    label: Literal["a", "B c", "1"] = OutputField()
    words: list[str] = OutputField()
    table: dict[str, int] = OutputField()
    part: Part = OutputField()
    maybe: int | None = OutputField()


NAMES = list(Everything.output_fields)
pieces = st.one_of(
    st.sampled_from([f"\n[[ ## {n} ## ]]\n" for n in (*NAMES, "completed", "x")]),
    st.sampled_from(
        ["{", "}", "[", "]", '"', ",", ":", "```", "```json\n", "null", "- a", "1e999", "\\", "'"]
    ),
    st.text(max_size=12),
    st.sampled_from([f'"{n}": ' for n in NAMES]),
    st.sampled_from([f"<{mark}{n}>" for n in (*NAMES, "item", "name", "entry") for mark in ("", "/")]),
)


@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter(), XMLAdapter()])
@settings(max_examples=150, deadline=None)
@given(parts=st.lists(pieces, max_size=30))
def test_odd_replies_raise_only_parse_errors(adapter: Adapter, parts: list[str]) -> None:
    with contextlib.suppress(AdapterParseError):
        found = adapter.parse(Everything, "".join(parts))
        assert list(found) == NAMES


plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.fixed_dictionaries(
    {
        "flag": st.booleans(),
        "count": st.integers(-1000, 1000),
        "ratio": st.floats(allow_nan=False, allow_infinity=False),
        "label": st.sampled_from(["a", "B c", "1"]),
        "words": st.lists(plain, max_size=4),
        "table": st.dictionaries(plain, st.integers(-(2**50), 2**50), max_size=3),
        "part": st.builds(Part, name=plain, weight=st.none() | st.floats(-1e6, 1e6)),
        "maybe": st.none() | st.integers(-(2**60), 2**60),
    }
)


@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter(), XMLAdapter()])
@settings(max_examples=100, deadline=None)
@given(outputs=values)
def test_what_is_written_is_read(adapter: Adapter, outputs: dict[str, Any]) -> None:
    assert adapter.parse(Everything, adapter.answer(Everything, outputs)) == outputs


canonical = st.sampled_from(
    ["[[ ## a ## ]]\n", "[[ ## b ## ]]\n", "[[ ## completed ## ]]", "x\n", "\n", "[[", " ", "**", "]]"]
)


@settings(max_examples=400, deadline=None)
@given(parts=st.lists(canonical, max_size=9))
def test_the_quick_way_reads_what_the_lenient_way_reads(parts: list[str]) -> None:
    text = "".join(parts)
    quick = chat._plain_sections(text)
    if quick is not None:
        assert {k: v.strip() for k, v in quick.items()} == {
            k: v.strip() for k, v in chat._sections(text, ends=True).items()
        }


HOSTILE = {
    "brackets": '{"flag": ' + "[" * 100_000,
    "braces": "{" * 100_000,
    "nested objects": '{"flag": ' * 20_000,
    "quotes": '{"flag": "' + '"' * 50_000,
    "unclosed tags": "<flag><words>" * 10_000,
    "unclosed items": "<words>" + "<item>" * 15_000,
    "headers": "[[ ## flag ## ]]\n" * 7_000,
    "fences": "```" * 30_000,
    "a long number": "[[ ## count ## ]]\n" + "1" + ",111" * 25_000 + "x",
    "a long list": '{"words": [' + '"x",' * 25_000,
    "too long to mend": '{"words": [' + '"x",' * 100_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter(), XMLAdapter()], ids=lambda a: a.name)
def test_hostile_replies_take_no_time_and_no_stack(adapter: Adapter, text: str) -> None:
    started = time.process_time()
    with pytest.raises(AdapterParseError):
        adapter.parse(Everything, text)
    # Without limits some of these take a minute, and every other row waits.
    assert time.process_time() - started < 15
