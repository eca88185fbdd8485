"""Files, piles of documents and drafts of a project: all that a user brings."""
