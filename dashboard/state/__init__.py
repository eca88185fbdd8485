"""Data that several pages read and change: the store, drafts, child processes. No widgets.

reading       the store opened for reading, and cached results
writing       the user's right to change something, and the store opened for it
users         the user of a page
session       values that a page's session holds, with keys and types
launching     processes: a run's, and the one that asks a model for a page
candidates    the prompts that are compared
more_scores   rows that compared prompts were not scored on
playground    answers outside a run
feedback      users' feedback on answers, and grades for a judge
history       runs as rows of a table, their differences, spending
messages      the messages that a task sends
models        models in plain words
editing       changes to a project and its draft
live          live state of a run
"""
