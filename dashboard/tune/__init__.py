"""Tune: plans, what the test can show, models, start, and rarer ways.

page             the page
plans            spending plans with their price
final_test       what the final test can show, by its number of rows
other_ways       the line that opens what is rarely used
optimizer        the optimizer with its options, and the budget
small_model      the recipe for a small model
compare_models   other models that the run compares
freeze_form      the parts of a prompt that stay as they are
start            the start with its estimate
"""
