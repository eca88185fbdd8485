"""Metric: what counts as a good answer."""
