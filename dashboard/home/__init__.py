"""Home: projects, samples, running runs.

page            the page
projects        new projects and the cards of those that exist
welcome         first steps, samples, words, running and past runs
demonstration   the first sample tuned at the pace of a real model
"""
