"""History: all runs of all projects.

page      the page
runs      the table of runs, one run, two runs compared
chart     score of runs by what they took
archive   old runs put away in files, and brought back
"""
