"""Training of weights: chat rows go in, a tuned model comes out; one trainer a file.

It knows no program, metric or store: the driver scores checkpoints and rolls out programs for it.
"""
