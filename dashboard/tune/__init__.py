"""Tune: optimizer, budget, model, start."""
