"""Visible pieces that several pages show, one a file.

ui             frames, rows, buttons, links, choices and messages; knows no project
project_page   the project that a page is about
wizard         the head of a step's page, the steps of a project and their state
runs           the run that a page shows, its state and verdict
run_elements   a run that is followed: figures, progress, chart, replay
start_box      the box for what a user brings
tab_conflict   the choice between the edits of two tabs
tables         tables and the columns that mean the same everywhere
plot           elements with their own script, and charts
forms          options as widgets, and the choice of a model
prompts        prompts compared word by word, and messages
document       a document next to its record
sampling       the offer to tune on a sample
share          sharing of projects, and the list of links to reports
take_away      the prompt to copy, the link to a report
glossary       every term in plain words
"""
