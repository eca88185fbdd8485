"""MIPROv2: instructions and examples are searched together.

optimizer   the classes
options     their options
proposals   notes on the data, proposed instructions, and the prompts that write them
trials      the plan, and option sets tried in waves
"""

from engine.optimizers.mipro.optimizer import BayesianSignatureOptimizer, MIPROv2

__all__ = ["BayesianSignatureOptimizer", "MIPROv2"]
