"""Elements that follow a run: its figures with its progress, and the watch that has the page drawn again when the run does something else."""

from __future__ import annotations

from dashboard.components.plot import own_element

meters_element = own_element(
    "meters",
    "<div class='tb-meters'></div><div class='tb-progress' role='progressbar' aria-label='How far the run is' "
    "aria-valuemin='0' aria-valuemax='100' hidden><span></span><i></i></div>",
    "stream.js",
)
watch_element = own_element(
    "watch",
    "<div class='tb-watch'><label><input type='checkbox'>Notify me when it ends</label>"
    "<label><input type='checkbox'>Play a sound</label><output role='status'></output></div>",
    "stream.js",
)
