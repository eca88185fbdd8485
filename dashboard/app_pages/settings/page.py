"""Models, their keys, and what is kept on this machine."""

import streamlit as st

from dashboard.app_pages.settings.cards import (
    backend_card,
    found_models,
    model_form,
    model_list,
    spending_card,
    storage_card,
    tuned_list,
)
from dashboard.app_pages.settings.limits import limits_card
from dashboard.components import ui

ui.page_title(
    "Settings",
    "Models are chosen for each project on its Tune page; here they are added, tested, priced and given keys.",
)
left, right = st.columns([7, 4], gap="medium")
with left:
    st.markdown("##### Models")
    model_list()
    tuned_list()
    found_models()
    model_form()
with right:
    st.markdown("##### On this machine")
    backend_card()
    limits_card()
    spending_card()
    storage_card()
note = st.session_state.pop("key_note", "")
if note:
    st.toast(note, icon=":material/info:")
