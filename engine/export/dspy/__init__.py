"""Exports for DSPy: its state file, and a script."""
