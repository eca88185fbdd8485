"""The algorithms: generators that yield asks and receive answers, with typed options. They do no I/O.

base             Optimizer, its Options, and `compile`, once for all
few_shot         rows as examples: labelled, solved by a teacher, nearest; few_shot_search: random sets, a sampler's choice
field_by_field   the description of one field of a record at a time
finetune, grpo   weights: from the answers of a teacher, from rewards
copro, infer_rules, avatar, gepa      wording: scored attempts, rules, contrasts, reflection
mipro/, simba, autotune/              wording and examples together
better_together, ensemble             chains of optimizers; programs that answer together
choose           advice on the optimizer for a task
shared/          leaderboard, texts (single texts of a prompt, values of prompts that write), the sampler (Optuna)
training/        trainers of weights: on this machine, at a provider, for a file

A new one is a file or folder here with its name above, a line in `engine.parts` and in `engine/__init__.pyi`, and a row in
the guide; it must pass `engine.testing.contract`. The Tune page and the commands find it.
"""
