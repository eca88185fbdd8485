"""Home: projects, samples, running runs.

page       the page
projects   new projects and the cards of those that exist
welcome    first steps, samples, words, running and past runs, the demonstration
"""
