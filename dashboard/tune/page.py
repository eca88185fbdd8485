"""The tune page: how much to spend, what the test can show, the models, rarer ways, and the start of a run."""

import streamlit as st

from dashboard.components.tab_conflict import watch
from dashboard.components.wizard import wizard_header
from dashboard.tune.final_test import final_test_card
from dashboard.tune.other_ways import other_ways
from dashboard.tune.plans import plan_cards, plans_of, preset, what_is_missing
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
        test, models = st.columns([5, 3], gap="small")
        with test:
            final_test_card(page)
        with models:
            model_picker(page)
            feedback_card(page)
            compare_guard(page)
        other_ways(page)
    with side:
        write_prices(start_card(page, planned=any(plan.chosen(page.draft) for plan in plans)))
