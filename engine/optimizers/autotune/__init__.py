"""Autotune, this project's own optimizer: one search over rules, examples, reasoning and answer layout.

optimizer   the class
options     its options
search      the plan and the rounds: a check, races while rules are written, finals
evidence    every score so far and what the scores say: the statistical models
space       what can vary: levels of rules, examples, reasoning and layout for each step
levels      new levels: proposals, rows and solved runs; the winner without rules that do harm, and with merged ones
merging     rules that repeat or contradict each other become one
rules       asks that have rules written, reading and merging of rules; words of the inputs against labels
"""
