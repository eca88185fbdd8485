"""Playground: a prompt on an input outside a run."""
