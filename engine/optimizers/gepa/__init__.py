"""GEPA: reflective prompt evolution on a Pareto front."""
