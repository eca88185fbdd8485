"""What pages read, write and start: the store, drafts, child processes. No widgets."""
