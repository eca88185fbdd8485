"""The picture of a task's steps, drawn in the browser as SVG: every text is set as text, colours are the theme's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboard.app_pages.task.task_form import TITLES
from dashboard.app_pages.task.task_import import task_import
from dashboard.components.guard import guarded, renew, revision
from dashboard.state.steps import (
    NEW_STEPS,
    add_step,
    change_step,
    duplicate_step,
    move_step,
    remove_step,
)
from dashboard.views.glossary import explain
from dashboard.views.pipeline_picture import Picture, picture
from dashboard.views.text import plain
from engine.pipeline.spec import PipelineSpec
from engine.runs.spec import ProjectDraft

_CSS = """
.pipeline{overflow-x:auto;padding:.1rem 0 .3rem}
.pipeline svg{display:block;font-family:var(--st-font);max-width:100%;height:auto}
.pipeline .box{fill:var(--st-secondary-background-color);stroke:var(--st-border-color);stroke-width:1.2}
.pipeline .inputs .box{fill:var(--st-blue-background-color)}
.pipeline .outputs .box{fill:var(--st-orange-background-color)}
.pipeline .search .box,.pipeline .tool .box{fill:var(--st-green-background-color)}
.pipeline .side .box{fill:none;stroke-dasharray:4 3}
.pipeline .opens{cursor:pointer}
.pipeline .opens:hover .box,.pipeline .opens:focus-visible .box{stroke:var(--st-primary-color);stroke-width:2}
.pipeline .opens:focus{outline:none}
.pipeline .chosen .box{stroke:var(--st-primary-color);stroke-width:2.4}
.pipeline text{fill:var(--st-text-color);font-size:13px}
.pipeline .title{font-weight:650;font-size:14px}
.pipeline .line{fill:none;stroke:var(--st-gray-color);stroke-width:1.4}
.pipeline .line.dashed{stroke-dasharray:4 3}
.pipeline .field{font-size:12px;fill:var(--st-gray-text-color);paint-order:stroke;stroke:var(--st-background-color);stroke-width:4px}
.pipeline marker path{fill:var(--st-gray-color)}
"""

_JS = """
const NS = "http://www.w3.org/2000/svg";
const make = (name, attributes, text) => {
  const found = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
  if (text !== undefined) found.textContent = text;
  return found;
};
const cut = (text, most) => text.length > most ? text.slice(0, Math.floor(most) - 1) + "…" : text;
export default ({ data, parentElement, setTriggerValue }) => {
  const box = parentElement.querySelector(".pipeline");
  const { boxes, lines, width, height, bottom, lane } = data.picture;
  const svg = make("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": data.words });
  const defs = make("defs", {});
  const marker = make("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" });
  marker.append(make("path", { d: "M0 0L8 4L0 8z" }));
  defs.append(marker);
  svg.append(defs);
  const byId = Object.fromEntries(boxes.map((b) => [b.id, b]));
  const labels = [];
  for (const line of lines) {
    const from = byId[line.source], to = byId[line.target];
    let d, x, y;
    if (line.dashed) {
      x = from.x + from.width / 2;
      const down = from.y < to.y;
      d = down ? `M${x} ${from.y + from.height}L${x} ${to.y}` : `M${x} ${from.y}L${x} ${to.y + to.height}`;
    } else if (line.lane) {
      const x1 = from.x + from.width - 8 - 12 * line.lane, y1 = from.y + from.height;
      const x2 = to.x + 8 + 12 * line.lane, y2 = to.y + to.height, low = bottom + lane * line.lane;
      d = `M${x1} ${y1}L${x1} ${low - 8}Q${x1} ${low} ${x1 + 8} ${low}L${x2 - 8} ${low}Q${x2} ${low} ${x2} ${low - 8}L${x2} ${y2 + 1}`;
      x = (x1 + x2) / 2;
      y = low + 4;
    } else {
      const x1 = from.x + from.width, y1 = from.y + from.height / 2, x2 = to.x, y2 = to.y + to.height / 2;
      const bend = (x2 - x1) / 2;
      d = `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
      x = x1 + bend;
      y = (y1 + y2) / 2 - 6;
    }
    svg.append(make("path", { d, class: line.dashed ? "line dashed" : "line", "marker-end": line.dashed ? "" : "url(#arrow)" }));
    if (line.label) labels.push(make("text", { x, y, class: "field", "text-anchor": "middle" }, line.lane ? line.label : cut(line.label, (to.x - from.x - from.width) / 6)));
  }
  for (const b of boxes) {
    const opens = b.step >= 0;
    const group = make("g", { class: `${b.kind}${opens ? " opens" : ""}${opens && b.step === data.chosen && b.kind !== "side" ? " chosen" : ""}` });
    if (opens) {
      group.setAttribute("tabindex", "0");
      group.setAttribute("role", "button");
      group.setAttribute("aria-label", `Open the step ${b.title}`);
      const open = () => setTriggerValue("picked", b.step);
      group.addEventListener("click", open);
      group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } });
    }
    group.append(make("rect", { x: b.x, y: b.y, width: b.width, height: b.height, rx: 9, class: "box" }));
    group.append(make("text", { x: b.x + 12, y: b.y + 21, class: "title" }, cut(b.title, (b.width - 22) / 7.6)));
    b.lines.forEach((text, at) => group.append(make("text", { x: b.x + 12, y: b.y + 40 + 17 * at }, cut(text, (b.width - 18) / 6.3))));
    svg.append(group);
  }
  svg.append(...labels);
  svg.style.minWidth = `${Math.round(width * 0.82)}px`;
  box.replaceChildren(svg);
};
"""

_element = st.components.v2.component(
    "tuneboard_pipeline", html="<div class='pipeline'></div>", css=_CSS, js=_JS, isolate_styles=False
)


def pipeline_graph(drawn: Picture, chosen: int, *, key: str) -> int | None:
    """Draw a task's steps; return the place of the step that was pressed, or None."""
    result = _element(
        key=key,
        data={"picture": drawn.data(), "words": drawn.words(), "chosen": chosen},
        on_picked_change=lambda: None,
    )
    picked = result.get("picked")
    return None if picked is None else int(picked)


def step_bar(project_id: str, spec: PipelineSpec) -> int:
    """Show the steps and their picture; return the place of the one that is open."""
    count = len(spec.steps)
    at = _open(project_id, count)
    with st.container(border=True, key="steps_card"):
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="steps_head"
        ):
            st.markdown(
                "**How the task works**", help=f"{explain('task')}  \n{explain('step')}", width="stretch"
            )
            task_import(project_id, empty=not (spec.inputs or spec.outputs))
            st.menu_button(
                "Add a step",
                list(NEW_STEPS),
                format_func=lambda kind: NEW_STEPS[kind],
                icon=":material/add:",
                key="add_step",
                on_click=_add,
                args=(project_id, at),
            )
        picked = pipeline_graph(picture(spec, TITLES), at if count > 1 else -1, key=f"graph_{project_id}")
        if picked is not None and picked != at and picked < count:
            open_step(project_id, picked)
            st.rerun()
        if count > 1:
            _tools(project_id, spec, at)
    return at


def open_step(project_id: str, at: int) -> None:
    """Make a step the one that is open."""
    st.session_state[f"step_at_{project_id}"] = at
    st.session_state.pop(f"step_pick_{project_id}", None)
    st.query_params["step"] = str(at + 1)


def _open(project_id: str, count: int) -> int:
    """Return the open step: the one chosen, else the address's, else the first."""
    asked = st.query_params.get("step", "1")
    first = int(asked) - 1 if asked.isdigit() and len(asked) < 4 else 0
    at = int(st.session_state.get(f"step_at_{project_id}", first))
    return min(max(at, 0), count - 1)


def _tools(project_id: str, spec: PipelineSpec, at: int) -> None:
    count, step = len(spec.steps), spec.steps[at]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="step_tools"):
        st.segmented_control(
            "Open step",
            list(range(count)),
            default=at,
            format_func=lambda i: f"{i + 1}. {plain(spec.steps[i].name, 24)}",
            key=f"step_pick_{project_id}_{at}_{count}_{revision(project_id)}",
            required=True,
            label_visibility="collapsed",
            on_change=_picked,
            args=(project_id, f"step_pick_{project_id}_{at}_{count}_{revision(project_id)}"),
        )
        key = f"step_name_{project_id}_{at}_{revision(project_id)}"
        st.text_input(
            "Name of the step",
            step.name,
            key=key,
            width=190,
            label_visibility="collapsed",
            on_change=_rename,
            args=(project_id, at, key),
            help="Its name in the picture and in the results.",
        )
        first, last = at == 0, at == count - 1
        _tool(
            "arrow_back",
            "step_up",
            "Move it one earlier",
            "It is the first step already." if first else "",
            _move,
            (project_id, at, -1),
        )
        _tool(
            "arrow_forward",
            "step_down",
            "Move it one later",
            "It is the last step already." if last else "",
            _move,
            (project_id, at, 1),
        )
        _tool("content_copy", "step_copy", "Duplicate this step", "", _copy, (project_id, at))
        _tool("delete", "step_remove", "Remove this step", "", _remove, (project_id, at))


def _tool(icon: str, key: str, label: str, off: str, act: Callable[..., None], args: tuple[Any, ...]) -> None:
    st.button(
        "",
        icon=f":material/{icon}:",
        key=key,
        help=off or label,
        disabled=bool(off),
        on_click=act,
        args=args,
        type="tertiary",
    )


def _picked(project_id: str, key: str) -> None:
    open_step(project_id, int(st.session_state[key]))


def _add(project_id: str, at: int) -> None:
    kind = st.session_state.get("add_step")
    if kind is None:
        return
    if guarded(project_id, lambda draft: add_step(draft, at, kind)):
        open_step(project_id, at + 1 if kind == "ask_after" else at)
        renew(project_id)


def _copy(project_id: str, at: int) -> None:
    if guarded(project_id, lambda draft: duplicate_step(draft, at)):
        open_step(project_id, at + 1)
        renew(project_id)


def _remove(project_id: str, at: int) -> None:
    if guarded(project_id, lambda draft: remove_step(draft, at)):
        open_step(project_id, max(0, at - 1))
        renew(project_id)


def _move(project_id: str, at: int, by: int) -> None:
    if guarded(project_id, lambda draft: move_step(draft, at, by)):
        open_step(project_id, at + by)
        renew(project_id)


def _rename(project_id: str, at: int, key: str) -> None:
    name = st.session_state[key].strip()

    def change(draft: ProjectDraft) -> ProjectDraft:
        return change_step(draft, at, lambda s: s.model_copy(update={"name": name}))

    guarded(project_id, change)
