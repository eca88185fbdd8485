"""Reading what a user brings: files, piles of documents, and drafts of a project from them."""
