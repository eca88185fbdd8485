"""Changes to a project and its draft. No widgets.

drafts         projects, drafts, files and settings
examples       the rows of a project; every edit can be undone
records        documents and the right answers to them
steps          fields and steps of a task
starting       a project from what the user has
project_file   a project as a file
"""
