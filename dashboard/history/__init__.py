"""History: all runs of all projects.

page      the page
runs      the table of runs, one run, two runs compared
archive   old runs put away in files, and brought back
"""
