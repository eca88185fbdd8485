"""How to improve the prompt, with which model, at what cost."""

import streamlit as st

from dashboard.components.tune.budget_form import budget_form
from dashboard.components.tune.compare_guard import compare_guard
from dashboard.components.tune.freeze_form import freeze_form
from dashboard.components.tune.model_picker import model_picker
from dashboard.components.tune.optimizer_cards import optimizer_cards, optimizer_options
from dashboard.components.tune.remarks_note import remarks_note
from dashboard.components.tune.start_card import start_card
from dashboard.components.wizard import wizard_header

now = wizard_header("tune")
if now is not None:
    choices, side = st.columns([8, 3], gap="medium")
    with choices:
        optimizer_cards(now)
        optimizer_options(now)
        budget_form(now)
        freeze_form(now)
    with side:
        # Drawn below the button, run before it: whether remarks are used is a part of what will be started.
        start = st.container(key="start_place")
        remarks_note(now)
        model_picker(now)
        compare_guard(now)
        with start:
            start_card(now)
