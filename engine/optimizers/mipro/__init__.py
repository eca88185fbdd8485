"""MIPROv2: instructions and examples are searched together.

optimizer   the classes and their options
proposals   notes on the data, proposed instructions, and the prompts that write them
trials      the plan, and combinations tried in waves
"""

from engine.optimizers.mipro.optimizer import BayesianSignatureOptimizer, MIPROv2, MIPROv2Options
from engine.optimizers.mipro.proposals import ObserveRows, ProposeInstructions
from engine.optimizers.mipro.trials import make_plan

__all__ = [
    "BayesianSignatureOptimizer",
    "MIPROv2",
    "MIPROv2Options",
    "ObserveRows",
    "ProposeInstructions",
    "make_plan",
]
