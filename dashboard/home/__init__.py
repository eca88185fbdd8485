"""Home: projects, samples, a finished run that plays.

page       the page
projects   rows of the projects and what can be done with each
welcome    the film of a finished run, samples, words, the demonstration
"""
