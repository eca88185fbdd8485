"""An options model becomes widgets, and what they say becomes options again."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, Field
from streamlit.testing.v1 import AppTest

from dashboard.components.forms import drawn_fields, problems
from engine.registry import METRICS, OPTIMIZERS


class Options(BaseModel):
    rounds: int = Field(3, ge=1, le=9, description="How often.")
    share: float = Field(0.5, gt=0)
    mode: Literal["light", "heavy"] = "light"
    quick: bool = True
    name: str | None = None
    limit: int | None = Field(None, ge=1)
    nested: dict[str, int] = {}


def test_options_that_are_no_widget_are_left_out():
    assert list(drawn_fields(Options)) == ["rounds", "share", "mode", "quick", "name", "limit"]
    assert list(drawn_fields(Options, ["nested"], ["share", "mode", "quick", "name", "limit"])) == [
        "rounds",
        "nested",
    ]


def test_problems_are_sentences():
    assert problems(Options, {"rounds": 3}) == []
    assert problems(Options, {"rounds": 99})[0].startswith("Rounds: ")


@pytest.mark.parametrize("entry", [*METRICS, *OPTIMIZERS], ids=lambda e: e.name)
def test_every_registered_entry_has_a_form(entry):
    model = getattr(entry, "options_model", None) or entry.Options
    fields = drawn_fields(model)
    defaults = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    assert not problems(model, {name: default for name, default in defaults.items() if default is not None})


def page():
    from typing import Literal  # noqa: F401 - AppTest runs this function's source on its own

    import streamlit as st
    from pydantic import BaseModel, Field

    from dashboard.components.forms import options_form

    class Options(BaseModel):
        rounds: int = Field(3, ge=1, le=9, description="How often.")
        share: float = Field(0.5, gt=0)
        mode: Literal["light", "heavy"] = "light"
        quick: bool = True
        field: str | None = None
        limit: int | None = Field(None, ge=1)

    values = options_form(Options, {"rounds": 5}, key="form", choices={"field": ["queue", "team"]})
    st.session_state["values"] = values


def test_the_form_returns_what_differs_from_the_defaults():
    app = AppTest.from_function(page).run()
    assert not app.exception
    assert app.session_state["values"] == {"rounds": 5}
    rounds, limit = app.number_input(key="form_rounds"), app.number_input(key="form_limit")
    assert (rounds.help, rounds.min, rounds.max) == ("How often.", 1, 9)
    assert (limit.value, limit.placeholder) == (None, "Automatic")
    assert app.selectbox(key="form_mode").options == ["light", "heavy"]
    assert app.selectbox(key="form_field").options == ["Automatic", "queue", "team"]
    app.selectbox(key="form_mode").set_value("heavy").run()
    app.toggle(key="form_quick").set_value(False).run()
    app.selectbox(key="form_field").set_value("team").run()
    app.number_input(key="form_rounds").set_value(3).run()
    assert app.session_state["values"] == {"mode": "heavy", "quick": False, "field": "team"}
