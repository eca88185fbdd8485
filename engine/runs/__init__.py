"""A run: what it is as data, and the process that carries it out.

    spec         Setup, RunSpec and ProjectDraft: everything needed to do a run, what a draft still lacks; the parts they name
    prepare      a spec and the store -> program, rows, split, settings; the estimate before a run
    log_file     log files in the data folder
    worker       the process: claim, score the start, search, test, export, done; resumed by starting it again
    recorder     between the store and the search: events out; heartbeat, flags and user requests in
    exports      the tuned program in the data folder, scored again; a project's versions of it, and the one in use
    report       a stored run -> its HTML report, its table of results, the calls of its rows, a file to train with
    child        the short-lived process that asks a model for a page; its tasks are
    playground   one input answered by a few prompts, piece by piece where wished; a few rows answered before a run
    new_rows     rows like the given ones, written by a model
    drafting     a text, a table, or documents with right answers -> the draft of a task
    archive      old runs put away in a file and brought back

It knows the store and the search, and nothing of pages or terminals. No API key passes through here:
models look theirs up in the process's environment.
"""
