"""Autotune, this project's own optimizer: one search over wording, examples and reasoning.

optimizer   the class and its options
search      the rounds: a check, rounds that write rules and race at the same time, finals
standing    every score so far, and what follows: who is best, who races next, whether to go on
levels      how proposals and rows become levels of what is chosen between
space       what is chosen between: levels of rules, examples and reasoning for each step
model       the factorial model that is fitted to every score
race        pairs of candidates on the same rows
readers     asks that have rules written, and rules: reading, merging and checking them
words       what the words of the inputs tell of the labels
"""
