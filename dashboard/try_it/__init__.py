"""Playground: a prompt on an input outside a run.

page      the page
answers   the input, and the answers while they are being written
"""
