"""The dashboard's entry: page settings, navigation, and errors of a whole page."""

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from dashboard.components import ui
from dashboard.components.project_page import read_only_notice
from dashboard.components.wizard import side_bar
from dashboard.services import EngineError
from dashboard.state import users
from dashboard.state.session import SIGNED_IN
from dashboard.state.writing import note, read_only
from dashboard.text import escape_markdown

HERE = Path(__file__).parent
# Addresses of pages that show more than one project. (A string here would be drawn on the page.)
NO_PROJECT = ("", "history", "settings")

st.set_page_config(page_title="Tuneboard", page_icon="🎛️", layout="wide", initial_sidebar_state="auto")


def _reads_only() -> bool:
    """Return whether the page's project may only be read; the end of the script for a user who has been removed."""
    try:
        return read_only()
    except EngineError as error:
        ui.show_error(error)
        st.stop()


LOOKING, LOOKING_EVERYWHERE = _reads_only(), read_only("")


def _page(
    name: str, title: str, icon: str, *, changes: bool = False, default: bool = False, hidden: bool = False
) -> StreamlitPage:
    """Return a page. One that only changes things is out of sight in a read-only dashboard."""
    hidden = hidden or (changes and LOOKING)
    return st.Page(
        f"{name}/page.py",
        title=title,
        url_path="" if default else name,
        icon=f":material/{icon}:",
        default=default,
        visibility="hidden" if hidden else "visible",
    )


set_up = [
    _page("task", "Task", "edit_note", changes=True),
    _page("examples", "Examples", "table_rows", changes=True),
    _page("metric", "Metric", "straighten", changes=True),
    _page("tune", "Tune", "tune", changes=True),
]
review = _page("review", "Review", "fact_check", changes=True, hidden=True)
settings = _page("settings", "Settings", "settings", hidden=LOOKING_EVERYWHERE)
changing = (*set_up, review, *([settings] if LOOKING_EVERYWHERE else ()))
pages = [
    _page("home", "Home", "home", default=True),
    review,
    *set_up,
    _page("run", "Run", "monitoring"),
    _page("results", "Results", "leaderboard"),
    _page("try_it", "Try it", "science"),
    _page("export", "Export", "ios_share"),
    _page("history", "History", "history"),
    settings,
]
chosen = st.navigation(pages, position="hidden")
try:
    with st.sidebar:
        project = side_bar({page.url_path for page in changing} if LOOKING else ())
    of_project = f" - {project.project.name}" if project and chosen.url_path not in NO_PROJECT else ""
    st.set_page_config(page_title=f"{chosen.title}{of_project} - Tuneboard")
    if LOOKING:
        with st.sidebar:
            look = "Read-only look" if LOOKING_EVERYWHERE else "Viewer of this project"
            st.badge(look, icon=":material/visibility:", color="blue")
    if user := users.current():
        if not SIGNED_IN.get():
            SIGNED_IN.set(True)
            note("opened the dashboard", "")
        with st.sidebar, ui.row("signed_in"):
            st.markdown(f":material/account_circle: {escape_markdown(user.name, 60)}", width="stretch")
            st.html(HERE / "static" / "sign_out.html", width="content")
    if LOOKING and chosen in changing:
        read_only_notice()
    else:
        chosen.run()
except EngineError as error:
    # One place for all pages: a locked, damaged or newer store, a file that is gone. The sentence says what to do.
    ui.show_error(error)
finally:
    # Last, because the first call loads what the rest of a first page can do without.
    st.logo(HERE / "static" / "logo.svg", icon_image=HERE / "static" / "mark.svg", size="large")
