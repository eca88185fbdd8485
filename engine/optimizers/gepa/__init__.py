"""GEPA: prompts evolve by reflection on their mistakes.

optimizer   the class
options     its options
search      the rounds, the prompts that rewrite, and the user's functions that write texts or choose which to change
pool        the candidates, and who is changed or merged next
"""

from engine.optimizers.gepa.optimizer import GEPA, auto_rows

__all__ = ["GEPA", "auto_rows"]
