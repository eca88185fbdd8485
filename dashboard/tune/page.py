"""The tune page: how much to spend, optimizer and limits for experts, models, and the start of a run."""

import streamlit as st

from dashboard.components.tab_conflict import watch
from dashboard.components.wizard import wizard_header
from dashboard.tune.compare_models import compare_models
from dashboard.tune.freeze_form import freeze_form
from dashboard.tune.optimizer import budget_form, optimizer_cards, optimizer_options
from dashboard.tune.plans import plan_cards, plans_of, preset, what_is_missing
from dashboard.tune.small_model import small_model
from dashboard.tune.start import compare_guard, feedback_card, model_picker, start_card

page = wizard_header("tune")
if page is not None:
    if preset(page):
        st.rerun()
    watch(page, "tuning")
    choices, side = st.columns([8, 3], gap="medium")
    with choices:
        plans = [] if what_is_missing(page) else plans_of(page.draft)
        write_prices = plan_cards(page, plans)
        small_model(page)
        compare_models(page)
        title = "Expert: every way of tuning, its options, limits"
        with st.expander(title, icon=":material/tune:", key="expert"):
            optimizer_cards(page)
            optimizer_options(page)
            budget_form(page)
            freeze_form(page)
    with side:
        # Drawn below the button, run before it: the use of feedback is a part of what will be started.
        start = st.container(key="start_place")
        feedback_card(page)
        model_picker(page)
        compare_guard(page)
        with start:
            write_prices(start_card(page, planned=any(plan.chosen(page.draft) for plan in plans)))
