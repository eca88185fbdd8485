"""Models, their keys, and what is kept on this machine."""

import streamlit as st

from dashboard.components import ui
from dashboard.settings.machine import backend_card, limits_card, links_card, spending_card, storage_card
from dashboard.settings.model_form import found_models, model_form
from dashboard.settings.model_list import model_list, tuned_list
from dashboard.settings.users import audit_card, users_card
from dashboard.state import users
from dashboard.state.session import KEY_NOTE

ui.page_title(
    "Settings",
    "Models are chosen for each project on its Tune page; here they are added, tested, priced and given keys.",
)
administrator = users.is_administrator()
if not administrator:
    st.caption(
        "Models, prices and where runs work are set by an administrator. A key given here is for this page alone."
    )
left, right = st.columns([7, 4], gap="medium")
with left:
    st.markdown("##### Models")
    model_list()
    tuned_list()
    if administrator:
        found_models()
        model_form()
        users_card()
        audit_card()
with right:
    st.markdown("##### On this machine" if administrator else "##### Your projects")
    if administrator:
        backend_card()
        limits_card()
    spending_card()
    links_card()
    if administrator:
        storage_card()
note = KEY_NOTE.pop()
if note:
    st.toast(note, icon=":material/info:")
