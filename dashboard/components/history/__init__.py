"""The history page: all runs."""
