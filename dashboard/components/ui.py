"""Building blocks of every page: frames, rows, buttons, links, choices and messages. They know no project."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.services import EngineError, JsonObject
from dashboard.state.users import acting_later, project_of_page
from dashboard.state.writing import note, read_only
from dashboard.text import escape_markdown

STATIC = Path(__file__).parents[1] / "static"
Gap = Literal["xxsmall", "xsmall", "small", "medium"]
_Arguments = ParamSpec("_Arguments")
_Value = TypeVar("_Value")


def static_text(*names: str) -> str:
    """Return the text of files in `dashboard/static`, one after the other."""
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)


def page_style() -> None:
    """Add the style sheet of all pages."""
    st.html(STATIC / "page.css")


def page_row(title: str, purpose: str) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Draw the line at the top of a page; return the places next to its title and of its actions, at the right.

    `title` is Markdown. The places stay where they are, whatever is drawn in them.
    """
    with row("page_line", side="distribute"):
        left = row("page_title", width="content")
        left.title(title, anchor=False, help=purpose or None, width="content")
        actions = row("page_actions", side="right", width="content")
    return left, actions


def page_title(title: str, purpose: str) -> DeltaGenerator:
    """Draw the line at the top of a page that belongs to no project; return the place of its actions."""
    page_style()
    left, actions = page_row(title, "")
    left.caption(purpose, width="content")
    return actions


def card(
    key: str,
    title: str = "",
    about: str = "",
    *,
    gap: Gap = "small",
    height: Literal["content", "stretch"] = "content",
) -> DeltaGenerator:
    """Return a frame with a title in Markdown and its explanation."""
    frame = st.container(border=True, key=key, gap=gap, height=height)
    if title:
        frame.markdown(f"**{title}**", help=about or None)
    return frame


def tile(key: str) -> DeltaGenerator:
    """Return a frame as high as its neighbours, with its last part at the bottom."""
    return st.container(border=True, height="stretch", vertical_alignment="distribute", key=key)


def row(
    key: str,
    align: Literal["top", "center", "bottom"] = "center",
    *,
    side: Literal["left", "right", "distribute"] = "left",
    gap: Gap = "small",
    wrap: bool = True,
    width: Literal["stretch", "content"] = "stretch",
) -> DeltaGenerator:
    """Return a container whose parts are next to each other."""
    return st.container(
        horizontal=True,
        vertical_alignment=align,
        horizontal_alignment=side,
        gap=gap,
        wrap=wrap,
        width=width,
        key=key,
    )


def page_path(name: str) -> str:
    """Return the file of a page."""
    return f"{name}/page.py"


def link(page: str, label: str, icon: str, about: str = "", **address: str) -> None:
    """Link to a page; `about` is shown on hover."""
    about = escape_markdown(about)
    st.page_link(
        page_path(page), label=label, icon=_icon(icon), help=about or None, query_params=address or None
    )


def nothing_here(key: str, title: str, what: str) -> DeltaGenerator:
    """Say in a frame what is missing on this page; return the frame, for a way out."""
    frame = card(key, title)
    frame.caption(what)
    return frame


def mark(icon: str, text: str, colour: str = "orange") -> str:
    """Return a message as Markdown, behind an icon."""
    return f":{colour}[:material/{icon}:] {escape_markdown(text, 1000)}"


LONGEST = 6000


def named_text(name: str, text: str) -> None:
    """Show a text letter for letter below its name; a very long one is cut."""
    st.caption(escape_markdown(name))
    st.text(text[:LONGEST] + (" …" if len(text) > LONGEST else ""))


def show_error(error: EngineError | str) -> None:
    """Show an error's message; it names the thing and says what to do."""
    st.markdown(mark("error", str(error), "red"))


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show an EngineError in place of what follows it."""
    try:
        yield
    except EngineError as error:
        show_error(error)


@contextmanager
def problem_kept(key: str) -> Iterator[None]:
    """Keep the message of an EngineError in the session, for the page to show; without an error, forget the last."""
    st.session_state.pop(key, None)
    try:
        yield
    except EngineError as error:
        st.session_state[key] = str(error)


def problem_line(key: str) -> None:
    """Show the message that `problem_kept` has kept."""
    if problem := st.session_state.get(key):
        with st.container(key=f"{key}_line"):
            show_error(problem)


def callback(
    act: Callable[_Arguments, object], *arguments: _Arguments.args, **named: _Arguments.kwargs
) -> Callable[[], None]:
    """Return a widget's callback that shows an EngineError: a store that is locked, full or read-only, for example.

    Streamlit runs callbacks before the page, where `app.py` catches nothing: an error there would leave an empty page.
    """

    def reporting() -> None:
        try:
            act(*arguments, **named)
        except EngineError as error:
            st.toast(
                f"Your last change was not saved. {escape_markdown(str(error), 1000)}",
                icon=":material/error:",
                duration="infinite",
            )

    return reporting


def checked_callback(
    problem: str, act: Callable[_Arguments, object], *arguments: _Arguments.args, **named: _Arguments.kwargs
) -> Callable[[], None]:
    """Return a widget's callback that keeps an EngineError under a key, for `problem_line` to show next to the widget."""

    def keeping() -> None:
        with problem_kept(problem):
            act(*arguments, **named)

    return keeping


def with_value(key: str, act: Callable[..., object], *arguments: object) -> Callable[[], None]:
    """Return the callback of the widget with this key: `act` gets the arguments, then the widget's value."""
    return callback(lambda: act(*arguments, st.session_state[key]))


def saved(key: str, act: Callable[..., object], *arguments: object) -> JsonObject:
    """Return the key of a widget that is saved at every change, and its callback: see `with_value`."""
    return {"key": key, "on_change": with_value(key, act, *arguments)}


def button(
    label: str,
    key: str,
    why_not: str = "",
    *,
    icon: str = "",
    on_click: Callable[[], None] | None = None,
    reason_shown: bool = False,
    **options: Any,
) -> bool:
    """Draw a button that is disabled as long as there is a reason, with the reason below it: a phone has no hover.

    With `reason_shown` the page shows the reason elsewhere.
    """
    options["help"] = escape_markdown(why_not, 1000) or options.get("help")
    below = why_not and not reason_shown
    with st.container(gap="xxsmall", width=options.get("width", "content")) if below else nullcontext():
        pressed = st.button(
            label, key=key, icon=_icon(icon), disabled=bool(why_not), on_click=on_click, **options
        )
        if below:
            st.caption(escape_markdown(why_not, 1000))
    return pressed


def chosen_or_button(
    mine: bool, key: str, on_click: Callable[[], None], label: str = "Choose", **options: Any
) -> None:
    """Draw a badge on the one thing of several that is chosen, and on each other the button that chooses it."""
    if mine:
        st.badge("Chosen", icon=":material/check:", color="green")
    elif not read_only():
        button(label, key, on_click=on_click, **options)


def _icon(name: str) -> str | None:
    return f":material/{name}:" if name and not name.startswith(":") else name or None


def icon_button(icon: str, title: str, key: str, *, on_click: Callable[[], None], why_not: str = "") -> None:
    """Draw a small button that is an icon alone; its title, or why it is disabled, is shown on hover."""
    st.button(
        "",
        icon=_icon(icon),
        key=key,
        help=why_not or title,
        disabled=bool(why_not),
        on_click=on_click,
        type="tertiary",
    )


def checked_button(label: str, why_not: str, *, icon: str = "", **options: Any) -> bool:
    """Draw a button that says, once pressed, what is still missing; True when it is pressed and nothing is.

    For what waits for a box to be filled: the browser hands a text over when its box is left, so a disabled
    button would swallow the very click that leaves it.
    """
    pressed = st.button(label, icon=_icon(icon), **options)
    if pressed and why_not:
        st.markdown(mark("pending", why_not))
    return pressed and not why_not


def download(
    label: str,
    content: str | bytes | Callable[[], str | bytes],
    file_name: str,
    key: str,
    *,
    help: str = "",  # noqa: A002 - Streamlit's name
    primary: bool = False,
) -> None:
    """Offer a file; what is not made yet is made when it is asked for."""
    about = f"{file_name} {project_of_page()}".strip()

    def made() -> str | bytes:
        note("exported", about)
        return content() if callable(content) else content

    st.download_button(
        label,
        acting_later(made),
        file_name=file_name,
        mime=MIME.get(Path(file_name).suffix, "text/plain"),
        icon=":material/download:",
        key=key,
        type="primary" if primary else "secondary",
        on_click="ignore",
        help=help or None,
    )


MIME = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".py": "text/x-python",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".zip": "application/zip",
}


def confirmed(keep: str, go: str, key: str) -> bool:
    """Draw the two buttons of a dialog; True when the second is pressed, and the dialog closes on the first."""
    with row(f"{key}_actions", "top", side="right"):
        if st.button(keep, key=f"{key}_no"):
            st.rerun()
        return st.button(go, key=f"{key}_yes", type="primary")


def segments(label: str, options: Sequence[_Value], **more: Any) -> _Value:
    """Let the user choose one of a few options, drawn side by side; the label is read out, not shown."""
    chosen: Any = st.segmented_control(label, options, required=True, label_visibility="collapsed", **more)
    return chosen  # type: ignore[no-any-return]  # one of the options


def select(label: str, names: Mapping[_Value, str], chosen: _Value | None = None, **more: Any) -> _Value:
    """Let the user pick from a list; `names` is value -> what it is called."""
    values = list(names)
    at = next((i for i, value in enumerate(values) if value == chosen), 0)
    picked: Any = st.selectbox(label, values, index=at, format_func=lambda v: names.get(v, ""), **more)
    return picked  # type: ignore[no-any-return]  # one of the values


def plain_code(text: str, **options: Any) -> None:
    """Show a text letter for letter, with its lines wrapped."""
    st.code(text, language=None, wrap_lines=True, **options)
