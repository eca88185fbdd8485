"""Run: a search as it goes."""
