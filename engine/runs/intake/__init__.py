"""Files, piles of documents and drafts of a project: all that a user brings.

drafting     the parts of a project, recognised in a text and files
pile         a pile of documents with right answers -> a table of examples and the task that reads records
attachments  cells that name a picture or a PDF
"""
