"""Run: a search as it goes.

page       the page; its chart is the figure of `state.live.score_chart`, drawn by `static/plot.js`, kept up to date by
           `serving.stream`
live       figures, chart, events and the prompt chosen in the chart
requests   pause, resume, stop, a larger budget, a prompt of the user
present    the presenter's view
"""
