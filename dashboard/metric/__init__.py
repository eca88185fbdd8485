"""Metric: what counts as a good answer.

page      the page
cards     the metrics to choose from and their options
editors   editors of a judge, of weights and of code
preview   the metric on some rows, and checked against the user's grades
"""
