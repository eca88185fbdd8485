"""The review of a new project: its drafted task, rows, metric and split.

page    the page
cards   its parts
"""
