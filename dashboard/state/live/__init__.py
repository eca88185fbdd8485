"""Live state of a run, as plain data for the browser.

snapshot      a run at one moment, in the parts that a page shows
figures       its meters, and its events as sentences
score_chart   the chart of scores
training      trainings as they go
replay        a finished run that plays again, and its file
"""
