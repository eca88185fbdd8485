"""An options model becomes widgets, and what they say becomes options again."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, Field
from streamlit.testing.v1 import AppTest

from dashboard.components.forms import entries, problems
from engine.registry import METRICS, OPTIMIZERS


class Options(BaseModel):
    rounds: int = Field(3, ge=1, le=9, description="How often.")
    share: float = Field(0.5, gt=0)
    mode: Literal["light", "heavy"] = "light"
    quick: bool = True
    name: str | None = None
    limit: int | None = Field(None, ge=1)
    nested: dict[str, int] = {}


def test_entries_say_what_each_option_is():
    found = {e.name: e for e in entries(Options)}
    assert [e.kind for e in found.values()] == ["whole", "number", "choice", "flag", "text", "whole"]
    assert found["rounds"].help == "How often."
    assert (found["rounds"].low, found["rounds"].high) == (1, 9)
    assert found["mode"].choices == ("light", "heavy")
    assert found["limit"].optional
    assert "nested" not in found


def test_problems_are_sentences():
    assert problems(Options, {"rounds": 3}) == []
    assert problems(Options, {"rounds": 99})[0].startswith("Rounds: ")


@pytest.mark.parametrize("entry", [*METRICS, *OPTIMIZERS], ids=lambda e: e.name)
def test_every_registered_entry_has_a_form(entry):
    model = getattr(entry, "options_model", None) or entry.Options
    found = entries(model)
    assert all(e.label for e in found)
    assert not problems(model, {e.name: e.default for e in found if not (e.optional and e.default is None)})


def page():
    from typing import Literal  # noqa: F401 - AppTest runs this function's source on its own

    import streamlit as st
    from pydantic import BaseModel, Field

    from dashboard.components.forms import options_form

    class Options(BaseModel):
        rounds: int = Field(3, ge=1, le=9)
        mode: Literal["light", "heavy"] = "light"
        quick: bool = True
        field: str | None = None

    values = options_form(Options, {"rounds": 5}, key="form", choices={"field": ["queue", "team"]})
    st.session_state["values"] = values


def test_the_form_returns_what_differs_from_the_defaults():
    app = AppTest.from_function(page).run()
    assert not app.exception
    assert app.session_state["values"] == {"rounds": 5}
    app.selectbox(key="form_mode").set_value("heavy").run()
    app.toggle(key="form_quick").set_value(False).run()
    app.selectbox(key="form_field").set_value("team").run()
    app.number_input(key="form_rounds").set_value(3).run()
    assert app.session_state["values"] == {"mode": "heavy", "quick": False, "field": "team"}
