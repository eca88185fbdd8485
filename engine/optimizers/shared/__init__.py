"""Parts that several optimizers use.

leaderboard  candidates and their trials, and the best of them validated
study        samplers, over Optuna
texts        single texts of a prompt, and values of the prompts that rewrite them
training     options of a training, rows that give their answer away, the result's score
"""
