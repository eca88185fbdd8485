"""Driving a search: the contract between optimizers and the driver, and everything the driver does for them.

    contract.py    what a search yields (Score, Propose, Keep) and is answered
    settings.py    what a run is given (Settings, Recorder, Control) and gives back (SearchResult)
    driver.py      answers asks, batch by batch: trials, events, the result so far
    scoring.py     runs the rows of a Score ask, none of them twice
    slots.py       how many rows at once, earlier asks first; pause and stop
    budget.py      the limits, and the ledger that every call passes
    reserve.py     what of the budget the final test needs
    requests.py    what a person asks of a search under way: a larger budget, a prompt written by hand
    events.py      what happens, as records that say themselves in a sentence
    ending.py      how a search ended, in a sentence or two
    problem.py     what a search is told about program and data
    freeze.py      what a person has forbidden a search to change, and the candidate that keeps to it
    hold.py        holds any search to that
    estimate.py    what a run will take, from simulation.py and stand_in.py
    reuse.py       which calls of a pipeline the estimate takes to be answered by the call cache
    credit.py      which step's change moved the score
    verdict.py     better, worse, too close to call, or not enough rows

It knows no algorithm, no store and no page.
"""
