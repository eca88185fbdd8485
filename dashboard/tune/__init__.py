"""Tune: optimizer, budget, models, start.

page             the page
plans            spending plans with their price
optimizer        the optimizer with its options, and the budget
small_model      the recipe for a small model
compare_models   other models that the run compares
freeze_form      the parts of a prompt that stay as they are
start            the start with its estimate
"""
