"""The browser dashboard: reads the store, starts workers, never searches itself. This is its map.

Subjects, one package each: its page (`page.py`, a script that Streamlit runs), its data, its parts and its words. A subject
imports no other subject.

home        projects, samples, running runs
review      what was drafted for a new project
task        steps, fields, instructions
examples    the rows: their columns, division, labels
metric      what counts as a good answer
tune        optimizer, budget, models, the start of a run
run         a search as it goes
results     verdict, prompts side by side, rows
try_it      the playground
export      the tuned program in every form
history     all runs of all projects
settings    models, keys, prices, users, storage

Shared by them, each above the next:

components  what several pages show: header, tables, charts, cards, forms
serving     the server: sockets, links, sign-in
state       what several pages read and change, without widgets
services    the only door from pages to the engine
static      JavaScript, CSS and pictures

Files: `server` (the process), `app` (list of pages, tab title, errors of a whole page), `text` (outside text made safe; names).

To add a page: make a package with a `page.py` that starts with `wizard_header` or `ui.page_title`, add a line to the
list in `app`, one to the list above, what it needs of the engine to the stub of `services`, and its name to the two
contracts of subjects in `pyproject.toml`; then run `python tests/limits.py`. The server, the tests of all pages and the
loading of its parts find it by its `page.py`. A new step of a project is also in `STEPS`, `SET_UP` and `PURPOSE` of
`components.wizard`, which draws the side bar and the line at the top of a page.

What a user may do is decided by `engine.store.access`; `state.writing` checks what leaves for other addresses.
"""
