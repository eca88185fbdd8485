"""Run: a search as it goes.

page       the page
live       figures, chart, events and the prompt chosen in the chart
requests   pause, resume, stop, a larger budget, a prompt of the user
present    the presenter's view
"""
