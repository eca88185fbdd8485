"""Pipelines as data: the spec that forms edit, its checks, and the program built from it."""
