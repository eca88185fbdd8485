"""Strategies for answering one signature, and programs made of them."""
