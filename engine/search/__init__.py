"""The search: one driver for every optimizer, with budget, estimate, events and verdict."""
