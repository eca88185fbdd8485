"""The algorithms: generators that yield asks and are answered, with typed options. They do no I/O.

    base.py                     Optimizer, its Options, and `compile`, once for all
    labeled_few_shot.py         show labelled rows
    bootstrap_few_shot.py       show rows a teacher solved
    bootstrap_random_search.py  try many such sets and keep the best
    mipro.py                    wording and examples together: mipro_plan.py says how much, proposals.py writes the
                                wording, mipro_trials.py tries combinations, mipro_study.py samples them (Optuna)
    demos.py                    examples from rows and from traces

A new one is a file here, a line in `engine.registry` and a row in the guide; `engine.testing.contract`
holds what it must pass.
"""
