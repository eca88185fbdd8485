"""MIPROv2: proposed instructions and demos, searched together."""
