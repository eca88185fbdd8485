"""Driving a search: the contract between optimizers and the driver, and everything the driver does for them.

    contract.py    what a search yields (Score, Propose, Keep), is answered and may know (Problem, Meter); relay, drive
    settings.py    Settings, Recorder, Control, SearchResult; the Problem made from them, with descriptions for prompts
    driver.py      answers asks, batch by batch: trials, events, the result so far
    scoring.py     runs the rows of a Score ask, none of them twice, in a bounded number of slots; pause and stop
    budget.py      the limits, and the ledger that every call passes
    requests.py    user requests during a run: a larger budget, a prompt written by hand
    events.py      events of a run, as records with a message each
    freeze.py      frozen parts, and the candidate that keeps them
    progress.py    a search on one line of the terminal, for `compile`
    estimate.py    the calls, tokens, money and time of a run, from the search driven with invented answers
    leader.py      the best prompt by what is known, with its doubt, after each trial: what every surface shows
    final_test.py  what the final test still takes
    verdict.py     better, worse, too close to call or not enough rows; the credit of each step's changes
    wording.py     the user's sentences on endings and verdicts

It must not know any algorithm, store or page.
"""
