"""Driving a search: the contract between optimizers and the driver, and everything the driver does for them.

contract      what a search yields (Score, Propose, Keep), receives and may know (Problem, Meter); relay, drive
settings      Settings, Recorder, Control; the Problem made from them, with descriptions for prompts
tuning        a whole tuning: search, final test, verdict; what `compile`, a run and the Prompter carry out
driver        answers asks, batch by batch: trials, events, the result so far
scoring       runs the rows of a Score ask, none of them twice, in a bounded number of slots; pause and stop
training      trainings that a search asks for: their rows, checkpoints and costs
budget        the limits, and the ledger that every call passes
requests      user requests during a run: a larger budget, a prompt written by hand
events        events of a run, as records with a message each
freeze        frozen parts, and the candidate that keeps them
estimate      the calls, tokens, money and time of a run, from the search driven with invented answers
stand_ins     the models of an estimate: real prompts, invented answers
result        records of what a search and a run found: trials, verdict, figures, RunResult
judging       who leads, what is better, which model is chosen by the run's objective, and the words for it
backend       where rows are answered: the contract, and this process
trainers      the contract of trainers, and the orders of trainings that a run has started

It must not know any algorithm, store or page.
"""
