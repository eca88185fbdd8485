"""Autotune, this project's own optimizer: one search over rules, examples, reasoning and answer layout.

optimizer   the class and its options
search      the plan and the rounds: a check, races while rules are written, finals
evidence    every score so far and what the scores say: the statistical models
space       what can vary: levels of rules, examples, reasoning and layout for each step, and where new ones come from
rules       asks that have rules written, reading and merging of rules; words of the inputs against labels
"""
