"""Models, their keys, and what is kept on this machine."""

import streamlit as st

from dashboard.components.look import page_title
from dashboard.components.settings.found_models import found_models
from dashboard.components.settings.model_form import model_form
from dashboard.components.settings.model_list import model_list
from dashboard.components.settings.spending_card import spending_card
from dashboard.components.settings.storage_card import storage_card

page_title(
    "Settings",
    "Models are chosen for each project on its Tune page; here they are added, tested, priced and given keys.",
)
left, right = st.columns([7, 4], gap="medium")
with left:
    st.markdown("##### Models")
    model_list()
    found_models()
    model_form()
with right:
    st.markdown("##### On this machine")
    spending_card()
    storage_card()
note = st.session_state.pop("key_note", "")
if note:
    st.toast(note, icon=":material/info:")
