"""SIMBA: stochastic introspective mini-batch ascent."""
