"""The short-lived process that works for a page, and the tasks that it carries out.

process     the process: it asks a model, or reads a pile of documents
request     requests to it, and its answers
playground  one input answered by a few prompts, piece by piece where wished; a few rows answered before a run
new_rows    rows like the given ones, written by a model
task_draft  a task drafted by a model from a description
"""
