"""Examples: the table of rows, their columns and division.

page        the page
table       columns and their roles, one document at a time, and the order of the page's parts
source      sources of rows: the box, samples, earlier files
grid        the rows, edited and undone
add         rows typed, brought or written by the model
labelling   labels by keyboard, the most doubtful row first
preflight   doubtful rows and ways to fix them
"""
