"""State behind the pages: the store, drafts, child processes. No widgets."""
