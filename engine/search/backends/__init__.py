"""Backends: where the rows of a candidate are answered and scored. `contract` has what all of them have in common.

`local` is this process; `workers` spreads rows over other processes, which `ray` (its one door) starts on a cluster.
"""
