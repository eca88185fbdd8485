"""Autotune, this project's own optimizer: one search over rules, examples, reasoning and answer layout.

optimizer   the class, its options and the plan
search      the rounds: a check, races while rules are written, finals
evidence    every score so far and what the scores say: the statistical models
space       what can vary: levels of rules, examples, reasoning and layout for each step
levels      new levels from proposals, rows and solved runs
rules       asks that have rules written; reading and merging rules
labels      words of the inputs against labels: covering rows, predictability, rules checked without a call
"""
