"""A run: what it is as data, and the process that carries it out.

spec      Setup, RunSpec and ProjectDraft: everything needed to do a run, what a draft still lacks; the parts they name
prepare   a spec and the store -> program, rows, split, tuning; the estimate before a run
turn      waiting for the run's turn in the queue
spending  limits on what one user may use, in runs and on pages
worker    the process: claim, tune, test, export, done; resumed by starting it again
recorder  between the store and the search: events out; heartbeat, flags and user requests in
trust     files, addresses and keys that an imported run would use, and the user's consent
log_file  log files in the data folder
backends  rows of a run spread over other processes, on a Ray cluster
child     the short-lived process that asks a model for a page, and its tasks
drafting  the draft of a task from a text, a table, or documents with right answers
results   reports, exports, later scores and archives of runs that have ended

It knows the store and the search, and nothing of pages or terminals. No API key passes through here:
models look theirs up in the process's environment.
"""
