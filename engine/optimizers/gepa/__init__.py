"""GEPA: prompts evolve by reflection on their mistakes.

optimizer   the class
options     its options
search      the rounds and the prompts that rewrite
pool        the candidates, and who is changed or merged next
own         the user's functions that write texts or choose which to change
"""

from engine.optimizers.gepa.optimizer import GEPA, auto_rows

__all__ = ["GEPA", "auto_rows"]
