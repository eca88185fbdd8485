"""Optimizers that choose demonstrations."""
